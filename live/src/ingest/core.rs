//! A source's tags as a member's frames: H.264 as it is, AAC as Opus. Sans-IO.

use std::collections::VecDeque;
use std::time::Instant;

use rotunda_client::source::Encoded;
use rotunda_media::codec::VideoCodec;
use rotunda_media::mux::flv_read::{AudioBody, AvcConfig, FlvReadError, VideoBody, audio_body, video_body};
use rotunda_proto::ids::TrackSource;
use thiserror::Error;

use super::pace::Pace;
use crate::aac_to_opus::{AudioError, Transcoder};

/// Milliseconds by which composition times differ although frames are in order: both times are rounded.
const ROUNDING: i32 = 2;
/// Video ticks in a millisecond.
const VIDEO_TICKS: u64 = 90;

/// Why a source cannot be shown in a room.
#[derive(Debug, Error)]
pub enum MediaRefusal {
    #[error(transparent)]
    Body(#[from] FlvReadError),
    #[error("the video has B-frames, which WebRTC cannot show; set the encoder's B-frames to 0")]
    BFrames,
    #[error(transparent)]
    Audio(#[from] AudioError),
}

/// One source.
pub struct Core {
    pace: Pace,
    video: Option<Video>,
    audio: Option<Transcoder>,
    /// Per cent.
    volume: u32,
    /// By their times of capture: a transport stream has audio after the video of a later time.
    frames: VecDeque<Encoded>,
}

struct Video {
    config: AvcConfig,
    /// Composition time of the first frame.
    composition_ms: Option<i32>,
    has_key: bool,
    /// RTP time of the newest frame.
    ticks: Option<u64>,
}

impl Core {
    pub fn new(now: Instant) -> Self {
        Self {
            pace: Pace::new(now),
            video: None,
            audio: None,
            volume: 100,
            frames: VecDeque::new(),
        }
    }

    /// The source's timestamps go on at the present time.
    pub fn restart_timestamps(&mut self) {
        self.pace.restart();
    }

    /// The source's timestamps begin anew, as do its frames: at the next keyframe.
    pub fn restart(&mut self) {
        self.restart_timestamps();
        if let Some(video) = &mut self.video {
            video.has_key = false;
            video.composition_ms = None;
        }
    }

    /// `percent`: 100 leaves the audio as it is.
    pub fn set_volume(&mut self, percent: u32) {
        self.volume = percent;
        if let Some(audio) = &mut self.audio {
            audio.set_volume(percent);
        }
    }

    /// Handles the body of a video tag. Frames before the codec's header and the first keyframe are left out.
    pub fn handle_video(&mut self, now: Instant, timestamp_ms: u32, body: &[u8]) -> Result<(), MediaRefusal> {
        let (is_key, composition_ms, data) = match video_body(body)? {
            VideoBody::Nothing => return Ok(()),
            VideoBody::Config(record) => {
                let config = AvcConfig::read(record)?;
                match &mut self.video {
                    Some(video) => video.config = config,
                    None => {
                        self.video = Some(Video {
                            config,
                            composition_ms: None,
                            has_key: false,
                            ticks: None,
                        });
                    }
                }
                return Ok(());
            }
            VideoBody::Frame {
                is_key,
                composition_ms,
                data,
            } => (is_key, composition_ms, data),
        };
        let Some(video) = &mut self.video else {
            return Ok(());
        };
        let first = *video.composition_ms.get_or_insert(composition_ms);
        if composition_ms.saturating_sub(first).saturating_abs() > ROUNDING {
            return Err(MediaRefusal::BFrames);
        }
        video.has_key |= is_key;
        if !video.has_key {
            return Ok(());
        }
        let data = video.config.annex_b(data, is_key)?;
        if data.is_empty() {
            return Ok(());
        }
        let media = self.pace.handle(now, timestamp_ms);
        let at = media.as_millis() as u64 * VIDEO_TICKS;
        // Two frames never have one RTP time.
        let ticks = video.ticks.map_or(at, |before| at.max(before + 1));
        video.ticks = Some(ticks);
        self.push(Encoded {
            source: TrackSource::Camera,
            codec: VideoCodec::H264,
            data,
            ticks,
            captured: self.pace.captured(media),
            level_dbov: None,
        });
        Ok(())
    }

    /// Handles the body of an audio tag.
    pub fn handle_audio(&mut self, now: Instant, timestamp_ms: u32, body: &[u8]) -> Result<(), MediaRefusal> {
        let frame = match audio_body(body)? {
            AudioBody::Nothing => return Ok(()),
            AudioBody::Config(config) => {
                let mut audio = Transcoder::new(config)?;
                audio.set_volume(self.volume);
                self.audio = Some(audio);
                return Ok(());
            }
            AudioBody::Frame(frame) => frame,
        };
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        let media = self.pace.handle(now, timestamp_ms);
        let mut packets = Vec::new();
        audio.handle(media, frame, &mut packets)?;
        for packet in packets {
            let captured = std::time::Duration::from_micros(packet.ticks * 125 / 6);
            self.push(Encoded {
                source: TrackSource::Audio,
                codec: VideoCodec::H264,
                data: packet.data,
                ticks: packet.ticks,
                captured: self.pace.captured(captured),
                level_dbov: Some(packet.level_dbov),
            });
        }
        Ok(())
    }

    /// The frames of a track stay in their order.
    fn push(&mut self, frame: Encoded) {
        let is_before = |queued: &Encoded| queued.source == frame.source || queued.captured <= frame.captured;
        let at = self.frames.iter().rposition(is_before).map_or(0, |last| last + 1);
        self.frames.insert(at, frame);
    }

    /// The next frame whose time of capture has come: sender reports cannot tell a later one.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Encoded> {
        match self.due() {
            Some(due) if due <= now => self.frames.pop_front(),
            _ => None,
        }
    }

    /// When the next frame is due; None: there is none.
    pub fn due(&self) -> Option<Instant> {
        self.frames.front().map(|frame| frame.captured)
    }

    /// When more of the source may be read; None: now.
    pub fn resume_at(&self, now: Instant) -> Option<Instant> {
        self.pace.resume_at(now)
    }
}

#[cfg(test)]
mod tests;
