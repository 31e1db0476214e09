//! A room on one node, over the in-process bus and over a failing one.

use std::collections::BTreeMap;
use std::time::Duration;

use rotunda_bus::{Bus, BusExt, ClusterNode, Incarnation, SharedBus};
use rotunda_proto::ids::{NodeId, TrackSource};
use rotunda_proto::location::Location;
use rotunda_proto::room::{MAX_MEMBERS, MemberCounts, Roster, Seats, TrackState, count_key, roster_key, seats_key};
use rotunda_proto::sfu::{self, NodeInfo, events_subject, node_key};
use rotunda_store::Store;
use tokio::time::timeout;

use super::*;
use crate::config::Config;
use crate::failing_bus::{FailingBus, Fault};
use crate::seats;
use crate::shared::Shared;

struct Test {
    bus: Arc<FailingBus>,
    shared: Shared,
    key: RoomKey,
}

impl Test {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let store = Store::in_memory_unopened();
        let bus = Arc::new(FailingBus::default());
        let node: NodeId = "node-1".parse().unwrap();
        let info = NodeInfo {
            node: node.clone(),
            sessions: 0,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
            draining: false,
            location: Location::default(),
        };
        bus.store(&node_key(&node), &info, None).await.unwrap();
        let shared_bus: SharedBus = bus.clone();
        let shared = Shared::for_test(config, ClusterNode::alone(shared_bus, node), Vec::new(), store);
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
            .enter(&self.shared, &self.key, &user, Role::Audience, Way::default())
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

    /// Another node writes its number of members.
    async fn elsewhere(&self, members: u64) {
        let by_node = BTreeMap::from([(Incarnation::new("node-2".parse().unwrap(), 1), members)]);
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
async fn a_member_who_enters_is_in_the_roster_and_the_last_one_to_leave_ends_the_room() {
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
    ann.room.leave(ann.member, SeatsLeft::None).await;
    assert_eq!((test.counted().await, test.roster().await), (1, vec!["bob".to_owned()]));
    bob.room.leave(bob.member, SeatsLeft::None).await;
    let left = test.bus.list("rooms.").await.unwrap();
    assert!(left.is_empty(), "nothing of the room is left: {left:?}");
    assert_eq!(
        test.enter("cat").await.unwrap().state.member_count,
        1,
        "it begins again"
    );
}

#[tokio::test]
async fn a_failed_enter_is_undone_completely() {
    let test = Test::new().await;
    let _ann = test.enter("ann").await.unwrap();
    test.bus.set_fault(Some(Fault::Refuses(".roster")));
    assert_eq!(code(test.enter("bob").await), Some(ErrorCode::TryLater));
    assert_eq!(test.counted().await, 1, "only ann is counted");
    test.bus.set_fault(None);
    assert_eq!(test.enter("cat").await.unwrap().state.member_count, 2);
    assert_eq!(test.roster().await, ["ann", "cat"]);
}

#[tokio::test]
async fn only_one_of_two_members_gets_the_last_free_place() {
    let test = Test::new().await;
    test.elsewhere(MAX_MEMBERS - 1).await;
    let (one, other) = tokio::join!(test.enter("ann"), test.enter("bob"));
    let mut codes = [code(one), code(other)];
    codes.sort_by_key(Option::is_some);
    assert_eq!(codes, [None, Some(ErrorCode::RoomFull)]);
    assert_eq!(test.counted().await, MAX_MEMBERS);
}

#[tokio::test]
async fn fifty_thousand_enter_the_next_is_refused_and_the_window_always_has_the_earliest() {
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
        room.leave(member, SeatsLeft::None).await;
    }
    assert_eq!(test.roster().await, window(10), "the next ten moved in, oldest first");
    assert_eq!(test.counted().await, MAX_MEMBERS - 10);
}

#[tokio::test]
async fn a_full_node_refuses_members_until_one_leaves() {
    let config = Config {
        max_members: 1,
        ..Config::default()
    };
    let test = Test::with(config).await;
    let ann = test.enter("ann").await.unwrap();
    assert_eq!(code(test.enter("bob").await), Some(ErrorCode::NodeFull));
    let Entered {
        room, member, capacity, ..
    } = ann;
    room.leave(member, SeatsLeft::None).await;
    drop(capacity);
    test.enter("bob").await.unwrap();
}

#[tokio::test]
async fn a_room_that_falls_behind_the_documents_ends_up_with_the_last_of_them() {
    let test = Test::new().await;
    let ann = test.enter("ann").await.unwrap();
    // Without a turn for the room's task in between.
    let mut document = Seats::default();
    for number in 0..5_000_u32 {
        let state = if number % 2 == 0 {
            TrackState::On
        } else {
            TrackState::Muted
        };
        seats::take_alone(
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
async fn a_room_is_opened_on_the_least_loaded_node_and_on_none_if_all_are_full() {
    let test = Test::new().await;
    let say = async |node: &str, sessions| {
        let info = NodeInfo {
            node: node.parse().unwrap(),
            sessions,
            capacity: 100,
            load_percent: 0,
            open_workers: 1,
            draining: false,
            location: Location::default(),
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
