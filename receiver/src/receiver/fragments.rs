//! Counts what str0m's H.264 depacketizer holds back: it keeps every FU-A fragment until one has the end bit (RFC 6184 §5.8), over
//! frames and without a bound. A publisher who never sets that bit would fill the memory at the rate of their upload.
//!
//! The count follows the depacketizer exactly: the same packets, frame by frame. A packet that was not seen here (it came as a
//! retransmission) counts as a full one without an end, so the count is never too low.

use std::ops::RangeInclusive;

/// More than the largest frame that str0m puts together (4,096 packets).
const LIMIT: usize = 16 << 20;
/// Packets that str0m holds of a stream at most.
const WINDOW: usize = 4096;
/// Payload of the largest packet.
const LARGEST: usize = 1500;
const FU_A: u8 = 28;
const TYPE: u8 = 0x1f;
const END: u8 = 0x40;
/// FU indicator and FU header.
const HEADERS: usize = 2;

/// See the [module](self). One line's packets.
#[derive(Debug, Default)]
pub struct Fragments {
    /// By sequence number modulo [`WINDOW`]; empty until the first packet.
    packets: Vec<Option<Packet>>,
    held: usize,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    sequence: u16,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// No fragment: leaves what is held as it is.
    Whole,
    Fragment {
        bytes: usize,
    },
    LastFragment,
}

impl Fragments {
    /// A packet has come in.
    pub fn handle_packet(&mut self, sequence: u16, payload: &[u8]) {
        let kind = match payload {
            [indicator, header, rest @ ..] if indicator & TYPE == FU_A => match header & END {
                0 => Kind::Fragment { bytes: rest.len() },
                _ => Kind::LastFragment,
            },
            _ => Kind::Whole,
        };
        self.packets.resize(WINDOW, None);
        if let Some(packet) = self.packets.get_mut(usize::from(sequence) % WINDOW) {
            *packet = Some(Packet { sequence, kind });
        }
    }

    /// The packets of a frame were put together. Answers true when too much is held back since.
    pub fn handle_frame(&mut self, sequences: RangeInclusive<u64>) -> bool {
        for sequence in sequences.take(WINDOW) {
            let sequence = sequence as u16;
            let packet = self.packets.get_mut(usize::from(sequence) % WINDOW);
            let packet = packet.and_then(|packet| packet.take_if(|packet| packet.sequence == sequence));
            match packet.map(|packet| packet.kind) {
                Some(Kind::Whole) => {}
                Some(Kind::Fragment { bytes }) => self.held += bytes,
                Some(Kind::LastFragment) => self.held = 0,
                None => self.held += LARGEST - HEADERS,
            }
        }
        self.held > LIMIT
    }

    /// A frame was malformed. Its packets are not known: all that are waiting may be held back from now on.
    pub fn handle_malformed(&mut self) -> bool {
        for packet in self.packets.iter_mut().filter_map(Option::take) {
            if let Kind::Fragment { bytes } = packet.kind {
                self.held += bytes;
            }
        }
        self.held > LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: [u8; 1000] = {
        let mut packet = [0; 1000];
        packet[0] = FU_A;
        packet
    };

    #[test]
    fn whole_frames_leave_nothing_behind_over_the_wrap_of_sequence_numbers() {
        let mut fragments = Fragments::default();
        for sequence in 60_000..120_000_u64 {
            let mut packet = FRAGMENT;
            packet[1] = if sequence % 10 == 9 { END } else { 0 };
            fragments.handle_packet(sequence as u16, &packet);
            if sequence % 10 == 9 {
                assert!(!fragments.handle_frame(sequence - 9..=sequence));
                assert_eq!(fragments.held, 0);
            }
        }
    }

    #[test]
    fn fragments_without_an_end_are_counted_also_when_malformed_frames_hide_them() {
        for malformed in [false, true] {
            let mut fragments = Fragments::default();
            let exceeded = (0..100_000_u64).find(|sequence| {
                fragments.handle_packet(*sequence as u16, &FRAGMENT);
                match malformed {
                    true => fragments.handle_malformed(),
                    false => fragments.handle_frame(*sequence..=*sequence),
                }
            });
            assert_eq!(exceeded, Some((LIMIT / 998) as u64));
        }
    }

    #[test]
    fn packets_that_were_not_seen_count_as_fragments_until_an_end_is_seen() {
        let mut fragments = Fragments::default();
        fragments.handle_frame(0..=9);
        assert_eq!(fragments.held, 10 * (LARGEST - HEADERS));
        fragments.handle_packet(10, &[FU_A, END, 1]);
        fragments.handle_frame(10..=10);
        assert_eq!(fragments.held, 0);
    }
}
