//! Remaps sequence numbers so that packets dropped by layer selection leave no gaps.

/// Numbers that are remembered: as many as a stream's history has.
const REMEMBERED: u64 = 1024;
const WORDS: usize = REMEMBERED as usize / 64;

/// Which of the newest numbers were dropped. A number that has not come yet counts as kept: its place stays free.
#[derive(Debug, Clone)]
pub struct SequenceRemap {
    /// One above the newest number.
    next: u64,
    /// Numbers dropped below `next`, ever.
    total: u64,
    /// A bit for each number; set: dropped.
    dropped: [u64; WORDS],
}

impl SequenceRemap {
    /// Nothing was dropped below `next`.
    pub fn new(next: u64) -> Self {
        Self {
            next,
            total: 0,
            dropped: [0; WORDS],
        }
    }

    /// One above the newest number that is known.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The number is kept. A number below [`next`](Self::next) is known already, and nothing changes.
    pub fn keep(&mut self, number: u64) {
        while self.next <= number {
            // After a jump beyond all that is remembered.
            self.next = self.next.max((number + 1).saturating_sub(REMEMBERED));
            let (word, bit) = bit_of(self.next);
            self.dropped[word] &= !bit;
            self.next += 1;
        }
    }

    /// The number is dropped, if it is new. The place of a number below [`next`](Self::next) stays free.
    pub fn drop_number(&mut self, number: u64) {
        if number >= self.next {
            self.keep(number);
            let (word, bit) = bit_of(number);
            self.dropped[word] |= bit;
            self.total += 1;
        }
    }

    /// How many numbers below this one were dropped: it is lowered by so many. None: it was dropped itself, or is too old.
    pub fn dropped_below(&self, number: u64) -> Option<u64> {
        if number >= self.next {
            return Some(self.total);
        }
        if self.next - number > REMEMBERED || self.is_dropped(number) {
            return None;
        }
        Some(self.count_below(number))
    }

    /// The number that became `lowered`. None: it is too old, or not yet known.
    pub fn source(&self, lowered: u64) -> Option<u64> {
        // The highest number that was lowered to no more than that: dropped numbers share the place of the next one that is kept.
        let (mut from, mut to) = (lowered.max(self.next.saturating_sub(REMEMBERED)), self.next);
        while from < to {
            let middle = from + (to - from) / 2;
            if middle.saturating_sub(self.count_below(middle)) <= lowered {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        let number = from.checked_sub(1)?;
        (self.dropped_below(number).map(|below| number - below) == Some(lowered)).then_some(number)
    }

    fn is_dropped(&self, number: u64) -> bool {
        let (word, bit) = bit_of(number);
        self.dropped[word] & bit != 0
    }

    /// `number` is remembered.
    fn count_below(&self, number: u64) -> u64 {
        let mut above = 0;
        let mut at = number;
        while at < self.next {
            let end = (at / 64 + 1) * 64;
            let (word, _) = bit_of(at);
            // From `at` on, and below `next` if that is in this word.
            let mut bits = self.dropped[word] >> (at % 64);
            if end > self.next {
                bits &= (1 << (self.next - at)) - 1;
            }
            above += u64::from(bits.count_ones());
            at = end;
        }
        self.total - above
    }
}

fn bit_of(number: u64) -> (usize, u64) {
    ((number / 64) as usize % WORDS, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_are_kept_have_no_gaps() {
        let mut remap = SequenceRemap::new(100);
        let mut out = Vec::new();
        for number in 100..110 {
            if number % 3 == 0 {
                remap.drop_number(number);
            } else {
                remap.keep(number);
                out.push(number - remap.dropped_below(number).unwrap());
            }
        }
        assert_eq!(out, [100, 101, 102, 103, 104, 105, 106]);
        assert_eq!(remap.source(102), Some(103));
        assert_eq!(remap.dropped_below(102), None);
    }

    #[test]
    fn a_number_that_comes_late_has_the_place_that_was_left_for_it() {
        let mut remap = SequenceRemap::new(10);
        remap.drop_number(10);
        remap.keep(13);
        assert_eq!((remap.dropped_below(11), remap.dropped_below(13)), (Some(1), Some(1)));
        remap.drop_number(12);
        assert_eq!(
            remap.dropped_below(13),
            Some(1),
            "a packet that was sent keeps its number"
        );
    }

    proptest! {
        #[test]
        fn every_number_that_was_kept_is_found_again(first in 0u64..200_000, kinds in proptest::collection::vec(0u8..4, 1..3000)) {
            let mut remap = SequenceRemap::new(first);
            let mut out = Vec::new();
            for (number, kind) in (first..).zip(&kinds) {
                match kind {
                    0 => remap.drop_number(number),
                    // It is lost.
                    1 => {}
                    _ => {
                        remap.keep(number);
                        out.push((number, number - remap.dropped_below(number).unwrap()));
                    }
                }
            }
            let recent = |number: u64| remap.next() - number <= REMEMBERED;
            for (number, lowered) in out {
                let found = remap.source(lowered);
                prop_assert_eq!(found, recent(number).then_some(number));
                if recent(number) {
                    prop_assert_eq!(remap.dropped_below(number).map(|below| number - below), Some(lowered));
                }
            }
        }
    }
}
