//! Three members on two nodes and the operator act in random order and at random times, and messages to the SFU are lost. After the
//! last one is delivered, all members and the SFU agree on the state of the room.

mod client;
mod sfu;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use proptest::prelude::*;
use rotunda_bus::{Faults, Faulty};
use rotunda_proto::ids::TrackSource;
use rotunda_proto::room::{Permissions, Seats, TrackState, seats_key};
use rotunda_proto::sfu::{Event as SfuEvent, events_subject};
use rotunda_proto::signaling::{PublisherView, Role};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

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
    /// `faults`: of the bus, as each node has it.
    async fn open(faults: Faults) -> Self {
        let (_, bus) = node_for(Microphones::default()).await;
        let bus: SharedBus = bus;
        let nodes = ["node-1", "node-2"].map(|name| {
            let faulty: SharedBus = Arc::new(Faulty::new(bus.clone(), faults));
            signaling_node(name.parse().unwrap(), &faulty, Microphones::default())
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
        let mut test = Self {
            nodes,
            bus,
            sessions,
            way,
            clients,
            permits: Vec::new(),
        };
        test.calm().await;
        test
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
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
            for client in &mut self.clients {
                client.read().await;
            }
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
            Step::Pass(milliseconds) => advance(Duration::from_millis(milliseconds)).await,
        }
        for client in &mut self.clients {
            client.read().await;
        }
    }

    async fn check(&mut self) {
        self.way.lose(Lost::Nothing);
        for who in 0..USERS.len() {
            self.take(Step::ComeBack(who)).await;
            self.take(Step::Enter(who)).await;
        }
        self.calm().await;
        for permit in self.permits.drain(..) {
            let permitted = permit.await.unwrap();
            let is_fine = matches!(
                permitted,
                Ok(()) | Err(PermitError::NoSuchMember | PermitError::NoSuchRoom | PermitError::Failed)
            );
            assert!(is_fine, "{permitted:?}");
        }
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
            assert_eq!(client.room.member_count, 3, "{me}");
            let others: BTreeMap<_, _> = published.clone().into_iter().filter(|(user, _)| user != me).collect();
            assert_eq!(client.publishers(), others, "what {me} knows of the others");
            self.check_media(client, &published);
        }
    }

    fn check_media(&self, client: &Client, published: &BTreeMap<UserId, PublisherView>) {
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
        assert!(own.is_subset(send), "{me} has {own:?} and was told {send:?}");
        let others = published.iter().filter(|(user, _)| *user != me);
        let videos: BTreeSet<(UserId, TrackSource)> = others
            .flat_map(|(user, view)| sent(view).into_iter().map(|source| (user.clone(), source)))
            .filter(|(_, source)| source.is_video() && receive.contains(source))
            .collect();
        let shown = client.slots.iter().flatten();
        let shown: BTreeSet<_> = shown.map(|slot| (slot.user_id.clone(), slot.source)).collect();
        assert_eq!(shown, videos, "the slots that {me} knows");
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let own_sessions: Vec<&Told> = sessions
            .values()
            .filter(|(user, _)| user == me)
            .map(|(_, told)| told)
            .collect();
        let [told] = own_sessions[..] else {
            panic!("{me} has {} sessions", own_sessions.len())
        };
        assert_eq!(told.ingress, own, "what the SFU lets in of {me}");
        let carried = told.slots.video.iter().flatten();
        let carried: BTreeSet<_> = carried.map(|want| (want.user.clone(), want.source)).collect();
        assert_eq!(carried, videos, "the videos that the SFU sends {me}");
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
        test.check().await;
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
