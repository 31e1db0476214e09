//! Caller and callee at different nodes, races between them, and nodes that die.

use rotunda_bus::NodeLease;
use rotunda_bus::lease::LeaseTimes;

use super::*;

async fn two_nodes() -> (Shared, Shared) {
    let bus: SharedBus = Arc::new(InProcess::new());
    (node(&bus, "node-1").await, node(&bus, "node-2").await)
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_from_one_node_to_devices_at_both() {
    let (one, two) = two_nodes().await;
    let mut ann = Phone::on(&one, "ann").await;
    let (mut here, mut there) = (Phone::on(&one, "bob/1").await, Phone::on(&two, "bob/2").await);
    assert_eq!(ann.presence("bob").await, PresenceState::Online);
    ann.call(&["bob"]).await;
    here.rings().await;
    let call = there.rings().await;
    there.accept(&call).await.unwrap();
    let taken = here
        .until(AT_ONCE, |call| state(call, "bob") == PartyStateView::Joined)
        .await;
    assert!(
        taken
            .parties
            .iter()
            .any(|party| party.device_id.as_ref().is_some_and(|device| device.as_str() == "2"))
    );
    ann.until(AT_ONCE, |call| call.answered_for_ms.is_some()).await;
    assert!(may_enter(&one, &call, "bob").await && may_enter(&two, &call, "ann").await);
    there.hang_up(&call).await.unwrap();
    assert_eq!(ann.end().await, CallEndReason::HangUp);
    assert_eq!(here.end().await, CallEndReason::HangUp);
}

#[tokio::test(start_paused = true)]
async fn of_two_devices_that_accept_at_once_at_two_nodes_one_has_the_call() {
    for _ in 0..20 {
        let (one, two) = two_nodes().await;
        let mut ann = Phone::on(&one, "ann").await;
        let (mut here, mut there) = (Phone::on(&one, "bob/1").await, Phone::on(&two, "bob/2").await);
        let call = ann.call(&["bob"]).await;
        let (first, second) = tokio::join!(here.accept(&call), there.accept(&call));
        let refused: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
        assert_eq!(refused, [CallErrorCode::AnsweredElsewhere]);
    }
}

#[tokio::test(start_paused = true)]
async fn accepting_and_cancelling_at_once_leave_nobody_in_the_call() {
    for _ in 0..20 {
        let (one, two) = two_nodes().await;
        let (mut ann, mut bob) = (Phone::on(&one, "ann").await, Phone::on(&two, "bob").await);
        let call = ann.call(&["bob"]).await;
        let (cancelled, accepted) = tokio::join!(ann.hang_up(&call), bob.accept(&call));
        assert_eq!(cancelled, Ok(()));
        let reason = bob.end().await;
        match accepted {
            Ok(_) => assert_eq!(reason, CallEndReason::HangUp),
            Err(code) => assert_eq!((code, reason), (CallErrorCode::CallOver, CallEndReason::Cancelled)),
        }
        assert!(!may_enter(&two, &call, "bob").await);
        assert_eq!(bob.presence("ann").await, PresenceState::Online);
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_calls_to_one_user_at_once_one_rings() {
    for _ in 0..20 {
        let (one, two) = two_nodes().await;
        let mut bob = Phone::on(&one, "bob").await;
        let (mut ann, mut cat) = (Phone::on(&one, "ann").await, Phone::on(&two, "cat").await);
        let (anns, cats) = tokio::join!(ann.call(&["bob"]), cat.call(&["bob"]));
        let ended = [&anns, &cats].map(|call| call.ended.map(|end| end.reason));
        let busy = Some(CallEndReason::Busy);
        assert!(ended == [None, busy] || ended == [busy, None], "{ended:?}");
        let ringing = if ended[0].is_none() { anns } else { cats };
        assert_eq!(bob.rings().await.call_id, ringing.call_id);
    }
}

/// A node with a lease: it is dead when the lease is dropped.
struct Mortal {
    shared: Shared,
    lease: NodeLease,
    stop: CancellationToken,
}

impl Mortal {
    async fn start(bus: &SharedBus, name: &str) -> Self {
        let times = LeaseTimes {
            lease: Duration::from_secs(10),
        };
        let name: rotunda_proto::ids::NodeId = name.parse().unwrap();
        let lease = NodeLease::take(bus.clone(), name.clone(), times).await.unwrap();
        let shared = shared(ClusterNode::new(bus.clone(), name, &lease));
        let stop = CancellationToken::new();
        follow(shared.clone(), stop.clone()).await.unwrap();
        Self { shared, lease, stop }
    }

    fn die(self) {
        self.stop.cancel();
        drop(self.lease);
    }
}

#[tokio::test(start_paused = true)]
async fn the_devices_of_a_dead_node_lose_their_calls_unless_they_come_back_by_another_one() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (one, two) = (Mortal::start(&bus, "node-1").await, Mortal::start(&bus, "node-2").await);
    let mut ann = Phone::on(&one.shared, "ann").await;
    let (mut bob, mut cat) = (Phone::on(&two.shared, "bob").await, Phone::on(&two.shared, "cat").await);
    let call = ann.call(&["bob", "cat"]).await;
    bob.accept(&call).await.unwrap();
    cat.accept(&call).await.unwrap();
    two.die();
    let bob = Phone::on(&one.shared, "bob").await;
    assert!(bob.rings.is_some(), "bob is back in the call");
    let after = ann
        .until(Duration::from_secs(60), |call| {
            state(call, "cat") == PartyStateView::Lost
        })
        .await;
    assert_eq!((state(&after, "bob"), after.ended), (PartyStateView::Joined, None));
    assert_eq!(ann.presence("cat").await, PresenceState::Offline);
}

#[tokio::test(start_paused = true)]
async fn when_the_inviter_s_node_dies_the_call_is_cancelled() {
    let bus: SharedBus = Arc::new(InProcess::new());
    let (one, two) = (Mortal::start(&bus, "node-1").await, Mortal::start(&bus, "node-2").await);
    let (mut ann, mut bob) = (Phone::on(&one.shared, "ann").await, Phone::on(&two.shared, "bob").await);
    let endless = CallRequest::Call {
        user_ids: vec![user("bob")],
        media: CallMedia::Audio,
        group_id: None,
        timeout_seconds: Some(0),
        user_data: None,
    };
    ann.view(endless).await.unwrap();
    bob.rings().await;
    one.die();
    let over = bob.until(Duration::from_secs(60), |call| call.ended.is_some()).await;
    assert_eq!(over.ended.unwrap().reason, CallEndReason::Cancelled);
}
