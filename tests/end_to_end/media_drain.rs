//! An SFU node that ends moves the media of its members and services to another node first.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rotunda_bus::testing::NatsServer;
use rotunda_client::{Entry, Member, Received, Slot};
use rotunda_media::codec::{VideoCodec, VideoDecoder};
use rotunda_media::mark;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use serde_json::json;

use crate::support::cluster::{app, start, start_with, user_sig};
use crate::support::{Server, eventually};

const DRAINED: [(&str, &str); 1] = [("ROTUNDA__SERVER__DRAIN_SECONDS", "120")];

/// The marks of the frames that a viewer has seen, and the longest time between two of them.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    frames: usize,
    /// Frames that are older than one before them.
    backwards: usize,
    newest: Option<(u16, Instant)>,
    longest_pause: Duration,
}

impl Seen {
    fn handle_mark(&mut self, count: u16, now: Instant) {
        if let Some((before, at)) = self.newest {
            self.longest_pause = self.longest_pause.max(now - at);
            self.backwards += usize::from(count.wrapping_sub(before) > 1 << 15);
        }
        self.frames += 1;
        self.newest = Some((count, now));
    }
}

/// Enters the room by a signaling node, and watches ann as long as the returned task runs.
async fn watch_ann(signaling: &Server, user: &str) -> (Arc<Mutex<Seen>>, tokio::task::JoinHandle<String>) {
    let entry = Entry {
        url: format!("ws://127.0.0.1:{}/ws", signaling.http),
        app: u32::try_from(app(signaling)).unwrap().try_into().unwrap(),
        user: user.parse().unwrap(),
        user_sig: user_sig(signaling, user),
        room: "1001".parse().unwrap(),
        private_map_key: None,
        record_id: None,
        stream_id: None,
    };
    let mut member = Member::enter(entry).await.unwrap();
    member.watch("ann".parse().unwrap(), TrackSource::Camera).await.unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let tell = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let mut decoder = VideoDecoder::new(VideoCodec::H264).unwrap();
        loop {
            let frame = match member.next().await {
                Ok(Received::Frame {
                    slot: Slot::Video(_),
                    frame,
                }) => frame,
                Ok(_) => continue,
                Err(error) => return format!("{error:?}"),
            };
            let Ok(Some(picture)) = decoder.decode(&frame.data) else {
                continue;
            };
            if let Some(mark) = mark::read(picture.y(), picture.width(), picture.rect()) {
                assert_eq!(mark.id, 3, "it is ann's");
                tell.lock().unwrap().handle_mark(mark.count, Clock.now());
            }
        }
    });
    (seen, task)
}

/// Waits until a viewer has seen so many more frames.
fn sees(what: &str, seen: &Mutex<Seen>, frames: usize) {
    let before = seen.lock().unwrap().frames;
    eventually(what, 60, || {
        (seen.lock().unwrap().frames >= before + frames).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn media_and_a_recording_go_on_at_another_node() {
    let Some(nats) = NatsServer::start() else { return };
    let mut one = start_with("sfu-1", "sfu", &nats, None, &DRAINED);
    let signaling = start("signaling-1", "signaling", &nats, Some(&one));
    let recorder = start("recorder-1", "recorder", &nats, Some(&one));
    let ann = signaling.join(&["1001", "--user", "ann", "--mark", "3", "--record-id", "own"]);
    eventually("ann's media and the recorder are there", 60, || {
        (one.metric("rotunda_sfu_sessions") == 2.0).then_some(())
    });
    let (bob, watching) = watch_ann(&signaling, "bob").await;
    sees("bob sees ann", &bob, 60);
    eventually("ann is being recorded", 60, || {
        (recorder.metric("rotunda_recorder_recordings") >= 1.0).then_some(())
    });
    let two = start("sfu-2", "sfu", &nats, Some(&one));

    one.terminate();
    let ended = eventually("the node ends by itself", 110, || one.ended());
    assert!(ended.success());
    assert_eq!(two.metric("rotunda_sfu_sessions"), 3.0, "everybody is there");
    sees("bob sees ann from the other node", &bob, 60);
    let seen = *bob.lock().unwrap();
    eprintln!("the longest pause between two frames: {:?}", seen.longest_pause);
    assert!(seen.backwards <= 1, "bob's new session begins at the newest keyframe");
    assert!(!watching.is_finished(), "bob has not lost his media");
    watching.abort();
    let log = one.log();
    assert!(
        log.contains("evacuation: sessions moved node=sfu-2 sessions=3 paused=0"),
        "{log}"
    );
    assert!(log.contains("evacuation: no session is left"), "{log}");

    ann.leave();
    let recordings = eventually("the recording is finished", 110, || {
        let recordings = recorder.recordings();
        let is_ready = |file: &serde_json::Value| file["state"] == "ready";
        (!recordings.is_empty() && recordings.iter().all(is_ready)).then_some(recordings)
    });
    let films = recordings.iter().filter(|file| file["format"] == "mp4");
    assert_eq!(films.count(), 1, "one film: {recordings:?}");
    assert!(
        recordings.iter().all(|file| file["gaps"].is_null()),
        "nothing is missing in it: {recordings:?}"
    );
    assert_eq!(recorder.metric("rotunda_recorder_gaps_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_api_drains_goes_on_without_sessions_and_takes_them_again() {
    let Some(nats) = NatsServer::start() else { return };
    let one = start("sfu-1", "sfu", &nats, None);
    let signaling = start("signaling-1", "signaling", &nats, Some(&one));
    let alone = signaling.call("DrainNode", &json!({ "Node": "sfu-1" }));
    assert_eq!(alone.1["error"]["code"], "FailedOperation.NoOtherNode", "{alone:?}");
    let ann = signaling.join(&["1001", "--user", "ann", "--mark", "3"]);
    let (bob, watching) = watch_ann(&signaling, "bob").await;
    sees("bob sees ann", &bob, 30);
    let two = start("sfu-2", "sfu", &nats, Some(&one));
    let nodes = || {
        let (_, listed) = signaling.call("ListNodes", &json!({}));
        let nodes = listed["SfuNodes"].as_array().cloned().unwrap_or_default();
        nodes
            .into_iter()
            .map(|node| {
                (
                    node["IsDraining"] == true,
                    node["Sessions"].as_u64().unwrap_or_default(),
                )
            })
            .collect::<Vec<_>>()
    };
    eventually("both nodes are listed", 60, || (nodes().len() == 2).then_some(()));
    let (status, answer) = signaling.call("DrainNode", &json!({ "Node": "sfu-1", "Seconds": 60 }));
    assert_eq!(status, 200, "{answer}");
    eventually("everybody is at the other node", 60, || {
        (nodes() == [(true, 0), (false, 2)]).then_some(())
    });
    sees("bob sees ann from there", &bob, 30);
    assert!(!watching.is_finished(), "bob has not lost his media");
    assert_eq!(two.metric("rotunda_sfu_sessions"), 2.0);
    let (status, answer) = signaling.call("ResumeNode", &json!({ "Node": "sfu-1" }));
    assert_eq!(status, 200, "{answer}");
    eventually("it takes sessions again", 60, || (!nodes()[0].0).then_some(()));
    watching.abort();
    ann.leave();
}

#[test]
fn a_node_without_another_one_ends_at_once() {
    let Some(nats) = NatsServer::start() else { return };
    let mut one = start_with(
        "sfu-1",
        "sfu",
        &nats,
        None,
        &[("ROTUNDA__SERVER__DRAIN_SECONDS", "3000")],
    );
    one.terminate();
    assert!(eventually("it ends", 60, || one.ended()).success());
    assert!(one.log().contains("no other node takes sessions"));
}
