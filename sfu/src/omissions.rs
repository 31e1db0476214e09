//! Numbers of which some are left out, so that those that go on have no gaps where they were.

/// So many of the newest numbers are remembered; as many as a stream's history.
const REMEMBERED: u64 = 1024;
const WORDS: usize = REMEMBERED as usize / 64;

/// Which of the newest numbers of a run were left out. One that has not come yet counts as going on: its place stays free.
#[derive(Debug, Clone)]
pub struct Omissions {
    /// Above the newest number.
    next: u64,
    /// Numbers left out below `next`, ever.
    total: u64,
    /// A bit a number, set: left out.
    left_out: [u64; WORDS],
}

impl Omissions {
    /// Nothing was left out below `next`.
    pub fn new(next: u64) -> Self {
        Self {
            next,
            total: 0,
            left_out: [0; WORDS],
        }
    }

    /// Above the newest number that was told.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The number goes on. One below [`next`](Self::next) is known already: this changes nothing.
    pub fn keep(&mut self, number: u64) {
        while self.next <= number {
            // A jump beyond all that is remembered.
            self.next = self.next.max((number + 1).saturating_sub(REMEMBERED));
            let (word, bit) = place(self.next);
            self.left_out[word] &= !bit;
            self.next += 1;
        }
    }

    /// The number is left out, when it is a new one; the place of one below [`next`](Self::next) stays free.
    pub fn leave_out(&mut self, number: u64) {
        if number >= self.next {
            self.keep(number);
            let (word, bit) = place(number);
            self.left_out[word] |= bit;
            self.total += 1;
        }
    }

    /// How many were left out below this number: what it is to be lowered by. None: it was left out itself, or is too old.
    pub fn below(&self, number: u64) -> Option<u64> {
        if number >= self.next {
            return Some(self.total);
        }
        if self.next - number > REMEMBERED || self.is_left_out(number) {
            return None;
        }
        Some(self.count_below(number))
    }

    /// The number that became `lowered`. None: it is too old, or not yet known.
    pub fn source(&self, lowered: u64) -> Option<u64> {
        // The highest one that was lowered to no more than that: those left out before one that goes on share its place.
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
        (self.below(number).map(|below| number - below) == Some(lowered)).then_some(number)
    }

    fn is_left_out(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.left_out[word] & bit != 0
    }

    /// `number`: remembered.
    fn count_below(&self, number: u64) -> u64 {
        let mut above = 0;
        let mut at = number;
        while at < self.next {
            let end = (at / 64 + 1) * 64;
            let (word, _) = place(at);
            // From `at` on, and below `next` where that is in this word.
            let mut bits = self.left_out[word] >> (at % 64);
            if end > self.next {
                bits &= (1 << (self.next - at)) - 1;
            }
            above += u64::from(bits.count_ones());
            at = end;
        }
        self.total - above
    }
}

fn place(number: u64) -> (usize, u64) {
    ((number / 64) as usize % WORDS, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn those_that_go_on_are_numbered_without_a_gap() {
        let mut omissions = Omissions::new(100);
        let mut out = Vec::new();
        for number in 100..110 {
            if number % 3 == 0 {
                omissions.leave_out(number);
            } else {
                omissions.keep(number);
                out.push(number - omissions.below(number).unwrap());
            }
        }
        assert_eq!(out, [100, 101, 102, 103, 104, 105, 106]);
        assert_eq!(omissions.source(102), Some(103));
        assert_eq!(omissions.below(102), None);
    }

    #[test]
    fn one_that_comes_late_has_the_place_that_was_left_for_it() {
        let mut omissions = Omissions::new(10);
        omissions.leave_out(10);
        omissions.keep(13);
        assert_eq!((omissions.below(11), omissions.below(13)), (Some(1), Some(1)));
        omissions.leave_out(12);
        assert_eq!(omissions.below(13), Some(1), "what has left keeps its number");
    }

    proptest! {
        #[test]
        fn every_number_that_went_on_is_found_again(first in 0u64..200_000, kinds in proptest::collection::vec(0u8..4, 1..3000)) {
            let mut omissions = Omissions::new(first);
            let mut out = Vec::new();
            for (number, kind) in (first..).zip(&kinds) {
                match kind {
                    0 => omissions.leave_out(number),
                    // It is lost.
                    1 => {}
                    _ => {
                        omissions.keep(number);
                        out.push((number, number - omissions.below(number).unwrap()));
                    }
                }
            }
            let recent = |number: u64| omissions.next() - number <= REMEMBERED;
            for (number, lowered) in out {
                let found = omissions.source(lowered);
                prop_assert_eq!(found, recent(number).then_some(number));
                if recent(number) {
                    prop_assert_eq!(omissions.below(number).map(|below| number - below), Some(lowered));
                }
            }
        }
    }
}
