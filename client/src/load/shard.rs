//! One thread with its share of the members.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SdkAppId, UserId};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::audience::{self, AudienceTally, Joined, attend, source_address};
use super::cpu::CpuClock;
use super::entrance::{Entry, Routine};
use super::plan::{Member, Plan};
use super::publisher::Publisher;
use super::rtp_session::Part;
use super::stay::Stay;
use super::tally::{Meter, Tally, Window};
use super::turns::Turns;
use super::udp::ReadBuffers;
use super::viewer::Viewer;
use crate::JoinError;

/// The orders of a shard. When the channel closes, all members leave.
#[derive(Debug)]
pub enum Order {
    Join {
        part: Part,
        member: Member,
        ticket: String,
    },
    /// Joins without media.
    Attend {
        member: Member,
        ticket: String,
    },
    /// The measured time; a later one replaces it.
    Measure(Window),
}

/// The messages of a shard.
#[derive(Debug)]
pub enum Told {
    /// Its thread runs.
    Started(CpuClock),
    /// A member's media flows, `joined_in` after it began to connect.
    Up { part: Part, joined_in: Duration },
    /// An audience member has entered.
    Attends(Joined),
    /// A member could not join, or its membership has ended.
    Failed { user: UserId, error: JoinError },
    /// Sent once per second.
    Second(Box<Tally>),
    /// The last message.
    Finished(Box<Totals>),
}

#[derive(Debug)]
pub struct Totals {
    pub measured: Tally,
    pub sent: u64,
    pub mutes: u64,
    pub turns: u64,
    pub audience: AudienceTally,
}

/// The settings that all shards of a run share.
#[derive(Debug, Clone)]
pub struct Setting {
    pub plan: Plan,
    pub app: SdkAppId,
    /// The local address that leads to the server.
    pub local: IpAddr,
    /// The start of the stamps' time.
    pub epoch: Instant,
}

/// Runs until the orders end. Blocks: call it on its own thread.
pub fn run(setting: Setting, orders: mpsc::Receiver<Order>, tell: mpsc::Sender<Told>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cpu = CpuClock::of_this_thread()?;
    let http = reqwest::Client::builder().build().map_err(std::io::Error::other)?;
    let work = async {
        // If nobody receives, the orders end too.
        let _gone = tell.send(Told::Started(cpu)).await;
        Shard::new(setting, http, tell).run(orders).await;
    };
    LocalSet::new().block_on(&runtime, work);
    Ok(())
}

struct Shard {
    setting: Rc<Setting>,
    http: reqwest::Client,
    tell: mpsc::Sender<Told>,
    meter: Rc<RefCell<Meter>>,
    buffers: Rc<RefCell<ReadBuffers>>,
    stop: CancellationToken,
}

impl Shard {
    fn new(setting: Setting, http: reqwest::Client, tell: mpsc::Sender<Told>) -> Self {
        Self {
            setting: Rc::new(setting),
            http,
            tell,
            meter: Rc::default(),
            buffers: Rc::default(),
            stop: CancellationToken::new(),
        }
    }

    async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut members = JoinSet::new();
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Join { part, member, ticket }) => {
                        members.spawn_local(self.member(part, member, ticket));
                    }
                    Some(Order::Attend { member, ticket }) => {
                        members.spawn_local(self.audience_member(member, ticket));
                    }
                    Some(Order::Measure(window)) => self.meter.borrow_mut().window = Some(window),
                    None => break,
                },
                _ = second.tick() => {
                    let tally = std::mem::take(&mut self.meter.borrow_mut().second);
                    let _gone = self.tell.send(Told::Second(Box::new(tally))).await;
                }
                Some(_) = members.join_next() => {}
            }
        }
        self.stop.cancel();
        while members.join_next().await.is_some() {}
        let meter = std::mem::take(&mut *self.meter.borrow_mut());
        let totals = Totals {
            measured: meter.measured,
            sent: meter.sent,
            mutes: meter.mutes,
            turns: meter.turns,
            audience: meter.audience,
        };
        let _gone = self.tell.send(Told::Finished(Box::new(totals))).await;
    }

    /// One member's whole membership.
    fn member(&self, part: Part, member: Member, ticket: String) -> impl Future<Output = ()> + 'static {
        let (user, tell) = (member.user.clone(), self.tell.clone());
        let stay = stay(
            self.setting.clone(),
            Shared {
                http: self.http.clone(),
                meter: self.meter.clone(),
                buffers: self.buffers.clone(),
                stop: self.stop.clone(),
                tell: self.tell.clone(),
            },
            part,
            member,
            ticket,
        );
        async move {
            if let Err(error) = stay.await {
                let _gone = tell.send(Told::Failed { user, error }).await;
            }
        }
    }

    /// One audience member's whole membership.
    fn audience_member(&self, member: Member, ticket: String) -> impl Future<Output = ()> + 'static {
        let (setting, meter, stop) = (self.setting.clone(), self.meter.clone(), self.stop.clone());
        let (user, tell) = (member.user.clone(), self.tell.clone());
        async move {
            let entry = audience::Entry {
                url: setting.plan.entrance.url(),
                source: source_address(member.number, &setting.plan.sources, setting.local),
                app: setting.app,
                member,
                ticket,
            };
            let up = |joined| {
                // The queue has more places than there are members.
                let _gone = tell.try_send(Told::Attends(joined));
            };
            if let Err(error) = attend(entry, &meter, &stop, up).await {
                let _gone = tell.send(Told::Failed { user, error }).await;
            }
        }
    }
}

/// The state that the members of a shard share.
struct Shared {
    http: reqwest::Client,
    meter: Rc<RefCell<Meter>>,
    buffers: Rc<RefCell<ReadBuffers>>,
    stop: CancellationToken,
    tell: mpsc::Sender<Told>,
}

async fn stay(
    setting: Rc<Setting>,
    shared: Shared,
    part: Part,
    member: Member,
    ticket: String,
) -> Result<(), JoinError> {
    let Shared {
        http,
        meter,
        buffers,
        stop,
        tell,
    } = shared;
    let (plan, number, began) = (&setting.plan, member.number, Clock.now());
    let entry = Entry {
        entrance: &plan.entrance,
        http: &http,
        local: setting.local,
        app: setting.app,
        member,
        ticket,
        part,
        audio: plan.audio.packets_per_second > 0,
    };
    let stay = tokio::select! {
        stay = Stay::begin(entry) => stay?,
        () = stop.cancelled() => return Ok(()),
    };
    let up = || {
        let joined_in = Clock.now().saturating_duration_since(began);
        // The queue has more places than there are members.
        let _gone = tell.try_send(Told::Up { part, joined_in });
    };
    match part {
        Part::Publisher => {
            let stay = stay.with_routine(Routine {
                mute_interval: plan.mute_interval(),
                turns: Turns::new(setting.epoch, plan, number),
                meter: meter.clone(),
            });
            let act = Publisher::new(number, setting.clone(), meter);
            stay.run(act, &buffers, &stop, up).await
        }
        Part::Viewer => {
            let act = Viewer::new(Clock.now(), setting.epoch, number, plan, meter);
            stay.run(act, &buffers, &stop, up).await
        }
    }
}
