//! Random histories: members on three nodes publish and leave, while nodes are killed, cut off and started again. Every state of the seats is
//! recorded, as the bus had it: never are more held than there are. When all is well again, the documents say what is so.

use std::collections::BTreeMap;

use axum::extract::ws::Utf8Bytes;
use proptest::prelude::*;
use rotunda_bus::WatchEvent;
use rotunda_proto::ids::LoginId;
use rotunda_proto::room::{MAX_VIDEO_PUBLISHERS, Publisher, seats_key};
use rotunda_proto::signaling::{Request, ServerMessage};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::member::{Attachment, Identity, ToMember, start};

const NODES: usize = 3;
/// More than there are seats of either kind.
const USERS: usize = 9;
const MICROPHONES: usize = 6;
/// A request to a node that is cut off is answered within this time.
const ANSWER: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
enum Step {
    Enter(usize, usize),
    Leave(usize),
    Publish(usize, TrackSource),
    Unpublish(usize, TrackSource),
    /// The process ends without a word.
    Kill(usize),
    Start(usize),
    /// From the bus.
    Cut(usize),
    Mend(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (user, node) = (|| 0..USERS, || 0..NODES);
    let source = || prop::sample::select(&TrackSource::ALL[..]);
    prop_oneof![
        6 => (user(), node()).prop_map(|(user, node)| Step::Enter(user, node)),
        2 => user().prop_map(Step::Leave),
        8 => (user(), source()).prop_map(|(user, source)| Step::Publish(user, source)),
        3 => (user(), source()).prop_map(|(user, source)| Step::Unpublish(user, source)),
        1 => node().prop_map(Step::Kill),
        1 => node().prop_map(Step::Start),
        1 => node().prop_map(Step::Cut),
        2 => node().prop_map(Step::Mend),
        3 => (0..12_000_u64).prop_map(Step::Pass),
    ]
}

/// A member who is in the room, as far as their client knows.
struct Client {
    node: usize,
    member: mpsc::Sender<ToMember>,
    number: u64,
    messages: mpsc::Receiver<Utf8Bytes>,
    next_id: u64,
    /// The sources that they certainly have. None: the node has been cut off, so a seat may be another's.
    sources: Option<BTreeSet<TrackSource>>,
}

impl Client {
    async fn log_in(shared: &Shared, node: usize, user: &str) -> Self {
        let identity = Identity {
            app: room().app,
            user: user.parse().unwrap(),
            token: "token".to_owned(),
            login: LoginId(rand::random()),
        };
        let member = start(shared.clone(), identity);
        let (attached, attachment) = oneshot::channel();
        member.send(ToMember::Attach { attached }).await.unwrap();
        let Attachment { number, messages } = attachment.await.unwrap();
        Self {
            node,
            member,
            number,
            messages,
            next_id: 1,
            sources: Some(BTreeSet::new()),
        }
    }

    /// Whether it was done. None: it may have been done or not.
    async fn ask(&mut self, request: Request) -> Option<bool> {
        let id = self.next_id;
        self.next_id += 1;
        let request = ToMember::Request {
            number: self.number,
            id,
            request: Box::new(request),
        };
        self.member.send(request).await.ok()?;
        let answered = async {
            loop {
                let json = self.messages.recv().await?;
                match serde_json::from_str(json.as_str()).unwrap() {
                    ServerMessage::Ok { id: of, .. } if of == id => return Some(true),
                    ServerMessage::Failed { id: of, error } if of == Some(id) => {
                        // Of the room's rules; anything else may have been done.
                        return error.retry_after_ms.is_none().then_some(false);
                    }
                    _ => {}
                }
            }
        };
        timeout(ANSWER, answered).await.expect("an answer, or the end")
    }

    /// A client that does not read is disconnected.
    fn read(&mut self) {
        while self.messages.try_recv().is_ok() {}
    }
}

/// One process of a node; None: it was killed.
struct World {
    bus: SharedBus,
    nodes: Vec<Option<Node>>,
    is_cut: [bool; NODES],
    clients: BTreeMap<usize, Client>,
}

impl World {
    async fn new() -> Self {
        let bus = cluster().await;
        let mut world = Self {
            bus,
            nodes: (0..NODES).map(|_| None).collect(),
            is_cut: [false; NODES],
            clients: BTreeMap::new(),
        };
        for node in 0..NODES {
            world.start(node).await;
        }
        world
    }

    async fn start(&mut self, node: usize) {
        if self.nodes[node].is_none() {
            let applications = vec![Application::new(room().app, "")];
            let started = Node::start_with(&self.bus, &format!("node-{node}"), applications).await;
            self.nodes[node] = Some(started);
        }
    }

    async fn take(&mut self, step: &Step) {
        self.clients.values_mut().for_each(Client::read);
        match step {
            Step::Enter(user, node) => self.enter(*user, *node).await,
            Step::Leave(user) => {
                if let Some(mut client) = self.clients.remove(user) {
                    client.ask(Request::ExitRoom {}).await;
                }
            }
            Step::Publish(user, source) => {
                let request = Request::Publish {
                    source: *source,
                    muted: false,
                };
                self.change(*user, request, |sources| sources.insert(*source)).await;
            }
            Step::Unpublish(user, source) => {
                let request = Request::Unpublish { source: *source };
                self.change(*user, request, |sources| sources.remove(source)).await;
            }
            Step::Kill(node) => {
                if let Some(killed) = self.nodes[*node].take() {
                    // It neither renews its lease nor writes any more.
                    killed.bus.cut();
                    drop(killed.lease);
                    self.is_cut[*node] = false;
                    self.clients.retain(|_, client| client.node != *node);
                }
            }
            Step::Start(node) => self.start(*node).await,
            Step::Cut(node) => {
                if let Some(cut) = &self.nodes[*node] {
                    cut.bus.cut();
                    self.is_cut[*node] = true;
                    for client in self.clients.values_mut().filter(|client| client.node == *node) {
                        client.sources = None;
                    }
                }
            }
            Step::Mend(node) => {
                if let Some(cut) = &self.nodes[*node] {
                    cut.bus.mend();
                    self.is_cut[*node] = false;
                }
            }
            Step::Pass(milliseconds) => self.pass(Duration::from_millis(*milliseconds)).await,
        }
    }

    async fn enter(&mut self, user: usize, node: usize) {
        let Some(at) = self.nodes[node].as_ref().filter(|_| !self.clients.contains_key(&user)) else {
            return;
        };
        let mut client = Client::log_in(&at.shared, node, &format!("user-{user}")).await;
        let enter = Request::EnterRoom {
            room_id: room().room,
            role: Role::Anchor,
            user_define_record_id: None,
            stream_id: None,
            private_map_key: None,
            pass: None,
        };
        if client.ask(enter).await == Some(true) {
            client.sources = (!self.is_cut[node]).then(BTreeSet::new);
            self.clients.insert(user, client);
        }
    }

    async fn change(&mut self, user: usize, request: Request, change: impl Fn(&mut BTreeSet<TrackSource>) -> bool) {
        let Some(client) = self.clients.get_mut(&user) else {
            return;
        };
        match client.ask(request).await {
            Some(true) => {
                client.sources.as_mut().map(change);
            }
            Some(false) => {}
            None => client.sources = None,
        }
    }

    /// In steps, so that clients read.
    async fn pass(&mut self, time: Duration) {
        let clock = Clock;
        let until = clock.now() + time;
        while clock.now() < until {
            clock
                .sleep_until(until.min(clock.now() + Duration::from_millis(500)))
                .await;
            self.clients.values_mut().for_each(Client::read);
        }
    }

    /// All nodes run and reach the bus, and have had the time to clean up.
    async fn heal(&mut self) {
        for node in 0..NODES {
            self.start(node).await;
            self.take(&Step::Mend(node)).await;
        }
        self.pass(6 * TIMES.lease).await;
    }

    async fn check(&self) {
        let (_, mut roster, count) = room_of(&self.bus).await;
        roster.sort();
        let present: Vec<String> = self.clients.keys().map(|user| format!("user-{user}")).collect();
        assert_eq!(roster, present, "the roster");
        assert_eq!(count, present.len() as u64, "the count");
        let seats = self.bus.load::<Seats>(&seats_key(&room())).await.unwrap();
        let publishers = seats.map(|(seats, _)| seats.publishers).unwrap_or_default();
        for publisher in &publishers {
            let user = publisher.user.to_string();
            assert!(present.contains(&user), "{user} has a seat, and is not there");
            let living = self
                .nodes
                .iter()
                .flatten()
                .map(|node| node.shared.cluster.incarnation());
            assert!(
                living.into_iter().any(|node| node == publisher.holder.node),
                "the seat of {user} is held by a dead node"
            );
        }
        for (user, client) in &self.clients {
            let Some(sources) = &client.sources else { continue };
            let publisher = publishers
                .iter()
                .find(|publisher| publisher.user.as_str() == format!("user-{user}"));
            let held = publisher.map(sources_of).unwrap_or_default();
            assert_eq!(held, *sources, "user-{user} has lost a seat, or has one too many");
        }
    }
}

fn sources_of(publisher: &Publisher) -> BTreeSet<TrackSource> {
    let all = TrackSource::ALL.into_iter();
    all.filter(|source| publisher.track(*source).is_some()).collect()
}

/// There are not more seats than the room has, and no member has two entries.
fn check_state(seats: &Seats) {
    let held: Vec<BTreeSet<TrackSource>> = seats.publishers.iter().map(sources_of).collect();
    let holders = |source| held.iter().filter(|held| held.contains(&source)).count();
    // A camera and a screen of one member are one seat.
    let sends_video = |held: &&BTreeSet<TrackSource>| held.iter().any(|source| *source != TrackSource::Audio);
    let videos = held.iter().filter(sends_video).count();
    assert!(holders(TrackSource::Audio) <= MICROPHONES, "microphones: {seats:?}");
    assert!(videos <= MAX_VIDEO_PUBLISHERS, "videos: {seats:?}");
    let users: BTreeSet<&str> = seats
        .publishers
        .iter()
        .map(|publisher| publisher.user.as_str())
        .collect();
    assert_eq!(users.len(), seats.publishers.len(), "a member twice: {seats:?}");
}

/// Takes the steps, and answers every state of the seats in between.
async fn play(steps: Vec<Step>) -> Vec<Seats> {
    let mut world = World::new().await;
    let mut changes = world.bus.watch(&seats_key(&room())).await.unwrap();
    let (record, mut recorded) = mpsc::unbounded_channel::<Seats>();
    let recording = tokio::spawn(async move {
        loop {
            if let WatchEvent::Change(change) = changes.next().await {
                change.parse().map(|seats| record.send(seats).ok());
            }
        }
    });
    for step in &steps {
        world.take(step).await;
    }
    world.heal().await;
    world.check().await;
    recording.abort();
    let mut states = Vec::new();
    while let Some(seats) = recorded.recv().await {
        check_state(&seats);
        states.push(seats);
    }
    states
}

fn run(steps: Vec<Step>) -> Vec<Seats> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let played = async { timeout(Duration::from_secs(20_000), play(steps)).await };
    runtime.block_on(played).expect("nobody waits for ever")
}

#[test]
fn a_room_in_which_everybody_wants_to_publish_is_recorded_with_all_its_seats_taken() {
    let all = 0..USERS;
    let enter = all.clone().map(|user| Step::Enter(user, user % NODES));
    let publish = |source| all.clone().map(move |user| Step::Publish(user, source));
    let steps = enter
        .chain(publish(TrackSource::Audio))
        .chain(publish(TrackSource::Camera))
        .chain([Step::Kill(1), Step::Pass(12_000)])
        .chain(publish(TrackSource::Audio));
    let states = run(steps.collect());
    let most = |source| {
        let held = states.iter().map(|seats| {
            let publishers = seats.publishers.iter();
            publishers.filter(|publisher| publisher.track(source).is_some()).count()
        });
        held.max()
    };
    assert_eq!(most(TrackSource::Audio), Some(MICROPHONES));
    assert_eq!(most(TrackSource::Camera), Some(MAX_VIDEO_PUBLISHERS));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn seats_are_never_too_many_and_none_is_lost_whatever_happens_to_the_nodes(steps in prop::collection::vec(step(), 0..70)) {
        run(steps);
    }
}
