//! The task of one WebRTC session: sockets, the session's core, and the avatar's frames.

use std::time::{Duration, Instant};

use rotunda_client::source::Encoded;
use rotunda_client::{MediaError, SendingSession, Told};
use rotunda_proto::clock::Clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::avatar::Handle;
use crate::sockets::Sockets;

/// A peer that is not connected within this time never will be.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Frames that wait to be sent: half a second.
pub const QUEUE: usize = 40;

/// Why a session ended.
#[derive(Debug)]
pub enum Ended {
    Asked,
    /// The peer closed it, or cannot be reached any more.
    Closed,
    NotConnected,
    Failed(MediaError),
}

/// A session and what it needs.
pub struct PeerTask {
    pub session: SendingSession,
    pub sockets: Sockets,
    pub frames: mpsc::Receiver<Encoded>,
    pub avatar: Handle,
}

impl PeerTask {
    /// Until the peer is gone, or `stop`.
    pub async fn run(mut self, stop: &CancellationToken) -> Ended {
        let clock = Clock;
        let by = clock.now() + CONNECT_WITHIN;
        let ended = self.exchange(by, stop).await;
        self.session.close(clock.now());
        self.flush();
        ended
    }

    async fn exchange(&mut self, connect_by: Instant, stop: &CancellationToken) -> Ended {
        let clock = Clock;
        let mut connect_by = Some(connect_by);
        loop {
            self.flush();
            let due = self.session.poll_timeout();
            let handled = tokio::select! {
                () = stop.cancelled() => return Ended::Asked,
                datagram = self.sockets.receive() => {
                    self.session.handle_datagram(clock.now(), datagram.from, datagram.to, &datagram.bytes)
                }
                frame = self.frames.recv() => match frame {
                    Some(frame) => self.session.send(clock.now(), &frame),
                    // The avatar's thread has ended.
                    None => return Ended::Closed,
                },
                () = clock.until(connect_by) => return Ended::NotConnected,
                () = clock.sleep_until(due) => self.session.handle_timeout(clock.now()),
            };
            if let Err(error) = handled {
                return Ended::Failed(error);
            }
            while let Some(told) = self.session.poll_told() {
                match told {
                    Told::Connected => {
                        connect_by = None;
                        self.avatar.force_keyframe();
                    }
                    Told::KeyframeWanted => self.avatar.force_keyframe(),
                    Told::Closed => return Ended::Closed,
                }
            }
        }
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            self.sockets.send(&transmit);
        }
    }
}

impl Ended {
    pub fn log(&self, session: u32) {
        match self {
            Self::Asked => info!(session, "the WebRTC session ends with the server"),
            Self::Closed => info!(session, "the WebRTC session is closed"),
            Self::NotConnected => warn!(
                session,
                seconds = CONNECT_WITHIN.as_secs(),
                "the WebRTC session was not connected in time; can the client reach the UDP ports of this machine (avatar.advertise)?"
            ),
            Self::Failed(error) => warn!(
                session,
                error = error as &dyn std::error::Error,
                "the WebRTC session failed"
            ),
        }
    }
}
