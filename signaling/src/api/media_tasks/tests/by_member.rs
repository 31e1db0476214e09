//! Pushes that members ask for.

use rotunda_events::{Fact, PushChange, PushState, What};
use rotunda_proto::ids::TrackSource;
use rotunda_store::StreamedEvent;

use super::super::of_member::{self, AskedByMember};
use super::*;
use crate::events::Told;

const URL: &str = "rtmp://cdn.example.com/live/key";

impl Fixture {
    /// Ann asks for a push of her camera.
    async fn ann_pushes(&self, membership: u64, url: &str) -> Checked<TaskId> {
        self.pushes_of("ann", membership, url).await
    }

    async fn pushes_of(&self, user: &str, membership: u64, url: &str) -> Checked<TaskId> {
        let asked = AskedByMember {
            room: &room(),
            user: &user.parse().unwrap(),
            membership: MembershipId(membership),
            source: TrackSource::Camera,
            url,
        };
        of_member::begin(&self.shared, asked).await
    }

    /// The stream of events has a state of the push.
    async fn has_told(&self, id: &TaskId, sequence: i64, state: PushState) {
        let push = PushChange {
            task: self.task(id).await.named(),
            url: URL.to_owned(),
            state,
            error: None,
        };
        let fact = Fact {
            id: "the-id".to_owned(),
            at_unix_ms: 0,
            room: room(),
            what: What::PushChanged { push: Box::new(push) },
        };
        let body = serde_json::to_string(&fact).unwrap();
        let told = Told::of(&StreamedEvent { sequence, body }).unwrap();
        told.note(&self.bus).await.unwrap();
    }

    async fn state(&self, id: &TaskId) -> PushState {
        self.task(id).await.of_member.unwrap().state
    }
}

#[tokio::test]
async fn a_push_takes_the_media_of_one_stay_and_goes_on_when_the_next_one_asks_for_it() {
    let mut fixture = fixture(1000).await;
    fixture.ann_publishes().await;
    let id = fixture.ann_pushes(1, URL).await.unwrap();
    let now = Clock.now();
    fixture.round(now + Duration::from_secs(100)).await;
    assert!(fixture.task(&id).await.is_running(), "the seat is of that stay");
    assert_eq!(fixture.ann_pushes(2, URL).await.unwrap(), id);
    assert_eq!(fixture.task(&id).await.of_member.unwrap().membership, MembershipId(2));
    // The seat is of the former stay.
    fixture.round(now + Duration::from_secs(100)).await;
    fixture.round(now + Duration::from_secs(131)).await;
    assert!(!fixture.task(&id).await.is_running());
}

#[tokio::test]
async fn members_of_a_room_have_so_many_pushes_as_the_configuration_permits() {
    let fixture = fixture(1000).await;
    for user in ["ann", "bob", "cat", "dan"] {
        fixture.pushes_of(user, 1, URL).await.unwrap();
    }
    let refused = fixture.pushes_of("eve", 1, URL).await.unwrap_err();
    assert_eq!(refused.code, "FailedOperation.RestrictedConcurrency");
    assert!(
        refused.message.contains("member_pushes_per_room"),
        "{}",
        refused.message
    );
    // Another address replaces a push, and the server API has tasks of its own.
    fixture
        .ann_pushes(1, "rtmp://cdn.example.com/live/other")
        .await
        .unwrap();
    fixture.begin("robot").await.unwrap();
}

#[tokio::test]
async fn the_states_that_are_told_are_in_the_task_in_their_order() {
    let fixture = fixture(1000).await;
    let id = fixture.ann_pushes(1, URL).await.unwrap();
    assert_eq!(fixture.state(&id).await, PushState::Connecting);
    fixture.has_told(&id, 5, PushState::Running).await;
    assert_eq!(fixture.state(&id).await, PushState::Running);
    // Another node has read the same events later.
    fixture.has_told(&id, 4, PushState::Connecting).await;
    assert_eq!(fixture.state(&id).await, PushState::Running);
    fixture.has_told(&id, 6, PushState::Failed).await;
    fixture.has_told(&id, 7, PushState::Idle).await;
    assert_eq!(fixture.state(&id).await, PushState::Failed);
}

#[tokio::test]
async fn a_task_of_the_server_api_has_no_state_for_a_member() {
    let fixture = fixture(1000).await;
    let id = fixture.begin_for(Purpose::Publishing, "robot", &[URL]).await.unwrap();
    let before = fixture.task(&id).await;
    fixture.has_told(&id, 5, PushState::Running).await;
    assert_eq!(fixture.task(&id).await, before);
}
