//! Fields of any number of bits, the highest bit first.

/// None: the bytes end before the field does.
pub struct Bits<I> {
    bytes: I,
    byte: u8,
    left: u32,
}

impl<I: Iterator<Item = u8>> Bits<I> {
    pub fn new(bytes: I) -> Self {
        Self {
            bytes,
            byte: 0,
            left: 0,
        }
    }

    pub fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.bytes.next()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 != 0)
    }

    /// At most 32 bits.
    pub fn number(&mut self, bits: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    pub fn skip(&mut self, bits: u32) -> Option<()> {
        (0..bits).try_for_each(|_| self.flag().map(|_| ()))
    }

    /// `ue(v)`, an Exp-Golomb code (ITU-T H.264 §9.1), which is AV1's `uvlc()` (§4.10.3), too. None also for what is over 32
    /// bits.
    pub fn exp_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }

    /// `se(v)` (ITU-T H.264 §9.1.1).
    pub fn signed_exp_golomb(&mut self) -> Option<i32> {
        let code = self.exp_golomb()?;
        let size = (code / 2 + code % 2) as i32;
        Some(if code % 2 == 1 { size } else { -size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_over_the_ends_of_bytes_and_stop_where_the_bytes_do() {
        let mut bits = Bits::new([0b1010_0110, 0b0100_0010, 0x80].into_iter());
        assert_eq!(bits.exp_golomb(), Some(0));
        assert_eq!(bits.exp_golomb(), Some(1));
        assert_eq!(bits.signed_exp_golomb(), Some(-1));
        assert_eq!(bits.number(3), Some(1));
        assert_eq!(bits.exp_golomb(), Some(0x10 - 1 + 4));
        assert_eq!(bits.number(8), None);
    }
}
