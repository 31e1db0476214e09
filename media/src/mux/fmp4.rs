//! Fragmented MP4 (ISO/IEC 14496-12 §8.8): an init segment, then `moof` + `mdat` for what has come in since.
//!
//! A sample's length is the distance to the next one of its track, so the sum of the lengths (which is the time of every
//! later sample) keeps to the program's clock through gaps and jitter.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::aac::{Mp4aSampleEntryConfig, build_mp4a_box, parse_audio_specific_config};
use shiguredo_mp4::bitstream::h264::{H264SampleEntryConfig, LengthSize, build_avc1_box};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Fmp4SegmentMuxer, Sample};

use super::MuxError;
use crate::program::{Frame, ProgramHeader, Track};
use crate::time::MediaTime;

/// Builds one file's (or one HLS stream's) fragments.
///
/// Begins with the first key frame and drops sound from before it.
pub struct FragmentMuxer {
    muxer: Fmp4SegmentMuxer,
    header: Arc<ProgramHeader>,
    entries: [Option<SampleEntry>; 2],
    /// Start of the first key frame.
    origin: Option<MediaTime>,
    /// The newest frame of each track (video, audio), whose length is not known yet.
    held: [Option<Arc<Frame>>; 2],
    ready: VecDeque<(Arc<Frame>, u32)>,
    /// Length of what has been written, ticks of the leading track.
    written_ticks: u64,
    init: Option<Bytes>,
}

/// One `moof` and its `mdat`.
#[derive(Debug, Clone)]
pub struct Fragment {
    pub bytes: Bytes,
    /// From the first key frame of the file.
    pub start_ms: u64,
    pub duration_ms: u64,
    pub starts_with_key: bool,
}

impl FragmentMuxer {
    pub fn new(header: Arc<ProgramHeader>) -> Result<Self, MuxError> {
        let video = header
            .video
            .as_ref()
            .map(|_| video_entry(&header))
            .transpose()?
            .flatten();
        let audio = Some(audio_entry(&header)?);
        let muxer = Fmp4SegmentMuxer::new().map_err(MuxError::Boxes)?;
        Ok(Self {
            muxer,
            header,
            entries: [video, audio],
            origin: None,
            held: [None, None],
            ready: VecDeque::new(),
            written_ticks: 0,
            init: None,
        })
    }

    pub fn header(&self) -> &Arc<ProgramHeader> {
        &self.header
    }

    /// The `ftyp` and `moov`; None until the first fragment has been made.
    pub fn init_segment(&self) -> Option<Bytes> {
        self.init.clone()
    }

    /// Takes a frame in. A frame becomes part of a fragment once the next one of its track is there.
    pub fn push(&mut self, frame: Arc<Frame>) {
        let leads = frame.is_key && (frame.track == Track::Video || self.header.video.is_none());
        let origin = match self.origin {
            Some(origin) => origin,
            None if leads => *self.origin.insert(frame.pts),
            None => return,
        };
        if frame.pts.duration() < origin.duration() && self.written_ticks == 0 {
            return;
        }
        let index = index(frame.track);
        if let Some(before) = self.held[index].replace(frame.clone()) {
            let length = frame.pts.ticks().saturating_sub(before.pts.ticks());
            self.ready
                .push_back((before, u32::try_from(length).unwrap_or(u32::MAX)));
        }
    }

    /// Everything that is ready as one fragment; None when nothing is.
    pub fn flush(&mut self) -> Result<Option<Fragment>, MuxError> {
        if self.ready.is_empty() || !self.every_track_has_begun() {
            return Ok(None);
        }
        // Runs of one track, pictures first: fewer boxes, and players find the key frame at the front.
        let mut frames: Vec<(Arc<Frame>, u32)> = self.ready.drain(..).collect();
        frames.sort_by_key(|(frame, _)| index(frame.track));
        let mut payload = Vec::new();
        let mut samples = Vec::new();
        let mut lengths = [(0, 1), (0, 1)];
        for (frame, length) in &frames {
            let track = index(frame.track);
            samples.push(Sample {
                track_kind: if track == 0 { TrackKind::Video } else { TrackKind::Audio },
                sample_entry: self.entries[track].clone(),
                keyframe: frame.is_key,
                timescale: NonZeroU32::new(frame.pts.rate()).unwrap_or(NonZeroU32::MIN),
                duration: *length,
                composition_time_offset: None,
                data_offset: payload.len() as u64,
                data_size: frame.data.len(),
            });
            payload.extend_from_slice(&frame.data);
            lengths[track] = (lengths[track].0 + u64::from(*length), frame.pts.rate());
        }
        let mut bytes = self
            .muxer
            .create_media_segment_metadata(&samples)
            .map_err(MuxError::Boxes)?;
        bytes.extend_from_slice(&payload);
        if self.init.is_none() {
            self.init = Some(self.muxer.init_segment_bytes().map_err(MuxError::Boxes)?.into());
        }
        let first = &frames[0].0;
        let starts_with_key = first.is_key;
        // From sums of ticks, so that rounding does not add up.
        let (ticks, rate) = lengths[usize::from(self.header.video.is_none())];
        let start_ms = MediaTime::new(self.written_ticks, rate).millis();
        self.written_ticks += ticks;
        let duration_ms = MediaTime::new(self.written_ticks, rate).millis() - start_ms;
        Ok(Some(Fragment {
            bytes: bytes.into(),
            start_ms,
            duration_ms,
            starts_with_key,
        }))
    }

    /// The last fragment: frames that were held get their nominal length.
    pub fn finish(&mut self) -> Result<Option<Fragment>, MuxError> {
        for held in &mut self.held {
            if let Some(frame) = held.take() {
                let length = frame.duration;
                self.ready.push_back((frame, length));
            }
        }
        self.flush()
    }

    /// The init segment describes the tracks of the first fragment, so that one waits for both.
    fn every_track_has_begun(&self) -> bool {
        let begun = |track| self.ready.iter().any(|(frame, _)| frame.track == track);
        self.init.is_some() || (begun(Track::Audio) && (self.header.video.is_none() || begun(Track::Video)))
    }
}

fn index(track: Track) -> usize {
    match track {
        Track::Video => 0,
        Track::Audio => 1,
    }
}

fn video_entry(header: &ProgramHeader) -> Result<Option<SampleEntry>, MuxError> {
    let Some(video) = &header.video else { return Ok(None) };
    let config = H264SampleEntryConfig {
        length_size: LengthSize::FourBytes,
    };
    let avc1 = build_avc1_box(&[video.sps.to_vec()], &[video.pps.to_vec()], &config).map_err(MuxError::Describe)?;
    Ok(Some(SampleEntry::Avc1(avc1)))
}

fn audio_entry(header: &ProgramHeader) -> Result<SampleEntry, MuxError> {
    let config = parse_audio_specific_config(&header.audio.config).map_err(MuxError::Describe)?;
    let bitrate = header.audio.bitrate_kbps * 1000;
    let entry = Mp4aSampleEntryConfig {
        es_id: 1,
        buffer_size_db: 0,
        max_bitrate: bitrate,
        avg_bitrate: bitrate,
    };
    Ok(SampleEntry::Mp4a(
        build_mp4a_box(&config, &entry).map_err(MuxError::Describe)?,
    ))
}
