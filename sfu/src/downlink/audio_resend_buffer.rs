//! Protected audio packets as a viewer was sent them, for retransmission when the viewer sends a NACK (RFC 4585 §6.2.1).
//!
//! Audio has no RTX stream, so it is repeated on its own stream. The bytes are the same: a cipher must not see two contents for one
//! packet number (RFC 7714 §9.1).

use std::collections::VecDeque;

use str0m::rtp::Ssrc;

/// Bytes that are kept for a viewer: a second of one voice with full redundancy, and more without it.
const BYTES: usize = 16 * 1024;

/// The newest protected audio packets of a viewer.
#[derive(Debug, Default)]
pub struct AudioResendBuffer {
    bytes: VecDeque<u8>,
    /// SSRC, sequence number and length, oldest first.
    packets: VecDeque<(Ssrc, u16, usize)>,
}

impl AudioResendBuffer {
    pub fn keep(&mut self, ssrc: Ssrc, seq: u16, protected: &[u8]) {
        while self.bytes.len() + protected.len() > BYTES
            && let Some((_, _, length)) = self.packets.pop_front()
        {
            self.bytes.drain(..length);
        }
        if protected.len() <= BYTES {
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
        let mut audio_resends = AudioResendBuffer::default();
        for seq in 0..1000u16 {
            audio_resends.keep(7.into(), seq, &[seq as u8; 100]);
            audio_resends.keep(8.into(), seq, &[!(seq as u8); 60]);
        }
        assert_eq!(audio_resends.find(7.into(), 999), Some(vec![231; 100]));
        assert_eq!(audio_resends.find(8.into(), 950), Some(vec![!182; 60]));
        assert_eq!(audio_resends.find(7.into(), 800), None, "too old");
        assert_eq!(audio_resends.find(9.into(), 999), None);
        assert!(audio_resends.bytes.len() <= BYTES && audio_resends.packets.len() > 150);
    }
}
