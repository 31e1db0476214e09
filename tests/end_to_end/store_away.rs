//! The database is away for a minute while members talk and a mix is recorded; for longer with `ROTUNDA_OUTAGE_SECONDS`.

use std::time::Duration;

use crate::support::receiver::{application, receiver};
use crate::support::{Server, eventually, outage};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, RoomKey};
use rotunda_store::CallbackState;
use rotunda_store::testing::PostgresServer;

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The recorder offers a file again after 10 s, so a callback that is sent twice comes within this time.
const TWICE_WITHIN: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn media_goes_on_while_the_database_is_away_and_everything_is_written_once_afterwards() {
    let Some(mut postgres) = PostgresServer::start() else {
        return;
    };
    postgres.store().await.close().await;
    let (url, calls) = receiver();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("rotunda.toml");
    std::fs::write(&config, application(&url)).unwrap();
    let server = Server::start_with(&[
        ("ROTUNDA_CONFIG", &config.display().to_string()),
        ("ROTUNDA__SERVER__DATABASE", &postgres.url()),
    ]);
    let ann = server.join(&["1001", "--user", "ann", "--fps", "15"]);
    let bob = server.join(&["1001", "--user", "bob", "--fps", "15"]);
    server.record_mix();
    eventually("a few seconds of it", 30, || {
        server.get("/live/s1.m3u8").contains("#EXTINF").then_some(())
    });
    assert_eq!(server.request("/readyz", &[]).0, 200);

    let started = calls
        .recv_timeout(Duration::from_secs(30))
        .expect("the stream has started");
    assert_eq!(started["event_type"], 1);
    postgres.stop();
    let away_since = Clock.now();
    eventually("the server says so", 30, || {
        (server.request("/readyz", &[]).0 == 503).then_some(())
    });
    let key = "authorization: Bearer AKIDtest:s";
    let (status, body) = server.request("/recordings", &[key]);
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("catalogue_away"), "{body}");
    // One member leaves, another one enters, and the recorded mix ends meanwhile.
    bob.leave();
    let cat = server.join(&["1001", "--user", "cat", "--fps", "15"]);
    let playing = server.get("/live/s1.m3u8");
    while Clock.now() < away_since + outage() / 2 {
        goes_on(&server).await;
    }
    assert_ne!(playing, server.get("/live/s1.m3u8"), "the mix goes on");
    assert!(server.run(&["mix", "stop", "1001"]).status.success());
    while Clock.now() < away_since + outage() {
        goes_on(&server).await;
    }
    assert!(
        calls.try_recv().is_err(),
        "no callback can come from a database that is away"
    );
    eprintln!("the database was away for {:?}", Clock.now() - away_since);
    postgres.resume();

    let mut formats: Vec<String> = Vec::new();
    let mut is_stopped = false;
    while formats.len() < 2 || !is_stopped {
        let call = calls.recv_timeout(Duration::from_secs(90)).expect("the callbacks come");
        if call["event_type"] == 0 {
            assert!(!is_stopped, "the stop is told once");
            is_stopped = true;
            continue;
        }
        assert_eq!(call["event_type"], 100);
        formats.push(call["file_format"].as_str().unwrap().to_owned());
    }
    formats.sort();
    assert_eq!(formats, ["hls", "mp4"]);
    assert!(calls.recv_timeout(TWICE_WITHIN).is_err(), "a callback came twice");
    cat.leave();
    ann.leave();
    let store = postgres.store().await;
    let room = RoomKey {
        app: 1_400_000_777.try_into().unwrap(),
        room: RoomId::Number(1001.try_into().unwrap()),
    };
    // What nobody has read from the stream of facts at the end, the next process reads.
    let deadline = Clock.now() + Duration::from_secs(30);
    loop {
        let journal = store.journal(room.app, &room.token(), 0, 1000).await.unwrap();
        if journal.iter().filter(|row| row.entry.kind == "left").count() >= 3 {
            break;
        }
        assert!(Clock.now() < deadline, "the journal does not say that all have left");
        Clock.sleep_until(Clock.now() + LOOK_EVERY).await;
    }
    assert!(server.stop());
    let journal = store.journal(room.app, &room.token(), 0, 1000).await.unwrap();
    let count = |kind: &str, of: &str| {
        let is_it = |body: &str| of.is_empty() || body.contains(&format!("\"user\":\"{of}\""));
        journal
            .iter()
            .filter(|row| row.entry.kind == kind && is_it(&row.entry.body))
            .count()
    };
    for user in ["bob", "cat"] {
        assert_eq!(
            (count("entered", user), count("left", user)),
            (1, 1),
            "{user}: {journal:?}"
        );
    }
    for kind in [
        "room_made",
        "mix_begun",
        "mix_ended",
        "recording_begun",
        "recording_ended",
        "live_begun",
        "live_ended",
    ] {
        assert_eq!(count(kind, ""), 1, "{kind}: {journal:?}");
    }
    assert_eq!(count("file_ready", ""), 2);
    assert_eq!(store.count_callbacks(CallbackState::Delivered).await.unwrap(), 4);
    let usage = store.usage(room.app, "2000-01-01", "2999-12-31").await.unwrap();
    let amount = |class: &str| {
        usage
            .iter()
            .filter(|row| row.class == class)
            .map(|row| row.amount)
            .sum::<i64>()
    };
    assert!(amount("mix_ms") > 20_000 && amount("anchor_ms") > 60_000, "{usage:?}");
    assert!(amount("members_peak") >= 2, "{usage:?}");
}

async fn goes_on(server: &Server) {
    let forwarded = || server.metric("rotunda_sfu_packets_forwarded_total");
    let before = forwarded();
    Clock.sleep_until(Clock.now() + LOOK_EVERY).await;
    let more = forwarded() - before;
    assert!(
        more > 50.0,
        "media goes on while the database is away: {more} packets in {LOOK_EVERY:?}"
    );
}
