//! Redundant audio (RFC 2198): several blocks of audio in one packet.

use crate::units::SeqNo;

/// Redundant blocks that are read at most.
const MAX_BLOCKS: usize = 8;
/// Timestamp offsets have 14 bits, block lengths 10 (RFC 2198 §3).
const MAX_OFFSET: u32 = 0x3fff;
const MAX_LENGTH: usize = 0x3ff;

/// A packet taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Blocks<'a> {
    pub primary: &'a [u8],
    /// Older audio, oldest first: how much older in timestamp units, and the block.
    pub redundant: Vec<(u32, &'a [u8])>,
}

/// An older block whose own packet was lost.
#[derive(Debug, PartialEq, Eq)]
pub struct StandIn<'a> {
    pub seq: SeqNo,
    /// How much older than the primary block, in timestamp units.
    pub offset: u32,
    pub block: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// The blocks of packets that were `missed`, oldest first. `seq`: of this packet; it has one block of each packet just before it.
    pub fn stand_ins(&self, seq: SeqNo, missed: impl Fn(SeqNo) -> bool) -> Vec<StandIn<'a>> {
        let newest_first = self.redundant.iter().rev().zip(1..);
        let mut found: Vec<StandIn<'_>> = newest_first
            .filter(|((_, block), _)| !block.is_empty())
            .filter_map(|((offset, block), before)| {
                let seq = seq.before(before)?;
                let offset = *offset;
                missed(seq).then_some(StandIn { seq, offset, block })
            })
            .collect();
        found.reverse();
        found
    }
}

/// None: not RED, or cut short.
pub fn split(payload: &[u8]) -> Option<Blocks<'_>> {
    let mut headers = Vec::new();
    let mut rest = payload;
    loop {
        let (first, after) = rest.split_first()?;
        if first & 0x80 == 0 {
            rest = after;
            break;
        }
        let (bytes, after) = rest.split_first_chunk::<4>()?;
        let word = u32::from_be_bytes(*bytes);
        headers.push((word >> 10 & MAX_OFFSET, (word & 0x3ff) as usize));
        if headers.len() > MAX_BLOCKS {
            return None;
        }
        rest = after;
    }
    let mut redundant = Vec::with_capacity(headers.len());
    for (offset, length) in headers {
        let (block, after) = rest.split_at_checked(length)?;
        redundant.push((offset, block));
        rest = after;
    }
    Some(Blocks {
        primary: rest,
        redundant,
    })
}

/// Older audio: how much older in timestamp units, and the payload.
pub type Block<'a> = (u32, &'a [u8]);

/// Appends `primary` after older blocks, oldest first, all of payload type `inner`. Blocks that do not fit are left out.
pub fn join(inner: u8, primary: &[u8], older: &[Option<Block<'_>>], out: &mut Vec<u8>) {
    for (offset, block) in fitting(older) {
        let word = 0x8000_0000 | u32::from(inner & 0x7f) << 24 | offset << 10 | block.len() as u32;
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.push(inner & 0x7f);
    for (_, block) in fitting(older) {
        out.extend_from_slice(block);
    }
    out.extend_from_slice(primary);
}

/// Bytes that [`join`] appends.
pub fn joined_length(primary: &[u8], older: &[Option<Block<'_>>]) -> usize {
    let blocks: usize = fitting(older).map(|(_, block)| 4 + block.len()).sum();
    blocks + 1 + primary.len()
}

fn fitting<'a>(older: &[Option<Block<'a>>]) -> impl Iterator<Item = Block<'a>> {
    let blocks = older.iter().copied().flatten();
    blocks.filter(|(offset, block)| *offset <= MAX_OFFSET && block.len() <= MAX_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn joined_blocks_are_split_again() {
        let older = [None, Some((1920, &[4, 5][..])), Some((960, &[7, 8, 9][..]))];
        let mut packet = Vec::new();
        join(111, &[1, 2], &older, &mut packet);
        assert_eq!(packet.len(), joined_length(&[1, 2], &older));
        let blocks = split(&packet).unwrap();
        assert_eq!(blocks.primary, [1, 2]);
        assert_eq!(blocks.redundant, [(1920, &[4u8, 5][..]), (960, &[7u8, 8, 9][..])]);
    }

    #[test]
    fn a_block_that_does_not_fit_is_left_out() {
        let mut packet = Vec::new();
        join(
            111,
            &[1],
            &[Some((960, &[0; 2000][..])), Some((20_000, &[1][..]))],
            &mut packet,
        );
        assert_eq!(packet, [111, 1]);
    }

    #[test]
    fn every_older_block_stands_in_for_its_packet_when_that_was_lost() {
        let older = [Some((2880, &[1][..])), Some((1920, &[2][..])), Some((960, &[3][..]))];
        let mut packet = Vec::new();
        join(111, &[4], &older, &mut packet);
        let blocks = split(&packet).unwrap();
        let stand_in = |seq, offset, block| StandIn {
            seq: SeqNo::new(seq),
            offset,
            block,
        };
        let stand_ins = |seq, missed: fn(u64) -> bool| blocks.stand_ins(SeqNo::new(seq), |seq| missed(seq.get()));
        assert_eq!(
            stand_ins(100, |seq| seq != 98),
            [stand_in(97, 2880, &[1]), stand_in(99, 960, &[3])]
        );
        assert_eq!(stand_ins(100, |_| false), []);
        assert_eq!(stand_ins(2, |_| true).len(), 2, "nothing is before the first");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _blocks = split(&bytes);
        }
    }
}
