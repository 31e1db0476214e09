//! A room on one node, over the in-process bus and over one that fails.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rotunda_proto::bus::{Bus, BusError, BusExt, Change, Entry, InProcess, Request, Revision, SharedBus};
use rotunda_proto::ids::{NodeId, TrackSource};
use rotunda_proto::room::{MAX_MEMBERS, MemberCounts, Roster, Seats, TrackState, count_key, roster_key, seats_key};
use rotunda_proto::sfu::{self, NodeInfo, events_subject, node_key};
use sqlx::any::AnyPoolOptions;
use tokio::time::timeout;

use super::*;
use crate::config::Config;
use crate::seats;
use crate::service::Shared;

/// The in-process bus, which can be told not to write rosters.
#[derive(Default)]
struct Flaky {
    bus: InProcess,
    loses_rosters: AtomicBool,
}

impl Flaky {
    fn loses(&self, key: &str) -> bool {
        key.ends_with(".roster") && self.loses_rosters.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Bus for Flaky {
    async fn request(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<Bytes, BusError> {
        self.bus.request(subject, payload, limit).await
    }

    async fn serve(&self, subject: &str) -> Result<mpsc::Receiver<Request>, BusError> {
        self.bus.serve(subject).await
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), BusError> {
        self.bus.publish(subject, payload).await
    }

    async fn subscribe(&self, subject: &str) -> Result<mpsc::Receiver<Bytes>, BusError> {
        self.bus.subscribe(subject).await
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, BusError> {
        self.bus.get(key).await
    }

    async fn put(&self, key: &str, value: Bytes, expected: Option<Revision>) -> Result<Revision, BusError> {
        if self.loses(key) {
            return Err(BusError::Away("no rosters today".to_owned()));
        }
        self.bus.put(key, value, expected).await
    }

    async fn delete(&self, key: &str, expected: Option<Revision>) -> Result<(), BusError> {
        self.bus.delete(key, expected).await
    }

    async fn watch(&self, prefix: &str) -> Result<mpsc::Receiver<Change>, BusError> {
        self.bus.watch(prefix).await
    }
}

struct Test {
    bus: Arc<Flaky>,
    shared: Shared,
    key: RoomKey,
}

impl Test {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        sqlx::any::install_default_drivers();
        let db = AnyPoolOptions::new().connect_lazy("sqlite::memory:").unwrap();
        let bus = Arc::new(Flaky::default());
        let node: NodeId = "node-1".parse().unwrap();
        let info = NodeInfo {
            node: node.clone(),
            sessions: 0,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
        };
        bus.store(&node_key(&node), &info, None).await.unwrap();
        let shared_bus: SharedBus = bus.clone();
        let shared = Shared::new(config, node, shared_bus, Vec::new(), db);
        let key = RoomKey {
            app: rotunda_proto::ids::SdkAppId::try_from(1).unwrap(),
            room: serde_json::from_str("1001").unwrap(),
        };
        Self { bus, shared, key }
    }

    async fn enter(&self, user: &str) -> Result<Entered, Refused> {
        let user = user.parse().unwrap();
        self.shared
            .rooms
            .enter(&self.shared, &self.key, &user, Role::Audience)
            .await
    }

    async fn counted(&self) -> u64 {
        let counts = self.bus.load::<MemberCounts>(&count_key(&self.key)).await.unwrap();
        counts.map(|(counts, _)| counts.total()).unwrap_or_default()
    }

    async fn roster(&self) -> Vec<String> {
        let roster = self.bus.load::<Roster>(&roster_key(&self.key)).await.unwrap();
        let members = roster.map(|(roster, _)| roster.members).unwrap_or_default();
        members.iter().map(|member| member.user.to_string()).collect()
    }

    /// Another node says how many members it has.
    async fn elsewhere(&self, members: u64) {
        let by_node = BTreeMap::from([("node-2".parse().unwrap(), members)]);
        let counts = MemberCounts { by_node };
        self.bus.store(&count_key(&self.key), &counts, None).await.unwrap();
    }
}

fn code(result: Result<Entered, Refused>) -> Option<ErrorCode> {
    match result {
        Ok(_) => None,
        Err(Refused::Code(code)) => Some(code),
        Err(Refused::Bus(error)) => panic!("{error}"),
    }
}

/// Waits until it is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(5), async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "not so: {what}");
}

#[tokio::test]
async fn who_enters_sees_himself_and_the_last_one_takes_the_room_with_him() {
    let test = Test::new().await;
    let ann = test.enter("ann").await.unwrap();
    let bob = test.enter("bob").await.unwrap();
    assert_eq!(bob.state.member_count, 2);
    let shown: Vec<&str> = bob
        .state
        .roster
        .members
        .iter()
        .map(|member| member.user.as_str())
        .collect();
    assert_eq!(shown, ["ann", "bob"]);
    ann.room.leave(ann.member).await;
    assert_eq!((test.counted().await, test.roster().await), (1, vec!["bob".to_owned()]));
    bob.room.leave(bob.member).await;
    let left = test.bus.watch("rooms.").await.unwrap().try_recv();
    assert!(left.is_err(), "nothing of the room is left: {left:?}");
    assert_eq!(
        test.enter("cat").await.unwrap().state.member_count,
        1,
        "it begins again"
    );
}

#[tokio::test]
async fn a_failed_enter_is_taken_back_whole() {
    let test = Test::new().await;
    let _ann = test.enter("ann").await.unwrap();
    test.bus.loses_rosters.store(true, Ordering::Relaxed);
    assert_eq!(code(test.enter("bob").await), Some(ErrorCode::Internal));
    assert_eq!(test.counted().await, 1, "only ann is counted");
    test.bus.loses_rosters.store(false, Ordering::Relaxed);
    assert_eq!(test.enter("cat").await.unwrap().state.member_count, 2);
    assert_eq!(test.roster().await, ["ann", "cat"]);
}

#[tokio::test]
async fn of_two_who_want_the_last_place_one_gets_it() {
    let test = Test::new().await;
    test.elsewhere(MAX_MEMBERS - 1).await;
    let (one, other) = tokio::join!(test.enter("ann"), test.enter("bob"));
    let mut codes = [code(one), code(other)];
    codes.sort_by_key(Option::is_some);
    assert_eq!(codes, [None, Some(ErrorCode::RoomFull)]);
    assert_eq!(test.counted().await, MAX_MEMBERS);
}

#[tokio::test]
async fn fifty_thousand_enter_the_next_is_refused_and_the_window_is_always_the_earliest() {
    let test = Test::new().await;
    let mut members = Vec::new();
    for number in 0..MAX_MEMBERS {
        members.push(test.enter(&format!("user{number}")).await.unwrap());
    }
    assert_eq!(code(test.enter("late").await), Some(ErrorCode::RoomFull));
    let window = |from: u64| {
        (from..from + 50)
            .map(|number| format!("user{number}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(test.roster().await, window(0));
    for _ in 0..10 {
        let Entered { room, member, .. } = members.remove(0);
        room.leave(member).await;
    }
    assert_eq!(test.roster().await, window(10), "the next ten moved in, oldest first");
    assert_eq!(test.counted().await, MAX_MEMBERS - 10);
}

#[tokio::test]
async fn a_node_with_all_its_places_taken_says_so_until_somebody_leaves() {
    let config = Config {
        max_members: 1,
        ..Config::default()
    };
    let test = Test::with(config).await;
    let ann = test.enter("ann").await.unwrap();
    assert_eq!(code(test.enter("bob").await), Some(ErrorCode::NodeFull));
    let Entered {
        room, member, place, ..
    } = ann;
    room.leave(member).await;
    drop(place);
    test.enter("bob").await.unwrap();
}

#[tokio::test]
async fn a_watcher_that_was_closed_is_opened_again() {
    let test = Test::new().await;
    let ann = test.enter("ann").await.unwrap();
    // More changes than a watcher's queue holds, without a turn for the room's task in between.
    let mut document = Seats::default();
    for number in 0..5_000_u32 {
        let state = if number % 2 == 0 {
            TrackState::On
        } else {
            TrackState::Muted
        };
        seats::take(
            &mut document,
            Default::default(),
            &"bob".parse().unwrap(),
            TrackSource::Audio,
            state,
        )
        .unwrap();
        let key = seats_key(&test.key);
        let revision = test.bus.get(&key).await.unwrap().map(|entry| entry.revision);
        test.bus.store(&key, &document, revision).await.unwrap();
    }
    eventually("the last of them is known", || *ann.room.latest().seats == document).await;
    let bob = test.enter("bob").await.unwrap();
    assert_eq!(bob.state.member_count, 2, "and what comes after it");
}

#[tokio::test]
async fn the_end_of_a_media_session_is_not_lost_among_many_events() {
    let test = Test::new().await;
    let ann = test.enter("ann").await.unwrap();
    let session = SessionId(7);
    let state = ann.room.follow_session(session);
    let subject = events_subject(&test.key);
    for _ in 0..1_000 {
        let speakers = sfu::Event::Speakers { speakers: Vec::new() };
        test.bus.tell(&subject, &speakers).await.unwrap();
    }
    let end = sfu::Event::Disconnected {
        session,
        user: None,
        reason: "ICE".to_owned(),
    };
    test.bus.tell(&subject, &end).await.unwrap();
    eventually("the session is gone", || {
        state
            .borrow()
            .is_some_and(|news| news.state == MediaState::Disconnected)
    })
    .await;
}

#[tokio::test]
async fn a_room_is_opened_on_the_least_loaded_node_and_on_none_when_all_are_full() {
    let test = Test::new().await;
    let say = async |node: &str, sessions| {
        let info = NodeInfo {
            node: node.parse().unwrap(),
            sessions,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
        };
        let key = node_key(&info.node);
        let known = test.bus.get(&key).await.unwrap().map(|entry| entry.revision);
        test.bus.store(&key, &info, known).await.unwrap();
    };
    say("node-1", 100).await;
    assert_eq!(code(test.enter("ann").await), Some(ErrorCode::NodeFull));
    assert_eq!(test.counted().await, 0, "who was refused is not counted");
    say("node-2", 99).await;
    say("node-3", 20).await;
    let ann = test.enter("ann").await.unwrap();
    let sfu = |member: &Entered| member.state.info.as_ref().unwrap().sfu.to_string();
    assert_eq!(sfu(&ann), "node-3");
    say("node-3", 100).await;
    assert_eq!(
        sfu(&test.enter("bob").await.unwrap()),
        "node-3",
        "an open room stays where it is"
    );
}
