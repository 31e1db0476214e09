//! A clip: its encoded video in a loop, its audio decoded once.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rotunda_media::codec::{AacDecoder, VideoCodec, VideoDecoder, h264};
use rotunda_media::video_frame::VideoFrame;
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};

use super::SourceError;

/// A clip in memory; a copy shares what it has read.
#[derive(Clone)]
pub struct Clip {
    path: PathBuf,
    /// Access units in Annex B, parameter sets first.
    access_units: Vec<Bytes>,
    /// Frames per second.
    pub fps: f64,
    audio: Vec<Bytes>,
    audio_config: Option<Bytes>,
}

impl Clip {
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let file = std::fs::read(path).map_err(|source| SourceError::Read {
            path: path.to_owned(),
            source,
        })?;
        let broken = |reason: String| SourceError::Clip {
            path: path.to_owned(),
            reason,
        };
        let mut demuxer = Mp4FileDemuxer::new();
        demuxer.handle_input(Input {
            position: 0,
            data: &file,
        });
        let tracks = demuxer.tracks().map_err(|error| broken(error.to_string()))?;
        let video = tracks.iter().find(|track| track.kind == TrackKind::Video);
        let seconds = video.map_or(0.0, |track| track.duration as f64 / f64::from(track.timescale.get()));
        let mut clip = Self {
            path: path.to_owned(),
            access_units: Vec::new(),
            fps: 30.0,
            audio: Vec::new(),
            audio_config: None,
        };
        let mut parameters: Vec<u8> = Vec::new();
        while let Some(sample) = demuxer.next_sample().map_err(|error| broken(error.to_string()))? {
            match sample.sample_entry {
                Some(SampleEntry::Avc1(avc1)) => {
                    let sets = avc1.avcc_box.sps_list.iter().chain(&avc1.avcc_box.pps_list);
                    parameters = sets.flat_map(|set| [&[0, 0, 0, 1], set.as_slice()].concat()).collect();
                }
                Some(SampleEntry::Mp4a(mp4a)) => {
                    let descriptor = &mp4a.esds_box.es.dec_config_descr.dec_specific_info;
                    clip.audio_config = descriptor.as_ref().map(|info| Bytes::copy_from_slice(&info.payload));
                }
                _ => {}
            }
            let start = usize::try_from(sample.data_offset).unwrap_or(usize::MAX);
            let data = file.get(start..start.saturating_add(sample.data_size));
            let data = data.ok_or_else(|| broken("a sample is outside the file".to_owned()))?;
            match sample.track.kind {
                TrackKind::Video => {
                    let mut unit = if sample.keyframe {
                        parameters.clone()
                    } else {
                        Vec::new()
                    };
                    unit.extend_from_slice(&h264::to_annex_b(data));
                    clip.access_units.push(unit.into());
                }
                TrackKind::Audio => clip.audio.push(Bytes::copy_from_slice(data)),
                _ => {}
            }
        }
        if parameters.is_empty() || clip.access_units.is_empty() {
            return Err(broken("it has no H.264 track".to_owned()));
        }
        if seconds > 0.0 {
            clip.fps = clip.access_units.len() as f64 / seconds;
        }
        Ok(clip)
    }

    /// How long its frames last.
    pub fn seconds(&self) -> f64 {
        self.access_units.len() as f64 / self.fps
    }

    /// The whole audio, 48 kHz mono; empty for a clip without audio.
    pub fn speech(&self) -> Result<Vec<f32>, SourceError> {
        let Some(config) = &self.audio_config else {
            return Ok(Vec::new());
        };
        let mut decoder = AacDecoder::new(config)?;
        let mut pcm = Vec::new();
        for frame in &self.audio {
            decoder.decode(frame, &mut pcm)?;
        }
        let channels = decoder.channels();
        Ok(pcm
            .chunks_exact(channels)
            .skip(decoder.delay())
            .map(|samples| samples.iter().sum::<f32>() / channels as f32)
            .collect())
    }

    /// The coded frame with this number, in a loop.
    pub fn coded(&self, number: u64) -> Bytes {
        self.access_units[(number % self.access_units.len() as u64) as usize].clone()
    }

    /// Plays the video in a loop.
    pub fn player(self) -> Result<Player, SourceError> {
        let decoder = VideoDecoder::new(VideoCodec::H264)?;
        Ok(Player {
            clip: self,
            decoder,
            next: 0,
            shown: None,
        })
    }
}

/// A clip's frames, decoded one by one.
pub struct Player {
    clip: Clip,
    decoder: VideoDecoder,
    /// Frames decoded so far, in all loops.
    next: u64,
    shown: Option<VideoFrame>,
}

impl Player {
    /// The frame at a time; times must not decrease from call to call.
    pub fn at(&mut self, seconds: f64) -> Option<&VideoFrame> {
        let wanted = (seconds * self.clip.fps) as u64;
        while self.next <= wanted {
            match self.decoder.decode(&self.clip.coded(self.next)) {
                Ok(Some(frame)) => self.shown = Some(frame),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, clip = %self.clip.path.display(), "a frame could not be decoded"),
            }
            self.next += 1;
        }
        self.shown.as_ref()
    }
}
