//! Framing of messages on a byte stream between two of our own processes: a head in JSON, and a payload of any bytes.
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | length of all that follows, little-endian, at most [`MAX_MESSAGE`] |
//! | 4 | length of the head, little-endian |
//! | length of the head | the head, JSON |
//! | the rest | the payload |

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Longest message without its first length, bytes.
pub const MAX_MESSAGE: usize = 16 << 20;
/// Bytes of each of the two lengths.
const LENGTH: usize = 4;

/// Why a message is not written, or not read. After a failed read the stream is of no more use.
#[derive(Debug, Error)]
pub enum FramingError {
    #[error("the message has {0} bytes, more than {MAX_MESSAGE}")]
    TooLong(usize),
    #[error("the head is longer than its message")]
    Lengths,
    #[error("the head of a message")]
    Head(#[from] serde_json::Error),
}

/// Appends a message to `out`.
///
/// Errors: [`FramingError`]; `out` is as it was.
pub fn write<T: Serialize>(out: &mut BytesMut, head: &T, payload: &[u8]) -> Result<(), FramingError> {
    let head = serde_json::to_vec(head)?;
    let length = LENGTH + head.len() + payload.len();
    if length > MAX_MESSAGE {
        return Err(FramingError::TooLong(length));
    }
    out.reserve(LENGTH + length);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&(head.len() as u32).to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    Ok(())
}

/// Takes the first message out of what has been read; None: it is not complete yet.
///
/// Errors: [`FramingError`].
pub fn read<T: DeserializeOwned>(read: &mut BytesMut) -> Result<Option<(T, Bytes)>, FramingError> {
    let Some(length) = read.first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_MESSAGE {
        return Err(FramingError::TooLong(length));
    }
    if read.len() < LENGTH + length {
        return Ok(None);
    }
    read.advance(LENGTH);
    let mut message = read.split_to(length).freeze();
    let head_length = message.first_chunk::<LENGTH>().ok_or(FramingError::Lengths)?;
    let head_length = u32::from_le_bytes(*head_length) as usize;
    message.advance(LENGTH);
    if head_length > message.len() {
        return Err(FramingError::Lengths);
    }
    let head = message.split_to(head_length);
    Ok(Some((serde_json::from_slice(&head)?, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_the_bytes_arrive() {
        let mut stream = BytesMut::new();
        write(&mut stream, &"first", b"payload").unwrap();
        write(&mut stream, &"second", b"").unwrap();
        let mut arrived = BytesMut::new();
        let mut got = Vec::new();
        for byte in stream {
            arrived.extend_from_slice(&[byte]);
            while let Some((head, payload)) = read::<String>(&mut arrived).unwrap() {
                got.push((head, payload.to_vec()));
            }
        }
        assert_eq!(
            got,
            [("first".into(), b"payload".to_vec()), ("second".into(), Vec::new())]
        );
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_anything_is_waited_for() {
        let mut huge = BytesMut::from(&(MAX_MESSAGE as u32 + 1).to_le_bytes()[..]);
        assert!(matches!(read::<String>(&mut huge), Err(FramingError::TooLong(_))));
        let mut inside = BytesMut::from(&[4, 0, 0, 0, 9, 0, 0, 0][..]);
        assert!(matches!(read::<String>(&mut inside), Err(FramingError::Lengths)));
        let mut short = BytesMut::from(&[1, 0, 0, 0, 9][..]);
        assert!(matches!(read::<String>(&mut short), Err(FramingError::Lengths)));
    }
}
