//! The limits of an RTMP player, a publisher or a push target, checked before `rml_rtmp` parses their bytes.
//!
//! `rml_rtmp` 0.8 trusts its peer. A message of 16 MB of nested values overflows the stack (and ends the process).
//! A command of less than three values causes a panic, and so does `@setDataFrame` of less than three. Messages with inconsistent
//! chunks grow without end or cause a panic. All these peers only send short commands, one after the other, and publishers send frames
//! between them. So this guard follows the chunk stream and refuses everything else.
//!
//! Source: Adobe's RTMP specification 1.0, §5.3.1 (chunks), §5.4 (control messages), §7.1.1 (commands); AMF0
//! specification.

use std::collections::HashMap;

use thiserror::Error;

/// Longest message, bytes. `connect` of ffmpeg, VLC and OBS has a few hundred.
const MOST_BYTES: usize = 4096;
/// Longest audio or video message of a publisher, bytes: a keyframe of 4K has less.
const MOST_MEDIA_BYTES: usize = 4 << 20;
/// Maximum nesting of values. `connect` has one object of plain values.
const MOST_NESTED: usize = 8;
/// Maximum requests of one connection for which the session keeps state. A player sends `connect`, `createStream`
/// and `play` once.
const MOST_REQUESTS: usize = 16;
const SET_DATA_FRAME: &[u8] = b"@setDataFrame";
const REQUESTS: [&[u8]; 4] = [b"connect", b"createStream", b"play", b"publish"];
/// Maximum chunk streams of one player.
const MOST_STREAMS: usize = 32;
/// From this value on, timestamps are in the extended field.
const EXTENDED: u32 = 0x00ff_ffff;
const SET_CHUNK_SIZE: u8 = 1;
/// Abort, Acknowledgement, User Control, Window Acknowledgement Size, Set Peer Bandwidth.
const CONTROL: std::ops::RangeInclusive<u8> = 2..=6;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const COMMAND: u8 = 20;
/// For example `|RtmpSampleAccess` of some servers.
const DATA: u8 = 18;

/// Why a player is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GuardError {
    #[error("a message of kind {kind} is longer than {most} bytes")]
    Long { kind: u8, most: usize },
    #[error("more than {MOST_STREAMS} chunk streams")]
    Streams,
    #[error("a chunk does not follow from the one before")]
    Order,
    #[error("a chunk size of 0")]
    ChunkSize,
    #[error("a message of kind {0}")]
    Kind(u8),
    #[error("a command is malformed")]
    Command,
    #[error("more than {MOST_REQUESTS} requests")]
    Requests,
}

/// Follows one player's chunks. Sans-IO.
#[derive(Debug)]
pub struct Guard {
    /// The bytes of an incomplete header.
    partial: Vec<u8>,
    /// The last header of each chunk stream.
    streams: HashMap<u32, Header>,
    state: State,
    /// The chunk stream of the current message.
    current: Option<u32>,
    chunk_size: usize,
    message: Vec<u8>,
    /// Requests for which the session keeps state.
    requests: usize,
    media: Media,
}

/// Whether audio and video are permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Refused,
    Permitted,
}

#[derive(Debug, Clone, Copy)]
struct Header {
    length: usize,
    kind: u8,
    extended: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    /// This many bytes of the chunk are missing.
    Payload {
        header: Header,
        left: usize,
    },
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            partial: Vec::new(),
            streams: HashMap::new(),
            state: State::Header,
            current: None,
            chunk_size: 128,
            message: Vec::new(),
            requests: 0,
            media: Media::Refused,
        }
    }
}

impl Guard {
    /// From now on audio and video are permitted, with longer messages.
    pub fn permit_media(&mut self) {
        self.media = Media::Permitted;
    }

    /// Checks the next bytes after the handshake, split at any point.
    ///
    /// Errors: [`GuardError`]; the bytes must not be processed, and the connection must be closed.
    pub fn check(&mut self, mut bytes: &[u8]) -> Result<(), GuardError> {
        loop {
            match self.state {
                State::Header => {
                    let Some((first, rest)) = bytes.split_first() else {
                        return Ok(());
                    };
                    self.partial.push(*first);
                    bytes = rest;
                    if let Some(header) = self.header()? {
                        self.partial.clear();
                        let left = (header.length - self.message.len()).min(self.chunk_size);
                        self.state = State::Payload { header, left };
                        self.chunk(header, left)?;
                    }
                }
                State::Payload { header, left } => {
                    let now = left.min(bytes.len());
                    let (payload, rest) = bytes.split_at(now);
                    self.message.extend_from_slice(payload);
                    bytes = rest;
                    if now < left {
                        self.state = State::Payload {
                            header,
                            left: left - now,
                        };
                        return Ok(());
                    }
                    self.chunk(header, 0)?;
                }
            }
        }
    }

    /// A chunk with `left` missing bytes; 0: it is complete.
    fn chunk(&mut self, header: Header, left: usize) -> Result<(), GuardError> {
        if left > 0 {
            return Ok(());
        }
        self.state = State::Header;
        if self.message.len() == header.length {
            let message = std::mem::take(&mut self.message);
            return match header.kind {
                SET_CHUNK_SIZE => self.set_chunk_size(&message),
                // A name, a transaction number, a command object or null, and any further values.
                COMMAND if values(&message) >= Some(3) => self.count(&message),
                DATA if values(&message) >= Some(if is_named(&message, SET_DATA_FRAME) { 3 } else { 2 }) => Ok(()),
                COMMAND | DATA => Err(GuardError::Command),
                AUDIO | VIDEO if self.media == Media::Permitted => Ok(()),
                kind if CONTROL.contains(&kind) => Ok(()),
                kind => Err(GuardError::Kind(kind)),
            };
        }
        Ok(())
    }

    fn count(&mut self, command: &[u8]) -> Result<(), GuardError> {
        self.requests += usize::from(REQUESTS.iter().any(|name| is_named(command, name)));
        if self.requests > MOST_REQUESTS {
            return Err(GuardError::Requests);
        }
        Ok(())
    }

    fn set_chunk_size(&mut self, message: &[u8]) -> Result<(), GuardError> {
        let size = message.first_chunk::<4>().map(|size| u32::from_be_bytes(*size));
        // The first bit is always 0 (§5.4.1).
        match size {
            Some(size @ 1..=0x7fff_ffff) => {
                self.chunk_size = size as usize;
                Ok(())
            }
            _ => Err(GuardError::ChunkSize),
        }
    }

    /// The chunk header, once it is complete.
    fn header(&mut self) -> Result<Option<Header>, GuardError> {
        let bytes = &self.partial;
        let Some(first) = bytes.first() else { return Ok(None) };
        let (id, basic) = match (first & 0x3f, bytes.get(1), bytes.get(2)) {
            (0, Some(low), _) => (u32::from(*low) + 64, 2),
            (1, Some(low), Some(high)) => (u32::from(*low) + u32::from(*high) * 256 + 64, 3),
            (0 | 1, ..) => return Ok(None),
            (id, ..) => (u32::from(id), 1),
        };
        let before = self.streams.get(&id).copied();
        let format = first >> 6;
        let size = [11, 7, 3, 0][usize::from(format)];
        let Some(fields) = bytes.get(basic..basic + size) else {
            return Ok(None);
        };
        let mut header = match (format, before) {
            (0, _) => Header {
                length: 0,
                kind: 0,
                extended: false,
            },
            (_, Some(before)) => before,
            (_, None) => return Err(GuardError::Order),
        };
        if let [a, b, c, ..] = fields {
            header.extended = u32::from_be_bytes([0, *a, *b, *c]) == EXTENDED;
        }
        if let [_, _, _, a, b, c, kind, ..] = fields {
            header.length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            header.kind = *kind;
        }
        if header.extended {
            let Some(time) = bytes.get(basic + size..basic + size + 4) else {
                return Ok(None);
            };
            if time < EXTENDED.to_be_bytes().as_slice() {
                return Err(GuardError::Order);
            }
        }
        // Messages are not interleaved: a message that has begun must continue.
        let going_on = !self.message.is_empty();
        if going_on && (format != 3 || self.current != Some(id)) {
            return Err(GuardError::Order);
        }
        let most = match (self.media, header.kind) {
            (Media::Permitted, AUDIO | VIDEO) => MOST_MEDIA_BYTES,
            _ => MOST_BYTES,
        };
        if header.length > most {
            return Err(GuardError::Long {
                kind: header.kind,
                most,
            });
        }
        if before.is_none() && self.streams.len() >= MOST_STREAMS {
            return Err(GuardError::Streams);
        }
        self.current = Some(id);
        self.streams.insert(id, header);
        Ok(Some(header))
    }
}

/// Whether a command has this name.
fn is_named(command: &[u8], name: &[u8]) -> bool {
    let text = command
        .strip_prefix(&[STRING])
        .and_then(|rest| rest.split_first_chunk::<2>());
    text.is_some_and(|(length, rest)| rest.get(..u16::from_be_bytes(*length).into()) == Some(name))
}

/// The number of values, including the name; None: the first value is not a name, or a value is malformed.
fn values(message: &[u8]) -> Option<usize> {
    let mut rest = message.strip_prefix(&[STRING]).map(|_| message)?;
    let mut count = 0;
    while !rest.is_empty() {
        rest = skip_value(rest, MOST_NESTED)?;
        count += 1;
    }
    Some(count)
}

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;

/// The bytes after the first AMF0 value; None: it is malformed or nested too deeply.
fn skip_value(bytes: &[u8], nested: usize) -> Option<&[u8]> {
    let nested = nested.checked_sub(1)?;
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        NUMBER => rest.get(8..),
        BOOLEAN => rest.get(1..),
        STRING => skip_text(rest),
        NULL | UNDEFINED => Some(rest),
        OBJECT => skip_properties(rest, nested),
        // The count is a hint.
        ECMA_ARRAY => skip_properties(rest.get(4..)?, nested),
        STRICT_ARRAY => {
            let (count, mut rest) = rest.split_first_chunk::<4>()?;
            for _ in 0..u32::from_be_bytes(*count) {
                rest = skip_value(rest, nested)?;
            }
            Some(rest)
        }
        _ => None,
    }
}

fn skip_properties(mut bytes: &[u8], nested: usize) -> Option<&[u8]> {
    while bytes.first_chunk::<3>()? != &[0, 0, OBJECT_END] {
        bytes = skip_value(skip_text(bytes)?, nested)?;
    }
    bytes.get(3..)
}

fn skip_text(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(u16::from_be_bytes(*length).into()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first chunk of stream 3 with a message of this length and kind, without payload.
    fn first(length: u32, kind: u8) -> Vec<u8> {
        let [_, a, b, c] = length.to_be_bytes();
        vec![3, 0, 0, 0, a, b, c, kind, 0, 0, 0, 0]
    }

    /// `connect` with an object, padded with text to this length.
    fn command(length: usize) -> Vec<u8> {
        let mut message = b"\x02\0\x07connect\0\0\0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live\0\0\x09\x02".to_vec();
        message.extend(((length - message.len() - 2) as u16).to_be_bytes());
        message.resize(length, b'x');
        message
    }

    #[test]
    fn commands_in_chunks_are_let_through_however_they_are_cut() {
        let (short, long) = (command(300), command(1000));
        let mut sent = first(300, 20);
        sent.extend(&short[..128]);
        sent.push(0xc3);
        sent.extend(&short[128..256]);
        sent.push(0xc3);
        sent.extend(&short[256..]);
        // A chunk size of 4096, and messages in one chunk.
        sent.extend(first(4, 1));
        sent.extend([0, 0, 16, 0]);
        sent.extend(first(1000, 20));
        sent.extend(&long);
        sent.extend([0x83, 0, 0, 1]);
        sent.extend(&long);
        for size in [1, 7, 128, sent.len()] {
            let mut guard = Guard::default();
            for piece in sent.chunks(size) {
                assert_eq!(guard.check(piece), Ok(()));
            }
            assert!(guard.partial.is_empty() && guard.message.is_empty());
        }
    }

    #[test]
    fn commands_that_are_cut_short_or_nested_too_deeply_are_refused() {
        let refused = |message: &[u8]| {
            let mut sent = first(message.len() as u32, 20);
            sent.extend(message);
            Guard::default().check(&sent)
        };
        assert_eq!(refused(&command(100)), Ok(()));
        assert_eq!(refused(&command(100)[..99]), Err(GuardError::Command));
        assert_eq!(refused(b"\x02\0\x01a\x05"), Err(GuardError::Command), "two values");
        let nested = |levels: usize| [b"\x02\0\x01a\x05".to_vec(), b"\x0a\0\0\0\x01".repeat(levels), vec![5]].concat();
        assert_eq!(refused(&nested(MOST_NESTED - 1)), Ok(()));
        assert_eq!(refused(&nested(MOST_NESTED)), Err(GuardError::Command));
        assert_eq!(Guard::default().check(&first(0, 9)), Err(GuardError::Kind(9)));
    }

    #[test]
    fn a_player_that_repeats_requests_is_refused_and_one_that_pauses_is_not() {
        let command = |name: &str| {
            let mut message = vec![2, 0, name.len() as u8];
            message.extend(name.bytes());
            message.extend(b"\0\0\0\0\0\0\0\0\0\x05");
            [first(message.len() as u32, 20), message].concat()
        };
        for name in ["connect", "createStream", "play", "publish"] {
            let mut guard = Guard::default();
            let taken = (0..100).take_while(|_| guard.check(&command(name)).is_ok()).count();
            assert_eq!(taken, MOST_REQUESTS, "{name}");
            assert_eq!(guard.check(&command(name)), Err(GuardError::Requests));
        }
        let mut guard = Guard::default();
        let pauses = (0..1000).all(|_| guard.check(&command("pause")).is_ok());
        assert!(pauses, "the session keeps no state for them");
    }

    #[test]
    fn long_messages_and_chunks_that_do_not_fit_together_are_refused() {
        let long = |kind| Err(GuardError::Long { kind, most: 4096 });
        assert_eq!(Guard::default().check(&first(5000, 20)), long(20));
        assert_eq!(Guard::default().check(&first(5000, 9)), long(9));
        assert_eq!(Guard::default().check(&[0xc3]), Err(GuardError::Order));
        let mut sent = first(300, 20);
        sent.extend([7; 128]);
        sent.extend(first(100, 20));
        assert_eq!(Guard::default().check(&sent), Err(GuardError::Order));
        let sizeless = [first(4, 1), vec![0; 4]].concat();
        assert_eq!(Guard::default().check(&sizeless), Err(GuardError::ChunkSize));
        let mut guard = Guard::default();
        let many = (2..=40u8).map(|id| {
            // Acknowledgements without a number: the test only checks the framing.
            let mut chunk = first(0, 3);
            chunk[0] = id;
            guard.check(&chunk)
        });
        assert_eq!(many.filter(Result::is_err).count(), 7);
    }

    #[test]
    fn a_publisher_that_was_accepted_may_send_frames_of_limited_size() {
        let mut guard = Guard::default();
        assert_eq!(guard.check(&first(0, 9)), Err(GuardError::Kind(9)));
        let mut guard = Guard::default();
        guard.permit_media();
        let mut frame = first(5000, 9);
        for chunk in [[7; 128].as_slice(); 39] {
            frame.extend(chunk);
            frame.push(0xc3);
        }
        frame.extend([7; 8]);
        assert_eq!(guard.check(&frame), Ok(()));
        assert_eq!(guard.check(&first(100, 8)), Ok(()));
        let mut guard = Guard::default();
        guard.permit_media();
        let most = MOST_MEDIA_BYTES;
        assert_eq!(
            guard.check(&first(most as u32 + 1, 9)),
            Err(GuardError::Long { kind: 9, most })
        );
        let metadata = |values: &[u8]| {
            let message = [b"\x02\0\x0d@setDataFrame".as_slice(), values].concat();
            Guard::default().check(&[first(message.len() as u32, 18), message].concat())
        };
        assert_eq!(metadata(b"\x02\0\x01a\x05"), Ok(()));
        assert_eq!(metadata(b"\x02\0\x0aonMetaData"), Err(GuardError::Command));
    }
}
