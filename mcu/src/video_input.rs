//! One member's video. It decodes frames that follow one another, keeps them until they are due, and turns them upright.
//!
//! The last frame stays until the layout takes the video away (muted, unpublished, left): a slide may stand for minutes.

use std::collections::VecDeque;

use rotunda_media::codec::VideoDecoder;
use rotunda_media::rotate::rotate;
use rotunda_media::video_frame::{Rotation, VideoFrame};
use rotunda_receiver::CodedVideo;

use crate::timeline::Micros;

/// RTP ticks a second of video.
pub const RATE: u32 = 90_000;
/// Decoded frames that wait, at most.
const MOST: usize = 48;
/// A keyframe that is needed is asked for this often.
const ASK_AGAIN: Micros = 500_000;

/// Size of a frame when it stands upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub width: usize,
    pub height: usize,
    /// It was coded lying on its side.
    pub is_turned: bool,
}

/// See the [module](self).
pub struct VideoInput {
    decoder: Option<VideoDecoder>,
    needs_key: bool,
    asked_at: Option<Micros>,
    waiting: VecDeque<Due>,
    shown: Option<VideoFrame>,
    shown_turned: bool,
    /// Grows with every frame shown.
    serial: u64,
    rotation: Rotation,
    /// The last one told.
    shape: Option<Shape>,
}

struct Due {
    at: Micros,
    frame: VideoFrame,
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
            asked_at: None,
            waiting: VecDeque::new(),
            shown: None,
            shown_turned: false,
            serial: 0,
            rotation: Rotation::None,
            shape: None,
        }
    }

    /// Decodes a frame that is to be shown at `due`. After a gap or a failure the last good frame stays until the next
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
            if self
                .decoder
                .as_ref()
                .is_none_or(|decoder| decoder.codec() != coded.codec)
            {
                self.decoder = VideoDecoder::new(coded.codec).ok();
            }
        } else if !coded.contiguous
            || self
                .decoder
                .as_ref()
                .is_some_and(|decoder| decoder.codec() != coded.codec)
        {
            self.needs_key = true;
        }
        let Some(decoder) = self.decoder.as_mut().filter(|_| !self.needs_key) else {
            return;
        };
        match decoder.decode(&coded.data) {
            Ok(Some(frame)) => {
                if self.waiting.len() >= MOST {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(Due {
                    at: due,
                    frame,
                    rotation: self.rotation,
                });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a frame could not be decoded");
                self.needs_key = true;
            }
        }
    }

    /// Goes on to the latest frame that is due.
    pub fn handle_tick(&mut self, now: Micros) {
        let mut newest = None;
        while self.waiting.front().is_some_and(|due| due.at <= now) {
            newest = self.waiting.pop_front();
        }
        if let Some(Due { frame, rotation, .. }) = newest {
            self.shown_turned = matches!(rotation, Rotation::Clockwise90 | Rotation::Clockwise270);
            self.shown = Some(match rotation {
                Rotation::None => frame,
                turned => rotate(&frame, turned),
            });
            self.serial += 1;
        }
    }

    /// The frame to show and its serial number; None: the card.
    pub fn live(&self) -> Option<(&VideoFrame, u64)> {
        Some((self.shown.as_ref()?, self.serial))
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
}
