//! The format of a link's datagrams: a header that stays readable, and frames inside the protected body.
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | [`FIRST`]: of no protocol that shares the port (RFC 7983) |
//! | 4 | the link, by the number that its receiver gave it |
//! | 8 | the counter of the datagram |
//! | 8, protected | the time of sending, microseconds on the sender's clock |
//! | rest, protected | frames |
//! | 16 | the tag |
//!
//! All numbers are big-endian.

/// The first byte. STUN has 0 to 3, DTLS 20 to 63, RTP and RTCP 128 to 191.
pub const FIRST: u8 = 0xf1;
/// Bytes of the readable part.
pub const HEADER: usize = 13;
/// Ranges of media numbers in one request for retransmission.
pub const MOST_RANGES: usize = 64;

/// Whether a datagram is one of a link, authentic or not.
pub fn is_link(datagram: &[u8]) -> bool {
    datagram.first() == Some(&FIRST)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub link: u32,
    pub counter: u64,
}

impl Header {
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(datagram);
        if bytes.u8()? != FIRST {
            return None;
        }
        Some(Self {
            link: bytes.u32()?,
            counter: bytes.u64()?,
        })
    }

    pub fn write(self) -> [u8; HEADER] {
        let mut bytes = [FIRST; HEADER];
        bytes[1..5].copy_from_slice(&self.link.to_be_bytes());
        bytes[5..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }
}

/// A part of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A packet of media, by its number on this link.
    Media { number: u64, bytes: &'a [u8] },
    /// A part of the stream of messages.
    Messages { offset: u64, bytes: &'a [u8] },
    /// The stream of messages has come up to here.
    Received { offset: u64 },
    /// Media that has not come: first number, and how many.
    Missing { ranges: Vec<(u64, u8)> },
    /// The number of the next packet of media: those before have been sent.
    Next { number: u64 },
    /// A datagram of that time of sending came so many microseconds ago.
    Echo { sent_at: u64, held: u32 },
}

/// Bytes of a frame of media, or of messages, beside the bytes that it carries.
pub const FRAME: usize = 11;

impl Frame<'_> {
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Media { number, bytes } => write_bytes(out, 1, *number, bytes),
            Self::Messages { offset, bytes } => write_bytes(out, 2, *offset, bytes),
            Self::Received { offset } => write_number(out, 3, *offset),
            Self::Missing { ranges } => {
                let ranges = &ranges[..ranges.len().min(MOST_RANGES)];
                out.extend_from_slice(&[4, ranges.len() as u8]);
                for (first, count) in ranges {
                    out.extend_from_slice(&first.to_be_bytes());
                    out.push(*count);
                }
            }
            Self::Next { number } => write_number(out, 5, *number),
            Self::Echo { sent_at, held } => {
                write_number(out, 6, *sent_at);
                out.extend_from_slice(&held.to_be_bytes());
            }
        }
    }
}

fn write_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend_from_slice(&number.to_be_bytes());
}

/// `bytes`: at most 65,535.
fn write_bytes(out: &mut Vec<u8>, kind: u8, number: u64, bytes: &[u8]) {
    write_number(out, kind, number);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The body of a datagram: the time of sending, and the frames. None: malformed.
pub fn read_body(body: &[u8]) -> Option<(u64, Vec<Frame<'_>>)> {
    let mut bytes = Bytes(body);
    let sent_at = bytes.u64()?;
    let mut frames = Vec::new();
    while !bytes.0.is_empty() {
        frames.push(read_frame(&mut bytes)?);
    }
    Some((sent_at, frames))
}

fn read_frame<'a>(bytes: &mut Bytes<'a>) -> Option<Frame<'a>> {
    Some(match bytes.u8()? {
        1 => Frame::Media {
            number: bytes.u64()?,
            bytes: bytes.sized()?,
        },
        2 => Frame::Messages {
            offset: bytes.u64()?,
            bytes: bytes.sized()?,
        },
        3 => Frame::Received { offset: bytes.u64()? },
        4 => {
            let count = usize::from(bytes.u8()?);
            if count > MOST_RANGES {
                return None;
            }
            let ranges = (0..count).map(|_| Some((bytes.u64()?, bytes.u8()?)));
            Frame::Missing {
                ranges: ranges.collect::<Option<_>>()?,
            }
        }
        5 => Frame::Next { number: bytes.u64()? },
        6 => Frame::Echo {
            sent_at: bytes.u64()?,
            held: bytes.u32()?,
        },
        _ => return None,
    })
}

/// Bytes that are read from the front.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Bytes after their length, of 16 bits.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written_and_refused_when_they_are_cut() {
        let frames = [
            Frame::Media {
                number: 1 << 40,
                bytes: b"media",
            },
            Frame::Messages { offset: 7, bytes: b"" },
            Frame::Received { offset: 9 },
            Frame::Missing {
                ranges: vec![(5, 1), (9, 200)],
            },
            Frame::Next { number: 12 },
            Frame::Echo { sent_at: 3, held: 4 },
        ];
        let mut body = 17u64.to_be_bytes().to_vec();
        let mut ends = vec![body.len()];
        for frame in &frames {
            frame.write(&mut body);
            ends.push(body.len());
        }
        assert_eq!(read_body(&body), Some((17, frames.to_vec())));
        for length in 0..body.len() {
            let read = read_body(&body[..length]);
            assert_eq!(read.is_some(), ends.contains(&length), "{length} bytes");
        }
        body.push(99);
        assert_eq!(read_body(&body), None, "an unknown frame");
    }

    /// Nodes of this version and of the one before it are in one cluster during an update.
    #[test]
    fn every_frame_has_the_bytes_of_earlier_versions() {
        let frames: [(Frame<'_>, &[u8]); 6] = [
            (
                Frame::Media {
                    number: 0x0102,
                    bytes: b"ab",
                },
                b"\x01\0\0\0\0\0\0\x01\x02\0\x02ab",
            ),
            (
                Frame::Messages { offset: 3, bytes: b"c" },
                b"\x02\0\0\0\0\0\0\0\x03\0\x01c",
            ),
            (Frame::Received { offset: 4 }, b"\x03\0\0\0\0\0\0\0\x04"),
            (
                Frame::Missing {
                    ranges: vec![(5, 1), (9, 200)],
                },
                b"\x04\x02\0\0\0\0\0\0\0\x05\x01\0\0\0\0\0\0\0\x09\xc8",
            ),
            (Frame::Next { number: 6 }, b"\x05\0\0\0\0\0\0\0\x06"),
            (Frame::Echo { sent_at: 7, held: 8 }, b"\x06\0\0\0\0\0\0\0\x07\0\0\0\x08"),
        ];
        for (frame, recorded) in frames {
            let mut written = Vec::new();
            frame.write(&mut written);
            assert_eq!(written, recorded, "{frame:?}");
            let body = [&17u64.to_be_bytes(), recorded].concat();
            assert_eq!(read_body(&body), Some((17, vec![frame])));
        }
    }

    #[test]
    fn the_header_is_of_no_other_protocol() {
        let header = Header { link: 7, counter: 9 };
        let bytes = header.write();
        assert_eq!(Header::read(&bytes), Some(header));
        assert_eq!(Header::read(&bytes[..12]), None);
        for first in [0, 3, 20, 63, 64, 128, 191] {
            assert!(!is_link(&[first]));
        }
    }
}
