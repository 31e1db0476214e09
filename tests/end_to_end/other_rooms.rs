//! A mix with a member of another room: both are seen by their frame marks.

use crate::support::{Server, eventually, film, installed};

/// Both in a grid of two, whose cells have the shape of the cameras.
const BOTH: [Option<u8>; 2] = [Some(11), Some(22)];

/// Whether frames are there, and none shows the other room.
fn is_gone(frames: &[Vec<Option<u8>>]) -> bool {
    !frames.is_empty() && frames.iter().all(|marks| marks[1] != BOTH[1])
}

fn start_mix(server: &Server, more: &[&str]) {
    let start = ["mix", "start", "1001", "--stream-id", "both", "--size", "640x180"];
    let started = server.run(&[&start[..], more].concat());
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
}

/// The marks of a second of the live stream, frame by frame: of its left and of its right half.
fn live_marks(server: &Server) -> Vec<Vec<Option<u8>>> {
    film::live_marks(server, "both", 2, 1)
}

#[test]
fn members_of_two_rooms_are_in_one_mix() {
    if !installed("ffmpeg") {
        return;
    }
    let server = Server::start();
    let _ann = server.join(&[
        "1001", "--user", "ann", "--mark", "11", "--codec", "h264", "--fps", "15",
    ]);
    let other = server.join(&[
        "class", "--user", "bob", "--mark", "22", "--codec", "vp8", "--fps", "15",
    ]);
    eventually("both are in their rooms", 60, || {
        (server.metric("rotunda_signaling_members") == 2.0).then_some(())
    });
    start_mix(&server, &["--also", "class/bob", "--also", "2002/nobody"]);
    eventually("both are seen", 120, || {
        live_marks(&server).iter().any(|marks| *marks == BOTH).then_some(())
    });

    // The same mix without the other room, and with it again.
    start_mix(&server, &[]);
    eventually("the other room is gone", 120, || {
        is_gone(&live_marks(&server)).then_some(())
    });
    start_mix(&server, &["--also", "class/bob"]);
    eventually("both are seen again", 120, || {
        live_marks(&server).iter().any(|marks| *marks == BOTH).then_some(())
    });

    // The mix goes on when the other room has ended.
    other.leave();
    eventually("the other room is gone", 120, || {
        is_gone(&live_marks(&server)).then_some(())
    });
    assert!(server.run(&["mix", "stop", "1001"]).status.success());
    assert!(server.stop());
}
