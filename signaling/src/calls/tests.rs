//! Devices at one or two signaling nodes on one bus, without WebSockets and in virtual time.

mod several_nodes;

use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{BusExt, ClusterNode, InProcess, SharedBus};
use rotunda_proto::call::{CallEndReason, CallMedia, Engagement, engagement_key};
use rotunda_proto::call_signaling::{
    CallErrorCode, CallEvent, CallReply, CallRequest, CallRequestEnvelope, CallServerMessage, CallView, PartyStateView,
    PresenceState, ReplacedBy,
};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::user_sig;
use rotunda_store::Store;
use tokio::time::{advance, timeout};
use tokio_util::sync::CancellationToken;

use super::device::{Connection, Next};
use super::*;
use crate::config::Config;

const KEY: &str = "the key of the application under test";
/// Of virtual time: nothing takes longer unless a timer is meant.
const AT_ONCE: Duration = Duration::from_millis(500);

fn app() -> SdkAppId {
    SdkAppId::try_from(1_400_000_001).unwrap()
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

/// The store has no tables: tests in virtual time do not use it.
fn config() -> Config {
    Config {
        calls: Calls {
            missed_calls: 0,
            max_devices: 2,
            max_parties: 4,
            invitations_per_minute: 6,
            ..Calls::default()
        },
        ..Config::default()
    }
}

fn shared(cluster: ClusterNode) -> Shared {
    let store = Store::in_memory_unopened();
    Shared::for_test(config(), cluster, vec![Application::new(app(), KEY)], store)
}

/// A node that never dies.
async fn node(bus: &SharedBus, name: &str) -> Shared {
    let shared = shared(ClusterNode::alone(bus.clone(), name.parse().unwrap()));
    follow(shared.clone(), CancellationToken::new()).await.unwrap();
    shared
}

async fn one_node() -> Shared {
    let bus: SharedBus = Arc::new(InProcess::new());
    node(&bus, "node-1").await
}

/// A device of a user.
struct Phone {
    connection: Connection,
    name: String,
    number: u64,
    /// At registration.
    rings: Option<CallView>,
}

impl Phone {
    /// `name`: `bob`, or `bob/2` for bob's second device.
    async fn on(shared: &Shared, name: &str) -> Self {
        Self::try_on(shared, name).await.unwrap()
    }

    async fn try_on(shared: &Shared, name: &str) -> Result<Self, CallErrorCode> {
        let (user_name, device) = name.split_once('/').unwrap_or((name, "1"));
        let user_id = user(user_name);
        let register = CallRequest::Register {
            sdk_app_id: app(),
            user_sig: user_sig::sign(app(), KEY, &user_id, Clock.unix(), Duration::from_secs(60)),
            user_id,
            device_id: device.parse().unwrap(),
        };
        let mut phone = Self {
            connection: Connection::new(shared.clone()),
            name: user_name.to_owned(),
            number: 0,
            rings: None,
        };
        match phone.ask(register).await? {
            CallReply::Registered { call, .. } => phone.rings = call,
            other => panic!("{other:?}"),
        }
        Ok(phone)
    }

    async fn ask(&mut self, request: CallRequest) -> Result<CallReply, CallErrorCode> {
        self.number += 1;
        let envelope = CallRequestEnvelope {
            id: self.number,
            request,
        };
        let text = serde_json::to_string(&envelope).unwrap();
        let (Next::Reply(reply) | Next::Last(reply)) = self.connection.handle_text(&text).await;
        match reply {
            CallServerMessage::Ok { id, reply, .. } => {
                assert_eq!(id, self.number);
                Ok(reply)
            }
            CallServerMessage::Failed { error, .. } => Err(error.code),
            CallServerMessage::Event(event) => panic!("{event:?}"),
        }
    }

    async fn view(&mut self, request: CallRequest) -> Result<CallView, CallErrorCode> {
        match self.ask(request).await? {
            CallReply::Called { call } => Ok(call),
            other => panic!("{other:?}"),
        }
    }

    async fn call(&mut self, users: &[&str]) -> CallView {
        self.try_call(users, None).await.unwrap()
    }

    async fn try_call(&mut self, users: &[&str], group: Option<&str>) -> Result<CallView, CallErrorCode> {
        let call = CallRequest::Call {
            user_ids: users.iter().map(|name| user(name)).collect(),
            media: CallMedia::Video,
            group_id: group.map(str::to_owned),
            timeout_seconds: None,
            user_data: None,
        };
        self.view(call).await
    }

    async fn accept(&mut self, call: &CallView) -> Result<CallView, CallErrorCode> {
        self.view(CallRequest::Accept { call_id: call.call_id }).await
    }

    async fn reject(&mut self, call: &CallView) -> Result<(), CallErrorCode> {
        self.ask(CallRequest::Reject { call_id: call.call_id })
            .await
            .map(|_| ())
    }

    async fn hang_up(&mut self, call: &CallView) -> Result<(), CallErrorCode> {
        self.ask(CallRequest::HangUp { call_id: call.call_id })
            .await
            .map(|_| ())
    }

    /// The next message; None: the connection is closed.
    async fn hear(&mut self, within: Duration) -> Option<CallEvent> {
        let heard = timeout(within, self.connection.next_message()).await;
        let message = heard.unwrap_or_else(|_| panic!("{} hears nothing", self.name))?;
        match serde_json::from_str(message.as_str()).unwrap() {
            CallServerMessage::Event(event) => Some(event),
            other => panic!("{other:?}"),
        }
    }

    /// The first view that is so.
    async fn until(&mut self, within: Duration, is: impl Fn(&CallView) -> bool) -> CallView {
        loop {
            match self.hear(within).await {
                Some(CallEvent::Call { call }) if is(&call) => return call,
                Some(CallEvent::Call { .. }) => {}
                other => panic!("{} hears {other:?}", self.name),
            }
        }
    }

    async fn rings(&mut self) -> CallView {
        let own = user(&self.name);
        self.until(AT_ONCE, |call| state(call, own.as_str()) == PartyStateView::Ringing)
            .await
    }

    async fn end(&mut self) -> CallEndReason {
        self.until(AT_ONCE, |call| call.ended.is_some())
            .await
            .ended
            .unwrap()
            .reason
    }

    async fn presence(&mut self, name: &str) -> PresenceState {
        let asked = CallRequest::GetPresence {
            user_ids: vec![user(name)],
        };
        match self.ask(asked).await {
            Ok(CallReply::Presences { presences }) => presences[0].state,
            other => panic!("{other:?}"),
        }
    }
}

fn state(call: &CallView, name: &str) -> PartyStateView {
    let party = call.parties.iter().find(|party| party.user_id.as_str() == name);
    party.unwrap_or_else(|| panic!("{name} is not in {call:?}")).state
}

async fn may_enter(shared: &Shared, call: &CallView, name: &str) -> bool {
    let room = RoomKey {
        app: app(),
        room: call.room_id.clone(),
    };
    room_rights(shared, &room, &user(name)).await.unwrap().is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_taken_its_room_is_open_to_both_and_it_ends_for_both() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    let called = ann.call(&["bob"]).await;
    assert!(
        !may_enter(&shared, &called, "bob").await,
        "who rings is not in the room"
    );
    let call = bob.rings().await;
    assert_eq!(bob.presence("ann").await, PresenceState::InCall);
    let accepted = bob.accept(&call).await.unwrap();
    assert!(accepted.answered_for_ms.is_some());
    assert!(may_enter(&shared, &call, "ann").await && may_enter(&shared, &call, "bob").await);
    assert!(!may_enter(&shared, &call, "eve").await);
    ann.until(AT_ONCE, |call| state(call, "bob") == PartyStateView::Joined)
        .await;
    ann.hang_up(&call).await.unwrap();
    assert_eq!(
        (ann.end().await, bob.end().await),
        (CallEndReason::HangUp, CallEndReason::HangUp)
    );
    assert!(!may_enter(&shared, &call, "bob").await);
    assert_eq!(bob.presence("ann").await, PresenceState::Online);
    assert_eq!(bob.accept(&call).await, Err(CallErrorCode::CallOver));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_call_and_a_cancelled_one_end_with_their_reasons() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    ann.call(&["bob"]).await;
    let call = bob.rings().await;
    bob.reject(&call).await.unwrap();
    assert_eq!(ann.end().await, CallEndReason::Rejected);
    let called = ann.call(&["bob"]).await;
    let call = bob.until(AT_ONCE, |call| call.call_id == called.call_id).await;
    ann.hang_up(&called).await.unwrap();
    assert_eq!(bob.end().await, CallEndReason::Cancelled);
    assert_eq!(bob.accept(&call).await, Err(CallErrorCode::CallOver));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_ends_after_its_time_and_both_can_be_called_again() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    let began = Clock.now();
    ann.call(&["bob"]).await;
    bob.rings().await;
    let over = bob.until(Duration::from_secs(60), |call| call.ended.is_some()).await;
    let seconds = Clock.now().duration_since(began).as_secs();
    assert!((30..33).contains(&seconds), "after {seconds} s");
    assert_eq!(state(&over, "bob"), PartyStateView::NoAnswer);
    assert_eq!(ann.end().await, CallEndReason::NoAnswer);
    bob.call(&["ann"]).await;
    ann.until(AT_ONCE, |call| call.inviter.as_str() == "bob").await;
}

#[tokio::test(start_paused = true)]
async fn accepting_in_the_last_moment_wins_or_loses_against_the_time_but_never_both() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    ann.call(&["bob"]).await;
    let call = bob.rings().await;
    advance(Duration::from_secs(30)).await;
    let accepted = bob.accept(&call).await;
    let latest = ann
        .until(Duration::from_secs(5), |call| {
            call.ended.is_some() || state(call, "bob") == PartyStateView::Joined
        })
        .await;
    match accepted {
        Ok(_) => assert_eq!(state(&latest, "bob"), PartyStateView::Joined),
        Err(code) => assert_eq!(
            (code, latest.ended.unwrap().reason),
            (CallErrorCode::CallOver, CallEndReason::NoAnswer)
        ),
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_rings_or_talks_is_busy_and_two_who_call_each_other_are_too() {
    let shared = one_node().await;
    let mut ann = Phone::on(&shared, "ann").await;
    let (mut bob, mut cat) = (Phone::on(&shared, "bob").await, Phone::on(&shared, "cat").await);
    ann.call(&["bob"]).await;
    let busy = cat.call(&["bob"]).await;
    assert_eq!(busy.ended.as_ref().map(|end| end.reason), Some(CallEndReason::Busy));
    let call = bob.rings().await;
    assert_eq!(bob.try_call(&["cat"], None).await, Err(CallErrorCode::AlreadyInCall));
    bob.accept(&call).await.unwrap();
    let group = cat.call(&["ann", "bob"]).await;
    assert_eq!(state(&group, "ann"), PartyStateView::Busy);
    bob.hang_up(&call).await.unwrap();
    let called = cat.call(&["bob"]).await;
    assert_eq!(called.ended, None);
    let back = bob.try_call(&["cat"], None).await;
    assert_eq!(back, Err(CallErrorCode::AlreadyInCall), "bob rings");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_while_the_call_rings_gets_it_and_the_second_one_learns_that_it_was_taken() {
    let shared = one_node().await;
    let mut ann = Phone::on(&shared, "ann").await;
    assert_eq!(ann.presence("bob").await, PresenceState::Offline);
    ann.call(&["bob"]).await;
    let mut bob = Phone::on(&shared, "bob").await;
    let call = bob.rings.clone().expect("bob rings at once");
    let mut second = Phone::on(&shared, "bob/2").await;
    assert!(second.rings.is_some());
    bob.accept(&call).await.unwrap();
    let seen = second
        .until(AT_ONCE, |call| state(call, "bob") == PartyStateView::Joined)
        .await;
    let device = seen.parties.iter().find_map(|party| party.device_id.clone());
    assert_eq!(device.unwrap().as_str(), "1", "answered elsewhere");
    assert_eq!(second.accept(&call).await, Err(CallErrorCode::AnsweredElsewhere));
    assert_eq!(second.hang_up(&call).await, Err(CallErrorCode::NotInCall));
    let third = Phone::try_on(&shared, "bob/3").await;
    assert_eq!(third.err(), Some(CallErrorCode::TooManyDevices));
    Phone::on(&shared, "bob/2").await;
    assert_eq!(
        second.hear(AT_ONCE).await,
        Some(CallEvent::Replaced { by: ReplacedBy::Device })
    );
    assert_eq!(second.hear(AT_ONCE).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_back_in_time_stays_in_the_call_and_one_that_does_not_has_lost_it() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    ann.call(&["bob"]).await;
    let call = bob.rings().await;
    bob.accept(&call).await.unwrap();
    bob.connection.lose();
    advance(Duration::from_secs(14)).await;
    let bob = Phone::on(&shared, "bob").await;
    assert_eq!(state(bob.rings.as_ref().unwrap(), "bob"), PartyStateView::Joined);
    advance(Duration::from_secs(60)).await;
    assert!(may_enter(&shared, &call, "bob").await);
    bob.connection.lose();
    let over = ann.until(Duration::from_secs(20), |call| call.ended.is_some()).await;
    assert_eq!(over.ended.unwrap().reason, CallEndReason::Lost);
    assert_eq!(ann.presence("bob").await, PresenceState::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_unregisters_hangs_up() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    ann.call(&["bob"]).await;
    let call = bob.rings().await;
    bob.accept(&call).await.unwrap();
    bob.ask(CallRequest::Unregister {}).await.unwrap();
    assert_eq!(ann.end().await, CallEndReason::HangUp);
    assert_eq!(ann.presence("bob").await, PresenceState::Offline);
}

#[tokio::test(start_paused = true)]
async fn a_group_call_is_joined_later_and_grows_up_to_the_limit() {
    let shared = one_node().await;
    let mut ann = Phone::on(&shared, "ann").await;
    let (mut bob, mut cat) = (Phone::on(&shared, "bob").await, Phone::on(&shared, "cat").await);
    let mut dan = Phone::on(&shared, "dan").await;
    ann.try_call(&["bob", "nobody"], Some("team")).await.unwrap();
    let call = bob.rings().await;
    bob.accept(&call).await.unwrap();
    let found = cat.ask(CallRequest::FindCalls {
        group_id: "team".to_owned(),
    });
    let Ok(CallReply::Found { calls }) = found.await else {
        panic!()
    };
    assert_eq!(
        calls.iter().map(|found| found.call_id).collect::<Vec<_>>(),
        [call.call_id]
    );
    let join = |group: Option<&str>| CallRequest::Join {
        call_id: call.call_id,
        group_id: group.map(str::to_owned),
    };
    assert_eq!(cat.view(join(None)).await, Err(CallErrorCode::NotInvited));
    assert_eq!(
        cat.presence("cat").await,
        PresenceState::Online,
        "a refused join engages nobody"
    );
    let joined = cat.view(join(Some("team"))).await.unwrap();
    assert_eq!(state(&joined, "cat"), PartyStateView::Joined);
    let invite = |name: &str| CallRequest::Invite {
        call_id: call.call_id,
        user_ids: vec![user(name)],
        timeout_seconds: Some(5),
    };
    assert_eq!(
        bob.view(invite("dan")).await,
        Err(CallErrorCode::CallFull),
        "nobody counts as well"
    );
    assert_eq!(dan.presence("dan").await, PresenceState::Online);
    assert_eq!(dan.view(invite("bob")).await, Err(CallErrorCode::NotInCall));
}

#[tokio::test(start_paused = true)]
async fn wrong_requests_are_named() {
    let shared = one_node().await;
    let mut ann = Phone::on(&shared, "ann").await;
    let call = |users: &[&str], seconds: u32| CallRequest::Call {
        user_ids: users.iter().map(|name| user(name)).collect(),
        media: CallMedia::Audio,
        group_id: None,
        timeout_seconds: Some(seconds),
        user_data: None,
    };
    assert_eq!(
        ann.view(call(&["ann", "ann"], 30)).await,
        Err(CallErrorCode::InvalidParameter)
    );
    assert_eq!(
        ann.view(call(&["bob"], 3601)).await,
        Err(CallErrorCode::InvalidParameter)
    );
    assert_eq!(
        ann.view(call(&["b", "c", "d", "e"], 30)).await,
        Err(CallErrorCode::CallFull)
    );
    assert_eq!(
        ann.try_call(&["bob"], Some("")).await,
        Err(CallErrorCode::InvalidParameter)
    );
    let nothing = CallRequest::Accept { call_id: CallId(1) };
    assert_eq!(ann.view(nothing).await, Err(CallErrorCode::CallOver));
    for _ in 0..2 {
        let called = ann.call(&["b", "c", "d"]).await;
        ann.hang_up(&called).await.unwrap();
    }
    assert_eq!(ann.try_call(&["b"], None).await, Err(CallErrorCode::TooManyInvitations));
    let mut stranger = Connection::new(shared.clone());
    let (Next::Reply(reply) | Next::Last(reply)) = stranger.handle_text(r#"{"id":1,"op":"accept","callId":"x"}"#).await;
    let CallServerMessage::Failed { error, .. } = reply else {
        panic!()
    };
    assert!(
        error.message.contains("callId: write the 16 hexadecimal digits"),
        "{}",
        error.message
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_an_ended_call() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    ann.call(&["bob"]).await;
    let call = bob.rings().await;
    bob.reject(&call).await.unwrap();
    ann.end().await;
    assert_eq!(shared.bus.list("call_users.").await.unwrap().len(), 0);
    assert_eq!(
        shared.bus.list("calls.").await.unwrap().len(),
        1,
        "every node learns how it has ended"
    );
    for _ in 0..20 {
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(shared.bus.list("calls.").await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engagement_that_a_dead_node_has_left_behind_does_not_count() {
    let shared = one_node().await;
    let (mut ann, mut bob) = (Phone::on(&shared, "ann").await, Phone::on(&shared, "bob").await);
    let left_behind = Engagement {
        call: CallId(99),
        since_unix_ms: 1,
    };
    let key = engagement_key(app(), &user("bob"));
    shared.bus.store(&key, &left_behind, None).await.unwrap();
    assert_eq!(ann.presence("bob").await, PresenceState::Online);
    ann.call(&["bob"]).await;
    bob.rings().await;
}
