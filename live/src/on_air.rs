//! The running programs: each has a segmenter, and its wanted pushes, which one of all live processes has.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rotunda_events::Facts;
use rotunda_programs::claims::{Claims, ProgramKey};
use rotunda_programs::{Programs, ReadFrom};
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::push_address::PushAddress;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info, info_span};

use crate::pushes::{Action, diff};
use crate::rtmp_client::Outbound;
use crate::rtmp_push::{self, Push, Teller};

/// A process that does not make a program itself lets one that does push it.
const OF_ANOTHER_NODE: Duration = Duration::from_millis(300);

/// See the [module](self).
pub struct OnAir {
    all: Programs,
    claims: Claims,
    held: watch::Receiver<BTreeSet<ProgramKey>>,
    outbound: Outbound,
    facts: Facts,
    shutdown: CancellationToken,
    programs: HashMap<StreamKey, Running>,
    tasks: JoinSet<()>,
}

struct Running {
    program: ProgramDescriptor,
    /// Cancelled when the program is over.
    over: CancellationToken,
    span: Span,
    /// The token that ends each push.
    pushes: HashMap<PushAddress, CancellationToken>,
}

impl Running {
    fn end_pushes(&mut self) {
        let Self { span, pushes, .. } = self;
        for (address, stop) in pushes.drain() {
            info!(parent: &*span, %address, "the task of the push has ended");
            stop.cancel();
        }
    }
}

/// The meaning of a descriptor.
#[derive(Debug, Clone)]
pub enum Seen {
    /// A program that did not run before, and what is cancelled at its end.
    New(CancellationToken),
    Known,
}

impl OnAir {
    /// `claims`: to push.
    pub fn new(all: Programs, claims: Claims, outbound: Outbound, facts: Facts, shutdown: CancellationToken) -> Self {
        Self {
            all,
            held: claims.held(),
            claims,
            outbound,
            facts,
            shutdown,
            programs: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// A program has begun or has changed its wanted pushes: starts and ends pushes to match.
    pub fn handle_program(&mut self, program: &ProgramDescriptor) -> Seen {
        let id = &program.stream();
        let running = self.programs.get_mut(id);
        let seen = match running.filter(|running| running.program.started_unix_ms == program.started_unix_ms) {
            Some(running) => {
                if running.program.task != program.task {
                    // The states of a push are told of the task that it began for.
                    running.end_pushes();
                }
                running.program = program.clone();
                Seen::Known
            }
            None => {
                self.handle_end(id);
                let over = CancellationToken::new();
                let running = Running {
                    program: program.clone(),
                    over: over.clone(),
                    span: info_span!("live", room = %program.room, stream = %id),
                    pushes: HashMap::new(),
                };
                self.programs.insert(id.clone(), running);
                Seen::New(over)
            }
        };
        match wanted(program).is_empty() {
            true => self.claims.forget(&key(program)),
            false if self.all.is_made_here(program) => self.claims.want(key(program), Duration::ZERO),
            false => self.claims.want(key(program), OF_ANOTHER_NODE),
        }
        self.reconcile(id);
        seen
    }

    /// The program is over; its pushes say goodbye by themselves.
    pub fn handle_end(&mut self, id: &StreamKey) {
        if let Some(running) = self.programs.remove(id) {
            running.over.cancel();
            self.claims.forget(&key(&running.program));
        }
    }

    /// The programs that this process pushes may have changed.
    fn handle_claims(&mut self) {
        let ids: Vec<StreamKey> = self.programs.keys().cloned().collect();
        for id in ids {
            self.reconcile(&id);
        }
    }

    /// Runs a task in addition to the pushes.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Resolves when a task has ended, or this process has got or lost a program's pushes. Cancel-safe.
    pub async fn step(&mut self) {
        tokio::select! {
            Some(_) = self.tasks.join_next() => {}
            Ok(()) = self.held.changed() => self.handle_claims(),
            else => std::future::pending().await,
        }
    }

    /// Resolves when all tasks have ended.
    pub async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
        // After the pushes have said goodbye: a server may allow one at a time.
        self.claims.finish().await;
    }

    fn reconcile(&mut self, id: &StreamKey) {
        let Some(running) = self.programs.get_mut(id) else {
            return;
        };
        let wanted = match self.held.borrow().contains(&key(&running.program)) {
            true => wanted(&running.program),
            false => Vec::new(),
        };
        for action in diff(&wanted, &running.pushes) {
            match action {
                Action::Stop(address) => {
                    info!(parent: &running.span, %address, "the push is no longer wanted of this process");
                    if let Some(stop) = running.pushes.remove(&address) {
                        stop.cancel();
                    }
                }
                Action::Start(address) => {
                    let Some(reader) = self.all.subscribe(&running.program, ReadFrom::Keyframe) else {
                        info!(parent: &running.span, %address, "the program is over before its push has begun");
                        continue;
                    };
                    let stop = self.shutdown.child_token();
                    let push = Push {
                        teller: teller(&self.facts, &running.program, &address),
                        address: address.clone(),
                        outbound: self.outbound.clone(),
                        reader,
                        stop: stop.clone(),
                    };
                    self.tasks.spawn(rtmp_push::push(push).instrument(running.span.clone()));
                    running.pushes.insert(address, stop);
                }
            }
        }
    }
}

fn key(program: &ProgramDescriptor) -> ProgramKey {
    (program.stream(), program.started_unix_ms)
}

/// None: the program is not of a task, and nobody is told of its pushes.
fn teller(facts: &Facts, program: &ProgramDescriptor, address: &PushAddress) -> Option<Teller> {
    let is_it = |url: &&String| url.parse().is_ok_and(|of_url: PushAddress| of_url == *address);
    Some(Teller {
        facts: facts.clone(),
        room: program.room.clone(),
        task: program.task.clone()?,
        url: program.push_urls.iter().find(is_it)?.clone(),
    })
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
