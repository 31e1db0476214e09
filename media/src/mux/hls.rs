//! The text of HLS media playlists with fragmented MP4 segments. Source: RFC 8216.

use std::fmt::Write;

/// One segment of a playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub uri: String,
    pub duration_ms: u64,
    /// Its start as RFC 3339 time, where it is told.
    pub program_date_time: Option<String>,
    /// The init segment it needs; told when it is another than the segment's before.
    pub init_uri: String,
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A window that slides.
    Live,
    /// Grows, never loses a segment.
    Event,
    /// Complete.
    Vod,
    /// A window whose stream has ended.
    Ended,
}

/// The playlist. `media_sequence`: number of the first segment; `discontinuities`: how many have left the window;
/// `target_seconds`: the same for the whole life of a stream.
pub fn playlist(
    kind: Kind,
    segments: &[Segment],
    media_sequence: u64,
    discontinuities: u64,
    target_seconds: u64,
) -> String {
    // Writing to a string does not fail.
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let _ = writeln!(
        text,
        "#EXT-X-TARGETDURATION:{target_seconds}\n#EXT-X-MEDIA-SEQUENCE:{media_sequence}"
    );
    if discontinuities > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}");
    }
    match kind {
        Kind::Event => text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        Kind::Vod => text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        Kind::Live | Kind::Ended => {}
    }
    let mut init: Option<&str> = None;
    for segment in segments {
        if init != Some(&segment.init_uri) {
            if init.is_some() {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", segment.init_uri);
            init = Some(&segment.init_uri);
        }
        if let Some(time) = &segment.program_date_time {
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{time}");
        }
        let (seconds, rest) = (segment.duration_ms / 1000, segment.duration_ms % 1000);
        let _ = writeln!(text, "#EXTINF:{seconds}.{rest:03},\n{}", segment.uri);
    }
    if matches!(kind, Kind::Vod | Kind::Ended) {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_init_segment_is_a_discontinuity_and_only_a_complete_list_has_an_end() {
        let segment = |number: u32, init: &str| Segment {
            uri: format!("{number}.m4s"),
            duration_ms: 2005,
            program_date_time: None,
            init_uri: init.to_owned(),
        };
        let live = playlist(Kind::Live, &[segment(7, "a.mp4"), segment(8, "b.mp4")], 7, 0, 3);
        assert_eq!(
            live,
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:3\n\
             #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:2.005,\n7.m4s\n#EXT-X-DISCONTINUITY\n\
             #EXT-X-MAP:URI=\"b.mp4\"\n#EXTINF:2.005,\n8.m4s\n"
        );
        assert!(playlist(Kind::Vod, &[segment(0, "a.mp4")], 0, 0, 3).ends_with("#EXT-X-ENDLIST\n"));
    }
}
