//! Pushes that members ask for.

use rotunda_events::{Fact, PushChange, PushState, What};
use rotunda_proto::push_state::PushSource;
use rotunda_store::StreamedEvent;

use super::super::of_member::{self, AskedByMember};
use super::*;
use crate::api::mix::client;
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
            source: PushSource::Camera,
            url,
        };
        of_member::begin(&self.shared, asked).await
    }

    fn members_may_push(&self, members_may_push: bool) {
        self.shared.replace_applications(vec![Application {
            members_may_push,
            ..self.caller.clone()
        }]);
    }

    async fn ann_pushes_her_mix(&self, membership: u64, url: &str) -> Checked<TaskId> {
        let asked = AskedByMember {
            room: &room(),
            user: &"ann".parse().unwrap(),
            membership: MembershipId(membership),
            source: PushSource::Mix,
            url,
        };
        of_member::begin(&self.shared, asked).await
    }

    /// Ann has a mix, which runs.
    async fn ann_mixes(&self) {
        let spec = MixSpec {
            room: room(),
            stream_id: "ann_main".parse().unwrap(),
            audio: AudioEncode {
                sample_rate: 48_000,
                bitrate_kbps: 64,
                channels: 2,
            },
            video: None,
            layout: Layout::default(),
            record: None,
            push_urls: Vec::new(),
            task: None,
        };
        let ann = "ann".parse().unwrap();
        client::start(&self.shared, &ann, spec).await.unwrap();
    }

    /// The pushes of ann's mix: the task and its addresses. None: she has no mix.
    async fn pushes_of_mix(&self) -> Option<(Option<TaskId>, Vec<String>)> {
        let key = task_key(&room(), &Origin::Client("ann".parse().unwrap()));
        let (mix, _) = self.bus.load::<MixTask>(&key).await.unwrap()?;
        let spec = mix.spec()?;
        Some((spec.task.as_ref().map(|task| task.id.clone()), spec.push_urls.clone()))
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
    fixture.members_may_push(true);
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

#[tokio::test(start_paused = true)]
async fn a_push_of_a_mix_is_a_task_and_part_of_the_mix_until_it_ends() {
    let mut fixture = fixture(100_000).await;
    fixture.members_may_push(true);
    fixture.carry_out_mixes().await;
    fixture.ann_publishes().await;
    let refused = fixture.ann_pushes_her_mix(1, URL).await.unwrap_err();
    assert_eq!(refused.code, "FailedOperation.MixNotExist");
    fixture.ann_mixes().await;
    let id = fixture.ann_pushes_her_mix(1, URL).await.unwrap();
    let pushed = Some((Some(id.clone()), vec![URL.to_owned()]));
    assert_eq!(fixture.pushes_of_mix().await, pushed);
    let now = Clock.now();
    fixture.round(now).await;
    fixture.round(now + Duration::from_secs(31)).await;
    assert!(fixture.task(&id).await.is_running(), "the mix is there");
    assert_eq!(fixture.pushes_of_mix().await, pushed);
    // Another address replaces it, and the mix has one push.
    let other = "rtmp://cdn.example.com/live/other";
    let second = fixture.ann_pushes_her_mix(1, other).await.unwrap();
    assert_eq!(fixture.task(&id).await.end, Some(TaskEnd::Replaced));
    assert_eq!(
        fixture.pushes_of_mix().await,
        Some((Some(second.clone()), vec![other.to_owned()]))
    );
    // The server API ends it, and the mix goes on.
    end(&fixture.shared, &fixture.task(&second).await, TaskEnd::Stopped)
        .await
        .unwrap();
    assert_eq!(fixture.pushes_of_mix().await, Some((None, Vec::new())));
}

#[tokio::test(start_paused = true)]
async fn a_push_waits_for_its_mix_and_ends_after_its_idle_time() {
    let mut fixture = fixture(100_000).await;
    fixture.members_may_push(true);
    fixture.carry_out_mixes().await;
    fixture.ann_publishes().await;
    fixture.ann_mixes().await;
    let id = fixture.ann_pushes_her_mix(1, URL).await.unwrap();
    client::stop(&fixture.shared, &room(), &"ann".parse().unwrap())
        .await
        .unwrap();
    let now = Clock.now();
    fixture.round(now).await;
    assert!(fixture.task(&id).await.is_running());
    fixture.round(now + Duration::from_secs(30)).await;
    assert_eq!(fixture.task(&id).await.end, Some(TaskEnd::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_mix_is_not_pushed_for_a_task_that_has_ended_without_its_knowledge() {
    let mut fixture = fixture(100_000).await;
    fixture.members_may_push(true);
    fixture.carry_out_mixes().await;
    fixture.ann_publishes().await;
    fixture.ann_mixes().await;
    let id = fixture.ann_pushes_her_mix(1, URL).await.unwrap();
    // The node died before it changed the mix.
    mark_ended(&fixture.bus, &media_task_key(room().app, &id), TaskEnd::Stopped)
        .await
        .unwrap();
    fixture.round(Clock.now()).await;
    assert_eq!(fixture.pushes_of_mix().await, Some((None, Vec::new())));
}

#[tokio::test(start_paused = true)]
async fn an_application_that_permits_no_pushes_any_more_ends_those_of_its_members_alone() {
    let mut fixture = fixture(100_000).await;
    fixture.carry_out_mixes().await;
    fixture.ann_publishes().await;
    fixture.ann_mixes().await;
    fixture.members_may_push(true);
    let (camera, mix) = (
        fixture.ann_pushes(1, URL).await,
        fixture.ann_pushes_her_mix(1, URL).await,
    );
    let (camera, mix) = (camera.unwrap(), mix.unwrap());
    let robot = fixture.begin("robot").await.unwrap();
    fixture.round(Clock.now()).await;
    assert!(fixture.task(&camera).await.is_running() && fixture.task(&mix).await.is_running());
    fixture.members_may_push(false);
    fixture.round(Clock.now()).await;
    for id in [camera, mix] {
        assert_eq!(fixture.task(&id).await.end, Some(TaskEnd::NotPermitted));
    }
    assert_eq!(fixture.pushes_of_mix().await, Some((None, Vec::new())));
    assert!(fixture.task(&robot).await.is_running());
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
