//! Executes a plan: starts the threads, lets members join, measures, and collects the results.

mod error;
mod joining;
mod live_table;
mod progress;
mod server;

use std::thread;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SdkAppId, UserId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::live_table::Line;
use self::progress::Progress;
use self::server::Server;
use super::audience::AudienceTally;
use super::cpu::CpuClock;
use super::plan::{Cast, Plan};
use super::report::{AudienceFindings, Findings, Report};
use super::rtp_session::Part;
use super::sequence::GIVEN_UP_AFTER;
use super::shard::{self, Order, Setting, Told, Totals};
use super::tally::{Tally, Window};
use crate::local_address::local_address;

pub use self::error::LoadError;
pub use self::live_table::{Second, Stage};

/// The wait after the measured time until the last losses are known, with a margin.
const SETTLE: Duration = GIVEN_UP_AFTER.saturating_add(Duration::from_millis(500));
/// The wait after a storm of mutes: a room of 50,000 learns of a source within 12 s, group after group for 2 s.
const LAST_TOLD: Duration = Duration::from_secs(15);
/// The queue of orders to a thread: its members, and a few more.
const ORDERS: usize = 64;
/// In addition to two messages per member: the seconds of all threads.
const SPARE_MESSAGES: usize = 256;

/// How members log in.
pub struct Access {
    pub app: SdkAppId,
    /// Makes a user's ticket.
    pub sign: Box<dyn Fn(&UserId) -> String + Send + Sync>,
}

/// Runs to the end of the plan or until `stop`, and returns the measurements until then. `show` is called once per
/// second.
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

/// The run as the coordinating task sees it.
struct Run<F> {
    plan: Plan,
    access: Access,
    stop: CancellationToken,
    show: F,
    orders: Vec<mpsc::Sender<Order>>,
    told: mpsc::Receiver<Told>,
    threads: Vec<CpuClock>,
    server: Server,
    progress: Progress,
    line: Line,
    totals: Vec<Totals>,
}

/// CPU times over the measured time.
struct Measured {
    time: Duration,
    server_cpu: Option<Duration>,
    server_bytes: Option<u64>,
    tool_cpu: Duration,
}

/// Why the wait is over.
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
        let server = Server::new(plan.server_pid);
        let line = Line::new(epoch, server.cpu()?);
        Ok(Self {
            plan,
            access,
            stop,
            show,
            orders,
            told,
            threads: Vec::new(),
            server,
            progress: Progress::default(),
            line,
            totals: Vec::new(),
        })
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
        let (began, server, tool) = (Clock.now(), self.server.cpu()?, self.tool_cpu());
        let over = self.wait(end, |_| false).await?;
        let ended = Clock.now();
        let server_cpu = self.server.cpu()?;
        let tool_cpu = self.tool_cpu().into_iter().zip(tool);
        let measured = Measured {
            time: ended.saturating_duration_since(began),
            server_cpu: server_cpu
                .zip(server)
                .map(|(after, before)| after.saturating_sub(before)),
            server_bytes: self.server.bytes()?,
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
        // A request to stop does not shorten this: the result would be wrong.
        self.stop = CancellationToken::new();
        let settle = if self.plan.mutes > 0.0 { LAST_TOLD } else { SETTLE };
        self.wait(Clock.now() + settle, |_| false).await?;
        let (publishers_up, viewers_up) = (self.progress.publishers, self.progress.viewers);
        let (failed, first_failure) = (self.progress.failed.len() as u64, self.progress.first_failure());
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

    /// Processes the threads' messages until the deadline, until `done`, or until a request to stop.
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
            Told::Second(tally) => {
                if self.line.handle_second(&tally, self.orders.len()) {
                    // The clients notice when the server is gone.
                    let server_cpu = self.server.cpu().ok().flatten();
                    let second = self.line.finish(Clock.now(), &self.progress, server_cpu);
                    (self.show)(&second);
                }
            }
            Told::Finished(totals) => self.totals.push(*totals),
        }
    }

    /// Of each thread, always in the same order.
    fn tool_cpu(&self) -> Vec<Duration> {
        let read = |thread: &CpuClock| thread.read().unwrap_or_default();
        self.threads.iter().map(read).collect()
    }
}
