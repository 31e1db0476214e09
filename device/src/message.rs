//! Messages between a device and its viewers: fragments on the wire, whole messages to the program. Sans-IO.
//!
//! `docs/device.md` has the layout. Everything here comes from strangers: it is bounded, and nothing of it panics.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rotunda_proto::ids::UserId;
use serde_json::Value;
use thiserror::Error;

/// The custom message's command id.
pub const COMMAND_ID: u8 = 7;
/// Most bytes of a whole message.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Most binary bytes of a command, either way.
pub const MAX_COMMAND: usize = 16 * 1024;
/// Most bytes of a fragment through the server.
pub const ROOM_FRAGMENT: usize = rotunda_proto::custom_message::MAX_DATA;
/// Most bytes of a fragment on a direct data channel: what every browser takes.
pub const DIRECT_FRAGMENT: usize = 16 * 1024;

const PROTOCOL: u8 = 1;
/// Protocol, length of the addressee, message, index, count.
const HEADER: usize = 1 + 1 + 4 + 2 + 2;
/// Fragments of a message.
const MAX_FRAGMENTS: usize = 1024;
/// Messages of one sender that may be incomplete at a time.
const OPEN_PER_SENDER: usize = 4;
/// Bytes of incomplete messages of all senders.
const OPEN_BYTES: usize = 1024 * 1024;
/// How long an incomplete message waits for its rest, and a complete one is remembered.
const PATIENCE: Duration = Duration::from_secs(10);
/// Complete messages that are remembered.
const REMEMBERED: usize = 256;

/// A whole message: JSON, and binary data behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub json: Value,
    pub binary: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    #[error("the message has more than {MAX_MESSAGE} bytes")]
    TooLarge,
    #[error("the message is not laid out as a message")]
    Malformed,
}

impl Message {
    pub fn new(json: Value) -> Self {
        Self {
            json,
            binary: Vec::new(),
        }
    }

    pub fn write(&self) -> Result<Vec<u8>, MessageError> {
        let json = self.json.to_string();
        let length = u16::try_from(json.len()).map_err(|_| MessageError::TooLarge)?;
        let mut out = Vec::with_capacity(2 + json.len() + self.binary.len());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(json.as_bytes());
        out.extend_from_slice(&self.binary);
        if out.len() > MAX_MESSAGE {
            return Err(MessageError::TooLarge);
        }
        Ok(out)
    }

    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        let (length, rest) = bytes.split_first_chunk::<2>().ok_or(MessageError::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (json, binary) = rest.split_at_checked(length).ok_or(MessageError::Malformed)?;
        Ok(Self {
            json: serde_json::from_slice(json).map_err(|_| MessageError::Malformed)?,
            binary: binary.to_vec(),
        })
    }
}

/// Cuts a written message for `to` into fragments of at most `size` bytes.
pub fn cut(message: &[u8], to: &UserId, number: u32, size: usize) -> Vec<Vec<u8>> {
    let to = to.as_str().as_bytes();
    let piece = size.saturating_sub(HEADER + to.len()).max(1);
    let pieces: Vec<&[u8]> = message.chunks(piece).collect();
    let count = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
    pieces
        .into_iter()
        .zip(0_u16..)
        .map(|(piece, index)| {
            let mut out = Vec::with_capacity(HEADER + to.len() + piece.len());
            // A user id has at most 32 bytes.
            out.extend_from_slice(&[PROTOCOL, to.len() as u8]);
            out.extend_from_slice(to);
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&index.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(piece);
            out
        })
        .collect()
}

/// A fragment, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fragment<'a> {
    to: &'a [u8],
    number: u32,
    index: u16,
    count: u16,
    piece: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[PROTOCOL, length], rest) = bytes.split_first_chunk::<2>()? else {
            return None;
        };
        let (to, rest) = rest.split_at_checked(usize::from(length))?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (index, rest) = rest.split_first_chunk::<2>()?;
        let (count, piece) = rest.split_first_chunk::<2>()?;
        let (index, count) = (u16::from_be_bytes(*index), u16::from_be_bytes(*count));
        let fits = index < count && !piece.is_empty() && usize::from(count) <= MAX_FRAGMENTS;
        fits.then_some(Self {
            to,
            number: u32::from_be_bytes(*number),
            index,
            count,
            piece,
        })
    }
}

/// Puts the fragments for one user together again.
///
/// A message may come twice: while a data channel opens, the server sends it by both ways. The second one is dropped.
pub struct Assembler {
    own: UserId,
    open: VecDeque<Open>,
    complete: VecDeque<Complete>,
}

struct Complete {
    from: UserId,
    number: u32,
    at: Instant,
}

struct Open {
    from: UserId,
    number: u32,
    count: u16,
    since: Instant,
    pieces: HashMap<u16, Vec<u8>>,
    bytes: usize,
}

impl Assembler {
    pub fn new(own: UserId) -> Self {
        Self {
            own,
            open: VecDeque::new(),
            complete: VecDeque::new(),
        }
    }

    /// The message that this fragment completes. What is malformed, too large or for somebody else is left alone.
    pub fn handle_fragment(
        &mut self,
        now: Instant,
        from: &UserId,
        bytes: &[u8],
    ) -> Option<Result<Message, MessageError>> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < PATIENCE;
        self.open.retain(|open| is_recent(open.since));
        self.complete.retain(|complete| is_recent(complete.at));
        let fragment = Fragment::read(bytes)?;
        if fragment.to != self.own.as_str().as_bytes() {
            return None;
        }
        let is_again = |complete: &Complete| complete.number == fragment.number && complete.from == *from;
        if self.complete.iter().any(is_again) {
            return None;
        }
        if fragment.count == 1 {
            self.remember(now, from, fragment.number);
            return Some(Message::read(fragment.piece));
        }
        let known = self
            .open
            .iter()
            .position(|open| open.number == fragment.number && open.from == *from);
        let at = known.unwrap_or_else(|| self.begin(now, from, fragment));
        let open = self.open.get_mut(at)?;
        if open.count != fragment.count {
            return None;
        }
        if let std::collections::hash_map::Entry::Vacant(entry) = open.pieces.entry(fragment.index) {
            open.bytes += fragment.piece.len();
            entry.insert(fragment.piece.to_vec());
        }
        if open.bytes > MAX_MESSAGE {
            self.open.remove(at);
            return Some(Err(MessageError::TooLarge));
        }
        if open.pieces.len() < usize::from(open.count) {
            self.limit();
            return None;
        }
        let open = self.open.remove(at)?;
        let whole: Vec<u8> = (0..open.count)
            .filter_map(|index| open.pieces.get(&index))
            .flatten()
            .copied()
            .collect();
        self.remember(now, from, fragment.number);
        Some(Message::read(&whole))
    }

    /// Forgets the incomplete messages of a user who has gone.
    pub fn forget(&mut self, from: &UserId) {
        self.open.retain(|open| open.from != *from);
    }

    fn remember(&mut self, now: Instant, from: &UserId, number: u32) {
        if self.complete.len() == REMEMBERED {
            self.complete.pop_front();
        }
        self.complete.push_back(Complete {
            from: from.clone(),
            number,
            at: now,
        });
    }

    fn begin(&mut self, now: Instant, from: &UserId, fragment: Fragment<'_>) -> usize {
        let of_sender = self.open.iter().filter(|open| open.from == *from).count();
        if of_sender >= OPEN_PER_SENDER
            && let Some(oldest) = self.open.iter().position(|open| open.from == *from)
        {
            self.open.remove(oldest);
        }
        self.open.push_back(Open {
            from: from.clone(),
            number: fragment.number,
            count: fragment.count,
            since: now,
            pieces: HashMap::new(),
            bytes: 0,
        });
        self.open.len() - 1
    }

    fn limit(&mut self) {
        while self
            .open
            .iter()
            .map(|open| open.bytes + 64 * open.pieces.len())
            .sum::<usize>()
            > OPEN_BYTES
        {
            self.open.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rotunda_proto::clock::Clock;
    use serde_json::json;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn message(binary: usize) -> Message {
        Message {
            json: json!({"id": 3, "op": "command"}),
            binary: (0..binary).map(|at| (at % 251) as u8).collect(),
        }
    }

    #[test]
    fn a_command_of_16_kib_comes_whole_in_any_order() {
        let (now, mut at) = (Clock.now(), Assembler::new(user("cam")));
        let sent = message(MAX_COMMAND);
        let mut fragments = cut(&sent.write().unwrap(), &user("cam"), 9, ROOM_FRAGMENT);
        assert!(fragments.iter().all(|fragment| fragment.len() <= ROOM_FRAGMENT));
        fragments.reverse();
        // One comes twice.
        fragments.insert(3, fragments[1].clone());
        let mut got = fragments
            .iter()
            .filter_map(|fragment| at.handle_fragment(now, &user("ann"), fragment));
        assert_eq!(got.next(), Some(Ok(sent)));
        assert_eq!(got.next(), None);
    }

    #[test]
    fn a_message_that_comes_twice_is_read_once() {
        let (now, mut at) = (Clock.now(), Assembler::new(user("cam")));
        for binary in [10, 3000] {
            let fragments = cut(
                &message(binary).write().unwrap(),
                &user("cam"),
                binary as u32,
                ROOM_FRAGMENT,
            );
            let twice = fragments.iter().chain(&fragments);
            let got = twice.filter_map(|fragment| at.handle_fragment(now, &user("ann"), fragment));
            assert_eq!(got.count(), 1, "{binary} bytes");
        }
        let another = cut(&message(10).write().unwrap(), &user("cam"), 10, ROOM_FRAGMENT);
        assert!(
            at.handle_fragment(now, &user("bob"), &another[0]).is_some(),
            "each sender counts alone"
        );
        assert!(
            at.handle_fragment(now + PATIENCE, &user("ann"), &another[0]).is_some(),
            "numbers come again later"
        );
    }

    #[test]
    fn what_is_for_somebody_else_is_left_alone() {
        let mut at = Assembler::new(user("cam"));
        for fragment in cut(&message(10).write().unwrap(), &user("other"), 1, ROOM_FRAGMENT) {
            assert_eq!(at.handle_fragment(Clock.now(), &user("ann"), &fragment), None);
        }
    }

    #[test]
    fn a_message_of_over_64_kib_is_refused_by_name() {
        assert_eq!(message(MAX_MESSAGE).write(), Err(MessageError::TooLarge));
        let mut at = Assembler::new(user("cam"));
        let large = vec![b'x'; MAX_MESSAGE + 2000];
        let refused = cut(&large, &user("cam"), 1, ROOM_FRAGMENT)
            .iter()
            .find_map(|fragment| at.handle_fragment(Clock.now(), &user("ann"), fragment));
        assert_eq!(refused, Some(Err(MessageError::TooLarge)));
    }

    #[test]
    fn what_never_becomes_whole_is_dropped_after_10_s() {
        let (now, mut at) = (Clock.now(), Assembler::new(user("cam")));
        let fragments = cut(&message(3000).write().unwrap(), &user("cam"), 1, ROOM_FRAGMENT);
        assert_eq!(at.handle_fragment(now, &user("ann"), &fragments[0]), None);
        let late = now + PATIENCE;
        let rest = fragments[1..]
            .iter()
            .filter_map(|fragment| at.handle_fragment(late, &user("ann"), fragment));
        assert_eq!(rest.count(), 0);
    }

    #[test]
    fn senders_do_not_disturb_one_another_and_cannot_fill_the_memory() {
        let (now, mut at) = (Clock.now(), Assembler::new(user("cam")));
        let fragments = cut(&message(3000).write().unwrap(), &user("cam"), 1, ROOM_FRAGMENT);
        at.handle_fragment(now, &user("ann"), &fragments[0]);
        for number in 0..1000 {
            let others = cut(&message(3000).write().unwrap(), &user("cam"), number, ROOM_FRAGMENT);
            at.handle_fragment(now, &user("bob"), &others[0]);
        }
        assert_eq!(at.open.len(), 1 + OPEN_PER_SENDER);
        let got = fragments[1..]
            .iter()
            .find_map(|fragment| at.handle_fragment(now, &user("ann"), fragment));
        assert_eq!(got, Some(Ok(message(3000))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut at = Assembler::new(user("cam"));
            at.handle_fragment(Clock.now(), &user("ann"), &bytes);
            let _any = Message::read(&bytes);
        }

        #[test]
        fn what_is_cut_comes_together(binary in 0_usize..20_000, size in 50_usize..2000) {
            let mut at = Assembler::new(user("cam"));
            let sent = message(binary);
            let got = cut(&sent.write().unwrap(), &user("cam"), 1, size)
                .iter()
                .find_map(|fragment| at.handle_fragment(Clock.now(), &user("ann"), fragment));
            prop_assert_eq!(got, Some(Ok(sent)));
        }
    }
}
