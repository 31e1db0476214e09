//! The playlist of a recording. Pure.

use rotunda_media::mux::hls::{Head, Kind, Segment, Tail, playlist as text};
use rotunda_media::mux::segmenter::Lengths;

use crate::folder::{Entry, init_name, segment_name};

/// The playlist of the complete segments.
pub fn playlist(kind: Kind, entries: &[Entry], lengths: Lengths) -> String {
    let segments: Vec<Segment> = entries
        .iter()
        .filter_map(|entry| {
            Some(Segment {
                uri: segment_name(entry.begun.number),
                duration: entry.duration?,
                program_date_time: None,
                init_uri: init_name(entry.begun.init),
                discontinuity: entry.begun.discontinuity,
                independent: entry.begun.independent,
                parts: Vec::new(),
            })
        })
        .collect();
    let head = Head {
        kind,
        media_sequence: 0,
        discontinuities: 0,
        target_seconds: lengths.target_seconds(),
        low_latency: None,
    };
    text(head, &segments, &Tail::default())
}
