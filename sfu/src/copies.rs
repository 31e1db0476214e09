//! Sound as it was sent to a viewer, to be sent again when he misses it (RFC 4585 §6.2.1).
//!
//! Sound has no resend stream, so it is repeated on its own: the same bytes, as a cipher must not see one packet number with two
//! contents (RFC 7714 §9.1).

use std::collections::VecDeque;

/// Bytes that are kept for a viewer: a second of one voice with all its redundancy, more without.
const BYTES: usize = 16 * 1024;

/// The newest protected packets of a viewer's sound.
#[derive(Debug, Default)]
pub struct Copies {
    bytes: VecDeque<u8>,
    /// SSRC, sequence number and length, oldest first.
    packets: VecDeque<(u32, u16, usize)>,
}

impl Copies {
    pub fn keep(&mut self, ssrc: u32, seq: u16, protected: &[u8]) {
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

    pub fn find(&self, ssrc: u32, seq: u16) -> Option<Vec<u8>> {
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
        let mut copies = Copies::default();
        for seq in 0..1000u16 {
            copies.keep(7, seq, &[seq as u8; 100]);
            copies.keep(8, seq, &[!(seq as u8); 60]);
        }
        assert_eq!(copies.find(7, 999), Some(vec![231; 100]));
        assert_eq!(copies.find(8, 950), Some(vec![!182; 60]));
        assert_eq!(copies.find(7, 800), None, "too old");
        assert_eq!(copies.find(9, 999), None);
        assert!(copies.bytes.len() <= BYTES && copies.packets.len() > 150);
    }
}
