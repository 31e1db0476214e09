//! The packets of one member's audio, decoded in the order of their time and just before it: a packet that was lost may still be
//! repaired by then, by redundancy (RFC 2198) or by a retransmission. What is lost after all is filled by the forward error
//! correction inside the next packet, by concealment, or by comfort noise. Pure.
//!
//! Times are samples at 48 kHz.

use std::collections::VecDeque;

use rotunda_media::codec::{CodecError, OpusDecoder};

/// Samples of a lost packet: 20 ms.
pub const PACKET: i64 = 960;
/// Samples by which a gap may be shorter than a packet: the audio before it may be beside its place.
pub const TOLERANCE: i64 = 96;
/// Lost packets in a row that the decoder conceals. A longer gap is silent.
const CONCEAL: i64 = 3;
/// Two packets cannot begin nearer to each other: half of the shortest one, which has 2.5 ms.
const TWICE: i64 = 60;
/// Packets that wait at most: 10 s of packets of 20 ms.
const MOST: usize = 500;
/// A packet this short says that nobody speaks, and that the next one comes later (DTX). Source: RFC 6716 §3.1, RFC 7587 §3.1.3.
const DTX_BYTES: usize = 2;
/// The decoder makes comfort noise for so long after it, samples: 1 s. Encoders repeat it every 400 ms.
const DTX_MOST: i64 = 48_000;

/// See the [module](self).
pub struct AudioDecoder {
    decoder: OpusDecoder,
    /// Channels of the output, 1 or 2.
    channels: u8,
    /// By the time of their first sample.
    packets: VecDeque<(i64, Box<[u8]>)>,
    /// The first sample of the newest packet that has been decoded.
    decoded: Option<i64>,
    /// A packet that begins before this has been decoded, or something was heard in its place.
    passed: i64,
    /// Packets in a row that were concealed.
    concealed: i64,
    /// Comfort noise that may still be made, samples.
    noise_left: i64,
}

/// What has become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Waits,
    /// Something was heard in its place.
    TooLate,
    /// It has come before.
    Twice,
    /// Too many packets wait.
    Full,
}

/// The next audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A packet whose first sample belongs there.
    Packet(i64),
    /// It follows what came before, in place of a packet that is missing.
    Filled,
    /// Nothing is there for now.
    Nothing,
}

/// The audio that the caller has so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoFar {
    /// Where it ends.
    pub end: i64,
    /// Whether audio is there up to the end, and not silence.
    pub is_audible: bool,
}

impl AudioDecoder {
    /// `channels`: of the output, 1 or 2.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn new(channels: u8) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: OpusDecoder::new(channels)?,
            channels,
            packets: VecDeque::new(),
            decoded: None,
            passed: i64::MIN,
            concealed: 0,
            noise_left: 0,
        })
    }

    /// From now on the output has two channels.
    pub fn widen(&mut self) {
        self.channels = 2;
        self.decoder.widen();
    }

    /// Takes a packet whose first sample belongs at `at`. Packets may come in any order.
    pub fn handle_packet(&mut self, at: i64, packet: &[u8]) -> Put {
        if self.decoded.is_some_and(|decoded| (at - decoded).abs() < TWICE) {
            return Put::Twice;
        }
        if at < self.passed {
            return Put::TooLate;
        }
        let place = self.packets.partition_point(|(other, _)| *other < at);
        let is_there = |place: usize| {
            self.packets
                .get(place)
                .is_some_and(|(other, _)| (at - other).abs() < TWICE)
        };
        if is_there(place) || place.checked_sub(1).is_some_and(is_there) {
            return Put::Twice;
        }
        if self.packets.len() >= MOST {
            return Put::Full;
        }
        self.packets.insert(place, (at, packet.into()));
        Put::Waits
    }

    /// Whether [`poll`](Self::poll) has a packet to decode now.
    pub fn is_due(&self, so_far: SoFar, until: i64) -> bool {
        let Some((at, _)) = self.packets.front() else {
            return false;
        };
        so_far.end < until && (*at < until || (so_far.is_audible && at - so_far.end < 2 * PACKET - TOLERANCE))
    }

    /// Writes the next audio into `out`, interleaved. `until`: what is to be heard before it is needed now. Call until it is
    /// [`Piece::Nothing`], or the audio reaches `until`.
    ///
    /// Errors: [`CodecError::Decode`]; the packet is as good as lost.
    pub fn poll(&mut self, so_far: SoFar, until: i64, out: &mut Vec<f32>) -> Result<Piece, CodecError> {
        out.clear();
        let SoFar { end, is_audible } = so_far;
        let gap = self.packets.front().map(|(at, _)| at - end);
        match gap {
            Some(gap) if is_audible && gap < PACKET - TOLERANCE => self.decode(out),
            Some(gap) if is_audible && gap < 2 * PACKET - TOLERANCE => Ok(self.fill_last(end, out)),
            _ if is_audible && self.noise_left > 0 => Ok(self.fill(end, out)),
            Some(_) if is_audible && self.concealed < CONCEAL => {
                self.concealed += 1;
                Ok(self.fill(end, out))
            }
            Some(gap) if end + gap < until => self.decode(out),
            Some(_) | None => Ok(Piece::Nothing),
        }
    }

    /// What waits is not to be heard.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.noise_left = 0;
    }

    fn decode(&mut self, out: &mut Vec<f32>) -> Result<Piece, CodecError> {
        let Some((at, packet)) = self.packets.pop_front() else {
            return Ok(Piece::Nothing);
        };
        self.decoded = Some(at);
        self.passed = at;
        self.concealed = 0;
        self.noise_left = 0;
        self.decoder.decode(Some(&packet), out)?;
        if packet.len() <= DTX_BYTES {
            self.noise_left = DTX_MOST;
        }
        Ok(Piece::Packet(at))
    }

    /// 20 ms from `at` on that the decoder makes up: concealment, or comfort noise.
    fn fill(&mut self, at: i64, out: &mut Vec<f32>) -> Piece {
        self.noise_left = (self.noise_left - PACKET).max(0);
        self.passed = self.passed.max(at + PACKET / 2);
        if self.decoder.decode(None, out).is_err() {
            out.clear();
            out.resize(usize::from(self.channels) * PACKET as usize, 0.0);
        }
        Piece::Filled
    }

    /// The 20 ms just before the next packet, which may have them.
    fn fill_last(&mut self, at: i64, out: &mut Vec<f32>) -> Piece {
        let next = self.packets.front().map(|(_, packet)| packet);
        if let Some(next) = next.filter(|next| self.noise_left == 0 && next.len() > DTX_BYTES)
            && self.decoder.recover(next, out).is_ok()
        {
            self.passed = self.passed.max(at + PACKET / 2);
            return Piece::Filled;
        }
        out.clear();
        self.fill(at, out)
    }
}

#[cfg(test)]
mod tests;
