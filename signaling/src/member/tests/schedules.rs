//! Three members on two nodes and the operator act in random order and at random times, and messages to the SFU are lost. After the
//! last one is delivered, all members and the SFU agree on the state of the room.

mod client;
mod sfu;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::PoisonError;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rotunda_bus::testing::NatsServer;
use rotunda_bus::{Faults, Faulty, Nats};
use rotunda_proto::ids::TrackSource;
use rotunda_proto::room::{Permissions, Seats, TrackState, seats_key};
use rotunda_proto::sfu::{Event as SfuEvent, events_subject};
use rotunda_proto::signaling::{PublisherView, Role};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::permissions::{self, PermitError};
use client::Client;
use sfu::{Lost, Sessions, Told, Way};

const USERS: [&str; 3] = ["ann", "bob", "cat"];
/// Only cat shares a screen, as a member can watch one screen.
const SOURCES: [TrackSource; 3] = TrackSource::ALL;

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, TrackSource),
    Unpublish(usize, TrackSource),
    Mute(usize, TrackSource, bool),
    Role(usize, Role),
    /// By the server API: the sources to send, and to receive.
    Permit(usize, BTreeSet<TrackSource>, BTreeSet<TrackSource>),
    LoseSocket(usize),
    ComeBack(usize),
    /// The SFU reports the end of the session.
    LoseMedia(usize),
    /// The loss between signaling and the SFU from now on.
    Lose(Lost),
    Leave(usize),
    Enter(usize),
    /// Turns of all tasks.
    Turns(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let source = || prop::sample::select(&SOURCES[..]);
    let sources = || prop::sample::subsequence(&SOURCES[..], 0..=3).prop_map(|found| found.into_iter().collect());
    let member = || 0..USERS.len();
    prop_oneof![
        6 => (member(), source()).prop_map(|(who, source)| Step::Publish(who, source)),
        6 => (member(), source()).prop_map(|(who, source)| Step::Unpublish(who, source)),
        2 => (member(), source(), any::<bool>()).prop_map(|(who, source, is)| Step::Mute(who, source, is)),
        1 => (member(), prop::sample::select(vec![Role::Anchor, Role::Audience])).prop_map(|(who, role)| Step::Role(who, role)),
        2 => (member(), sources(), sources()).prop_map(|(who, send, receive)| Step::Permit(who, send, receive)),
        1 => member().prop_map(Step::LoseSocket),
        2 => member().prop_map(Step::ComeBack),
        1 => member().prop_map(Step::LoseMedia),
        1 => prop::sample::select(vec![Lost::Commands, Lost::Answers]).prop_map(Step::Lose),
        2 => Just(Step::Lose(Lost::Nothing)),
        1 => member().prop_map(Step::Leave),
        2 => member().prop_map(Step::Enter),
        6 => (0..40_usize).prop_map(Step::Turns),
        4 => (0..250_u64).prop_map(Step::Pass),
    ]
}

struct Schedule {
    /// Cat is on the other one.
    nodes: [Shared; 2],
    bus: SharedBus,
    sessions: Sessions,
    way: Way,
    clients: Vec<Client>,
    permits: Vec<JoinHandle<Result<(), PermitError>>>,
}

impl Schedule {
    /// On the bus inside the process. `faults`: as each node has them.
    async fn open(faults: Faults) -> Self {
        let (_, bus) = node_for(Microphones::default()).await;
        let bus: SharedBus = bus;
        let node = || -> SharedBus { Arc::new(Faulty::new(bus.clone(), faults)) };
        let nodes = [node(), node()];
        let mut test = Self::on(bus, nodes).await;
        test.calm().await;
        test
    }

    async fn open_on_nats(server: &NatsServer) -> Self {
        let config = server.config();
        let connect = async |name: &str| {
            let bus: SharedBus = Arc::new(Nats::connect(&config, name).await.unwrap());
            bus
        };
        let bus = connect("sfu").await;
        announce_sfu(&*bus).await;
        let nodes = [connect("node-1").await, connect("node-2").await];
        Self::on(bus, nodes).await
    }

    /// `bus`: of the SFU.
    async fn on(bus: SharedBus, nodes: [SharedBus; 2]) -> Self {
        let mut names = ["node-1", "node-2"].into_iter();
        let nodes = nodes.map(|bus| {
            let name = names.next().unwrap().parse().unwrap();
            signaling_node(name, &bus, Microphones::default())
        });
        let (sessions, way) = sfu::play(&bus).await;
        for node in &nodes {
            crate::member_commands::serve(node.clone(), CancellationToken::new())
                .await
                .unwrap();
        }
        let mut clients = Vec::new();
        for (who, user) in USERS.into_iter().enumerate() {
            clients.push(Client::log_in(&nodes[who / 2], user).await);
        }
        Self {
            nodes,
            bus,
            sessions,
            way,
            clients,
            permits: Vec::new(),
        }
    }

    async fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
            for client in &mut self.clients {
                client.read().await;
            }
        }
    }

    /// Runs until every notification was delivered. A slow bus takes up to 20 ms for each of the calls that follow from one another.
    async fn calm(&mut self) {
        for _ in 0..500 {
            self.pass(20).await;
        }
    }

    async fn pass(&mut self, milliseconds: u64) {
        Clock
            .sleep_until(Clock.now() + Duration::from_millis(milliseconds))
            .await;
        for client in &mut self.clients {
            client.read().await;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Publish(who, source) if source != TrackSource::Screen || USERS[who] == "cat" => {
                self.clients[who].ask(Request::Publish { source, muted: false }).await;
            }
            Step::Publish(..) => {}
            Step::Unpublish(who, source) => self.clients[who].ask(Request::Unpublish { source }).await,
            Step::Mute(who, source, muted) => self.clients[who].ask(Request::Mute { source, muted }).await,
            Step::Role(who, role) => {
                let private_map_key = None;
                self.clients[who]
                    .ask(Request::SwitchRole { role, private_map_key })
                    .await;
            }
            Step::Permit(who, send, receive) => {
                let (shared, user) = (self.nodes[0].clone(), self.clients[who].user.clone());
                let rights = Rights::of(&Permissions { send, receive });
                let permit = async move { permissions::permit(&shared, room(), user, rights).await };
                self.permits.push(tokio::spawn(permit));
            }
            Step::LoseSocket(who) => {
                let client = &mut self.clients[who];
                if client.messages.take().is_some() {
                    let number = client.attachment;
                    client.member.send(ToMember::Detach { number }).await.unwrap();
                }
            }
            Step::ComeBack(who) => {
                let client = &mut self.clients[who];
                if client.messages.is_none() {
                    client.come_back(&self.nodes[who / 2]).await;
                }
            }
            Step::LoseMedia(who) => {
                let user = self.clients[who].user.clone();
                let lost = {
                    let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
                    let found = sessions.iter().find(|(_, (of, _))| *of == user).map(|(id, _)| *id);
                    found.inspect(|id| drop(sessions.remove(id)))
                };
                if let Some(session) = lost {
                    let (user, reason) = (Some(user), "nothing comes".to_owned());
                    let event = SfuEvent::Disconnected { session, user, reason };
                    self.bus.tell(&events_subject(&room()), &event).await.unwrap();
                }
            }
            Step::Lose(lost) => self.way.lose(lost),
            Step::Leave(who) => self.clients[who].leave().await,
            Step::Enter(who) => self.clients[who].enter().await,
            Step::Turns(turns) => self.turns(turns).await,
            Step::Pass(milliseconds) => self.pass(milliseconds).await,
        }
        for client in &mut self.clients {
            client.read().await;
        }
    }

    /// Everybody is in the room, and nothing is lost any more.
    async fn end(&mut self) {
        self.way.lose(Lost::Nothing);
        for who in 0..USERS.len() {
            self.take(Step::ComeBack(who)).await;
            self.take(Step::Enter(who)).await;
        }
    }

    async fn check_permits(&mut self) {
        for permit in self.permits.drain(..) {
            let permitted = permit.await.unwrap();
            let is_fine = matches!(
                permitted,
                Ok(()) | Err(PermitError::NoSuchMember | PermitError::NoSuchRoom | PermitError::Failed)
            );
            assert!(is_fine, "{permitted:?}");
        }
    }

    /// Whether all members and the SFU know the state of the room.
    ///
    /// Errors: the first difference.
    async fn agreement(&self) -> Result<(), String> {
        let seats = self.bus.load::<Seats>(&seats_key(&room())).await.unwrap();
        let seats = seats.map(|(seats, _)| seats).unwrap_or_default();
        let published: BTreeMap<UserId, PublisherView> = seats
            .publishers
            .iter()
            .map(|publisher| {
                let view = PublisherView {
                    user_id: publisher.user.clone(),
                    audio: publisher.audio,
                    camera: publisher.camera,
                    screen: publisher.screen,
                };
                (publisher.user.clone(), view)
            })
            .collect();
        for client in &self.clients {
            let me = &client.user;
            same(client.room.member_count, 3, || format!("the members that {me} knows"))?;
            let others: BTreeMap<_, _> = published.clone().into_iter().filter(|(user, _)| user != me).collect();
            same(client.publishers(), others, || format!("what {me} knows of the others"))?;
            self.agreement_on_media(client, &published)?;
        }
        Ok(())
    }

    fn agreement_on_media(&self, client: &Client, published: &BTreeMap<UserId, PublisherView>) -> Result<(), String> {
        let me = &client.user;
        let sent = |view: &PublisherView| -> BTreeSet<TrackSource> {
            let states: [(TrackSource, Option<TrackState>); 3] = [
                (TrackSource::Audio, view.audio),
                (TrackSource::Camera, view.camera),
                (TrackSource::Screen, view.screen),
            ];
            states
                .into_iter()
                .filter_map(|(source, state)| state.map(|_| source))
                .collect()
        };
        let own = published.get(me).map(sent).unwrap_or_default();
        let Permissions { send, receive } = &client.permissions;
        if !own.is_subset(send) {
            return Err(format!("{me} has {own:?} and was told {send:?}"));
        }
        let others = published.iter().filter(|(user, _)| *user != me);
        let videos: BTreeSet<(UserId, TrackSource)> = others
            .flat_map(|(user, view)| sent(view).into_iter().map(|source| (user.clone(), source)))
            .filter(|(_, source)| source.is_video() && receive.contains(source))
            .collect();
        let shown = client.slots.iter().flatten();
        let shown: BTreeSet<_> = shown.map(|slot| (slot.user_id.clone(), slot.source)).collect();
        same(&shown, &videos, || format!("the slots that {me} knows"))?;
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let own_sessions: Vec<&Told> = sessions
            .values()
            .filter(|(user, _)| user == me)
            .map(|(_, told)| told)
            .collect();
        let [told] = own_sessions[..] else {
            return Err(format!("{me} has {} sessions", own_sessions.len()));
        };
        same(&told.ingress, &own, || format!("what the SFU lets in of {me}"))?;
        let carried = told.slots.video.iter().flatten();
        let carried: BTreeSet<_> = carried.map(|want| (want.user.clone(), want.source)).collect();
        same(&carried, &videos, || format!("the videos that the SFU sends {me}"))
    }
}

fn same<T: PartialEq + Debug>(known: T, real: T, what: impl Fn() -> String) -> Result<(), String> {
    if known == real {
        Ok(())
    } else {
        Err(format!("{}: {known:?} in place of {real:?}", what()))
    }
}

fn play(faults: Faults, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let played = async {
        let mut test = Schedule::open(faults).await;
        for step in steps {
            test.take(step).await;
        }
        test.end().await;
        test.calm().await;
        test.check_permits().await;
        test.agreement().await.unwrap();
    };
    runtime.block_on(async {
        timeout(Duration::from_secs(600), played)
            .await
            .expect("nobody waits for ever")
    });
}

proptest! {
    #[test]
    fn after_the_last_notification_everybody_knows_the_state_of_the_room(steps in prop::collection::vec(step(), 0..80)) {
        play(Faults::none(1), steps);
    }

    /// Each call, message and change takes its time, changes of different documents overtake one another, and messages are lost,
    /// of which their readers are told.
    #[test]
    fn also_on_a_slow_bus_that_reorders(steps in prop::collection::vec(step(), 0..40), seed in any::<u64>()) {
        let faults = Faults {
            delay: Duration::from_millis(20),
            reorder: true,
            lose: 0.1,
            ..Faults::none(seed)
        };
        play(faults, steps);
    }
}

/// Few schedules, in real time.
#[test]
fn also_on_nats() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 6,
        ..ProptestConfig::default()
    });
    let schedules = prop::collection::vec(step(), 0..40);
    let played = runner.run(&schedules, |steps| {
        runtime.block_on(async {
            let Some(server) = NatsServer::start() else {
                return;
            };
            let mut test = Schedule::open_on_nats(&server).await;
            for step in steps {
                test.take(step).await;
            }
            test.end().await;
            test.check_permits().await;
            let agreed = async {
                while test.agreement().await.is_err() {
                    test.pass(20).await;
                }
            };
            if timeout(Duration::from_secs(60), agreed).await.is_err() {
                test.agreement().await.unwrap();
            }
        });
        Ok(())
    });
    played.unwrap();
}
