//! The running programs: each has a segmenter, and its wanted pushes.

use std::collections::HashMap;

use rotunda_media::program::ProgramHub;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::push_address::PushAddress;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info, info_span, warn};

use crate::pushes::{Action, diff};
use crate::rtmp_push::{Outbound, push};

/// See the [module](self).
pub struct OnAir {
    hub: ProgramHub,
    outbound: Outbound,
    shutdown: CancellationToken,
    programs: HashMap<StreamKey, Running>,
    tasks: JoinSet<()>,
}

struct Running {
    /// Distinguishes programs of one stream.
    began_unix_ms: u64,
    span: Span,
    /// The token that ends each push.
    pushes: HashMap<PushAddress, CancellationToken>,
}

/// The meaning of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A program that did not run before.
    New,
    Known,
}

impl OnAir {
    pub fn new(hub: ProgramHub, outbound: Outbound, shutdown: CancellationToken) -> Self {
        Self {
            hub,
            outbound,
            shutdown,
            programs: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// A program has begun or has changed its wanted pushes: starts and ends pushes to match.
    pub fn handle_program(&mut self, program: &ProgramDescriptor) -> Seen {
        let id = &program.stream();
        let known = self.programs.get(id).map(|running| running.began_unix_ms);
        let seen = match known == Some(program.started_unix_ms) {
            true => Seen::Known,
            false => {
                self.handle_end(id);
                let span = info_span!("live", room = %program.room, stream = %id);
                let running = Running {
                    began_unix_ms: program.started_unix_ms,
                    span,
                    pushes: HashMap::new(),
                };
                self.programs.insert(id.clone(), running);
                Seen::New
            }
        };
        self.reconcile(id, &wanted(program));
        seen
    }

    /// The program is over; its pushes say goodbye by themselves.
    pub fn handle_end(&mut self, id: &StreamKey) {
        self.programs.remove(id);
    }

    /// Runs a task in addition to the pushes.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Resolves when a task has ended; never when none runs.
    pub async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Resolves when all tasks have ended.
    pub async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn reconcile(&mut self, id: &StreamKey, wanted: &[PushAddress]) {
        let Some(running) = self.programs.get_mut(id) else {
            return;
        };
        for action in diff(wanted, &running.pushes) {
            match action {
                Action::Stop(address) => {
                    info!(parent: &running.span, %address, "the push is no longer wanted");
                    if let Some(stop) = running.pushes.remove(&address) {
                        stop.cancel();
                    }
                }
                Action::Start(address) => {
                    let Some(reader) = self.hub.subscribe(id) else {
                        warn!(parent: &running.span, %address, "the program is not in this process");
                        continue;
                    };
                    let stop = self.shutdown.child_token();
                    let push = push(address.clone(), self.outbound.clone(), reader, stop.clone());
                    self.tasks.spawn(push.instrument(running.span.clone()));
                    running.pushes.insert(address, stop);
                }
            }
        }
    }
}

/// The addresses that the API has accepted.
fn wanted(program: &ProgramDescriptor) -> Vec<PushAddress> {
    let parse = |url: &String| match url.parse() {
        Ok(address) => Some(address),
        Err(why) => {
            // The address itself has a key in it.
            error!(stream = %program.stream(), error = &why as &dyn std::error::Error, "an address to push to");
            None
        }
    };
    program.push_urls.iter().filter_map(parse).collect()
}
