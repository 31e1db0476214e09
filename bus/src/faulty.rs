//! A bus that makes every fault that the contract allows, from a seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rotunda_proto::clock::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::mailbox::Mailbox;
use crate::request::QUEUE;
use crate::watch::WatchQueue;
use crate::wrapped::{Call, Policy, Wrapped};
use crate::{BusError, Change, Heard, Presence, Request, Requests, SharedBus, Subscription, Watch, WatchEvent};

/// Changes that may overtake each other.
const REORDERED: usize = 16;

/// The faults of the decorator, and their rates.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub seed: u64,
    /// The maximum delay of each call, message and change.
    pub delay: Duration,
    /// Share of store calls and requests that time out; half of them have had their effect.
    pub fail: f64,
    /// Share of messages that do not reach a subscriber, which then learns of the loss.
    pub lose: f64,
    /// Share of requests that are served twice.
    pub duplicate: f64,
    /// Changes of different keys overtake each other.
    pub reorder: bool,
}

impl Faults {
    /// No faults: only [cuts](Faulty::cut).
    pub fn none(seed: u64) -> Self {
        Self {
            seed,
            delay: Duration::ZERO,
            fail: 0.0,
            lose: 0.0,
            duplicate: 0.0,
            reorder: false,
        }
    }

    /// Some of each fault.
    pub fn some(seed: u64) -> Self {
        Self {
            seed,
            delay: Duration::from_millis(20),
            fail: 0.05,
            lose: 0.05,
            duplicate: 0.05,
            reorder: true,
        }
    }
}

/// One node's view of another bus, with [`Faults`].
pub type Faulty = Wrapped<Faulting>;

/// The faults of a [`Faulty`] bus.
pub struct Faulting {
    /// Of the bus behind.
    behind: watch::Receiver<Presence>,
    faults: Faults,
    random: Arc<Mutex<StdRng>>,
    cut: watch::Sender<bool>,
    presence: watch::Sender<Presence>,
    tasks: Mutex<JoinSet<()>>,
}

/// The fault of one call.
enum Fate {
    Done,
    /// It had its effect, but its answer is lost.
    AnswerLost,
    NeverSent,
}

impl Faulty {
    pub fn new(inner: SharedBus, faults: Faults) -> Self {
        let faulting = Faulting::new(inner.presence(), faults);
        Self::around(inner, faulting)
    }
}

impl Faulting {
    fn new(behind: watch::Receiver<Presence>, faults: Faults) -> Self {
        let now = *behind.borrow();
        let faulting = Self {
            presence: watch::Sender::new(now),
            cut: watch::Sender::new(false),
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(faults.seed))),
            tasks: Mutex::default(),
            behind,
            faults,
        };
        faulting.spawn(follow_presence(
            faulting.behind.clone(),
            faulting.cut.subscribe(),
            faulting.presence.clone(),
        ));
        faulting
    }

    /// Cuts this node off: the bus is away for this node.
    pub fn cut(&self) {
        self.cut.send_replace(true);
        let since = Clock.now();
        self.presence.send_replace(Presence::Away { since });
    }

    /// Ends the [cut](Self::cut).
    pub fn mend(&self) {
        let behind = *self.behind.borrow();
        self.cut.send_replace(false);
        self.presence.send_replace(behind);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn check_here(&self) -> Result<(), BusError> {
        match *self.cut.borrow() {
            true => Err(BusError::Away),
            false => Ok(()),
        }
    }

    /// Waits for the delay of the call.
    async fn wait(&self) -> Result<(), BusError> {
        self.check_here()?;
        wait(&self.random, self.faults.delay).await;
        self.check_here()
    }

    fn fate(&self) -> Fate {
        match (chance(&self.random, self.faults.fail), chance(&self.random, 0.5)) {
            (false, _) => Fate::Done,
            (true, true) => Fate::AnswerLost,
            (true, false) => Fate::NeverSent,
        }
    }

    /// Makes a call, or skips it, or makes it and loses the answer.
    async fn attempt<T>(
        &self,
        call: Call<'_>,
        forwarded: impl Future<Output = Result<T, BusError>> + Send,
    ) -> Result<T, BusError> {
        self.wait().await?;
        let lost = Err(call.timeout());
        match self.fate() {
            Fate::NeverSent => lost,
            Fate::AnswerLost => {
                let _answer = forwarded.await;
                lost
            }
            Fate::Done => {
                let answer = forwarded.await;
                match *self.cut.borrow() {
                    true => lost,
                    false => answer,
                }
            }
        }
    }
}

fn chance(random: &Mutex<StdRng>, share: f64) -> bool {
    random.lock().unwrap_or_else(PoisonError::into_inner).random_bool(share)
}

async fn wait(random: &Mutex<StdRng>, most: Duration) {
    if most.is_zero() {
        return;
    }
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    let delay = random
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .random_range(0..=micros);
    Clock.sleep_until(Clock.now() + Duration::from_micros(delay)).await;
}

impl Policy for Faulting {
    async fn carry_out<T: Send>(
        &self,
        call: Call<'_>,
        forwarded: impl Future<Output = Result<T, BusError>> + Send,
    ) -> Result<T, BusError> {
        match call {
            // It works while the bus is away.
            Call::Watch(_) => forwarded.await,
            Call::Serve(_) | Call::Publish(_) | Call::Subscribe(_) => {
                self.wait().await?;
                forwarded.await
            }
            Call::Request(_) | Call::Get(_) | Call::Put(_) | Call::Delete(_) | Call::List(_) | Call::Bound(_) => {
                self.attempt(call, forwarded).await
            }
        }
    }

    fn requests(&self, behind: Requests) -> Requests {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (random, cut) = (self.random.clone(), self.cut.subscribe());
        self.spawn(hand_on_requests(self.faults, random, cut, behind, sender));
        Requests::new(receiver)
    }

    fn messages(&self, behind: Subscription) -> Subscription {
        let (subscription, mailbox) = Subscription::new();
        let (random, cut) = (self.random.clone(), self.cut.subscribe());
        self.spawn(hand_on_messages(self.faults, random, cut, behind, mailbox));
        subscription
    }

    fn changes(&self, behind: Watch) -> Watch {
        let (watch, queue) = Watch::new();
        let (random, cut) = (self.random.clone(), self.cut.subscribe());
        self.spawn(hand_on_changes(self.faults, random, cut, behind, queue));
        watch
    }

    fn presence(&self, _behind: watch::Receiver<Presence>) -> watch::Receiver<Presence> {
        self.presence.subscribe()
    }
}

async fn follow_presence(
    mut inner: watch::Receiver<Presence>,
    cut: watch::Receiver<bool>,
    presence: watch::Sender<Presence>,
) {
    while inner.changed().await.is_ok() {
        let now = *inner.borrow_and_update();
        if !*cut.borrow() {
            presence.send_replace(now);
        }
    }
}

async fn hand_on_requests(
    faults: Faults,
    random: Arc<Mutex<StdRng>>,
    mut cut: watch::Receiver<bool>,
    mut requests: Requests,
    sender: mpsc::Sender<Request>,
) {
    loop {
        let request = tokio::select! {
            request = requests.next() => request,
            () = sender.closed() => return,
        };
        if *cut.borrow_and_update() {
            // It never arrives; its caller waits until its timeout.
            let mut cut = cut.clone();
            tokio::spawn(async move {
                let _faulty_has_ended = cut.wait_for(|cut| !cut).await;
                drop(request);
            });
            continue;
        }
        wait(&random, faults.delay).await;
        if chance(&random, faults.duplicate) {
            let twice = Request::new(request.payload.clone(), Box::new(|_| {}));
            if sender.send(twice).await.is_err() {
                return;
            }
        }
        if sender.send(request).await.is_err() {
            return;
        }
    }
}

async fn hand_on_messages(
    faults: Faults,
    random: Arc<Mutex<StdRng>>,
    mut cut: watch::Receiver<bool>,
    mut messages: Subscription,
    mailbox: Arc<Mailbox>,
) {
    loop {
        let heard = tokio::select! {
            heard = messages.next() => heard,
            changed = cut.changed() => {
                if changed.is_err() {
                    return;
                }
                if !*cut.borrow_and_update() {
                    mailbox.lost();
                }
                continue;
            }
            () = mailbox.dropped() => return,
        };
        if *cut.borrow() {
            continue;
        }
        wait(&random, faults.delay).await;
        match heard {
            Heard::Message(message) if !chance(&random, faults.lose) => mailbox.push(message),
            _ => mailbox.lost(),
        }
    }
}

async fn hand_on_changes(
    faults: Faults,
    random: Arc<Mutex<StdRng>>,
    mut cut: watch::Receiver<bool>,
    mut changes: Watch,
    queue: Arc<WatchQueue>,
) {
    let mut was_cut = false;
    let mut synced = false;
    while !queue.is_abandoned() {
        // A cut may have ended before it is seen here.
        was_cut |= cut.has_changed().unwrap_or(false);
        if *cut.borrow_and_update() {
            was_cut = true;
            if cut.changed().await.is_err() {
                return;
            }
            continue;
        }
        if std::mem::take(&mut was_cut) && synced {
            hand_on(&mut changes, None, faults, &random, &queue, &mut synced);
            queue.synced();
        }
        let event = tokio::select! {
            event = changes.next() => event,
            changed = cut.changed() => {
                if changed.is_err() {
                    return;
                }
                was_cut = true;
                continue;
            }
        };
        wait(&random, faults.delay).await;
        hand_on(&mut changes, Some(event), faults, &random, &queue, &mut synced);
    }
}

/// The current state, with the changes of different keys between two synced marks in any order.
fn hand_on(
    changes: &mut Watch,
    first: Option<WatchEvent>,
    faults: Faults,
    random: &Mutex<StdRng>,
    queue: &WatchQueue,
    synced: &mut bool,
) {
    let rest = std::iter::from_fn(|| changes.try_next());
    let most = if first.is_some() { REORDERED } else { usize::MAX };
    let mut batch: Vec<(u64, Change)> = Vec::new();
    let flush = |batch: &mut Vec<(u64, Change)>| {
        batch.sort_by_key(|(place, _)| *place);
        for (_, change) in batch.drain(..) {
            queue.push(change);
        }
    };
    for event in first.into_iter().chain(rest.take(most)) {
        match event {
            WatchEvent::Synced => {
                flush(&mut batch);
                queue.synced();
                *synced = true;
            }
            WatchEvent::Change(change) => {
                let same_key = batch.iter().find(|(_, known)| known.key == change.key);
                let place = match (same_key, faults.reorder) {
                    (Some((place, _)), _) => *place,
                    (None, false) => batch.len() as u64,
                    (None, true) => random.lock().unwrap_or_else(PoisonError::into_inner).random(),
                };
                batch.push((place, change));
            }
        }
    }
    flush(&mut batch);
}
