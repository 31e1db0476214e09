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
    /// None: the bits are counted alone.
    out: Option<&'a mut Vec<u8>>,
    bits: usize,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out: Some(out),
            bits: 0,
        }
    }

    pub fn counting() -> Self {
        Self { out: None, bits: 0 }
    }

    pub fn bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// The lowest `count` bits of `value`.
    pub fn put(&mut self, count: u32, value: u32) {
        if let Some(out) = &mut self.out {
            for (at, shift) in (self.bits..).zip((0..count).rev()) {
                if at % 8 == 0 {
                    out.push(0);
                }
                if let Some(last) = out.last_mut() {
                    *last |= ((value >> shift & 1) as u8) << (7 - at % 8);
                }
            }
        }
        self.bits += count as usize;
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
