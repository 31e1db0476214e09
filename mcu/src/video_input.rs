//! One member's video: a jitter buffer of coded frames, which are decoded when they are due and turned upright.
//!
//! A video without new frames is held, and dimmed later: see [`VideoInput::state`].

use std::collections::VecDeque;

use rotunda_media::codec::VideoDecoder;
use rotunda_media::rotate::rotate;
use rotunda_media::video_frame::{Rotation, VideoFrame};
use rotunda_proto::ids::TrackSource;
use rotunda_receiver::CodedVideo;

use crate::timeline::Micros;

/// RTP ticks a second of video.
pub const RATE: u32 = 90_000;
/// Limits of the jitter buffer: above the longest play-out delay (2 s) at 60 frames per second.
const MAX_FRAMES: usize = 256;
const MAX_BYTES: usize = 16 << 20;
/// Frames decoded in one tick at most. More are due only after an overload, which decoding all of them would prolong.
const MAX_DUE: usize = 30;
/// A keyframe that is needed is asked for this often.
const ASK_AGAIN: Micros = 500_000;
/// A video without a new frame for this long is frozen.
const FROZEN_AFTER: Micros = 5_000_000;

/// Size of a frame when it stands upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    pub width: usize,
    pub height: usize,
    /// It was coded lying on its side.
    pub is_turned: bool,
}

/// The state of a video at one tick.
#[derive(Debug, Clone, Copy)]
pub enum InputState<'a> {
    /// No frame was decoded yet.
    None,
    /// A frame, and a number that changes with each new frame.
    Live(&'a VideoFrame, u64),
    /// The last frame, which is too old to be taken for live.
    Frozen(&'a VideoFrame, u64),
}

/// See the [module](self).
pub struct VideoInput {
    decoder: Option<VideoDecoder>,
    needs_key: bool,
    /// Since when frames have come that cannot be decoded, on the clock of their due times.
    undecodable_since: Option<Micros>,
    asked_at: Option<Micros>,
    /// In decoding order.
    waiting: VecDeque<Due>,
    waiting_bytes: usize,
    shown: Option<VideoFrame>,
    shown_at: Micros,
    /// When the last decoded frame was due.
    shown_due: Option<Micros>,
    shown_turned: bool,
    /// Grows with every frame shown.
    serial: u64,
    rotation: Rotation,
    /// The last one told.
    shape: Option<Shape>,
    shed: u64,
}

struct Due {
    at: Micros,
    coded: CodedVideo,
    rotation: Rotation,
}

impl Default for VideoInput {
    fn default() -> Self {
        Self::new()
    }
}

impl VideoInput {
    pub fn new() -> Self {
        Self {
            decoder: None,
            needs_key: true,
            undecodable_since: None,
            asked_at: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            shown: None,
            shown_at: 0,
            shown_due: None,
            shown_turned: false,
            serial: 0,
            rotation: Rotation::None,
            shape: None,
            shed: 0,
        }
    }

    /// Takes a frame that is to be shown at `due`. After a gap or a failure the last good frame stays until the next
    /// keyframe.
    pub fn handle_frame(&mut self, due: Micros, coded: &CodedVideo) {
        // 3GPP TS 26.114 §6.2.3: it comes with keyframes and with changes, and stays true for the frames in between.
        self.rotation = match (coded.rotation, coded.is_key) {
            (Some(rotation), _) => rotation,
            (None, true) => Rotation::None,
            (None, false) => self.rotation,
        };
        if coded.is_key {
            self.needs_key = false;
        } else if !coded.contiguous {
            self.needs_key = true;
        }
        if self.needs_key {
            self.undecodable_since.get_or_insert(due);
            return;
        }
        if self.waiting.len() >= MAX_FRAMES || self.waiting_bytes >= MAX_BYTES {
            self.shed(self.waiting.len());
            self.needs_key = true;
            return;
        }
        self.waiting_bytes += coded.data.len();
        self.waiting.push_back(Due {
            at: due,
            coded: coded.clone(),
            rotation: self.rotation,
        });
    }

    /// Whether a frame is to be decoded for the tick at `now`; see [`handle_tick`](Self::handle_tick).
    pub fn is_due(&self, now: Micros, ahead: Micros) -> bool {
        self.frames_due(now, ahead) > 0
    }

    /// How many of the waiting frames are decoded for the tick at `now`.
    fn frames_due(&self, now: Micros, ahead: Micros) -> usize {
        let due = self.waiting.iter().map(|due| due.at);
        let before = due.clone().filter(|at| *at <= now).max().or(self.shown_due);
        let next = due.filter(|at| (now + 1..=now + ahead).contains(at)).min();
        let until = match (before, next) {
            (Some(before), Some(next)) if next - now >= now - before => now,
            (_, Some(next)) => next,
            (_, None) => now,
        };
        // In a stream with B-frames a frame that is due later is decoded earlier.
        let last = self.waiting.iter().rposition(|due| due.at <= until);
        last.map_or(0, |last| last + 1)
    }

    /// Decodes up to the frame that is due nearest to `now`, and shows it. `ahead`: one that is due later by more than this belongs to the
    /// next tick.
    pub fn handle_tick(&mut self, now: Micros, ahead: Micros) {
        let mut due = self.frames_due(now, ahead);
        if due > MAX_DUE {
            // The frames before the last keyframe would be decoded in vain.
            let last_key = self.waiting.range(..due).rposition(|due| due.coded.is_key);
            let Some(last_key) = last_key else {
                self.shed(due);
                self.skip_to_key();
                return;
            };
            self.shed(last_key);
            due = (due - last_key).min(MAX_DUE);
        }
        let mut newest = None;
        for _ in 0..due {
            let Some(next) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= next.coded.data.len();
            match self.decode(&next.coded) {
                Ok(frame) => {
                    self.shown_due = Some(next.at);
                    newest = frame.map(|frame| (frame, next.rotation)).or(newest);
                }
                Err(()) => {
                    self.undecodable_since.get_or_insert(next.at);
                    self.skip_to_key();
                    break;
                }
            }
        }
        let Some((frame, rotation)) = newest else { return };
        self.shown_turned = matches!(rotation, Rotation::Clockwise90 | Rotation::Clockwise270);
        self.shown = Some(match rotation {
            Rotation::None => frame,
            turned => rotate(&frame, turned),
        });
        self.shown_at = now;
        self.serial += 1;
        if !self.needs_key {
            self.undecodable_since = None;
        }
    }

    /// The state at `now`. A screen may stand still for minutes, so it is frozen only while frames come that cannot be
    /// decoded; a camera always sends.
    pub fn state(&self, now: Micros, source: TrackSource) -> InputState<'_> {
        let Some(shown) = &self.shown else {
            return InputState::None;
        };
        let since = match source {
            TrackSource::Screen => self.undecodable_since,
            TrackSource::Camera | TrackSource::Audio => Some(self.shown_at),
        };
        match since.is_some_and(|since| now - since >= FROZEN_AFTER) {
            true => InputState::Frozen(shown, self.serial),
            false => InputState::Live(shown, self.serial),
        }
    }

    /// The shape of the shown frame when it is a new one. Another size of the same shape is not new.
    pub fn take_new_shape(&mut self) -> Option<Shape> {
        let shown = self.shown.as_ref()?;
        let shape = Shape {
            width: shown.width(),
            height: shown.height(),
            is_turned: self.shown_turned,
        };
        let is_same = |before: &Shape| {
            let (a, b) = (before.width * shape.height, shape.width * before.height);
            // Layers of one source differ by rounding.
            before.is_turned == shape.is_turned && a.abs_diff(b) * 50 <= a.max(b)
        };
        if self.shape.as_ref().is_some_and(is_same) {
            return None;
        }
        self.shape = Some(shape);
        self.shape
    }

    /// Whether the sender is to be asked for a keyframe now; counts as asked.
    pub fn take_key_request(&mut self, now: Micros) -> bool {
        let ask = self.needs_key && self.asked_at.is_none_or(|at| now - at >= ASK_AGAIN);
        if ask {
            self.asked_at = Some(now);
        }
        ask
    }

    /// Frames thrown away undecoded since the last call, because they came faster than they could be decoded.
    pub fn take_shed_frames(&mut self) -> u64 {
        std::mem::take(&mut self.shed)
    }

    fn decode(&mut self, coded: &CodedVideo) -> Result<Option<VideoFrame>, ()> {
        let fits = self
            .decoder
            .as_ref()
            .is_some_and(|decoder| decoder.codec() == coded.codec);
        if !fits {
            if !coded.is_key {
                return Err(());
            }
            self.decoder = VideoDecoder::new(coded.codec).ok();
        }
        #[cfg(test)]
        crate::engine::harmful(&coded.data);
        let decoder = self.decoder.as_mut().ok_or(())?;
        decoder.decode(&coded.data).map_err(|error| {
            tracing::debug!(%error, "a frame could not be decoded");
        })
    }

    /// Throws away the first `count` waiting frames.
    fn shed(&mut self, count: usize) {
        for due in self.waiting.drain(..count) {
            self.waiting_bytes -= due.coded.data.len();
        }
        self.shed += count as u64;
    }

    /// Nothing before the next keyframe can be decoded.
    fn skip_to_key(&mut self) {
        while self.waiting.front().is_some_and(|due| !due.coded.is_key) {
            if let Some(due) = self.waiting.pop_front() {
                self.waiting_bytes -= due.coded.data.len();
            }
        }
        self.needs_key |= self.waiting.is_empty();
    }
}

#[cfg(test)]
mod tests;
