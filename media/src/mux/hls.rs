//! The text of HLS media playlists with CMAF segments. Source: RFC 8216.

use std::fmt::Write;
use std::time::Duration;

/// One segment of a playlist.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub uri: String,
    pub duration: Duration,
    /// Its start as RFC 3339 time, where it is told.
    pub program_date_time: Option<String>,
    /// The init segment that it needs.
    pub init_uri: String,
    /// It does not go on where the one before ended.
    pub discontinuity: bool,
    /// It begins with a keyframe.
    pub independent: bool,
    /// Its parts, where they are told (Low-Latency HLS).
    pub parts: Vec<Part>,
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub uri: String,
    pub duration: Duration,
    /// It begins with a keyframe.
    pub independent: bool,
}

/// The parts after the last complete segment of a low-latency stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tail {
    /// The open segment does not go on where the last one ended.
    pub discontinuity: bool,
    /// The init segment that the open segment needs.
    pub init_uri: Option<String>,
    pub program_date_time: Option<String>,
    pub parts: Vec<Part>,
    /// The part that comes next.
    pub hint: Option<String>,
}

/// The terms of Low-Latency HLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowLatency {
    /// Longest part.
    pub part_target: Duration,
    /// How far behind the end players stay.
    pub hold_back: Duration,
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

/// The lines before the segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub kind: Kind,
    /// Number of the first segment.
    pub media_sequence: u64,
    /// How many discontinuities have left the window.
    pub discontinuities: u64,
    /// The same for the whole life of a stream (RFC 8216 §6.2.1).
    pub target_seconds: u64,
    /// None: players get whole segments only.
    pub low_latency: Option<LowLatency>,
}

/// The playlist.
pub fn playlist(head: Head, segments: &[Segment], tail: &Tail) -> String {
    let mut text = start(head, segments.iter().all(|segment| segment.independent));
    let mut init: Option<&str> = None;
    for segment in segments {
        put_segment(&mut text, segment, init);
        init = Some(&segment.init_uri);
    }
    if !tail.parts.is_empty() {
        if tail.discontinuity && init.is_some() {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if let Some(uri) = tail.init_uri.as_deref().filter(|uri| init != Some(*uri)) {
            let _ = writeln!(text, "#EXT-X-MAP:URI=\"{uri}\"");
        }
        if let Some(time) = &tail.program_date_time {
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{time}");
        }
        write_parts(&mut text, &tail.parts);
    }
    if let Some(hint) = &tail.hint {
        let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"");
    }
    if matches!(head.kind, Kind::Vod | Kind::Ended) {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

/// The lines before the segments. `independent`: each of the segments begins with a keyframe.
pub fn start(head: Head, independent: bool) -> String {
    // Writing to a string does not fail.
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n");
    if independent {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let _ = writeln!(text, "#EXT-X-TARGETDURATION:{}", head.target_seconds);
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", head.media_sequence);
    if head.discontinuities > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", head.discontinuities);
    }
    if let Some(LowLatency { part_target, hold_back }) = head.low_latency {
        let (target, hold_back) = (part_target.as_secs_f64(), hold_back.as_secs_f64());
        let _ = writeln!(
            text,
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold_back:.3}"
        );
        let _ = writeln!(text, "#EXT-X-PART-INF:PART-TARGET={target:.3}");
    }
    match head.kind {
        Kind::Event => text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        Kind::Vod => text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        Kind::Live | Kind::Ended => {}
    }
    text
}

/// Adds the lines of a segment. `init`: the initialization segment of the one before it.
pub fn put_segment(text: &mut String, segment: &Segment, init: Option<&str>) {
    // A discontinuity before the first segment of the window is in the discontinuity sequence.
    if segment.discontinuity && init.is_some() {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if init != Some(&segment.init_uri) {
        let _ = writeln!(text, "#EXT-X-MAP:URI=\"{}\"", segment.init_uri);
    }
    if let Some(time) = &segment.program_date_time {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{time}");
    }
    write_parts(text, &segment.parts);
    let (seconds, micros) = (segment.duration.as_secs(), segment.duration.subsec_micros());
    let _ = writeln!(text, "#EXTINF:{seconds}.{micros:06},\n{}", segment.uri);
}

fn write_parts(text: &mut String, parts: &[Part]) {
    for part in parts {
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        let (seconds, micros) = (part.duration.as_secs(), part.duration.subsec_micros());
        let _ = writeln!(
            text,
            "#EXT-X-PART:DURATION={seconds}.{micros:06},URI=\"{}\"{independent}",
            part.uri
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u32, init: &str) -> Segment {
        Segment {
            uri: format!("{number}.m4s"),
            duration: Duration::from_millis(2005),
            program_date_time: None,
            init_uri: init.to_owned(),
            discontinuity: false,
            independent: true,
            parts: Vec::new(),
        }
    }

    fn head(kind: Kind, media_sequence: u64) -> Head {
        Head {
            kind,
            media_sequence,
            discontinuities: 0,
            target_seconds: 3,
            low_latency: None,
        }
    }

    #[test]
    fn a_discontinuity_stands_before_its_init_segment() {
        let other = Segment {
            discontinuity: true,
            ..segment(8, "b.mp4")
        };
        assert_eq!(
            playlist(head(Kind::Live, 7), &[segment(7, "a.mp4"), other], &Tail::default()),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:3\n\
             #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:2.005000,\n7.m4s\n#EXT-X-DISCONTINUITY\n\
             #EXT-X-MAP:URI=\"b.mp4\"\n#EXTINF:2.005000,\n8.m4s\n"
        );
    }

    #[test]
    fn only_a_complete_list_has_an_end() {
        let ended =
            |kind| playlist(head(kind, 0), &[segment(0, "a.mp4")], &Tail::default()).ends_with("#EXT-X-ENDLIST\n");
        assert!(ended(Kind::Vod) && ended(Kind::Ended));
        assert!(!ended(Kind::Live) && !ended(Kind::Event));
    }

    #[test]
    fn segments_that_begin_without_a_keyframe_are_not_called_independent() {
        let dependent = Segment {
            independent: false,
            ..segment(1, "a.mp4")
        };
        let text = playlist(head(Kind::Live, 0), &[segment(0, "a.mp4"), dependent], &Tail::default());
        assert!(!text.contains("INDEPENDENT"), "{text}");
    }

    #[test]
    fn parts_and_the_next_one_are_told_in_order() {
        let part = |uri: &str, independent| Part {
            uri: uri.to_owned(),
            duration: Duration::from_micros(333_333),
            independent,
        };
        let whole = Segment {
            parts: vec![part("7.0.m4s", true), part("7.1.m4s", false)],
            ..segment(7, "a.mp4")
        };
        let tail = Tail {
            init_uri: Some("a.mp4".to_owned()),
            parts: vec![part("8.0.m4s", true)],
            hint: Some("8.1.m4s".to_owned()),
            ..Tail::default()
        };
        let head = Head {
            low_latency: Some(LowLatency {
                part_target: Duration::from_millis(334),
                hold_back: Duration::from_millis(1002),
            }),
            ..head(Kind::Live, 7)
        };
        assert_eq!(
            playlist(head, &[whole], &tail),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-TARGETDURATION:3\n\
             #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.002\n\
             #EXT-X-PART-INF:PART-TARGET=0.334\n#EXT-X-MAP:URI=\"a.mp4\"\n\
             #EXT-X-PART:DURATION=0.333333,URI=\"7.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.333333,URI=\"7.1.m4s\"\n#EXTINF:2.005000,\n7.m4s\n\
             #EXT-X-PART:DURATION=0.333333,URI=\"8.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"8.1.m4s\"\n"
        );
    }
}
