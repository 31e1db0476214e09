//! Members' own messages on the data channels of their media sessions: the bytes of both directions, and their limits.
//!
//! To the server: command id, data. From the server: [`Kind`], and what follows it.

use thiserror::Error;

use crate::ids::UserId;

/// Label of the channel that is reliable and in order.
pub const ORDERED: &str = "custom-message";
/// Label of the one that is neither.
pub const UNORDERED: &str = "custom-message-unordered";
/// Most data of a message, bytes.
pub const MAX_DATA: usize = 1024;
/// Most messages of a member in a second; so many may come at once.
pub const PER_SECOND: u32 = 30;
/// Command ids are 1 to this.
pub const MAX_COMMAND: u8 = 10;

/// First byte of what the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Command id; the sender's count of messages, four bytes, big-endian; length of his user id, one byte; the id; data.
    Message = 1,
    /// The code of a [`Refused`] in ASCII: what this member sent before reached nobody.
    Refused = 2,
}

/// Why a message reached nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("a message begins with a command id of 1 to {MAX_COMMAND}")]
    Malformed,
    #[error("a message has at most {MAX_DATA} bytes of data")]
    TooLarge,
    #[error("a member sends at most {PER_SECOND} messages a second")]
    TooMany,
    #[error("too many messages wait in this room")]
    Busy,
}

impl Refused {
    /// Stable; clients may switch on it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "bad_custom_message",
            Self::TooLarge => "custom_message_too_large",
            Self::TooMany => "custom_message_rate",
            Self::Busy => "custom_message_busy",
        }
    }

    /// As the server tells it.
    pub fn write(self) -> Vec<u8> {
        let mut out = vec![Kind::Refused as u8];
        out.extend_from_slice(self.code().as_bytes());
        out
    }
}

/// Command id and data of a message from a member.
pub fn read(bytes: &[u8]) -> Result<(u8, &[u8]), Refused> {
    let (command, data) = bytes.split_first().ok_or(Refused::Malformed)?;
    if !(1..=MAX_COMMAND).contains(command) {
        return Err(Refused::Malformed);
    }
    if data.len() > MAX_DATA {
        return Err(Refused::TooLarge);
    }
    Ok((*command, data))
}

/// A message as the other members get it.
pub fn write(sender: &UserId, command: u8, count: u32, data: &[u8]) -> Vec<u8> {
    let name = sender.as_str().as_bytes();
    let mut out = Vec::with_capacity(7 + name.len() + data.len());
    out.extend_from_slice(&[Kind::Message as u8, command]);
    out.extend_from_slice(&count.to_be_bytes());
    // A user id has at most 32 bytes.
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_sender_and_its_number() {
        let bytes = write(&"ann".parse().unwrap(), 7, 258, b"hi");
        assert_eq!(bytes, [1, 7, 0, 0, 1, 2, 3, b'a', b'n', b'n', b'h', b'i']);
    }

    #[test]
    fn the_limits_have_names() {
        assert_eq!(read(&[1]), Ok((1, &[][..])), "no data is data too");
        assert_eq!(read(&[10; 1025]), Ok((10, &[10; 1024][..])));
        assert_eq!(read(&[10; 1026]), Err(Refused::TooLarge));
        for bad in [&[][..], &[0, 1], &[11, 1]] {
            assert_eq!(read(bad), Err(Refused::Malformed));
        }
        assert_eq!(Refused::TooLarge.write(), b"\x02custom_message_too_large");
    }
}
