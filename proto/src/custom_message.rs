//! Members' own messages on the data channels of their media sessions: the bytes of both directions, and their
//! limits.
//!
//! To the server: command id, data. From the server: [`Kind`], then the content of that kind.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::UserId;

/// Label of the reliable, ordered channel.
pub const ORDERED: &str = "custom-message";
/// Label of the unreliable, unordered channel.
pub const UNORDERED: &str = "custom-message-unordered";
/// Maximum data of a message, bytes.
pub const MAX_DATA: usize = 1024;
/// Maximum number of a member's messages per second, and at once.
pub const PER_SECOND: u32 = 30;
/// Command ids are 1 to this number.
pub const MAX_COMMAND: u8 = 10;

/// A message between data channels and signaling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomMessage {
    pub user: UserId,
    pub command: u8,
    /// Counts the sender's messages on the same path, from 1.
    pub count: u32,
    /// In base64 (RFC 4648 §4).
    pub data: String,
}

impl CustomMessage {
    pub fn new(user: &UserId, command: u8, count: u32, data: &[u8]) -> Self {
        Self {
            user: user.clone(),
            command,
            count,
            data: BASE64_STANDARD.encode(data),
        }
    }

    /// The message's bytes on a data channel.
    ///
    /// Errors: like [`read`].
    pub fn to_channel(&self) -> Result<Vec<u8>, Refused> {
        let data = decode(self.command, &self.data)?;
        Ok(write(&self.user, self.command, self.count, &data))
    }
}

/// The data of a message that arrived by signaling, base64.
///
/// Errors: like [`read`].
pub fn decode(command: u8, data: &str) -> Result<Vec<u8>, Refused> {
    // Four characters hold three bytes: a longer text cannot be valid.
    if data.len() > MAX_DATA.div_ceil(3) * 4 {
        return Err(Refused::TooLarge);
    }
    let data = BASE64_STANDARD.decode(data).map_err(|_| Refused::Malformed)?;
    if !(1..=MAX_COMMAND).contains(&command) {
        return Err(Refused::Malformed);
    }
    if data.len() > MAX_DATA {
        return Err(Refused::TooLarge);
    }
    Ok(data)
}

/// First byte of a message from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Command id; the sender's count of messages, four bytes, big-endian; length of their user id, one byte; the id; data.
    Message = 1,
    /// The code of a [`Refused`] in ASCII: this member's previous message reached nobody.
    Refused = 2,
}

/// Why a message reached nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    #[error("a message begins with a command id of 1 to {MAX_COMMAND}")]
    Malformed,
    #[error("a message has at most {MAX_DATA} bytes of data")]
    TooLarge,
    #[error("a member sends at most {PER_SECOND} messages per second")]
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

    /// The bytes that the server sends.
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

/// The bytes of a message that the other members get.
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
    fn a_message_by_signaling_is_the_same_on_a_channel() {
        let message = CustomMessage::new(&"ann".parse().unwrap(), 7, 258, b"hi");
        assert_eq!(message.data, "aGk=");
        assert_eq!(
            message.to_channel().unwrap(),
            write(&"ann".parse().unwrap(), 7, 258, b"hi")
        );
        assert_eq!(decode(1, "?"), Err(Refused::Malformed));
        assert_eq!(decode(11, "aGk="), Err(Refused::Malformed));
        assert_eq!(
            decode(1, &BASE64_STANDARD.encode([1; 1024])).map(|data| data.len()),
            Ok(1024)
        );
        assert_eq!(decode(1, &BASE64_STANDARD.encode([1; 1025])), Err(Refused::TooLarge));
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
