//! The run: members join on schedule, then see no change, single changes, and a storm of changes.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use rotunda_client::load::{CpuClock, resident_bytes};
use rotunda_proto::clock::Clock;
use rotunda_proto::room::{MAX_VIDEO_PUBLISHERS, TrackState};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::Ports;
use crate::board::{Board, Cameras, Reached};
use crate::member::{Way, attend};
use crate::mux::Mux;
use crate::publisher::Publisher;
use crate::report::{Cost, Phase, Report, Storm};

/// The time limit for a member to enter or to learn of a change.
const WITHIN: Duration = Duration::from_secs(60);
/// The wait after the last join until the room of 50,000 has been told of the count twice.
const SETTLE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Args, Serialize)]
pub struct Plan {
    /// Members of the audience; with the publishers a room takes 50,000.
    #[arg(long, default_value_t = 49_996)]
    pub members: usize,
    /// Members who publish, 1 to 4.
    #[arg(long, default_value_t = 4)]
    pub publishers: usize,
    /// Joins that begin per second, whether or not earlier ones have been answered.
    #[arg(long, default_value_t = 1000.0)]
    pub join_rate: f64,
    /// Seconds in which nothing changes; 0: none.
    #[arg(long, default_value_t = 60.0)]
    pub quiet: f64,
    /// Single changes, one after the other.
    #[arg(long, default_value_t = 5)]
    pub changes: usize,
    /// Seconds in which every publisher mutes and unmutes its camera; 0: none.
    #[arg(long, default_value_t = 60.0)]
    pub storm: f64,
    /// How often per second each publisher does that.
    #[arg(long, default_value_t = 20.0)]
    pub mutes: f64,
    /// One socket per member instead of streams: shows the difference that the streams make.
    #[arg(long)]
    pub tcp: bool,
    /// The server only holds streams: open them, measure its memory, and stop.
    #[arg(long, conflicts_with = "tcp")]
    pub held: bool,
    /// The server's process.
    #[arg(long)]
    pub server_pid: u32,
    /// Write the plan and the result to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

pub async fn run(ports: Ports, plan: Plan) -> anyhow::Result<()> {
    let carrier = TcpStream::connect(("127.0.0.1", ports.crowd())).await?;
    let (nobody, _) = mpsc::unbounded_channel();
    let streams = Mux::start(carrier, nobody)?;
    if plan.held {
        return held(&plan, &streams).await;
    }
    let way = if plan.tcp { Way::Tcp } else { Way::Streams(streams) };
    let json = plan.json.clone();
    let crowd = Crowd {
        url: ports.url(),
        way: Rc::new(way),
        board: Rc::new(RefCell::new(Board::new(plan.members))),
        server: CpuClock::of_process(plan.server_pid),
        own: CpuClock::of_this_thread()?,
        plan,
    };
    let report = crowd.run().await?;
    print!("{report}");
    if let Some(file) = json {
        std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// The memory that a stream takes in a server that only holds it.
async fn held(plan: &Plan, mux: &Mux) -> anyhow::Result<()> {
    let before = resident_bytes(plan.server_pid)?;
    let mut streams = Vec::new();
    for number in 0..plan.members {
        let mut stream = mux.open(u32::try_from(number)?);
        stream.write_all(&[0]).await?;
        streams.push(stream);
    }
    let clock = Clock;
    clock.sleep_until(clock.now() + Duration::from_secs(5)).await;
    let after = resident_bytes(plan.server_pid)?;
    println!(
        "{} streams held: {:.3} kB of the server's memory for each",
        plan.members,
        per_member(before, after, plan.members) / 1000.0
    );
    Ok(())
}

fn per_member(before: u64, after: u64, members: usize) -> f64 {
    (after as f64 - before as f64) / members as f64
}

struct Crowd {
    plan: Plan,
    url: String,
    way: Rc<Way>,
    board: Rc<RefCell<Board>>,
    server: CpuClock,
    own: CpuClock,
}

/// The start of a phase, and the CPU times then.
struct Began {
    at: Instant,
    server: Duration,
    own: Duration,
}

impl Crowd {
    async fn run(self) -> anyhow::Result<Report> {
        let clock = Clock;
        ensure!(
            (1..=MAX_VIDEO_PUBLISHERS).contains(&self.plan.publishers),
            "1 to 4 publishers"
        );
        let mut publishers = Vec::new();
        for number in 0..self.plan.publishers {
            publishers.push(Publisher::begin(number, &self.url).await?);
        }
        let bytes_before = self.server_bytes()?;
        let (joins_per_second, joining) = self.let_join().await?;
        clock.sleep_until(clock.now() + SETTLE).await;
        let joined = self.server_bytes()?;

        let quiet = match self.plan.quiet > 0.0 {
            true => Some(self.phase(self.plan.quiet, std::future::pending()).await?),
            false => None,
        };
        let mut changes = Vec::new();
        for number in 0..self.plan.changes {
            changes.push(self.change(&publishers, 1, number % 2 == 0).await?);
        }
        let storm = match self.plan.storm > 0.0 {
            true => Some(self.storm(&publishers).await?),
            false => None,
        };
        let bytes_after = self.server_bytes()?;
        let board = self.board.borrow();
        let members = board.entered as usize;
        Ok(Report {
            entered: board.entered,
            failed: board.failed,
            first_failure: board.first_failure.clone(),
            joins_per_second,
            join_ms: board.joins.summary(),
            reply_ms: board.replies.summary(),
            joining,
            bytes_before,
            bytes_per_member_joined: per_member(bytes_before, joined, members),
            bytes_per_member: per_member(bytes_before, bytes_after, members),
            quiet,
            changes,
            storm,
            plan: self.plan.clone(),
        })
    }

    /// Joins per second, and their cost.
    async fn let_join(&self) -> anyhow::Result<(f64, Cost)> {
        let clock = Clock;
        let began = self.begin()?;
        let interval = Duration::from_secs_f64(1.0 / self.plan.join_rate);
        for number in 0..self.plan.members {
            let due = began.at + interval.mul_f64(number as f64);
            clock.sleep_until(due).await;
            let (way, url, board) = (self.way.clone(), self.url.clone(), self.board.clone());
            tokio::task::spawn_local(async move {
                if let Err(error) = attend(number, due, &way, &url, &board).await {
                    board.borrow_mut().handle_failed(&error);
                }
            });
        }
        self.wait_until(Board::is_settled).await;
        let cost = self.cost_since(&began)?;
        let board = self.board.borrow();
        let last = board.last_at.context("no member has entered")?;
        let took = last.saturating_duration_since(began.at).as_secs_f64();
        eprintln!(
            "{} have entered in {took:.1} s, {} have not",
            board.entered, board.failed
        );
        Ok((f64::from(board.entered) / took, cost))
    }

    /// The traffic of members in this many seconds, while `meanwhile` runs.
    async fn phase(&self, seconds: f64, meanwhile: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Phase> {
        let clock = Clock;
        self.board.borrow_mut().clear();
        let began = self.begin()?;
        let end = began.at + Duration::from_secs_f64(seconds);
        tokio::select! {
            () = clock.sleep_until(end) => {}
            ended = meanwhile => ended?,
        }
        let time = clock.now().saturating_duration_since(began.at);
        Ok(Phase {
            each_minute: self.board.borrow().each_minute(time),
            cost: self.cost_since(&began)?,
        })
    }

    /// The first `count` publishers mute or unmute, the others being on; waits until all members know.
    async fn change(&self, publishers: &[Publisher], count: usize, muted: bool) -> anyhow::Result<Reached> {
        let mut wanted = Cameras::default();
        wanted[..publishers.len()].fill(Some(TrackState::On));
        if muted {
            wanted[..count].fill(Some(TrackState::Muted));
        }
        self.board.borrow_mut().expect(Clock.now(), wanted);
        for publisher in &publishers[..count] {
            publisher.mute(muted).await?;
        }
        self.wait_until(Board::all_know).await;
        let reached = self.board.borrow_mut().take_reached();
        reached.context("a change was expected")
    }

    /// All publishers mute and unmute all the time; at the end all are muted, and all members should know it.
    async fn storm(&self, publishers: &[Publisher]) -> anyhow::Result<Storm> {
        let clock = Clock;
        let began = clock.now();
        let mutes = std::cell::Cell::new(0_u32);
        let storm = async {
            let interval = Duration::from_secs_f64(1.0 / self.plan.mutes);
            for turn in 1.. {
                for publisher in publishers {
                    publisher.mute(turn % 2 == 0).await?;
                    mutes.set(mutes.get() + 1);
                }
                clock.sleep_until(began + interval * turn).await;
            }
            Ok(())
        };
        let phase = self.phase(self.plan.storm, storm).await?;
        Ok(Storm {
            mutes_per_second: f64::from(mutes.get()) / self.plan.storm,
            phase,
            last: self.change(publishers, publishers.len(), true).await?,
        })
    }

    /// Waits until the condition holds, or for the time limit.
    async fn wait_until(&self, is_so: impl Fn(&Board) -> bool) {
        let news = self.board.borrow().news();
        let so = async {
            while !is_so(&self.board.borrow()) {
                news.notified().await;
            }
        };
        // The report shows whether the condition holds.
        let _in_time = tokio::time::timeout(WITHIN, so).await;
    }

    fn begin(&self) -> anyhow::Result<Began> {
        Ok(Began {
            at: Clock.now(),
            server: self.server.read()?,
            own: self.own.read()?,
        })
    }

    fn cost_since(&self, began: &Began) -> anyhow::Result<Cost> {
        let time = Clock.now().saturating_duration_since(began.at).as_secs_f64();
        ensure!(time > 0.0, "no time has passed");
        let share = |clock: &CpuClock, before: Duration| {
            let used = clock.read()?.saturating_sub(before);
            anyhow::Ok(used.as_secs_f64() / time)
        };
        Ok(Cost {
            server: share(&self.server, began.server)?,
            members: share(&self.own, began.own)?,
        })
    }

    fn server_bytes(&self) -> anyhow::Result<u64> {
        Ok(resident_bytes(self.plan.server_pid)?)
    }
}
