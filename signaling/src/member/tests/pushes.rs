//! A member's pushes to other servers. The test stands in for the process that pushes.

use rotunda_proto::ids::{TaskId, TrackSource};
use rotunda_proto::media_task::{MEDIA_TASKS_PREFIX, MediaTask, OfMember};
use rotunda_proto::push_state::{PushError, PushErrorKind, PushSource, PushState};
use rotunda_proto::signaling::{CdnStreamState, Role};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::media::{Connected, connected};
use super::mix::{ann_with_a_mixing_server, set, task as mix_task};
use super::*;

const URL: &str = "rtmp://8.8.8.8/live/key";
const CAMERA: PushSource = PushSource::Camera;
const SCREEN: PushSource = PushSource::Screen;

const MIX: PushSource = PushSource::Mix;

/// Ann publishes her camera; the application permits pushes.
async fn ann_with_a_camera() -> Connected {
    let mut ann = connected().await;
    permit_pushes(&ann);
    publish(&mut ann, TrackSource::Camera).await;
    ann
}

async fn publish(ann: &mut Connected, source: TrackSource) {
    let muted = false;
    ann.ask(Request::Publish { source, muted }).await.unwrap();
}

fn permit_pushes(ann: &Connected) {
    ann.test.shared.replace_applications(vec![Application {
        members_may_push: true,
        ..Application::new(room().app, "")
    }]);
}

fn push(source: PushSource, url: &str) -> Request {
    Request::StartPublishCdnStream {
        source,
        url: url.to_owned(),
    }
}

async fn running(ann: &Connected) -> Vec<MediaTask> {
    let mut tasks = ann.test.bus.documents::<MediaTask>(MEDIA_TASKS_PREFIX).await.unwrap();
    tasks.retain(MediaTask::is_running);
    tasks
}

/// The stream of events has another state of the push.
async fn tell(ann: &Connected, task: &MediaTask, state: PushState, error: Option<PushError>, sequence: i64) {
    let changed = |task: Option<MediaTask>| {
        let task = task.unwrap();
        let of_member: OfMember = task
            .of_member
            .as_ref()
            .unwrap()
            .after(state, error.as_ref(), sequence)
            .unwrap();
        let of_member = Some(of_member);
        Ok::<_, std::convert::Infallible>((Some(MediaTask { of_member, ..task }), ()))
    };
    let Ok(()) = ann.test.bus.update(&task.key(), changed).await.unwrap();
}

/// The next state that ann is told.
async fn told(ann: &mut Connected) -> (PushSource, CdnStreamState, Option<PushError>) {
    loop {
        if let Event::CdnStreamState { source, state, error } = ann.next_event().await {
            return (source, state, error);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_is_a_task_of_the_members_own_camera_until_they_leave() {
    let mut ann = ann_with_a_camera().await;
    ann.ask(push(CAMERA, URL)).await.unwrap();
    let [task] = <[_; 1]>::try_from(running(&ann).await).unwrap();
    assert_eq!((task.robot.as_str(), &task.room), ("ann", &room()));
    assert_eq!(task.pushed().unwrap().1, [URL]);
    let takes = |source| task.selection().takes(&"ann".parse().unwrap(), source);
    assert!(takes(TrackSource::Audio) && takes(TrackSource::Camera) && !takes(TrackSource::Screen));
    assert!(!task.selection().takes(&"bob".parse().unwrap(), TrackSource::Camera));
    ann.ask(Request::ExitRoom {}).await.unwrap();
    assert_eq!(running(&ann).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_member_is_told_the_states_and_again_on_a_new_web_socket() {
    let mut ann = ann_with_a_camera().await;
    ann.ask(push(CAMERA, URL)).await.unwrap();
    assert_eq!(told(&mut ann).await, (CAMERA, CdnStreamState::Connecting, None));
    let [task] = <[_; 1]>::try_from(running(&ann).await).unwrap();
    let error = PushError {
        kind: PushErrorKind::Connection,
        message: "refused".to_owned(),
    };
    tell(&ann, &task, PushState::Connecting, Some(error.clone()), 1).await;
    let expected = (CAMERA, CdnStreamState::Connecting, Some(error));
    assert_eq!(told(&mut ann).await, expected);
    tell(&ann, &task, PushState::Running, None, 2).await;
    assert_eq!(told(&mut ann).await, (CAMERA, CdnStreamState::Running, None));
    ann.come_back().await;
    assert_eq!(told(&mut ann).await, (CAMERA, CdnStreamState::Running, None));
    ann.ask(Request::StopPublishCdnStream { source: CAMERA }).await.unwrap();
    assert_eq!(told(&mut ann).await, (CAMERA, CdnStreamState::Ended, None));
    assert_eq!(running(&ann).await, []);
    // It has ended already.
    ann.ask(Request::StopPublishCdnStream { source: CAMERA }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_push_that_the_server_ends_is_told_as_ended() {
    let mut ann = ann_with_a_camera().await;
    ann.ask(push(CAMERA, URL)).await.unwrap();
    told(&mut ann).await;
    let [task] = <[_; 1]>::try_from(running(&ann).await).unwrap();
    ann.test.bus.remove(&task.key()).await.unwrap();
    assert_eq!(told(&mut ann).await, (CAMERA, CdnStreamState::Ended, None));
}

#[tokio::test(start_paused = true)]
async fn each_source_has_one_push_and_another_address_replaces_it() {
    let mut ann = ann_with_a_camera().await;
    publish(&mut ann, TrackSource::Screen).await;
    ann.ask(push(CAMERA, URL)).await.unwrap();
    let ids = |tasks: &[MediaTask]| tasks.iter().map(|task| task.id.clone()).collect::<Vec<TaskId>>();
    let first = ids(&running(&ann).await);
    ann.ask(push(CAMERA, URL)).await.unwrap();
    assert_eq!(ids(&running(&ann).await), first, "it goes on");
    ann.ask(push(SCREEN, URL)).await.unwrap();
    assert_eq!(running(&ann).await.len(), 2);
    ann.ask(push(CAMERA, "rtmp://8.8.8.8/live/other")).await.unwrap();
    let after = running(&ann).await;
    assert_eq!(after.len(), 2);
    assert!(!ids(&after).contains(&first[0]));
}

#[tokio::test(start_paused = true)]
async fn a_push_needs_its_source_a_permission_and_a_public_address() {
    let mut ann = connected().await;
    assert_eq!(ann.ask(push(CAMERA, URL)).await, Err(ErrorCode::NotPublished));
    publish(&mut ann, TrackSource::Audio).await;
    assert_eq!(ann.ask(push(CAMERA, URL)).await, Err(ErrorCode::PushRefused));
    permit_pushes(&ann);
    assert_eq!(ann.ask(push(SCREEN, URL)).await, Err(ErrorCode::NotPublished));
    for wrong in [
        "rtmp://127.0.0.1/live/key",
        "rtmp://192.168.1.2/live/key",
        "http://8.8.8.8/live/key",
    ] {
        assert_eq!(ann.ask(push(CAMERA, wrong)).await, Err(ErrorCode::BadPush), "{wrong}");
    }
    // The microphone alone is a stream, too.
    ann.ask(push(CAMERA, URL)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_member_who_is_cut_off_may_come_back_to_the_push() {
    let mut ann = ann_with_a_camera().await;
    ann.ask(push(CAMERA, URL)).await.unwrap();
    let [task] = <[_; 1]>::try_from(running(&ann).await).unwrap();
    ann.test
        .member
        .send(ToMember::Kick(KickReason::Shutdown))
        .await
        .unwrap();
    let closed = async { while ann.test.messages.recv().await.is_some() {} };
    timeout(Duration::from_secs(5), closed).await.unwrap();
    assert_eq!(running(&ann).await, [task]);
}

/// Ann has a mix of sound; the application permits pushes.
async fn ann_with_a_mix() -> Connected {
    let mut ann = ann_with_a_mixing_server().await;
    permit_pushes(&ann);
    publish(&mut ann, TrackSource::Audio).await;
    ann.ask(set(json!({ "mode": "pureAudio" }))).await.unwrap();
    ann
}

/// The addresses that ann's mix is pushed to.
async fn urls_of_mix(ann: &Connected) -> Vec<String> {
    let mix = mix_task(ann).await.unwrap();
    mix.spec().unwrap().push_urls.clone()
}

#[tokio::test(start_paused = true)]
async fn a_mix_is_pushed_in_all_its_changes_until_it_ends() {
    let mut ann = ann_with_a_mix().await;
    ann.ask(push(MIX, URL)).await.unwrap();
    assert_eq!(told(&mut ann).await, (MIX, CdnStreamState::Connecting, None));
    let [pushed] = <[_; 1]>::try_from(running(&ann).await).unwrap();
    assert_eq!((pushed.robot.as_str(), &pushed.room), ("ann", &room()));
    let first = mix_task(&ann).await.unwrap();
    assert_eq!(first.spec().unwrap().task, Some(pushed.named()));
    assert_eq!(urls_of_mix(&ann).await, [URL]);
    // The same mix with another encoding, and another mix.
    ann.ask(set(json!({ "mode": "pureAudio", "audioBitrate": 32 })))
        .await
        .unwrap();
    assert_eq!(
        (mix_task(&ann).await.unwrap().id, urls_of_mix(&ann).await),
        (first.id, vec![URL.to_owned()])
    );
    ann.ask(set(json!({ "mode": "pureAudio", "streamId": "show" })))
        .await
        .unwrap();
    assert_eq!(urls_of_mix(&ann).await, [URL]);
    let [pushed] = <[_; 1]>::try_from(running(&ann).await).unwrap();
    assert_eq!(pushed.pushed().unwrap().0.as_str(), "show");
    tell(&ann, &pushed, PushState::Running, None, 1).await;
    assert_eq!(told(&mut ann).await, (MIX, CdnStreamState::Running, None));
    ann.ask(set(Value::Null)).await.unwrap();
    assert_eq!(told(&mut ann).await, (MIX, CdnStreamState::Ended, None));
    assert_eq!(running(&ann).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_mix_goes_on_when_its_push_ends_and_leaving_ends_the_push() {
    let mut ann = ann_with_a_mix().await;
    ann.ask(push(MIX, URL)).await.unwrap();
    ann.ask(Request::StopPublishCdnStream { source: MIX }).await.unwrap();
    assert_eq!(told(&mut ann).await, (MIX, CdnStreamState::Ended, None));
    assert_eq!(urls_of_mix(&ann).await, [""; 0]);
    ann.ask(push(MIX, URL)).await.unwrap();
    ann.ask(push(CAMERA, URL)).await.unwrap();
    assert_eq!(running(&ann).await.len(), 2, "one of each source");
    ann.ask(Request::ExitRoom {}).await.unwrap();
    assert_eq!(running(&ann).await, []);
    assert_eq!(
        urls_of_mix(&ann).await,
        [""; 0],
        "the mixing server ends the mix itself"
    );
}

#[tokio::test(start_paused = true)]
async fn a_push_of_a_mix_needs_a_mix_a_permission_and_a_public_address() {
    let mut ann = ann_with_a_mixing_server().await;
    publish(&mut ann, TrackSource::Audio).await;
    permit_pushes(&ann);
    assert_eq!(ann.ask(push(MIX, URL)).await, Err(ErrorCode::NotPublished));
    ann.ask(set(json!({ "mode": "pureAudio" }))).await.unwrap();
    let private = push(MIX, "rtmp://10.1.2.3/live/key");
    assert_eq!(ann.ask(private).await, Err(ErrorCode::BadPush));
    withdraw_pushes(&ann);
    assert_eq!(ann.ask(push(MIX, URL)).await, Err(ErrorCode::PushRefused));
    assert_eq!(urls_of_mix(&ann).await, [""; 0]);
}

fn withdraw_pushes(ann: &Connected) {
    ann.test
        .shared
        .replace_applications(vec![Application::new(room().app, "")]);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_told_that_the_application_permits_pushes_no_more() {
    let mut ann = ann_with_a_mix().await;
    let _upkeep = crate::api::media_tasks::keep(ann.test.shared.clone(), CancellationToken::new());
    for source in [CAMERA, MIX] {
        ann.ask(push(source, URL)).await.unwrap();
        assert_eq!(told(&mut ann).await, (source, CdnStreamState::Connecting, None));
    }
    withdraw_pushes(&ann);
    for _ in 0..2 {
        let (source, state, error) = told(&mut ann).await;
        assert!([CAMERA, MIX].contains(&source));
        assert_eq!(state, CdnStreamState::Ended);
        let error = error.unwrap();
        assert_eq!(error.kind, PushErrorKind::NotPermitted);
        assert!(error.message.contains("MembersMayPush"), "{}", error.message);
    }
    assert_eq!(running(&ann).await, []);
    assert_eq!(urls_of_mix(&ann).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_member_who_may_not_send_any_more_pushes_no_more_and_is_told_why() {
    let mut ann = ann_with_a_mix().await;
    for source in [CAMERA, MIX] {
        ann.ask(push(source, URL)).await.unwrap();
        assert_eq!(told(&mut ann).await, (source, CdnStreamState::Connecting, None));
    }
    let role = Role::Audience;
    ann.ask(Request::SwitchRole {
        role,
        private_map_key: None,
    })
    .await
    .unwrap();
    for source in [CAMERA, MIX] {
        let (told, state, error) = told(&mut ann).await;
        let error = error.unwrap();
        assert_eq!((told, state), (source, CdnStreamState::Ended));
        assert_eq!(error.kind, PushErrorKind::NotPermitted);
        assert!(error.message.contains("push again"), "{}", error.message);
    }
    assert_eq!(running(&ann).await, []);
}
