use std::sync::Arc;

use rotunda_bus::{BusExt, ClusterNode, InProcess, SharedBus};
use rotunda_events::{Fact, LeftBecause, What};
use rotunda_proto::ids::{MembershipId, RoomKey};
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::signaling::Role;
use rotunda_proto::statistics::{NetworkQuality, SentMedia};
use rotunda_store::{Effects, NewEntry, Store};

use super::*;
use crate::config::Config;
use crate::shared::Shared;

/// A moment of the tests, Unix seconds: a midnight (UTC).
const T: u64 = 1_764_028_800;
const NOW: u64 = T + 3600;

struct Fixture {
    shared: Shared,
    application: Application,
    bus: SharedBus,
    sequence: i64,
}

impl Fixture {
    async fn new() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let application = Application::new(7.try_into().unwrap(), "key");
        let node = ClusterNode::alone(bus.clone(), "node-1".parse().unwrap());
        let store = Store::in_memory().await.unwrap();
        Self {
            shared: Shared::for_test(Config::default(), node, vec![application.clone()], store),
            application,
            bus,
            sequence: 0,
        }
    }

    fn room(&self, room: &str) -> RoomKey {
        RoomKey {
            app: self.application.sdk_app_id,
            room: room.parse().unwrap(),
        }
    }

    /// Writes a fact into the journal, `at` milliseconds after [`T`].
    async fn happened(&mut self, room: &str, at: u64, what: What) {
        self.sequence += 1;
        let fact = Fact {
            id: format!("fact-{}", self.sequence),
            room: self.room(room),
            at_unix_ms: T * 1000 + at,
            what,
        };
        let entry = NewEntry {
            event: fact.id.clone(),
            application: fact.room.app,
            room: fact.room.token(),
            kind: fact.what.kind().to_owned(),
            at: Duration::from_millis(fact.at_unix_ms),
            body: serde_json::to_string(&fact).unwrap(),
        };
        let effects = Effects {
            sequence: self.sequence,
            entry: Some(entry),
            ..Effects::default()
        };
        let store = &self.shared.store;
        store.apply_events("test", &[effects], Duration::ZERO).await.unwrap();
    }

    async fn room_is_open(&self, room: &str) {
        let room = self.room(room);
        let info = RoomInfo {
            room: room.clone(),
            sfu: "sfu".parse().unwrap(),
            more_sfu: Vec::new(),
            created_unix_ms: 0,
        };
        self.bus.store(&info_key(&room), &info, None).await.unwrap();
    }

    async fn rooms(&self, change: impl FnOnce(&mut DescribeRoomInfo)) -> Checked<RoomList> {
        let mut request = DescribeRoomInfo {
            sdk_app_id: Some(7),
            start_time: Some(T),
            end_time: Some(T + 3600),
            ..DescribeRoomInfo::default()
        };
        change(&mut request);
        describe_rooms(&self.shared, &self.application, request, NOW).await
    }

    async fn users(&self, call: &str, change: impl FnOnce(&mut DescribeUserInfo)) -> Checked<UserList> {
        let mut request = DescribeUserInfo {
            comm_id: Some(call.to_owned()),
            sdk_app_id: Some(7),
            start_time: Some(T),
            end_time: Some(T + 3600),
            ..DescribeUserInfo::default()
        };
        change(&mut request);
        describe_users(&self.shared, &self.application, request, NOW).await
    }
}

fn made() -> What {
    What::RoomMade { user: None }
}

fn entered(user: &str, membership: u64) -> What {
    What::Entered {
        user: user.parse().unwrap(),
        membership: MembershipId(membership),
        role: Role::Anchor,
    }
}

fn left(user: &str, membership: u64) -> What {
    What::Left {
        user: user.parse().unwrap(),
        membership: MembershipId(membership),
        reason: LeftBecause::Asked,
        stayed_ms: 0,
    }
}

#[tokio::test]
async fn a_room_is_listed_with_its_call_and_its_first_member() {
    let mut fixture = Fixture::new().await;
    fixture.happened("1001", 10_500, made()).await;
    fixture.happened("1001", 10_600, entered("ann", 1)).await;
    fixture.happened("1001", 20_000, left("ann", 1)).await;
    fixture.happened("1001", 20_500, What::RoomEnded).await;
    fixture.happened("text:1001", 30_000, made()).await;
    fixture.room_is_open("text:1001").await;
    fixture.happened("lost", 40_000, made()).await;
    fixture.happened("lost", 45_000, entered("bob", 2)).await;

    let RoomList { total, room_list } = fixture.rooms(|_| {}).await.unwrap();
    assert_eq!((total, room_list.len()), (3, 3));
    let [lost, text, number] = &room_list[..] else { panic!() };
    assert_eq!(number.comm_id, format!("7_1001_{}", T + 10));
    assert_eq!((number.room_string.as_str(), number.user_id.as_str()), ("1001", "ann"));
    assert_eq!(
        (number.create_time, number.destroy_time, number.is_finished),
        (T + 10, T + 20, true)
    );
    assert_eq!((text.room_string.as_str(), text.user_id.as_str()), ("1001", ""));
    assert_eq!((text.destroy_time, text.is_finished), (NOW, false));
    assert_ne!(text.comm_id, number.comm_id);
    // Its server died, and nobody could tell its end.
    assert_eq!((lost.destroy_time, lost.is_finished), (T + 45, true));

    let both = fixture
        .rooms(|ask| ask.room_id = Some("1001".to_owned()))
        .await
        .unwrap();
    assert_eq!(both.total, 2);
    let paged = |ask: &mut DescribeRoomInfo| (ask.page_number, ask.page_size) = (Some(1), Some(2));
    let page = fixture.rooms(paged).await.unwrap();
    assert_eq!((page.total, page.room_list.len()), (3, 1));
    assert_eq!(page.room_list[0].comm_id, number.comm_id);
    let early = |ask: &mut DescribeRoomInfo| ask.end_time = Some(T + 5);
    assert_eq!(fixture.rooms(early).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_call_has_a_row_for_each_time_that_a_member_was_in_it() {
    let mut fixture = Fixture::new().await;
    fixture.happened("1001", 0, made()).await;
    fixture.happened("1001", 100, entered("ann", 1)).await;
    fixture.happened("1001", 5_000, entered("bob", 2)).await;
    fixture.happened("1001", 9_000, left("ann", 1)).await;
    fixture.happened("1001", 9_500, left("bob", 2)).await;
    fixture.happened("1001", 9_600, What::RoomEnded).await;
    // The room is opened again at once: another call.
    fixture.happened("1001", 10_000, made()).await;
    fixture.happened("1001", 10_000, entered("ann", 3)).await;
    fixture.happened("1001", 12_000, entered("cat", 4)).await;
    fixture.happened("1001", 13_000, left("cat", 4)).await;
    fixture.room_is_open("1001").await;

    let rows = |list: &UserList| -> Vec<(String, u64, u64, bool)> {
        let rows = list.user_list.iter();
        rows.map(|row| (row.user_id.clone(), row.join_ts - T, row.leave_ts - T, row.finished))
            .collect()
    };
    let row = |user: &str, join, leave, finished| (user.to_owned(), join, leave, finished);
    let first = fixture.users(&format!("7_1001_{T}"), |_| {}).await.unwrap();
    assert_eq!(rows(&first), [row("ann", 0, 9, true), row("bob", 5, 9, true)]);
    assert_eq!((first.total, first.user_list[0].room_str.as_str()), (2, "1001"));
    let second = format!("7_1001_{}", T + 10);
    let all = fixture.users(&second, |_| {}).await.unwrap();
    assert_eq!(rows(&all), [row("ann", 10, 3600, false), row("cat", 12, 13, true)]);
    let one = |ask: &mut DescribeUserInfo| ask.user_ids = vec!["cat".to_owned(), "dan".to_owned()];
    assert_eq!(
        rows(&fixture.users(&second, one).await.unwrap()),
        [row("cat", 12, 13, true)]
    );
    let paged = |ask: &mut DescribeUserInfo| (ask.page_number, ask.page_size) = (Some(1), Some(1));
    let page = fixture.users(&second, paged).await.unwrap();
    assert_eq!((rows(&page), page.total), (vec![row("cat", 12, 13, true)], 2));
    let later = |ask: &mut DescribeUserInfo| ask.start_time = Some(T + 60);
    assert_eq!(
        fixture.users(&second, later).await.unwrap().total,
        1,
        "cat was gone by then"
    );
    for unknown in [
        format!("7_1002_{T}"),
        format!("8_1001_{T}"),
        format!("7_1001_{}", T + 1),
    ] {
        assert_eq!(fixture.users(&unknown, |_| {}).await.unwrap().total, 0, "{unknown}");
    }
}

#[tokio::test]
async fn quality_is_asked_for_in_its_limits_and_is_that_of_the_log() {
    let mut fixture = Fixture::new().await;
    fixture.happened("1001", 0, made()).await;
    fixture.happened("1001", 100, entered("ann", 1)).await;
    let ask = |users: usize, types: &[&str], size: Option<u64>| DescribeCallDetailInfo {
        comm_id: Some(format!("7_1001_{T}")),
        start_time: Some(T),
        end_time: Some(T + 3600),
        sdk_app_id: Some(7),
        user_ids: (0..users).map(|number| format!("u{number}")).collect(),
        data_type: types.iter().map(|&name| name.to_owned()).collect(),
        page_number: size.map(|_| 0),
        page_size: size,
    };
    let call = |request| describe_call(&fixture.shared, &fixture.application, request, NOW);
    let detail = call(ask(0, &["all"], None)).await.unwrap();
    assert_eq!((detail.total, detail.user_list.len(), detail.data.len()), (1, 1, 0));
    let (room, ann) = (fixture.room("1001"), "ann".parse().unwrap());
    let log = fixture.shared.session_events.quality();
    let quality = NetworkQuality {
        uplink_rtt: Some(40),
        ..NetworkQuality::default()
    };
    for at in [T - 20, T + 100, T + 110] {
        log.note(&room, &ann, at, quality, SentMedia::default());
    }
    let detail = call(ask(0, &["rtt", "appCpu"], None)).await.unwrap();
    let series: Vec<_> = detail
        .data
        .iter()
        .map(|series| (series.user_id.as_str(), series.data_type.as_str()))
        .collect();
    assert_eq!(series, [("ann", "rtt")]);
    let times: Vec<_> = detail.data[0]
        .content
        .iter()
        .map(|point| (point.time, point.value))
        .collect();
    let step = T + 100 - (T + 100) % 10;
    assert_eq!(
        times,
        [(step, 40.0), (step + 10, 40.0)],
        "within the time that was asked for"
    );
    let users_alone = call(ask(0, &[], None)).await.unwrap();
    assert!(users_alone.data.is_empty());
    let code = |result: Checked<CallDetail>| result.map(|detail| detail.total).map_err(|error| error.code);
    assert_eq!(code(call(ask(6, &["rtt"], None)).await), Ok(0));
    assert_eq!(
        code(call(ask(7, &["rtt"], None)).await),
        Err("InvalidParameter.UserIdsMorethanSix")
    );
    assert_eq!(code(call(ask(100, &[], Some(100))).await), Ok(0));
    assert_eq!(code(call(ask(101, &[], None)).await), Err("InvalidParameter"));
    assert_eq!(
        code(call(ask(0, &["rtt"], Some(7))).await),
        Err("InvalidParameter.PageSizeOversize")
    );
    assert_eq!(code(call(ask(0, &["speed"], None)).await), Err("InvalidParameter"));
}

#[tokio::test]
async fn days_that_are_over_are_counted() {
    let mut fixture = Fixture::new().await;
    for (at, membership) in [(0, 1), (60_000, 2)] {
        fixture.happened("1001", at, entered("ann", membership)).await;
    }
    fixture.happened("1002", 70_000, entered("ann", 3)).await;
    fixture.happened("1002", DAY * 1000, entered("ann", 4)).await;
    let ask = |start, end| DescribeScaleInfo {
        sdk_app_id: Some(7),
        start_time: Some(start),
        end_time: Some(end),
    };
    let now = T + DAY + 5;
    let ask = |start, end| describe_scale(&fixture.shared, &fixture.application, ask(start, end), now);
    let list = ask(T - DAY + 50, now).await.unwrap();
    let rows: Vec<_> = list
        .scale_list
        .iter()
        .map(|row| (row.time, row.user_number, row.user_count, row.room_numbers))
        .collect();
    assert_eq!(rows, [(T - DAY, 0, 0, 0), (T, 2, 3, 2)], "today is not over");
    assert_eq!(list.total, 2);
    assert_eq!(
        ask(T, T + DAY - 1).await.unwrap().total,
        0,
        "EndTime must be after the day"
    );
}

#[tokio::test]
async fn wrong_fields_have_their_codes() {
    let fixture = Fixture::new().await;
    type Change = fn(&mut DescribeRoomInfo);
    let wrong: [(Change, &str); 12] = [
        (|ask| ask.sdk_app_id = None, "MissingParameter.SdkAppId"),
        (|ask| ask.sdk_app_id = Some(8), "InvalidParameter.SdkAppId"),
        (|ask| ask.start_time = None, "MissingParameter.StartTs"),
        (|ask| ask.end_time = None, "MissingParameter.EndTs"),
        (
            |ask| ask.start_time = Some(NOW - REACH - TOLERANCE - 1),
            "InvalidParameter.StartTsOversize",
        ),
        (|ask| ask.start_time = Some(u64::MAX), "InvalidParameter.StartTs"),
        (|ask| ask.end_time = Some(T), "InvalidParameter.EndTs"),
        (
            |ask| ask.end_time = Some(T + DAY + 1),
            "InvalidParameter.QueryScaleOversize",
        ),
        (
            |ask| (ask.page_number, ask.page_size) = (Some(0), Some(0)),
            "InvalidParameter.PageSize",
        ),
        (
            |ask| (ask.page_number, ask.page_size) = (Some(0), Some(101)),
            "InvalidParameter.PageSizeOversize",
        ),
        (
            |ask| (ask.page_number, ask.page_size) = (Some(u64::MAX), Some(2)),
            "InvalidParameter.PageNumber",
        ),
        (
            |ask| ask.room_id = Some("no\nroom".to_owned()),
            "InvalidParameter.BodyParamsError",
        ),
    ];
    for (change, code) in wrong {
        assert_eq!(
            fixture.rooms(change).await.map_err(|error| error.code).err(),
            Some(code)
        );
    }
    let call = format!("7_1001_{T}");
    let code = |result: Checked<UserList>| result.err().map(|error| error.code);
    assert_eq!(
        code(fixture.users(&call, |ask| ask.comm_id = None).await),
        Some("MissingParameter.CommId")
    );
    assert_eq!(code(fixture.users("1001", |_| {}).await), Some("InvalidParameter"));
    let long = |ask: &mut DescribeUserInfo| ask.end_time = Some(T + LONGEST_OF_USERS + 1);
    assert_eq!(
        code(fixture.users(&call, long).await),
        Some("InvalidParameter.QueryScaleOversize")
    );
}

const LONGEST_OF_USERS: u64 = 4 * HOUR;
