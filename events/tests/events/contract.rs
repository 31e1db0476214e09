use std::time::Duration;

use rotunda_events::{EventStream, Incarnation};
use rotunda_proto::clock::Clock;
use rotunda_store::StreamedEvent;

use crate::{Place, event};

macro_rules! on_every_stream {
    ($($name:ident),* $(,)?) => {
        mod table_on_sqlite { $(
            #[tokio::test]
            async fn $name() { super::$name(crate::Place::sqlite().await).await }
        )* }
        mod table_on_postgres { $(
            #[tokio::test]
            async fn $name() {
                if let Some(place) = crate::Place::postgres().await {
                    super::$name(place).await
                }
            }
        )* }
        mod jetstream { $(
            #[tokio::test]
            async fn $name() {
                if let Some(place) = crate::Place::jetstream().await {
                    super::$name(place).await
                }
            }
        )* }
    };
}

on_every_stream!(
    events_are_read_in_the_order_in_which_they_were_appended,
    an_event_that_is_appended_again_is_in_the_stream_once,
    released_events_are_gone_and_numbers_are_not_used_again,
);

async fn all(stream: &dyn EventStream, of: &Incarnation) -> Vec<StreamedEvent> {
    let mut read: Vec<StreamedEvent> = Vec::new();
    loop {
        let after = read.last().map_or(0, |event| event.sequence);
        let next = stream.read(of, after, 7).await.unwrap();
        assert!(next.len() <= 7);
        if next.is_empty() {
            return read;
        }
        read.extend(next);
    }
}

fn bodies(events: &[StreamedEvent]) -> Vec<&str> {
    events.iter().map(|event| event.body.as_str()).collect()
}

async fn events_are_read_in_the_order_in_which_they_were_appended(place: Place) {
    let writers = (0..6).map(|writer| {
        let stream = place.stream.clone();
        tokio::spawn(async move {
            for number in 0..5 {
                let events = [
                    event(format!("{writer}.{number}.a")),
                    event(format!("{writer}.{number}.b")),
                ];
                stream.append(&events).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let of = place.stream.incarnation().await.unwrap();
    let read = all(&*place.stream, &of).await;
    assert_eq!(read.len(), 60);
    assert!(read.is_sorted_by(|one, next| one.sequence < next.sequence));
    for writer in 0..6 {
        let own = format!("{writer}.");
        let of_writer = bodies(&read).into_iter().filter(|body| body.starts_with(&own));
        assert!(of_writer.is_sorted());
    }
}

async fn an_event_that_is_appended_again_is_in_the_stream_once(place: Place) {
    place.stream.append(&[event("a"), event("b")]).await.unwrap();
    place
        .stream
        .append(&[event("b"), event("c"), event("a")])
        .await
        .unwrap();
    place.stream.append(&[]).await.unwrap();
    let of = place.stream.incarnation().await.unwrap();
    assert_eq!(bodies(&all(&*place.stream, &of).await), ["a", "b", "c"]);
}

async fn released_events_are_gone_and_numbers_are_not_used_again(place: Place) {
    let events: Vec<_> = (0..5).map(|number| event(format!("{number}"))).collect();
    place.stream.append(&events).await.unwrap();
    let of = place.stream.incarnation().await.unwrap();
    let read = all(&*place.stream, &of).await;
    place.stream.release(&of, read[2].sequence).await.unwrap();
    assert_eq!(bodies(&all(&*place.stream, &of).await), ["3", "4"]);
    place.stream.release(&of, read[4].sequence).await.unwrap();
    place.stream.release(&of, read[4].sequence).await.unwrap();
    assert_eq!(all(&*place.stream, &of).await, []);
    place.stream.append(&[event("next")]).await.unwrap();
    let next = all(&*place.stream, &of).await;
    assert_eq!(bodies(&next), ["next"]);
    assert!(next[0].sequence > read[4].sequence);
}

/// The numbers of a server that has lost its data begin again: nobody may take them for those of before.
#[tokio::test]
async fn a_jetstream_that_has_lost_its_data_is_another_stream() {
    let Some(mut place) = Place::jetstream().await else {
        return;
    };
    place.stream.append(&[event("a"), event("b")]).await.unwrap();
    let before = place.stream.incarnation().await.unwrap();
    let server = place.nats.as_mut().unwrap();
    server.stop();
    assert!(place.stream.append(&[event("c")]).await.is_err());
    server.wipe_and_resume();
    // While the client connects again, and until the stream is made again, appending fails.
    let deadline = Clock.now() + Duration::from_secs(20);
    while let Err(error) = place.stream.append(&[event("c")]).await {
        assert!(Clock.now() < deadline, "{error:?}");
        Clock.sleep_until(Clock.now() + Duration::from_millis(50)).await;
    }
    let after = place.stream.incarnation().await.unwrap();
    assert_ne!(before, after);
    assert!(place.stream.read(&before, 0, 10).await.is_err());
    assert!(place.stream.release(&before, 1).await.is_err());
    assert_eq!(bodies(&all(&*place.stream, &after).await), ["c"]);
}
