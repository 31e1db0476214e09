//! The rights of a member, and how they change while the member is in the room.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rotunda_events::{Fact, What};
use rotunda_proto::ids::TrackSource;
use rotunda_proto::room::{Permissions, Seats, seats_key};
use rotunda_proto::signaling::Role;
use tokio_util::sync::CancellationToken;

use super::media::{Connected, connected};
use super::*;
use crate::permissions::{self, PermitError};
use crate::room::Passes;
use crate::room_documents::Refused;

const EVERYTHING: [TrackSource; 3] = TrackSource::ALL;

fn only(send: &[TrackSource], receive: &[TrackSource]) -> Rights {
    Rights::of(&Permissions {
        send: send.iter().copied().collect(),
        receive: receive.iter().copied().collect(),
    })
}

/// By their bits.
fn rights(bits: u32) -> Rights {
    serde_json::from_value(bits.into()).unwrap()
}

async fn permit(test: &Test, user: &str, rights: Rights) -> Result<(), PermitError> {
    permissions::permit(&test.shared, test.room.clone(), user.parse().unwrap(), rights).await
}

async fn ann_who_can_be_reached() -> Connected {
    let ann = connected().await;
    crate::member_commands::serve(ann.test.shared.clone(), CancellationToken::new())
        .await
        .unwrap();
    ann
}

/// The next permissions that the client gets.
async fn told(ann: &mut Connected) -> (BTreeSet<TrackSource>, BTreeSet<TrackSource>) {
    loop {
        if let ServerMessage::Event(Event::Permissions { send, receive, .. }) = ann.test.messages.recv().await.unwrap()
        {
            return (send, receive);
        }
    }
}

async fn published(test: &Test) -> Option<Seats> {
    let seats = test.bus.load(&seats_key(&test.room)).await.unwrap();
    seats.map(|(seats, _)| seats)
}

fn publish(source: TrackSource) -> Request {
    Request::Publish { source, muted: false }
}

#[tokio::test(start_paused = true)]
async fn a_switch_to_audience_is_answered_after_ingress_has_ended_and_an_anchor_may_publish_again() {
    let mut ann = connected().await;
    let source = TrackSource::Camera;
    let publish = Request::Publish { source, muted: false };
    let become_one = |role| Request::SwitchRole {
        role,
        private_map_key: None,
    };
    ann.ask(publish.clone()).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([source].into()));

    ann.ask(become_one(Role::Audience)).await.unwrap();
    assert_eq!(ann.last_ingress(), Some(BTreeSet::new()));
    assert_eq!(ann.ask(publish.clone()).await, Err(ErrorCode::NotPermitted));
    assert_eq!(ann.last_ingress(), None);

    ann.ask(become_one(Role::Anchor)).await.unwrap();
    ann.ask(publish).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([source].into()));
}

/// Paused time would run past the database's timeouts.
#[tokio::test]
async fn only_another_role_is_told() {
    let mut ann = connected().await;
    ann.test.shared.store.make_tables().await.unwrap();
    let telling = ann.test.shared.facts.start();
    for role in [Role::Anchor, Role::Audience, Role::Audience, Role::Anchor] {
        let private_map_key = None;
        ann.ask(Request::SwitchRole { role, private_map_key }).await.unwrap();
    }
    telling.finish().await;

    let stream = ann.test.shared.facts.stream();
    let incarnation = stream.incarnation().await.unwrap();
    let roles: Vec<Role> = stream
        .read(&incarnation, 0, 100)
        .await
        .unwrap()
        .iter()
        .filter_map(|event| match serde_json::from_str::<Fact>(&event.body).unwrap().what {
            What::RoleChanged { role, .. } => Some(role),
            _ => None,
        })
        .collect();
    assert_eq!(roles, [Role::Audience, Role::Anchor]);
}

#[tokio::test(start_paused = true)]
async fn a_ban_by_the_api_is_answered_after_ingress_has_ended() {
    let (audio, camera) = (TrackSource::Audio, TrackSource::Camera);
    let mut ann = ann_who_can_be_reached().await;
    ann.ask(publish(audio)).await.unwrap();
    ann.ask(publish(camera)).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([audio, camera].into()));

    permit(&ann.test, "ann", only(&[audio], &EVERYTHING)).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([audio].into()));
    let seats = published(&ann.test).await.unwrap();
    assert_eq!(seats.publishers[0].camera, None, "others are told");
    assert!(seats.publishers[0].audio.is_some());
    assert_eq!(told(&mut ann).await, ([audio].into(), EVERYTHING.into()));
    assert_eq!(ann.ask(publish(camera)).await, Err(ErrorCode::NotPermitted));

    permit(&ann.test, "ann", only(&EVERYTHING, &EVERYTHING)).await.unwrap();
    assert_eq!(told(&mut ann).await, (EVERYTHING.into(), EVERYTHING.into()));
    ann.ask(publish(camera)).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([audio, camera].into()));
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_change_of_rights_is_an_error_and_is_sent_again() {
    let mut ann = ann_who_can_be_reached().await;
    ann.ask(publish(TrackSource::Camera)).await.unwrap();
    ann.last_ingress();
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    let nothing = only(&[], &EVERYTHING);
    let refused = permit(&ann.test, "ann", nothing).await;
    assert!(matches!(refused, Err(PermitError::Failed)), "{refused:?}");
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    permit(&ann.test, "ann", nothing).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([].into()));
}

#[tokio::test(start_paused = true)]
async fn a_ban_on_watching_is_answered_after_the_slots_are_empty_and_they_return_with_the_right() {
    let (bob, camera): (UserId, _) = ("bob".parse().unwrap(), TrackSource::Camera);
    let mut ann = ann_who_can_be_reached().await;
    ann.is_joined_by(&bob, camera).await;
    let watch = Request::RequestVideo {
        user_id: bob.clone(),
        source: camera,
        max_height: None,
    };
    ann.ask(watch.clone()).await.unwrap();
    ann.ask(Request::GetStats {}).await.unwrap();
    let shows_bob = |ann: &mut Connected| {
        let shown = ann.shown().expect("the SFU is told");
        shown.video.iter().flatten().any(|want| want.user == bob)
    };
    assert!(shows_bob(&mut ann));
    let audio_alone = only(&[], &[TrackSource::Audio]);
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    let unheard = permit(&ann.test, "ann", audio_alone).await;
    assert!(matches!(unheard, Err(PermitError::Failed)), "{unheard:?}");
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    permit(&ann.test, "ann", audio_alone).await.unwrap();
    assert!(!shows_bob(&mut ann));
    assert_eq!(ann.ask(watch).await, Err(ErrorCode::NotPermitted));
    permit(&ann.test, "ann", only(&[], &EVERYTHING)).await.unwrap();
    assert!(shows_bob(&mut ann));
}

#[tokio::test(start_paused = true)]
async fn a_role_does_not_override_the_rights_of_the_server_api() {
    let mut ann = ann_who_can_be_reached().await;
    permit(&ann.test, "ann", only(&[TrackSource::Audio], &EVERYTHING))
        .await
        .unwrap();
    for role in [Role::Audience, Role::Anchor] {
        // The application requires no tickets, so any ticket has all rights.
        let private_map_key = Some("ticket".to_owned());
        ann.ask(Request::SwitchRole { role, private_map_key }).await.unwrap();
    }
    assert_eq!(
        ann.ask(publish(TrackSource::Camera)).await,
        Err(ErrorCode::NotPermitted)
    );
    ann.ask(publish(TrackSource::Audio)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_user_outside_the_room_gets_no_rights() {
    let mut ann = ann_who_can_be_reached().await;
    let all = only(&EVERYTHING, &EVERYTHING);
    assert!(matches!(
        permit(&ann.test, "bob", all).await,
        Err(PermitError::NoSuchMember)
    ));
    ann.test.room.room = serde_json::from_str("1002").unwrap();
    assert!(matches!(
        permit(&ann.test, "ann", all).await,
        Err(PermitError::NoSuchRoom)
    ));
}

#[tokio::test(start_paused = true)]
async fn only_a_user_who_may_create_a_room_is_its_first_member() {
    const ENTER: u32 = 2;
    const CREATE: u32 = 1;
    let test = ann_in_the_room().await;
    let enter = async |room: &str, user: &str, bits| {
        let room = RoomKey {
            app: test.room.app,
            room: serde_json::from_str(room).unwrap(),
        };
        Membership::enter(
            &test.shared,
            room,
            user.parse().unwrap(),
            Role::Anchor,
            rights(bits),
            Passes::Never,
        )
        .await
    };
    assert!(matches!(
        enter("1002", "bob", ENTER).await,
        Err(Refused::Code(ErrorCode::NotPermitted))
    ));
    assert!(enter("1001", "bob", ENTER).await.is_ok(), "ann has made this one");
    assert!(enter("1002", "cat", CREATE | ENTER).await.is_ok());
}
