//! Bits of the descriptor, highest first (AV1 RTP specification, A.8.1: f(n) and ns(n)).

pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// f(count), at most 32 bits. None: there are not so many.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// ns(count): a number below `count`, which is not 0.
    pub fn take_below(&mut self, count: u32) -> Option<u32> {
        let bits = u32::BITS - count.leading_zeros();
        let short = (1 << bits) - count;
        let value = self.take(bits - 1)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + self.take(1)?)
    }
}

/// Appends bits to bytes; the last byte is filled with zeros.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Bits of the last byte that are written; 0: none is begun.
    used: u32,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, used: 0 }
    }

    /// The lowest `count` bits of `value`.
    pub fn put(&mut self, count: u32, value: u32) {
        for shift in (0..count).rev() {
            if self.used == 0 {
                self.out.push(0);
            }
            if let Some(last) = self.out.last_mut() {
                *last |= ((value >> shift & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// ns(count) of a number below `count`.
    pub fn put_below(&mut self, count: u32, value: u32) {
        let bits = u32::BITS - count.leading_zeros();
        let short = (1 << bits) - count;
        if value < short {
            self.put(bits - 1, value);
        } else {
            self.put(bits, value + short);
        }
    }
}
