//! The cells that mixes keep for publishers who have lost their connection.

use rotunda_proto::ids::TrackSource;

use super::media::{ask, seats};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_publisher_who_logs_in_again_keeps_their_cell_in_mixes_and_loses_it_by_leaving() {
    let mut ann = ann_in_the_room().await;
    let (bob, source): (UserId, _) = ("bob".parse().unwrap(), TrackSource::Camera);
    ask(&mut ann, 2, Request::Publish { source, muted: false })
        .await
        .unwrap();
    let roster = async |test: &Test| {
        test.bus
            .load::<Roster>(&roster_key(&test.room))
            .await
            .unwrap()
            .unwrap()
            .0
    };
    let entered = roster(&ann).await.members[0].clone();
    // Bob stays, so that the room does not end.
    let other = log_in(&ann.shared, &bob).await;
    let (messages, attachment) = attach(&other).await;
    let mut bob = Test {
        shared: ann.shared.clone(),
        bus: ann.bus.clone(),
        member: other,
        room: ann.room.clone(),
        messages,
        attachment,
    };
    let enter = || Request::EnterRoom {
        room_id: room().room,
        role: rotunda_proto::signaling::Role::Anchor,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    ask(&mut bob, 1, enter()).await.unwrap();
    ask(&mut bob, 2, Request::Publish { source, muted: false })
        .await
        .unwrap();
    let cells = async |test: &Test| {
        let cells = seats(test).await.cells().into_iter();
        cells
            .map(|cell| (cell.user.to_string(), cell.camera.unwrap()))
            .collect::<Vec<_>>()
    };
    let (on, muted) = (TrackState::On, TrackState::Muted);
    let both = |ann| vec![("ann".to_owned(), ann), ("bob".to_owned(), on)];
    assert_eq!(cells(&bob).await, both(on));

    ann.member = log_in(&ann.shared, &"ann".parse().unwrap()).await;
    assert_eq!(cells(&bob).await, both(muted), "her cell waits for her");
    (ann.messages, ann.attachment) = attach(&ann.member).await;
    ask(&mut ann, 1, enter()).await.unwrap();
    let again = roster(&bob).await.members[0].clone();
    assert_eq!(
        (&again.user, again.entered_unix_ms),
        (&entered.user, entered.entered_unix_ms),
        "the same position in the order of entering"
    );
    assert_ne!(again.holder, entered.holder, "by another membership");
    ask(&mut ann, 2, Request::Publish { source, muted: false })
        .await
        .unwrap();
    assert_eq!(cells(&bob).await, both(on));
    assert_eq!(seats(&bob).await.kept, []);

    ann.member.send(ToMember::Kick(KickReason::Kick)).await.unwrap();
    ann.member.closed().await;
    assert_eq!(cells(&bob).await, both(muted));
    bob.pass(31).await;
    assert_eq!(
        cells(&bob).await,
        [("bob".to_owned(), on)],
        "as long as a member may resume"
    );

    ask(&mut bob, 3, Request::ExitRoom {}).await.unwrap();
    assert!(seats(&bob).await.is_empty());
}
