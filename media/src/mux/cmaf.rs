//! CMAF: init segments, and chunks of `moof` and `mdat` with explicit decode times. Source: ISO/IEC 23000-19, 14496-12 §8.8.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shiguredo_mp4::boxes::{MfhdBox, MoofBox, TfdtBox, TfhdBox, TrafBox, TrunBox, TrunSample};
use shiguredo_mp4::{Encode, SampleFlags};

use super::MuxError;
use super::movie::{TrackDescription, describe, file_type, movie, track_id};
use crate::program::{Frame, ProgramHeader, Track};

/// A frame with its place on a stream's timeline.
#[derive(Debug, Clone)]
pub struct TimedFrame {
    pub frame: Arc<Frame>,
    /// Ticks of its track since the stream's zero.
    pub decode_time: u64,
    /// To the next frame of its track, in the same ticks.
    pub duration: u32,
}

/// `ftyp` and `moov`. `created`: since 1970.
///
/// Errors: [`MuxError`] where the codecs cannot be described.
pub fn init_segment(header: &ProgramHeader, created: Duration) -> Result<Bytes, MuxError> {
    init_segment_of(&describe(header)?, created)
}

/// The same of a program's video alone.
///
/// Errors: [`MuxError`] where the codec cannot be described.
pub fn video_init_segment(header: &ProgramHeader, created: Duration) -> Result<Bytes, MuxError> {
    let mut tracks = describe(header)?;
    tracks.retain(|description| description.track == Track::Video);
    init_segment_of(&tracks, created)
}

fn init_segment_of(tracks: &[TrackDescription], created: Duration) -> Result<Bytes, MuxError> {
    let movie = movie(tracks.iter().map(|track| (track, None)).collect(), created);
    let mut bytes = file_type(true).encode_to_vec().map_err(MuxError::Box)?;
    bytes.extend(movie.encode_to_vec().map_err(MuxError::Box)?);
    Ok(bytes.into())
}

/// `moof` and `mdat` with these frames: those of one track in order of time, and not empty.
///
/// Errors: [`MuxError::Empty`], and [`MuxError::Box`] for more than 2 GiB.
pub fn chunk(sequence_number: u32, frames: &[TimedFrame]) -> Result<Bytes, MuxError> {
    let mut payload = Vec::with_capacity(frames.iter().map(|timed| timed.frame.data.len()).sum());
    let mut offsets = Vec::new();
    let mut traf_boxes = Vec::new();
    // Video first: players find the keyframe at the front.
    for track in [Track::Video, Track::Audio] {
        let run: Vec<&TimedFrame> = frames.iter().filter(|timed| timed.frame.track == track).collect();
        let Some(first) = run.first() else { continue };
        offsets.push(payload.len());
        traf_boxes.push(track_fragment(track, first.decode_time, &run));
        for timed in run {
            payload.extend_from_slice(&timed.frame.data);
        }
    }
    if traf_boxes.is_empty() {
        return Err(MuxError::Empty);
    }
    let mut moof = MoofBox {
        mfhd_box: MfhdBox { sequence_number },
        traf_boxes,
        unknown_boxes: Vec::new(),
    };
    let header_size = moof.encode_to_vec().map_err(MuxError::Box)?.len() + MDAT_HEADER;
    let size = u32::try_from(MDAT_HEADER + payload.len()).map_err(|_| MuxError::TooLarge)?;
    for (traf, offset) in moof.traf_boxes.iter_mut().zip(offsets) {
        let offset = i32::try_from(header_size + offset).map_err(|_| MuxError::TooLarge)?;
        for trun in &mut traf.trun_boxes {
            trun.data_offset = Some(offset);
        }
    }
    let mut bytes = moof.encode_to_vec().map_err(MuxError::Box)?;
    bytes.reserve_exact(MDAT_HEADER + payload.len());
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    bytes.extend_from_slice(&payload);
    Ok(bytes.into())
}

fn track_fragment(track: Track, decode_time: u64, run: &[&TimedFrame]) -> TrafBox {
    let sample = |timed: &&TimedFrame| TrunSample {
        duration: Some(timed.duration),
        size: Some(timed.frame.data.len() as u32),
        flags: Some(flags(timed.frame.is_key)),
        composition_time_offset: None,
    };
    TrafBox {
        tfhd_box: TfhdBox {
            track_id: track_id(track),
            base_data_offset: None,
            sample_description_index: None,
            default_sample_duration: None,
            default_sample_size: None,
            default_sample_flags: None,
            duration_is_empty: false,
            default_base_is_moof: true,
        },
        tfdt_box: Some(TfdtBox {
            version: 1,
            base_media_decode_time: decode_time,
        }),
        trun_boxes: vec![TrunBox {
            // Of the right size; the value follows.
            data_offset: Some(0),
            first_sample_flags: None,
            samples: run.iter().map(sample).collect(),
        }],
        unknown_boxes: Vec::new(),
    }
}

/// §8.8.3.1: a keyframe depends on no other sample, the rest do and are no sync samples.
fn flags(is_key: bool) -> SampleFlags {
    SampleFlags::new(if is_key { 0x0200_0000 } else { 0x0101_0000 })
}

const MDAT_HEADER: usize = 8;
