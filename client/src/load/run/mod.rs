//! Carries a plan out: starts the threads, lets members join, measures, and gathers what was found.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SdkAppId, UserId};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::audience::{AudienceTally, Joined};
use super::cpu::CpuClock;
use super::delay::{Delays, Quantiles};
use super::memory::resident_bytes;
use super::plan::{Cast, Member, Plan, PlanError};
use super::report::{AudienceFindings, Findings, Report, loss};
use super::rtp_session::Part;
use super::sequence::GIVEN_UP_AFTER;
use super::shard::{self, Order, Setting, Told, Totals};
use super::tally::{Tally, Window};
use crate::JoinError;
use crate::local_address::local_address;

/// A member whose media does not flow by then, after the last one began to join, is not waited for.
const JOIN_WITHIN: Duration = Duration::from_secs(20);
/// After the measured time: until the last losses are known, and a little.
const SETTLE: Duration = GIVEN_UP_AFTER.saturating_add(Duration::from_millis(500));
/// After a storm of mutes: a room of 50,000 is told of a source within 12 s, group after group for 2 s.
const LAST_TOLD: Duration = Duration::from_secs(15);
/// Orders on the way to a thread: its members, and a few.
const ORDERS: usize = 64;
/// Beside one message of each member, twice: the seconds of all threads.
const SPARE_MESSAGES: usize = 256;

/// How members log in.
pub struct Access {
    pub app: SdkAppId,
    /// Makes a user's ticket.
    pub sign: Box<dyn Fn(&UserId) -> String + Send + Sync>,
}

/// Why there is no result.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("the plan")]
    Plan(#[from] PlanError),
    #[error("find the way to the server")]
    Address(#[source] JoinError),
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
    #[error("read the processor time and memory of process {pid}")]
    ServerPid {
        pid: u32,
        #[source]
        source: std::io::Error,
    },
    #[error("{user} did not get in")]
    Publisher {
        user: UserId,
        #[source]
        source: JoinError,
    },
    #[error("no media of the publishers within {} s", JOIN_WITHIN.as_secs())]
    NoPublishers,
    #[error("no viewer saw a picture{}", .0.as_ref().map(|first| format!(": {first}")).unwrap_or_default())]
    NoViewers(Option<String>),
    #[error("nobody of the audience got in{}", .0.as_ref().map(|first| format!(": {first}")).unwrap_or_default())]
    NoAudience(Option<String>),
    #[error("stopped before anything was measured")]
    Stopped,
    #[error("a thread has ended")]
    ThreadEnded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Joining,
    WarmUp,
    Measuring,
    Settling,
}

/// What happened in one second, while the run goes on.
#[derive(Debug, Clone, Copy)]
pub struct Second {
    /// Since the run began.
    pub at: Duration,
    pub stage: Stage,
    pub publishers: u64,
    pub viewers: u64,
    pub audience: u64,
    pub packets_per_second: f64,
    pub megabits_per_second: f64,
    pub loss: f64,
    /// Video, or audio where there is no video.
    pub delay_ms: Quantiles,
    pub server_cpu_share: Option<f64>,
}

/// Runs to the end of the plan, or to `stop`, with what was measured until then. `show` is called once a second.
pub async fn run(
    plan: Plan,
    access: Access,
    stop: CancellationToken,
    show: impl FnMut(&Second),
) -> Result<Report, LoadError> {
    let cast = plan.cast()?;
    let local = local_address(plan.entrance.url()).await.map_err(LoadError::Address)?;
    let setting = Setting {
        plan: plan.clone(),
        app: access.app,
        local,
        epoch: Clock.now(),
    };
    let mut run = Run::start(setting, access, stop, show, &cast)?;
    run.let_join(Part::Publisher, &cast.publishers).await?;
    run.let_join(Part::Viewer, &cast.viewers).await?;
    run.let_attend(&cast.audience).await?;
    let measured = run.measure().await?;
    run.finish(measured).await
}

/// The run as its director sees it.
struct Run<F> {
    plan: Plan,
    access: Access,
    stop: CancellationToken,
    show: F,
    epoch: Instant,
    orders: Vec<mpsc::Sender<Order>>,
    told: mpsc::Receiver<Told>,
    threads: Vec<CpuClock>,
    server: Option<CpuClock>,
    progress: Progress,
    line: Line,
    totals: Vec<Totals>,
}

#[derive(Default)]
struct Progress {
    publishers: u64,
    viewers: u64,
    /// Of those that were up or not.
    failed: HashSet<UserId>,
    first_failure: Option<(UserId, JoinError)>,
    joins: Delays,
    audience: Attended,
}

/// How the audience got in.
#[derive(Default)]
struct Attended {
    members: u64,
    /// The last of them.
    last_at: Option<Instant>,
    joins: Delays,
    replies: Delays,
    /// From the first one's connect to the last one's reply.
    took: Duration,
    server_bytes_before: Option<u64>,
}

/// The next line of the live table.
struct Line {
    stage: Stage,
    began: Instant,
    parts: usize,
    tally: Tally,
    server_cpu: Option<Duration>,
}

/// Processor times over the measured time.
struct Measured {
    time: Duration,
    server_cpu: Option<Duration>,
    server_bytes: Option<u64>,
    tool_cpu: Duration,
}

/// Why waiting is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    InTime,
    Done,
    Stopped,
}

impl<F: FnMut(&Second)> Run<F> {
    fn start(
        setting: Setting,
        access: Access,
        stop: CancellationToken,
        show: F,
        cast: &Cast,
    ) -> Result<Self, LoadError> {
        let plan = setting.plan.clone();
        let epoch = setting.epoch;
        let members = cast.publishers.len() + cast.viewers.len() + cast.audience.len();
        let (tell, told) = mpsc::channel(2 * members + SPARE_MESSAGES);
        let mut orders = Vec::new();
        for number in 1..=plan.threads {
            let (order, receive) = mpsc::channel(ORDERS);
            let (setting, tell) = (setting.clone(), tell.clone());
            thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn(move || {
                    if let Err(error) = shard::run(setting, receive, tell) {
                        tracing::error!(%error, "a load thread could not start");
                    }
                })
                .map_err(LoadError::Thread)?;
            orders.push(order);
        }
        let server = plan.server_pid.map(CpuClock::of_process);
        let mut run = Self {
            plan,
            access,
            stop,
            show,
            epoch,
            orders,
            told,
            threads: Vec::new(),
            server,
            progress: Progress::default(),
            line: Line {
                stage: Stage::Joining,
                began: epoch,
                parts: 0,
                tally: Tally::default(),
                server_cpu: None,
            },
            totals: Vec::new(),
        };
        run.line.server_cpu = run.server_cpu()?;
        Ok(run)
    }

    /// Lets members join at the plan's rate and waits until their media flows or they have failed.
    async fn let_join(&mut self, part: Part, members: &[Member]) -> Result<(), LoadError> {
        let began = Clock.now();
        let interval = Duration::from_secs_f64(1.0 / self.plan.join_rate);
        let before = self.progress.failed.len() as u64;
        for (index, member) in members.iter().enumerate() {
            let due = began + interval.mul_f64(index as f64);
            if self.wait(due, |_| false).await? == Over::Stopped {
                return Err(LoadError::Stopped);
            }
            let ticket = (self.access.sign)(&member.user);
            let member = member.clone();
            let thread = index % self.orders.len();
            self.order(thread, Order::Join { part, member, ticket }).await?;
        }
        let all = members.len() as u64;
        let over = self
            .wait(Clock.now() + JOIN_WITHIN, |progress| {
                progress.up(part) + progress.failed.len() as u64 - before >= all
            })
            .await?;
        match (over, part) {
            (Over::Stopped, _) => Err(LoadError::Stopped),
            (_, Part::Publisher) if self.progress.publishers < all => Err(match self.progress.first_failure.take() {
                Some((user, source)) => LoadError::Publisher { user, source },
                None => LoadError::NoPublishers,
            }),
            (_, Part::Viewer) if self.progress.viewers == 0 && all > 0 => {
                Err(LoadError::NoViewers(self.first_failure()))
            }
            _ => Ok(()),
        }
    }

    /// Lets the audience join at the plan's rate and waits until all have entered or failed.
    async fn let_attend(&mut self, members: &[Member]) -> Result<(), LoadError> {
        let began = Clock.now();
        self.progress.audience.server_bytes_before = self.server_bytes()?;
        let interval = Duration::from_secs_f64(1.0 / self.plan.join_rate);
        let before = self.progress.failed.len() as u64;
        for (index, member) in members.iter().enumerate() {
            let due = began + interval.mul_f64(index as f64);
            if self.wait(due, |_| false).await? == Over::Stopped {
                return Err(LoadError::Stopped);
            }
            let ticket = (self.access.sign)(&member.user);
            let member = member.clone();
            let thread = index % self.orders.len();
            self.order(thread, Order::Attend { member, ticket }).await?;
        }
        let all = members.len() as u64;
        let entered = |progress: &Progress| progress.audience.members + progress.failed.len() as u64 - before >= all;
        let over = self.wait(Clock.now() + JOIN_WITHIN, entered).await?;
        let audience = &mut self.progress.audience;
        audience.took = audience
            .last_at
            .map(|last| last.saturating_duration_since(began))
            .unwrap_or_default();
        match over {
            Over::Stopped => Err(LoadError::Stopped),
            _ if audience.members == 0 && all > 0 => Err(LoadError::NoAudience(self.first_failure())),
            _ => Ok(()),
        }
    }

    async fn measure(&mut self) -> Result<Measured, LoadError> {
        let start = Clock.now() + Duration::from_secs_f64(self.plan.warm_up);
        let end = start + Duration::from_secs_f64(self.plan.seconds);
        self.measure_in(Window { start, end }).await?;
        self.line.stage = Stage::WarmUp;
        if self.wait(start, |_| false).await? == Over::Stopped {
            return Err(LoadError::Stopped);
        }
        self.line.stage = Stage::Measuring;
        let (began, server, tool) = (Clock.now(), self.server_cpu()?, self.tool_cpu());
        let over = self.wait(end, |_| false).await?;
        let ended = Clock.now();
        let server_cpu = self.server_cpu()?;
        let tool_cpu = self.tool_cpu().into_iter().zip(tool);
        let measured = Measured {
            time: ended.saturating_duration_since(began),
            server_cpu: server_cpu
                .zip(server)
                .map(|(after, before)| after.saturating_sub(before)),
            server_bytes: self.server_bytes()?,
            tool_cpu: tool_cpu
                .map(|(after, before)| after.saturating_sub(before))
                .max()
                .unwrap_or_default(),
        };
        if over == Over::Stopped {
            self.measure_in(Window { start, end: ended }).await?;
        }
        Ok(measured)
    }

    /// Waits for the last losses, ends everything and sums up.
    async fn finish(mut self, measured: Measured) -> Result<Report, LoadError> {
        self.line.stage = Stage::Settling;
        // Being asked to stop does not shorten this: the result would be wrong.
        self.stop = CancellationToken::new();
        let settle = if self.plan.mutes > 0.0 { LAST_TOLD } else { SETTLE };
        self.wait(Clock.now() + settle, |_| false).await?;
        let (publishers_up, viewers_up) = (self.progress.publishers, self.progress.viewers);
        let (failed, first_failure) = (self.progress.failed.len() as u64, self.first_failure());
        self.orders.clear();
        let goodbye = Clock.now();
        while self.totals.len() < self.threads.len() {
            let told = self.told.recv().await.ok_or(LoadError::ThreadEnded)?;
            self.handle_told(told);
        }
        let mut tally = Tally::default();
        self.totals.iter().for_each(|totals| tally.add(&totals.measured));
        let mut sent_to_audience = AudienceTally::default();
        self.totals
            .iter()
            .for_each(|totals| sent_to_audience.add(totals.audience));
        let attended = &self.progress.audience;
        let audience = AudienceFindings {
            members: attended.members,
            joins: &attended.joins,
            replies: &attended.replies,
            took: attended.took,
            left_in: Clock.now().saturating_duration_since(goodbye),
            sent: sent_to_audience,
            server_bytes: attended.server_bytes_before.zip(measured.server_bytes),
        };
        Ok(Report::new(Findings {
            plan: &self.plan,
            time: measured.time,
            publishers_up,
            viewers_up,
            failed,
            first_failure,
            sent: self.totals.iter().map(|totals| totals.sent).sum(),
            mutes: self.totals.iter().map(|totals| totals.mutes).sum(),
            turns: self.totals.iter().map(|totals| totals.turns).sum(),
            tally: &tally,
            joins: &self.progress.joins,
            server_cpu: measured.server_cpu,
            tool_cpu: measured.tool_cpu,
            audience: (attended.members > 0).then_some(audience),
        }))
    }

    async fn measure_in(&mut self, window: Window) -> Result<(), LoadError> {
        for thread in 0..self.orders.len() {
            self.order(thread, Order::Measure(window)).await?;
        }
        Ok(())
    }

    async fn order(&self, thread: usize, order: Order) -> Result<(), LoadError> {
        let sent = self.orders[thread].send(order).await;
        sent.map_err(|_| LoadError::ThreadEnded)
    }

    /// Listens to the threads until the time, or until it is done, or until asked to stop.
    async fn wait(&mut self, until: Instant, done: impl Fn(&Progress) -> bool) -> Result<Over, LoadError> {
        let stop = self.stop.clone();
        loop {
            if done(&self.progress) {
                return Ok(Over::Done);
            }
            let told = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Over::Stopped),
                () = Clock.sleep_until(until) => return Ok(Over::InTime),
                told = self.told.recv() => told.ok_or(LoadError::ThreadEnded)?,
            };
            self.handle_told(told);
        }
    }

    fn handle_told(&mut self, told: Told) {
        match told {
            Told::Started(thread) => self.threads.push(thread),
            Told::Up { part, joined_in } => self.progress.handle_up(part, joined_in),
            Told::Attends(joined) => self.progress.audience.handle_joined(Clock.now(), joined),
            Told::Failed { user, error } => self.progress.handle_failed(user, error),
            Told::Second(tally) => self.handle_second(&tally),
            Told::Finished(totals) => self.totals.push(*totals),
        }
    }

    /// A line is whole when every thread has told its second.
    fn handle_second(&mut self, tally: &Tally) {
        self.line.tally.add(tally);
        self.line.parts += 1;
        if self.line.parts < self.orders.len() {
            return;
        }
        let now = Clock.now();
        let seconds = now.saturating_duration_since(self.line.began).as_secs_f64().max(0.001);
        // A server that has gone is noticed by its clients.
        let server_cpu = self.server_cpu().ok().flatten();
        let server_time = server_cpu.zip(self.line.server_cpu);
        let counts = self.line.tally.counts();
        let heard = if self.line.tally.video.delays.is_empty() {
            &self.line.tally.audio
        } else {
            &self.line.tally.video
        };
        (self.show)(&Second {
            at: now.saturating_duration_since(self.epoch),
            stage: self.line.stage,
            publishers: self.progress.publishers,
            viewers: self.progress.viewers,
            audience: self.progress.audience.members,
            packets_per_second: counts.delivered as f64 / seconds,
            megabits_per_second: counts.payload_bytes as f64 * 8.0 / 1e6 / seconds,
            loss: loss(counts),
            delay_ms: heard.delays.summary(),
            server_cpu_share: server_time.map(|(now, before)| now.saturating_sub(before).as_secs_f64() / seconds),
        });
        self.line = Line {
            stage: self.line.stage,
            began: now,
            parts: 0,
            tally: Tally::default(),
            server_cpu,
        };
    }

    fn server_cpu(&self) -> Result<Option<Duration>, LoadError> {
        let read = |server: &CpuClock| {
            server.read().map_err(|source| LoadError::ServerPid {
                pid: self.plan.server_pid.unwrap_or_default(),
                source,
            })
        };
        self.server.as_ref().map(read).transpose()
    }

    fn server_bytes(&self) -> Result<Option<u64>, LoadError> {
        let read = |pid| resident_bytes(pid).map_err(|source| LoadError::ServerPid { pid, source });
        self.plan.server_pid.map(read).transpose()
    }

    /// Of each thread; in the same order each time.
    fn tool_cpu(&self) -> Vec<Duration> {
        let read = |thread: &CpuClock| thread.read().unwrap_or_default();
        self.threads.iter().map(read).collect()
    }

    fn first_failure(&self) -> Option<String> {
        let (user, error) = self.progress.first_failure.as_ref()?;
        let mut text = format!("{user}: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Some(text)
    }
}

impl Progress {
    fn up(&self, part: Part) -> u64 {
        match part {
            Part::Publisher => self.publishers,
            Part::Viewer => self.viewers,
        }
    }

    fn handle_up(&mut self, part: Part, joined_in: Duration) {
        match part {
            Part::Publisher => self.publishers += 1,
            Part::Viewer => {
                self.viewers += 1;
                self.joins.record(joined_in);
            }
        }
    }

    fn handle_failed(&mut self, user: UserId, error: JoinError) {
        self.failed.insert(user.clone());
        self.first_failure.get_or_insert((user, error));
    }
}

impl Attended {
    fn handle_joined(&mut self, now: Instant, joined: Joined) {
        self.members += 1;
        self.last_at = Some(now);
        self.joins.record(joined.whole);
        self.replies.record(joined.reply);
    }
}
