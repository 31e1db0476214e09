//! What the operator has set for clients' video.

use rotunda_proto::signaling::Role;
use rotunda_proto::stream_profile::StreamProfile;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_member_who_enters_learns_the_profiles_that_the_application_has_now() {
    let (shared, _bus) = node_for(Microphones::default()).await;
    let application = shared.applications().by_id(room().app).unwrap().clone();
    let profile = StreamProfile {
        role: Some(Role::Anchor),
        height: Some(360),
        ..StreamProfile::default()
    };
    shared.replace_applications(vec![Application {
        stream_profiles: vec![profile.clone()],
        ..application
    }]);
    let member = log_in(&shared, &"ann".parse().unwrap()).await;
    let (mut messages, number) = attach(&member).await;
    let request = Request::EnterRoom {
        room_id: room().room,
        role: Role::Anchor,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    let request = ToMember::Request {
        number,
        id: 1,
        request: Box::new(request),
    };
    member.send(request).await.unwrap();
    let Some(ServerMessage::Ok {
        reply: Reply::Entered { stream_profiles, .. },
        ..
    }) = messages.recv().await
    else {
        panic!("entered")
    };
    assert_eq!(stream_profiles, [profile]);
}
