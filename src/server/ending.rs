//! The end of a process: members move to other nodes, then the services end one after the other.

use std::time::Duration;

use tracing::{info, warn};

use super::{Running, Server};

impl Server {
    /// Moves members and their media to other nodes, within `server.drain_seconds`. The process serves those that it has until they are gone.
    pub async fn drain(&self) {
        let within = Duration::from_secs(self.config.server.drain_seconds);
        if within.is_zero() {
            return;
        }
        self.draining.cancel();
        // Members who log in elsewhere take their media along, so the media of the others moves after them.
        let each = match (&self.signaling, &self.sfu) {
            (Some(_), Some(_)) => within / 2,
            _ => within,
        };
        if let Some(sfu) = &self.sfu {
            sfu.service.refuse().await;
        }
        if let Some(signaling) = &self.signaling {
            signaling.service.drain(each).await;
        }
        if let Some(sfu) = &self.sfu {
            sfu.service.drain(each).await;
        }
    }

    /// Ends mixes first, then their consumers, then the rooms; within `server.shutdown_seconds`.
    pub async fn finish(self) {
        let limit = Duration::from_secs(self.config.server.shutdown_seconds);
        let in_order = async {
            // Avatars leave rooms and end pushes that may lead here.
            end(self.avatar, rotunda_avatar::Service::finish).await;
            end(self.mcu, rotunda_mcu::Service::finish).await;
            end(self.relay, rotunda_relay::Service::finish).await;
            end(self.live, rotunda_live::Service::finish).await;
            // The recorder hands its last files to the callback outbox, so signaling ends after it.
            end(self.recorder, rotunda_recorder::Service::finish).await;
            // Other nodes have read the programs' ends, or are interrupted here.
            end(self.programs, rotunda_programs::Service::finish).await;
            end(self.signaling, rotunda_signaling::Service::finish).await;
            end(self.sfu, rotunda_sfu::Service::finish).await;
            self.facts.finish().await;
            self.lease.end().await;
            self.stop_listener.cancel();
            let _ended = self.listener.await;
            if let Some(console) = self.console {
                let _ended = console.await;
            }
        };
        match tokio::time::timeout(limit, in_order).await {
            Ok(()) => info!("stopped"),
            Err(_) => warn!(
                seconds = limit.as_secs(),
                "the services did not end in time; stopping anyway"
            ),
        }
    }
}

/// Tells a service to end and waits for its end.
async fn end<S, F: Future<Output = ()>>(running: Option<Running<S>>, finish: impl FnOnce(S) -> F) {
    if let Some(Running { service, stop }) = running {
        stop.cancel();
        finish(service).await;
    }
}
