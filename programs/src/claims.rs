//! Which process does a piece of work for a program: of all that could record it, one does, and of all that could push it, one.
//!
//! A claim is a key that the first process writes and that its lease holds. It vanishes with the process, and then another one takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::counter;
use rotunda_bus::{BusError, BusExt, Change, ClusterNode, Incarnation, Revision, Watch, WatchEvent};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::program::PUSHERS_PREFIX;
use rotunda_proto::recording::RECORDERS_PREFIX;
use rotunda_proto::stream_ingest::CLAIMS_PREFIX;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// After an error of the bus.
const AGAIN: Duration = Duration::from_secs(1);

/// A program: its stream, and when it began.
pub type ProgramKey = (StreamKey, u64);

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Record,
    Push,
    /// Bring media of a URL into a room. The task has the place of a program.
    Ingest,
}

impl Work {
    fn prefix(self) -> &'static str {
        match self {
            Self::Record => RECORDERS_PREFIX,
            Self::Push => PUSHERS_PREFIX,
            Self::Ingest => CLAIMS_PREFIX,
        }
    }

    fn key(self, (stream, started): &ProgramKey) -> String {
        format!("{}{}.{started}", self.prefix(), stream.token())
    }

    fn program(self, key: &str) -> Option<ProgramKey> {
        let (stream, started) = key.strip_prefix(self.prefix())?.rsplit_once('.')?;
        Some((StreamKey::from_token(stream)?, started.parse().ok()?))
    }
}

/// The value of a claim's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    owner: Incarnation,
}

/// The claims of this process to one kind of work.
///
/// Its owner says which programs it could do it for, and follows those that it has.
pub struct Claims {
    shared: Arc<Shared>,
    held: watch::Receiver<BTreeSet<ProgramKey>>,
    task: JoinHandle<()>,
}

struct Shared {
    /// The programs that this process could do it for, and from when on.
    wanted: Mutex<BTreeMap<ProgramKey, Instant>>,
    changed: Notify,
    /// Set at the end.
    is_over: Mutex<bool>,
}

impl Claims {
    /// Errors: the bus cannot be watched.
    pub async fn start(node: ClusterNode, work: Work) -> Result<Self, BusError> {
        let changes = node.bus().watch(work.prefix()).await?;
        let shared = Arc::new(Shared {
            wanted: Mutex::default(),
            changed: Notify::new(),
            is_over: Mutex::new(false),
        });
        let (held, receiver) = watch::channel(BTreeSet::new());
        let keeper = Keeper {
            work,
            node,
            shared: shared.clone(),
            others: BTreeSet::new(),
            own: BTreeMap::new(),
            held,
        };
        Ok(Self {
            shared,
            held: receiver,
            task: tokio::spawn(keeper.run(changes)),
        })
    }

    /// This process can do it for a program; after `delay`, so that better placed ones are first. A program that it wants already is not
    /// delayed anew.
    pub fn want(&self, program: ProgramKey, delay: Duration) {
        self.shared
            .wanted()
            .entry(program)
            .or_insert_with(|| Clock.now() + delay);
        self.shared.changed.notify_one();
    }

    /// This process cannot do it now, and tries again after `delay` if nobody else does it by then.
    pub fn pass(&self, program: &ProgramKey, delay: Duration) {
        if let Some(from) = self.shared.wanted().get_mut(program) {
            *from = Clock.now() + delay;
        }
        self.shared.changed.notify_one();
    }

    /// The program is over, or this process cannot do it.
    pub fn forget(&self, program: &ProgramKey) {
        self.shared.wanted().remove(program);
        self.shared.changed.notify_one();
    }

    pub fn wants(&self, program: &ProgramKey) -> bool {
        self.shared.wanted().contains_key(program)
    }

    /// The programs that this process does it for. One that it does not have any more has another process.
    pub fn held(&self) -> watch::Receiver<BTreeSet<ProgramKey>> {
        self.held.clone()
    }

    /// Gives all claims up, for good.
    pub fn give_up(&self) {
        *self.shared.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.changed.notify_one();
    }

    /// Gives all claims up. When it resolves, other processes can take them.
    pub async fn finish(self) {
        self.give_up();
        let _ended = self.task.await;
    }
}

impl Shared {
    fn wanted(&self) -> MutexGuard<'_, BTreeMap<ProgramKey, Instant>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Keeper {
    work: Work,
    node: ClusterNode,
    shared: Arc<Shared>,
    /// Claims of other processes.
    others: BTreeSet<ProgramKey>,
    /// The claims of this one, as it has written them; None: by an earlier incarnation, and to be written again.
    own: BTreeMap<ProgramKey, Option<Revision>>,
    held: watch::Sender<BTreeSet<ProgramKey>>,
}

impl Keeper {
    async fn run(mut self, mut changes: Watch) {
        let mut own = self.node.own();
        loop {
            if self.shared.is_over() {
                break;
            }
            let next = self.reconcile().await;
            self.tell();
            tokio::select! {
                event = changes.next() => if let WatchEvent::Change(change) = event {
                    self.handle_change(&change);
                },
                () = self.shared.changed.notified() => {}
                () = Clock.until(next) => {}
                Ok(()) = own.changed() => {
                    own.mark_unchanged();
                    for written in self.own.values_mut() {
                        *written = None;
                    }
                }
            }
        }
        for (program, written) in std::mem::take(&mut self.own) {
            self.release(&program, written).await;
        }
        self.tell();
    }

    fn handle_change(&mut self, change: &Change) {
        let Some(program) = self.work.program(&change.key) else {
            return;
        };
        let owner = change.parse::<Claim>().map(|claim| claim.owner);
        if owner.is_some_and(|owner| owner != self.node.incarnation()) {
            self.others.insert(program);
        } else {
            self.others.remove(&program);
        }
    }

    /// Takes and releases what is due. Answers when something is due next.
    async fn reconcile(&mut self) -> Option<Instant> {
        let now = Clock.now();
        let wanted = self.shared.wanted().clone();
        let is_wanted = |program: &ProgramKey| wanted.get(program).is_some_and(|from| *from <= now);
        let unwanted: Vec<ProgramKey> = self.own.keys().filter(|own| !is_wanted(own)).cloned().collect();
        for program in unwanted {
            let written = self.own.remove(&program).flatten();
            self.release(&program, written).await;
        }
        let mut next = wanted.values().filter(|from| **from > now).min().copied();
        let due: Vec<ProgramKey> = wanted.keys().filter(|program| is_wanted(program)).cloned().collect();
        for program in due {
            let is_held = matches!(self.own.get(&program), Some(Some(_)));
            if is_held || self.others.contains(&program) {
                continue;
            }
            match self.take(&program).await {
                Ok(Some(revision)) => {
                    if self.own.insert(program.clone(), Some(revision)).is_none() {
                        info!(stream = %program.0, work = ?self.work, "this process does the work for a program");
                    }
                }
                Ok(None) => {
                    if self.own.remove(&program).is_some() {
                        counter!("rotunda_programs_claims_lost_total").increment(1);
                        warn!(stream = %program.0, work = ?self.work, "another process does the work for a program now");
                    }
                    self.others.insert(program);
                }
                Err(error) => {
                    // It goes on with the programs that it had: the others cannot claim them either while the bus is away.
                    warn!(stream = %program.0, work = ?self.work, %error, "a program could not be claimed; it is tried again");
                    let again = now + AGAIN;
                    next = Some(next.map_or(again, |next| next.min(again)));
                }
            }
        }
        next
    }

    /// None: another process has it.
    async fn take(&self, program: &ProgramKey) -> Result<Option<Revision>, BusError> {
        let key = self.work.key(program);
        let owner = self.node.incarnation();
        let claim = Claim { owner: owner.clone() };
        let value: Bytes = serde_json::to_vec(&claim).map_err(BusError::Encode)?.into();
        match self.node.bus().put(&key, value, None, Some(&owner)).await {
            Ok(revision) => Ok(Some(revision)),
            // An answer may have been lost.
            Err(BusError::Conflict(_)) => {
                let known = self.node.bus().load::<Claim>(&key).await?;
                let own = known.filter(|(known, _)| known.owner == owner);
                Ok(own.map(|(_, revision)| revision))
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&self, program: &ProgramKey, written: Option<Revision>) {
        let Some(written) = written else { return };
        match self.node.bus().delete(&self.work.key(program), written).await {
            Ok(_) | Err(BusError::Conflict(_)) => {}
            // It vanishes with this process.
            Err(error) => warn!(stream = %program.0, work = ?self.work, %error, "a claim was not released"),
        }
    }

    fn tell(&self) {
        let held: BTreeSet<ProgramKey> = self.own.keys().cloned().collect();
        self.held.send_if_modified(|known| {
            let has_changed = *known != held;
            *known = held;
            has_changed
        });
    }
}

#[cfg(test)]
mod tests {
    use rotunda_bus::{InProcess, SharedBus};
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    async fn claims(bus: &SharedBus, name: &str) -> Claims {
        let node = ClusterNode::alone(bus.clone(), name.parse().unwrap());
        Claims::start(node, Work::Record).await.unwrap()
    }

    fn program() -> ProgramKey {
        ("1/film".parse().unwrap(), 5)
    }

    async fn has(claims: &Claims, program: &ProgramKey) {
        let mut held = claims.held();
        let has = held.wait_for(|held| held.contains(program));
        timeout(SOON, has).await.expect("it is taken").unwrap();
    }

    async fn has_nothing(claims: &Claims) {
        let mut held = claims.held();
        timeout(SOON, held.wait_for(BTreeSet::is_empty))
            .await
            .expect("nothing")
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_process_has_a_program_and_another_one_takes_it_when_it_is_given_up() {
        let bus: SharedBus = Arc::new(InProcess::new());
        let (one, two) = (claims(&bus, "one").await, claims(&bus, "two").await);
        one.want(program(), Duration::ZERO);
        has(&one, &program()).await;
        two.want(program(), Duration::ZERO);
        let other = (program().0, 6);
        two.want(other.clone(), Duration::ZERO);
        has(&two, &other).await;
        assert!(
            !two.held().borrow().contains(&program()),
            "another program of the stream is not this one"
        );
        one.finish().await;
        has(&two, &program()).await;
        two.forget(&program());
        two.forget(&other);
        has_nothing(&two).await;
        assert_eq!(bus.list("recorders.").await.unwrap(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_passes_lets_others_go_first_and_has_it_again_when_nobody_wants_it() {
        let bus: SharedBus = Arc::new(InProcess::new());
        let one = claims(&bus, "one").await;
        one.want(program(), Duration::ZERO);
        has(&one, &program()).await;
        one.pass(&program(), Duration::from_millis(300));
        has_nothing(&one).await;
        has(&one, &program()).await;
        one.pass(&program(), Duration::from_secs(3600));
        let two = claims(&bus, "two").await;
        two.want(program(), Duration::ZERO);
        has(&two, &program()).await;
        has_nothing(&one).await;
    }

    #[test]
    fn a_key_names_its_program() {
        for stream in ["1/film", "1400000001/1400000001_r%20x_ann_main"] {
            let program = (stream.parse().unwrap(), 1_700_000_000_123);
            assert_eq!(Work::Push.program(&Work::Push.key(&program)), Some(program.clone()));
            assert_eq!(Work::Record.program(&Work::Push.key(&program)), None);
        }
    }
}
