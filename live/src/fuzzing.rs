//! Entry points for fuzzing: each parser of network input of this crate, by name. Compiled for tests, which replay
//! the saved inputs, and with the feature `fuzzing`.

use std::time::Duration;

use rotunda_proto::config::Secret;

use crate::hls_http;
use crate::ingest;
use crate::play_secret;
use crate::rtmp_session;
use crate::service;
use crate::whep;

/// Accepts any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("live_rtmp", rtmp),
    ("live_path", path),
    ("live_ingest", ingest::fuzz),
    ("live_pull", ingest::pull::fuzz),
    ("live_whep", whep::fuzz),
];

/// The bytes of an RTMP player or publisher: the first byte says whether the target adds a handshake.
fn rtmp(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    if first & 1 == 0 {
        rtmp_session::fuzz(rest);
        return;
    }
    // C0 and C1 of the simple handshake, and a C2 of zeros, which the server does not compare.
    let mut bytes = vec![0; 1 + 2 * 1536];
    bytes[0] = 3;
    bytes.extend_from_slice(rest);
    rtmp_session::fuzz(&bytes);
}

/// The paths that players request.
fn path(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let (folder, file) = text.split_once('/').unwrap_or((text, ""));
        let _none = service::asked(text);
        let _none = service::asked_part(text);
        let _wanted = hls_http::wanted(text);
        let (key, now) = (Secret::new("key"), Duration::from_secs(1));
        if let Ok(stream) = folder.parse() {
            assert!(
                play_secret::check(&key, &stream, file, now).is_err(),
                "nothing forged is accepted"
            );
        }
        let _playlist = play_secret::with_query(text, "a=b");
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
