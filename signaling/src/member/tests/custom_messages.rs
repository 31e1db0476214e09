//! Custom messages by signaling, for members with and without a data channel.

use rotunda_bus::Heard;
use rotunda_proto::custom_message::CustomMessage;
use rotunda_proto::sfu;
use rotunda_proto::signaling::MediaState;

use super::media::{connect_with, connected};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_member_without_a_data_channel_gets_each_custom_message_once_by_signaling() {
    let mut ann = connected().await;
    let says = |user: &str, count| sfu::Event::CustomMessage {
        message: CustomMessage::new(&user.parse().unwrap(), 3, count, b"hi"),
    };
    let told = |count| Event::CustomMessage {
        user_id: "bob".parse().unwrap(),
        cmd_id: 3,
        seq: count,
        data: "aGk=".into(),
    };
    ann.sfu_tells(says("bob", 1)).await;
    assert_eq!(ann.next_event().await, told(1));
    ann.sfu_tells(says("ann", 1)).await;
    ann.come_back().await;
    ann.sfu_tells(says("bob", 2)).await;
    assert_eq!(
        ann.next_event().await,
        told(2),
        "neither her own nor what was said before"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_with_a_data_channel_gets_no_custom_message_by_signaling() {
    let offer = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let mut ann = connect_with(ann_in_the_room().await, offer).await;
    let (session, user) = (ann.session, Some("ann".parse().unwrap()));
    ann.sfu_tells(sfu::Event::Connected { session, user }).await;
    let state = MediaState::Connected;
    assert_eq!(ann.next_event().await, Event::MediaState { state });
    let message = CustomMessage::new(&"bob".parse().unwrap(), 3, 1, b"hi");
    ann.sfu_tells(sfu::Event::CustomMessage { message }).await;
    advance(Duration::from_millis(500)).await;
    let lost = sfu::Event::Disconnected {
        session,
        user: None,
        reason: String::new(),
    };
    ann.sfu_tells(lost).await;
    assert!(matches!(ann.next_event().await, Event::NetworkQuality { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_custom_message_by_signaling_reaches_members_with_and_without_a_data_channel() {
    let mut ann = connected().await;
    let mut told = ann
        .test
        .bus
        .subscribe(&sfu::events_subject(&ann.test.room))
        .await
        .unwrap();
    let send = |cmd_id, data: &str| Request::SendCustomMessage {
        cmd_id,
        data: data.to_owned(),
    };
    assert_eq!(ann.ask(send(0, "")).await, Err(ErrorCode::BadCustomMessage));
    assert_eq!(
        ann.ask(send(1, &"A".repeat(2000))).await,
        Err(ErrorCode::CustomMessageTooLarge)
    );
    assert_eq!(ann.ask(send(7, "aGk=")).await, Ok(Reply::Done {}));
    let Heard::Message(heard) = told.next().await else {
        panic!("nothing is lost")
    };
    let event: sfu::Event = heard.parse().unwrap();
    let message = CustomMessage::new(&"ann".parse().unwrap(), 7, 1, b"hi");
    assert_eq!(sfu::Event::CustomMessage { message }, event);
    let mut refused = 0;
    for _ in 0..40 {
        refused += usize::from(ann.ask(send(7, "aGk=")).await == Err(ErrorCode::CustomMessageRate));
    }
    assert!(refused >= 10, "{refused}");
}
