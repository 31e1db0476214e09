//! Commands to the SFU and writes to the bus whose answers are lost.

use std::sync::atomic::Ordering;

use rotunda_proto::ids::TrackSource;
use tokio::time::timeout;

use super::media::{ask, connected, seats};
use super::*;
use crate::failing_bus::Fault;

#[tokio::test(start_paused = true)]
async fn a_command_without_an_answer_is_sent_again_also_if_nothing_else_happens() {
    let mut ann = connected().await;
    let bob: UserId = "bob".parse().unwrap();
    ann.is_joined_by(&bob, TrackSource::Camera).await;
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    let request = Request::RequestVideo {
        user_id: bob.clone(),
        source: TrackSource::Camera,
        max_height: None,
    };
    ann.ask(request).await.unwrap();
    ann.test.pass(1).await;
    while ann.slots.try_recv().is_ok() {}
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    let told = timeout(Duration::from_secs(30), ann.slots.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(told.video.iter().flatten().any(|want| want.user == bob));
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_unpublish_is_an_error_and_nobody_is_notified_before_it_is_confirmed() {
    let (source, muted) = (TrackSource::Camera, false);
    let mut ann = connected().await;
    ann.ask(Request::Publish { source, muted }).await.unwrap();
    assert_eq!(ann.last_ingress(), Some([source].into()));

    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    assert_eq!(
        ann.ask(Request::Unpublish { source }).await,
        Err(ErrorCode::NoMediaNode)
    );
    ann.test.pass(3).await;
    assert_eq!(
        seats(&ann.test).await.publishers.len(),
        1,
        "the camera may still be forwarded"
    );

    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    ann.test.pass(2).await;
    assert_eq!(
        ann.last_ingress(),
        Some([].into()),
        "told again without another request"
    );
    assert_eq!(seats(&ann.test).await.publishers, []);
    assert_eq!(ann.ask(Request::Unpublish { source }).await, Ok(Reply::Done {}));
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_publish_is_refused_and_undone() {
    let (source, muted) = (TrackSource::Camera, false);
    let mut ann = connected().await;
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    let refused = ann.ask(Request::Publish { source, muted }).await;
    assert_eq!(refused, Err(ErrorCode::NoMediaNode));
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    ann.test.pass(2).await;
    assert_eq!(ann.last_ingress(), Some([].into()), "the command may have arrived");
    assert_eq!(seats(&ann.test).await.publishers, []);
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_close_of_a_session_is_sent_again_after_its_member_has_left() {
    let mut ann = connected().await;
    ann.sfu_is_deaf.store(true, Ordering::Relaxed);
    ann.ask(Request::ExitRoom {}).await.unwrap();
    ann.test.pass(5).await;
    assert!(ann.closed.try_recv().is_err());
    ann.sfu_is_deaf.store(false, Ordering::Relaxed);
    ann.test.pass(2).await;
    assert_eq!(ann.closed.try_recv(), Ok(ann.session));
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_was_taken_without_an_answer_is_released() {
    let (source, muted) = (TrackSource::Camera, false);
    let mut ann = ann_in_the_room().await;
    ann.bus.set_fault(Some(Fault::LosesAnswers(".seats")));
    let refused = ask(&mut ann, 2, Request::Publish { source, muted }).await;
    assert_eq!(
        refused,
        Err(ErrorCode::TryLater),
        "the seat was written, and the answer was lost"
    );
    ann.bus.set_fault(None);
    ann.pass(2).await;
    assert_eq!(
        seats(&ann).await.publishers,
        [],
        "nobody waits for a camera that never comes"
    );
}
