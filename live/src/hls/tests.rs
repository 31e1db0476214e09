use std::collections::BTreeSet;

use rotunda_media::codec::ForceKey;
use rotunda_media::program::ProgramHub;

use super::hls_part_rules::part_violations;
use super::hls_rules::{read, violations};
use super::program::{FPS, TestProgram};
use super::window::rfc3339;
use super::*;

const NOON: Duration = Duration::from_secs(1_581_826_332);

/// Every playlist that a player could have seen while this program ran.
async fn watch_program(
    window: Window,
    frames: Vec<std::sync::Arc<rotunda_media::program::Frame>>,
) -> (Window, Vec<String>) {
    let hub = ProgramHub::new();
    let id = "1/s".parse().unwrap();
    let writer = hub.open(&id).unwrap();
    let reader = hub.subscribe(&id).unwrap();
    let (sender, mut receiver) = watch::channel(window);
    let segmenter = tokio::spawn(async move { segment(reader, &sender, || true, CancellationToken::new()).await });
    let mut seen = Vec::new();
    for frame in frames {
        writer.write(frame);
        tokio::task::yield_now().await;
        if receiver.has_changed().unwrap_or(false) {
            seen.push(receiver.borrow_and_update().playlist("s"));
        }
    }
    drop(writer);
    segmenter.await.unwrap();
    let window = receiver.borrow().clone();
    seen.push(window.playlist("s"));
    (window, seen)
}

fn check(playlists: &[String]) {
    assert!(playlists.len() > 5, "only {} playlists", playlists.len());
    for (at, playlist) in playlists.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| playlists[at].as_str());
        let mut found = violations(before, playlist);
        found.extend(part_violations(before, playlist));
        assert!(found.is_empty(), "{found:#?}\nin\n{playlist}");
    }
}

#[tokio::test]
async fn every_playlist_of_a_stream_obeys_the_rfc() {
    let (_, playlists) = watch_program(Window::new(2, 3, Latency::Low, NOON), TestProgram::new().run(60.0, 1.0)).await;
    assert!(playlists.len() > 20);
    check(&playlists);
    let last = read(playlists.last().unwrap());
    assert!(last.ended && last.media_sequence > NOON.as_secs());
}

#[tokio::test]
async fn keyframes_at_scene_cuts_obey_the_rfc() {
    let mut program = TestProgram::new();
    let cuts = [
        0,
        27,
        27 + 75,
        27 + 150,
        27 + 160,
        27 + 235,
        27 + 310,
        27 + 385,
        27 + 460,
    ];
    let frames = (0..40 * FPS)
        .flat_map(|tick| {
            program.tick(if cuts.contains(&tick) {
                ForceKey::Yes
            } else {
                ForceKey::No
            })
        })
        .collect();
    let (_, playlists) = watch_program(Window::new(2, 3, Latency::Low, NOON), frames).await;
    check(&playlists);
}

#[tokio::test]
async fn another_size_in_the_middle_obeys_the_rfc() {
    let mut program = TestProgram::new();
    let mut frames = program.run(21.0, 1.0);
    program.resize(96, 64);
    frames.extend(program.run(30.0, 1.0));
    let (_, playlists) = watch_program(Window::new(2, 3, Latency::Low, NOON), frames).await;
    check(&playlists);
    assert!(
        playlists
            .iter()
            .any(|playlist| playlist.contains("#EXT-X-DISCONTINUITY\n"))
    );
    assert_eq!(read(playlists.last().unwrap()).discontinuity_sequence, 1);
}

#[tokio::test]
async fn a_second_program_of_the_same_stream_continues_where_the_first_ended() {
    let (first, mut playlists) =
        watch_program(Window::new(2, 3, Latency::Low, NOON), TestProgram::new().run(7.0, 1.0)).await;
    let of_first = playlists.len();
    let mut other = TestProgram::new();
    other.resize(96, 64);
    let (_, second) = watch_program(first.resumed(), other.run(40.0, 1.0)).await;
    playlists.extend(second);
    check(&playlists);
    let inits = |playlists: &[String]| {
        let segments = playlists.iter().flat_map(|playlist| read(playlist).segments);
        segments.map(|one| one.map.unwrap()).collect::<BTreeSet<_>>()
    };
    let (before, after) = playlists.split_at(of_first);
    assert_eq!(inits(before).len(), 1);
    assert!(inits(after).is_superset(&inits(before)), "the window goes on");
    assert_eq!(inits(after).len(), 2, "another init segment has another name");
}

#[tokio::test]
async fn a_program_after_a_restart_reuses_no_name() {
    let (_, before) = watch_program(Window::new(2, 3, Latency::Low, NOON), TestProgram::new().run(30.0, 1.0)).await;
    let later = NOON + Duration::from_secs(31);
    let (_, after) = watch_program(
        Window::new(2, 3, Latency::Low, later),
        TestProgram::new().run(30.0, 1.0),
    )
    .await;
    let last = before
        .iter()
        .flat_map(|playlist| read(playlist).segments)
        .map(|segment| segment.uri)
        .max()
        .unwrap();
    let first = after
        .iter()
        .flat_map(|playlist| read(playlist).segments)
        .map(|segment| segment.uri)
        .min()
        .unwrap();
    assert!(last < first, "{last}, then {first}");
}

#[tokio::test]
async fn every_segment_of_the_window_is_available_with_its_init_segment() {
    let (window, playlists) =
        watch_program(Window::new(2, 3, Latency::Low, NOON), TestProgram::new().run(30.0, 1.0)).await;
    let listed = read(playlists.last().unwrap()).segments;
    assert!(listed.len() >= 3, "{} segments", listed.len());
    for listed in listed {
        let number = |uri: &str, before: &str, after: &str| {
            let name = uri.strip_prefix("s/").unwrap();
            name.strip_prefix(before)
                .unwrap()
                .strip_suffix(after)
                .unwrap()
                .parse()
                .unwrap()
        };
        assert!(window.segment(number(&listed.uri, "", ".m4s")).is_some());
        assert!(window.init(number(&listed.map.unwrap(), "init-", ".mp4")).is_some());
    }
}

#[test]
fn times_are_in_utc() {
    assert_eq!(
        rfc3339(Duration::from_millis(1_581_826_332_005)),
        "2020-02-16T04:12:12.005Z"
    );
    assert_eq!(rfc3339(Duration::ZERO), "1970-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn segments_that_nobody_wants_are_not_made_and_later_ones_have_other_numbers() {
    let (hub, id) = (ProgramHub::new(), "1/s".parse().unwrap());
    let writer = hub.open(&id).unwrap();
    let (window, receiver) = watch::channel(Window::new(2, 3, Latency::Low, NOON));
    let mut source = TestProgram::new();
    for round in 0..2 {
        let reader = hub.subscribe(&id).unwrap();
        let made = segment(reader, &window, || false, CancellationToken::new());
        let frames = async {
            for frame in source.run(5.0, 1.0) {
                writer.write(frame);
                tokio::task::yield_now().await;
            }
        };
        let (made, ()) = tokio::join!(made, frames);
        assert_eq!(made, Segmented::Idle);
        let window = receiver.borrow();
        assert!(window.is_empty());
        assert_eq!(read(&window.playlist("s")).media_sequence, NOON.as_secs() + round + 1);
    }
}
