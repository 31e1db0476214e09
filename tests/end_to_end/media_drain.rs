//! An SFU node that ends moves the media of its members and services to another node first.

use rotunda_bus::testing::NatsServer;
use serde_json::json;

use crate::support::cluster::{start, start_with};
use crate::support::eventually;
use crate::support::viewer::{sees, watch_ann};

const DRAINED: [(&str, &str); 1] = [("ROTUNDA__SERVER__DRAIN_SECONDS", "120")];

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
