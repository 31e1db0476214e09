//! One member's pictures: gated on continuity, decoded, and kept until they are due.

use std::collections::VecDeque;
use std::sync::Arc;

use rotunda_media::codec::{VideoCodec, VideoDecoder};
use rotunda_media::picture::Picture;

use crate::timeline::{Micros, TrackClock};

/// RTP ticks a second of pictures.
const RATE: u32 = 90_000;
/// Decoded pictures that wait, at most.
const MOST: usize = 48;
/// Without data for this long the card is shown.
const STALE: Micros = 5_000_000;
/// A key frame that is needed is asked for this often.
const ASK_AGAIN: Micros = 500_000;

/// One coded picture.
#[derive(Debug, Clone)]
pub struct CodedPicture {
    pub codec: VideoCodec,
    pub data: Arc<[u8]>,
    pub is_key: bool,
    /// Nothing is missing between it and the one before.
    pub contiguous: bool,
}

/// See the [module](self).
pub struct PictureInput {
    pub(crate) clock: TrackClock,
    decoder: Option<VideoDecoder>,
    needs_key: bool,
    asked_at: Option<Micros>,
    waiting: VecDeque<Due>,
    shown: Option<Picture>,
    /// Grows with every picture shown.
    serial: u64,
    last_data: Micros,
}

struct Due {
    at: Micros,
    picture: Picture,
}

impl PictureInput {
    pub fn new(now: Micros) -> Self {
        Self {
            clock: TrackClock::new(RATE),
            decoder: None,
            needs_key: true,
            asked_at: None,
            waiting: VecDeque::new(),
            shown: None,
            serial: 0,
            last_data: now,
        }
    }

    /// Decodes a picture that is to be shown at `due`. After a gap or a failure the last good picture stays until the next
    /// key frame.
    pub fn handle_picture(&mut self, now: Micros, due: Micros, coded: &CodedPicture) {
        self.last_data = now;
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
            Ok(Some(picture)) => {
                if self.waiting.len() >= MOST {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(Due { at: due, picture });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "a picture could not be decoded");
                self.needs_key = true;
            }
        }
    }

    /// Goes on to the latest picture that is due.
    pub fn handle_tick(&mut self, now: Micros) {
        while self.waiting.front().is_some_and(|due| due.at <= now) {
            self.shown = self.waiting.pop_front().map(|due| due.picture);
            self.serial += 1;
        }
    }

    /// The picture to show and its serial number; None: the card.
    pub fn live(&self, now: Micros) -> Option<(&Picture, u64)> {
        let picture = self.shown.as_ref().filter(|_| now - self.last_data < STALE)?;
        Some((picture, self.serial))
    }

    /// Whether the sender is to be asked for a key frame now; counts as asked.
    pub fn take_key_request(&mut self, now: Micros) -> bool {
        let ask = self.needs_key && self.asked_at.is_none_or(|at| now - at >= ASK_AGAIN);
        if ask {
            self.asked_at = Some(now);
        }
        ask
    }
}
