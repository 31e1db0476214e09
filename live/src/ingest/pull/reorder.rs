//! Video with B-frames becomes video without them, which WebRTC cannot show: it is decoded and encoded anew. A source without B-frames passes
//! as it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use rotunda_media::codec::h264::{H264Decoder, H264Encoder, H264EncoderConfig, parameter_sets, to_length_prefixed};
use rotunda_media::codec::{CodecError, ForceKey};
use rotunda_media::mux::flv;
use rotunda_media::mux::flv_read::{AvcConfig, FlvReadError, VideoBody, video_body};
use rotunda_media::video_frame::VideoFrame;
use thiserror::Error;

use super::tag::{Kind, Piece, Tag};

/// Milliseconds by which composition times differ although frames are in order: both times are rounded.
const ROUNDING: i32 = 2;
/// Bytes of frames since the last keyframe that are kept until the first B-frame. Without them it begins at the next keyframe.
const MOST_KEPT: usize = 32 << 20;
/// Most frames between decoding and showing (ITU-T H.264 §A.3.1).
const MOST_REORDERED: usize = 16;
/// Damaged frames in a row.
const MOST_DAMAGE: u32 = 300;
/// The largest video that is encoded anew, pixels.
const MOST_PIXELS: usize = 1920 * 1088;
/// Seconds between keyframes, for viewers who come later.
const GOP_SECONDS: u32 = 2;
const FRAMERATES: std::ops::RangeInclusive<i64> = 1..=60;

#[derive(Debug, Error)]
pub enum ReorderError {
    #[error(transparent)]
    Body(#[from] FlvReadError),
    #[error("the video has B-frames and is {0}x{1}; at most 1920x1080 is encoded anew")]
    Size(usize, usize),
    #[error("the video cannot be decoded")]
    Decode(#[source] CodecError),
    #[error("the video cannot be encoded")]
    Encode(#[source] CodecError),
}

/// See the [module](self). It runs on a thread of its own, as encoding takes long.
#[derive(Default)]
pub struct Reorder {
    config: Option<AvcConfig>,
    /// Composition time of the first frame.
    first: Option<i32>,
    /// The first frame, until the second one tells the order.
    held: Option<Tag>,
    /// Since the last keyframe.
    kept: Vec<Kept>,
    kept_bytes: usize,
    coder: Option<Coder>,
    /// The first frame is shown at once. Otherwise the times of showing are right.
    has_edit: bool,
}

/// An access unit, and when it is shown.
struct Kept {
    unit: Bytes,
    shown: u32,
}

impl Reorder {
    /// Appends what becomes of a piece.
    pub fn handle(&mut self, piece: Piece, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        match piece {
            Piece::Tag(tag) if tag.kind == Kind::Video => self.video(tag, out),
            Piece::Restart { has_edit } => {
                self.end(out)?;
                *self = Self {
                    config: self.config.take(),
                    has_edit,
                    ..Self::default()
                };
                out.push(piece);
                Ok(())
            }
            other => {
                out.push(other);
                Ok(())
            }
        }
    }

    /// Appends what is held, at the end of a source.
    pub fn end(&mut self, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        out.extend(self.held.take().map(Piece::Tag));
        match &mut self.coder {
            Some(coder) => coder.end(out),
            None => Ok(()),
        }
    }

    fn video(&mut self, tag: Tag, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        let (is_key, composition, data) = match video_body(&tag.body)? {
            VideoBody::Nothing => return Ok(()),
            VideoBody::Config(record) => {
                self.config = Some(AvcConfig::read(record)?);
                if self.coder.is_none() {
                    out.push(Piece::Tag(tag));
                }
                return Ok(());
            }
            VideoBody::Frame {
                is_key,
                composition_ms,
                data,
            } => (is_key, composition_ms, data),
        };
        let Some(config) = &self.config else {
            return Ok(());
        };
        let unit = config.annex_b(data, is_key)?;
        let is_first = self.first.is_none();
        let first = *self.first.get_or_insert(composition);
        let shift = if self.has_edit { first } else { 0 };
        let shown = tag.timestamp_ms.wrapping_add_signed(composition.wrapping_sub(shift));
        if let Some(coder) = &mut self.coder {
            return coder.handle(&unit, shown, false, out);
        }
        if is_key {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        if (is_key || !self.kept.is_empty()) && self.kept_bytes + unit.len() <= MOST_KEPT {
            self.kept_bytes += unit.len();
            self.kept.push(Kept { unit, shown });
        } else {
            self.kept.clear();
        }
        if is_first {
            self.held = Some(tag);
            return Ok(());
        }
        if composition.saturating_sub(first).saturating_abs() <= ROUNDING {
            out.extend(self.held.take().map(Piece::Tag));
            out.push(Piece::Tag(tag));
            return Ok(());
        }
        let kept = std::mem::take(&mut self.kept);
        let mut coder = Coder::new(framerate(&kept))?;
        // The newest frame is not sent yet, nor is one that is held.
        let sent = match self.held.take() {
            Some(_) => 0,
            None => kept.len().saturating_sub(1),
        };
        for (index, Kept { unit, shown }) in kept.into_iter().enumerate() {
            coder.handle(&unit, shown, index < sent, out)?;
        }
        self.coder = Some(coder);
        Ok(())
    }
}

/// By the times of showing; 30 where they do not tell.
fn framerate(units: &[Kept]) -> u8 {
    let first = units.first().map_or(0, |kept| kept.shown);
    let mut times: Vec<i64> = units
        .iter()
        .map(|kept| i64::from(kept.shown.wrapping_sub(first) as i32))
        .collect();
    times.sort_unstable();
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0);
    let rate = steps.min().map_or(30, |step| 1000 / step);
    rate.clamp(*FRAMERATES.start(), *FRAMERATES.end()) as u8
}

struct Coder {
    decoder: H264Decoder,
    encoder: Option<H264Encoder>,
    framerate: u8,
    /// Times of showing of the frames that the decoder has, unwrapped, and whether they were sent.
    times: BTreeMap<i64, bool>,
    newest: Option<i64>,
    damage: u32,
    sets: Option<(Bytes, Bytes)>,
}

impl Coder {
    fn new(framerate: u8) -> Result<Self, ReorderError> {
        Ok(Self {
            decoder: H264Decoder::new().map_err(ReorderError::Decode)?,
            encoder: None,
            framerate,
            times: BTreeMap::new(),
            newest: None,
            damage: 0,
            sets: None,
        })
    }

    /// `was_sent`: the frame itself is not wanted, only those that depend on it.
    fn handle(&mut self, unit: &[u8], shown: u32, was_sent: bool, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        if unit.is_empty() {
            return Ok(());
        }
        let at = match self.newest {
            Some(newest) => newest + i64::from(shown.wrapping_sub(newest as u32) as i32),
            None => i64::from(shown),
        };
        self.newest = Some(at);
        self.times.insert(at, was_sent);
        while self.times.len() > 2 * MOST_REORDERED {
            self.times.pop_first();
        }
        let frame = match self.decoder.decode_reordered(unit) {
            Ok(frame) => frame,
            Err(error) if self.damage >= MOST_DAMAGE => return Err(ReorderError::Decode(error)),
            Err(_) => {
                self.damage += 1;
                self.times.remove(&at);
                return Ok(());
            }
        };
        let Some(frame) = frame else {
            return Ok(());
        };
        self.damage = 0;
        self.show(&frame, out)
    }

    /// The decoder's last frames.
    fn end(&mut self, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        // A damaged frame is lost.
        for frame in self.decoder.flush().unwrap_or_default() {
            self.show(&frame, out)?;
        }
        self.times.clear();
        Ok(())
    }

    fn show(&mut self, frame: &VideoFrame, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        match self.times.pop_first() {
            Some((shown, false)) => self.encode(frame, shown as u32, out),
            // A frame without a time is one more than there were access units.
            Some((_, true)) | None => Ok(()),
        }
    }

    fn encode(&mut self, frame: &VideoFrame, timestamp_ms: u32, out: &mut Vec<Piece>) -> Result<(), ReorderError> {
        let (width, height) = (frame.width(), frame.height());
        let is_right = |encoder: &H264Encoder| {
            let config = encoder.config();
            (usize::from(config.width), usize::from(config.height)) == (width, height)
        };
        let mut encoder = match self.encoder.take().filter(is_right) {
            Some(encoder) => encoder,
            None => new_encoder(width, height, self.framerate)?,
        };
        let encoded = encoder.encode(frame, ForceKey::No).map_err(ReorderError::Encode)?;
        self.encoder = Some(encoder);
        if let Some(sets) = parameter_sets(&encoded.data)
            && self.sets.as_ref() != Some(&sets)
        {
            let body = flv::avc_config_body(&sets.0, &sets.1);
            out.push(Piece::Tag(Tag {
                kind: Kind::Video,
                timestamp_ms,
                body,
            }));
            self.sets = Some(sets);
        }
        let data = to_length_prefixed(&encoded.data);
        if !data.is_empty() {
            out.push(Piece::Tag(Tag::avc_frame(timestamp_ms, 0, encoded.is_key, &data)));
        }
        Ok(())
    }
}

fn new_encoder(width: usize, height: usize, framerate: u8) -> Result<H264Encoder, ReorderError> {
    let size = || ReorderError::Size(width, height);
    if width * height > MOST_PIXELS {
        return Err(size());
    }
    // A tenth of a bit for each pixel: 2.8 Mbit/s for 720p30.
    let kbps = width * height * usize::from(framerate) / 10_000;
    let config = H264EncoderConfig {
        width: u16::try_from(width).map_err(|_| size())?,
        height: u16::try_from(height).map_err(|_| size())?,
        bitrate_kbps: (kbps as u32).clamp(300, 6000),
        framerate,
        gop_frames: u32::from(framerate) * GOP_SECONDS,
    };
    H264Encoder::new(config).map_err(ReorderError::Encode)
}
