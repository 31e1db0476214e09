use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{BusExt, ClusterNode, InProcess, Incarnation, SharedBus};
use rotunda_proto::applications::Reach;
use rotunda_proto::ids::{MembershipId, NodeId};
use rotunda_proto::room::{
    Holder, MemberCounts, Publisher, RoomInfo, Roster, RosterMember, Seats, TrackState, count_key, info_key,
    roster_key, seats_key,
};
use rotunda_proto::sfu;
use rotunda_store::{Effects, NewCallback, NewEntry, Store};
use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::config::Config;
use crate::shared::Shared;

struct Fixture {
    shared: Shared,
    application: Application,
    bus: SharedBus,
}

async fn fixture() -> Fixture {
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application::new(7.try_into().unwrap(), "key");
    let node = ClusterNode::alone(bus.clone(), "node-1".parse().unwrap());
    let store = Store::in_memory().await.unwrap();
    Fixture {
        shared: Shared::for_test(Config::default(), node, vec![application.clone()], store),
        application,
        bus,
    }
}

fn holder(membership: u64) -> Holder {
    Holder {
        membership: MembershipId(membership),
        node: Incarnation::new("node-2".parse().unwrap(), 1),
    }
}

impl Fixture {
    /// A room with some members.
    async fn open(&self, app: u32, room: &str, members: u64) -> RoomKey {
        let room = RoomKey {
            app: app.try_into().unwrap(),
            room: room.parse().unwrap(),
        };
        let info = RoomInfo {
            room: room.clone(),
            sfu: "sfu-1".parse().unwrap(),
            more_sfu: Vec::new(),
            created_unix_ms: 5000,
        };
        self.bus.store(&info_key(&room), &info, None).await.unwrap();
        let mut counts = MemberCounts::default();
        counts.set(&holder(1).node, members);
        self.bus.store(&count_key(&room), &counts, None).await.unwrap();
        room
    }
}

#[tokio::test]
async fn rooms_are_paged_by_their_names() {
    let fixture = fixture().await;
    for (room, members) in [("b", 2), ("10", 1), ("text:10", 3), ("a", 4)] {
        fixture.open(7, room, members).await;
    }
    fixture.open(8, "of-another", 1).await;
    let ask = |after: Option<String>| ListRooms {
        after,
        page_size: Some(3),
        ..ListRooms::default()
    };
    let first = list_rooms(&fixture.shared, &fixture.application, ask(None))
        .await
        .unwrap();
    let names: Vec<_> = first
        .rooms
        .iter()
        .map(|room| (room.room.as_str(), room.members))
        .collect();
    assert_eq!(names, [("10", 1), ("a", 4), ("b", 2)]);
    assert_eq!(
        (first.rooms[0].create_time, first.rooms[0].media_node.as_str()),
        (5, "sfu-1")
    );
    let second = list_rooms(&fixture.shared, &fixture.application, ask(first.next))
        .await
        .unwrap();
    assert_eq!(
        (second.rooms[0].room.as_str(), second.rooms.len(), second.next),
        ("text:10", 1, None)
    );
    assert_eq!((second.total, second.total_members), (4, 10));
    let search = ListRooms {
        search: Some("A".to_owned()),
        ..ListRooms::default()
    };
    let found = list_rooms(&fixture.shared, &fixture.application, search).await.unwrap();
    let names: Vec<_> = found.rooms.iter().map(|room| room.room.as_str()).collect();
    assert_eq!((names, found.total, found.total_members), (vec!["a"], 1, 4));
    for size in [0, 501] {
        let ask = ListRooms {
            page_size: Some(size),
            ..ListRooms::default()
        };
        let refused = list_rooms(&fixture.shared, &fixture.application, ask)
            .await
            .unwrap_err();
        assert_eq!(refused.code, "InvalidParameter.PageSize");
    }
}

#[tokio::test]
async fn members_are_listed_with_what_they_publish() {
    let fixture = fixture().await;
    let room = fixture.open(7, "1001", 60).await;
    let member = |user: &str, number: u64| RosterMember {
        user: user.parse().unwrap(),
        entered_unix_ms: number * 1000,
        holder: holder(number),
    };
    let roster = Roster {
        members: vec![member("ann", 1), member("bob", 2)],
    };
    fixture.bus.store(&roster_key(&room), &roster, None).await.unwrap();
    let publisher = |user: &str, number: u64| Publisher {
        camera: Some(TrackState::On),
        audio: Some(TrackState::Muted),
        ..Publisher::of(user.parse().unwrap(), holder(number))
    };
    let seats = Seats {
        publishers: vec![publisher("zoe", 55), publisher("bob", 2)],
        kept: Vec::new(),
    };
    fixture.bus.store(&seats_key(&room), &seats, None).await.unwrap();
    let ask = |room: &str| ListMembers {
        room: Some(room.to_owned()),
    };
    let list = list_members(&fixture.shared, &fixture.application, ask("1001"))
        .await
        .unwrap();
    let shown = serde_json::to_value(&list).unwrap();
    let tracks = json!([{ "Source": "audio", "State": "muted" }, { "Source": "camera", "State": "on" }]);
    assert_eq!(
        shown,
        json!({ "Total": 60, "Members": [
            { "UserId": "ann", "JoinTime": 1, "Tracks": [], "Node": "node-2" },
            { "UserId": "bob", "JoinTime": 2, "Tracks": tracks, "Node": "node-2" },
            { "UserId": "zoe", "Tracks": tracks, "Node": "node-2" },
        ] })
    );
    let code = |room| async move {
        list_members(&fixture.shared, &fixture.application, room)
            .await
            .err()
            .map(|error| error.code)
    };
    assert_eq!(code(ask("1002")).await, Some("FailedOperation.RoomNotExist"));
}

#[tokio::test]
async fn a_callback_that_was_given_up_is_found_and_replayed_by_its_application_alone() {
    let fixture = fixture().await;
    let store = &fixture.shared.store;
    let room = RoomKey {
        app: fixture.application.sdk_app_id,
        room: "1001".parse().unwrap(),
    };
    let callback = NewCallback {
        id: "c1".to_owned(),
        application: room.app,
        room: room.token(),
        sequence: 1,
        url: "https://receiver.example/hook?key=secret".to_owned(),
        body: "{}".to_owned(),
        created: Duration::from_secs(60),
    };
    let entry = NewEntry {
        event: "c1".to_owned(),
        application: room.app,
        room: room.token(),
        kind: "file_ready".to_owned(),
        at: Duration::from_secs(60),
        body: "{}".to_owned(),
    };
    let effects = Effects {
        sequence: 1,
        entry: Some(entry),
        callbacks: vec![callback],
        ..Effects::default()
    };
    store.apply_events("test", &[effects], Duration::ZERO).await.unwrap();
    let limits = rotunda_store::ClaimLimits {
        rows: 1,
        of_application: 1,
        hold: Duration::from_secs(60),
    };
    let claimed = store
        .claim_callbacks("n", Duration::from_secs(100), limits)
        .await
        .unwrap();
    let error = "no answer".to_owned();
    let given_up = rotunda_store::Settled::GivenUp { error };
    store.settle_callback("n", &claimed[0], &given_up).await.unwrap();

    let list = |state: &str| {
        let state = Some(state.to_owned());
        let ask = ListCallbacks {
            state,
            ..ListCallbacks::default()
        };
        list_callbacks(&fixture.shared, &fixture.application, ask)
    };
    let failed = list("failed").await.unwrap();
    assert_eq!(failed.total, 1);
    let shown = serde_json::to_value(&failed.callbacks[0]).unwrap();
    assert_eq!(
        shown,
        json!({
            "CallbackId": "c1", "Room": "1001", "Receiver": "https://receiver.example/hook", "Body": "{}", "State": "failed", "Attempts": 1,
            "CreateTime": 60, "LastError": "no answer",
        })
    );
    let replay = |application: Application| {
        let ask = ReplayCallback {
            callback_id: Some("c1".to_owned()),
        };
        let shared = fixture.shared.clone();
        async move {
            replay_callback(&shared, &application, ask)
                .await
                .map_err(|error| error.code)
        }
    };
    let other = Application::new(8.try_into().unwrap(), "key");
    assert_eq!(replay(other).await, Err("ResourceNotFound"));
    assert_eq!(replay(fixture.application.clone()).await, Ok(()));
    assert_eq!(list("failed").await.unwrap().total, 0);
    assert_eq!(list("waiting").await.unwrap().total, 1);
    assert_eq!(
        replay(fixture.application.clone()).await,
        Err("ResourceNotFound"),
        "it waits already"
    );
    assert_eq!(list("lost").await.unwrap_err().code, "InvalidParameter");
}

#[test]
fn a_page_goes_on_after_a_name_that_is_gone() {
    let all = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ())).collect::<Vec<_>>();
    assert_eq!(page(all(&["a", "b", "c"]), None, 2).1.as_deref(), Some("b"));
    assert_eq!(page(all(&["c", "a"]), Some("b"), 2), (vec![()], None));
    assert_eq!(page(all(&["a"]), Some("z"), 2), (vec![], None));
    assert_eq!(page(all(&["b", "a"]), None, 2), (vec![(), ()], None));
}

/// Plays an SFU node that answers each command with the next of these replies.
async fn play_node(bus: &SharedBus, name: &str, replies: Vec<sfu::Reply>) -> mpsc::UnboundedReceiver<sfu::Command> {
    let node: NodeId = name.parse().unwrap();
    let mut requests = bus.serve(&sfu::control_subject(&node)).await.unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for reply in replies {
            let request = requests.next().await;
            tell.send(request.parse().unwrap()).unwrap();
            request.answer(&reply);
        }
    });
    told
}

#[tokio::test]
async fn the_operator_drains_a_node_and_takes_it_back() {
    let fixture = fixture().await;
    let refused = |error| sfu::Reply::Refused { error };
    let replies = vec![
        sfu::Reply::Done,
        sfu::Reply::Done,
        refused(sfu::ControlError::NoOtherNode),
        refused(sfu::ControlError::Ends),
    ];
    let mut told = play_node(&fixture.bus, "sfu-1", replies).await;
    let operator = Application {
        reach: Reach::All,
        ..fixture.application.clone()
    };
    let drain = async |caller: &Application, node: &str, seconds| {
        let request = DrainNode {
            node: Some(node.to_owned()),
            seconds,
        };
        drain_node(&fixture.shared, caller, request)
            .await
            .map_err(|error| error.code)
    };
    let resume = async |node: &str| {
        let node = Some(node.to_owned());
        let resumed = resume_node(&fixture.shared, &operator, ResumeNode { node }).await;
        resumed.map_err(|error| error.code)
    };
    let code = |code: &'static str| Err(code);
    let own = drain(&fixture.application, "sfu-1", None).await;
    assert_eq!(own, code("UnauthorizedOperation.SdkAppId"), "of one application alone");
    for seconds in [9, 3601] {
        assert_eq!(drain(&operator, "sfu-1", Some(seconds)).await, code("InvalidParameter"));
    }
    assert_eq!(drain(&operator, "sfu-2", None).await, code("ResourceNotFound"));
    drain(&operator, "sfu-1", None).await.unwrap();
    resume("sfu-1").await.unwrap();
    assert_eq!(
        drain(&operator, "sfu-1", Some(600)).await,
        code("FailedOperation.NoOtherNode")
    );
    assert_eq!(resume("sfu-1").await, code("FailedOperation.NodeEnds"));
    let mut commands = Vec::new();
    while let Ok(command) = told.try_recv() {
        commands.push(command);
    }
    let within = |within_ms| sfu::Command::Drain { within_ms };
    assert_eq!(
        commands,
        [
            within(60_000),
            sfu::Command::Resume,
            within(600_000),
            sfu::Command::Resume
        ]
    );
}
