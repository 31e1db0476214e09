//! A bus that makes every fault that the contract allows, from a seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rotunda_proto::clock::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::mailbox::Mailbox;
use crate::request::QUEUE;
use crate::watch::WatchQueue;
use crate::{
    Bus, BusError, Change, Entry, Heard, Incarnation, Presence, Request, Requests, Revision, SharedBus, Subscription,
    Watch, WatchEvent,
};

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
pub struct Faulty {
    inner: SharedBus,
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
        let now = *inner.presence().borrow();
        let faulty = Self {
            presence: watch::Sender::new(now),
            cut: watch::Sender::new(false),
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(faults.seed))),
            tasks: Mutex::default(),
            inner,
            faults,
        };
        faulty.spawn(follow_presence(
            faulty.inner.presence(),
            faulty.cut.subscribe(),
            faulty.presence.clone(),
        ));
        faulty
    }

    /// Cuts this node off: the bus is away for this node.
    pub fn cut(&self) {
        self.cut.send_replace(true);
        let since = Clock.now();
        self.presence.send_replace(Presence::Away { since });
    }

    /// Ends the [cut](Self::cut).
    pub fn mend(&self) {
        let inner = *self.inner.presence().borrow();
        self.cut.send_replace(false);
        self.presence.send_replace(inner);
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
        what: &str,
        call: impl Future<Output = Result<T, BusError>> + Send,
    ) -> Result<T, BusError> {
        self.wait().await?;
        let lost = Err(BusError::Timeout(what.to_owned()));
        match self.fate() {
            Fate::NeverSent => lost,
            Fate::AnswerLost => {
                let _answer = call.await;
                lost
            }
            Fate::Done => {
                let answer = call.await;
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

#[async_trait]
impl Bus for Faulty {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        self.attempt(subject, self.inner.request(subject, payload, limit)).await
    }

    async fn serve(&self, subject: &str) -> Result<Requests, BusError> {
        self.wait().await?;
        let requests = self.inner.serve(subject).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (random, cut) = (self.random.clone(), self.cut.subscribe());
        self.spawn(hand_on_requests(self.faults, random, cut, requests, sender));
        Ok(Requests::new(receiver))
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.wait().await?;
        self.inner.publish(subject, payload).await
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, BusError> {
        self.wait().await?;
        let messages = self.inner.subscribe(pattern).await?;
        let (subscription, mailbox) = Subscription::new();
        let (random, cut) = (self.random.clone(), self.cut.subscribe());
        self.spawn(hand_on_messages(self.faults, random, cut, messages, mailbox));
        Ok(subscription)
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.attempt(key, self.inner.get(key)).await
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expected: Option<Revision>,
        lease: Option<&Incarnation>,
    ) -> Result<Revision, BusError> {
        self.attempt(key, self.inner.put(key, value, expected, lease)).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, BusError> {
        self.attempt(key, self.inner.delete(key, expected)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Entry)>, BusError> {
        self.attempt(prefix, self.inner.list(prefix)).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, BusError> {
        let changes = self.inner.watch(prefix).await?;
        let (watch, queue) = Watch::new();
        let (random, cut) = (self.random.clone(), self.cut.subscribe());
        self.spawn(hand_on_changes(self.faults, random, cut, changes, queue));
        Ok(watch)
    }

    async fn bound(&self, lease: &Incarnation) -> Result<Vec<(String, Revision)>, BusError> {
        self.attempt(&lease.to_string(), self.inner.bound(lease)).await
    }

    fn presence(&self) -> watch::Receiver<Presence> {
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
