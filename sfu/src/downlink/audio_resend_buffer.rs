//! Protected audio packets as a viewer was sent them, for retransmission when the viewer sends a NACK (RFC 4585 §6.2.1).
//!
//! Audio has no RTX stream, so it is repeated on its own stream. The bytes are the same: a cipher must not see two contents for one
//! packet number (RFC 7714 §9.1).

use std::collections::VecDeque;

use str0m::rtp::Ssrc;

/// Bytes that are kept for a viewer at least: a second of one voice with full redundancy, and more without it.
const LEAST: usize = 16 * 1024;
/// Bytes for each audio slot: half a second of a voice. A mixer hears many at one time.
const PER_SLOT: usize = 4 * 1024;

/// The newest protected audio packets of a viewer.
#[derive(Debug)]
pub struct AudioResendBuffer {
    most: usize,
    bytes: VecDeque<u8>,
    /// SSRC, sequence number and length, oldest first.
    packets: VecDeque<(Ssrc, u16, usize)>,
}

impl AudioResendBuffer {
    /// `slots`: audio slots of the viewer.
    pub fn new(slots: usize) -> Self {
        Self {
            most: LEAST.max(slots * PER_SLOT),
            bytes: VecDeque::new(),
            packets: VecDeque::new(),
        }
    }

    pub fn keep(&mut self, ssrc: Ssrc, seq: u16, protected: &[u8]) {
        while self.bytes.len() + protected.len() > self.most
            && let Some((_, _, length)) = self.packets.pop_front()
        {
            self.bytes.drain(..length);
        }
        if protected.len() <= self.most {
            self.bytes.extend(protected);
            self.packets.push_back((ssrc, seq, protected.len()));
        }
    }

    pub fn find(&self, ssrc: Ssrc, seq: u16) -> Option<Vec<u8>> {
        let mut end = self.bytes.len();
        for (of, number, length) in self.packets.iter().rev() {
            let begin = end - length;
            if (*of, *number) == (ssrc, seq) {
                return Some(self.bytes.range(begin..end).copied().collect());
            }
            end = begin;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_packets_are_kept_as_they_were() {
        let mut audio_resends = AudioResendBuffer::new(1);
        for seq in 0..1000u16 {
            audio_resends.keep(7.into(), seq, &[seq as u8; 100]);
            audio_resends.keep(8.into(), seq, &[!(seq as u8); 60]);
        }
        assert_eq!(audio_resends.find(7.into(), 999), Some(vec![231; 100]));
        assert_eq!(audio_resends.find(8.into(), 950), Some(vec![!182; 60]));
        assert_eq!(audio_resends.find(7.into(), 800), None, "too old");
        assert_eq!(audio_resends.find(9.into(), 999), None);
        assert!(audio_resends.bytes.len() <= LEAST && audio_resends.packets.len() > 150);
    }

    #[test]
    fn a_viewer_with_many_audio_slots_can_ask_for_the_last_moment_of_each() {
        let mut audio_resends = AudioResendBuffer::new(20);
        for seq in 0..50u16 {
            for slot in 0..20 {
                audio_resends.keep(slot.into(), seq, &[0; 140]);
            }
        }
        for slot in 0..20u32 {
            assert!(audio_resends.find(slot.into(), 25).is_some());
        }
        assert!(audio_resends.bytes.len() <= 20 * PER_SLOT);
    }
}
