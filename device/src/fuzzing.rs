//! What `fuzz/` calls: readers of what viewers send.

use rotunda_proto::clock::Clock;

use crate::message::{Assembler, Message};
use crate::protocol;

/// Fragments, each with two bytes of length before it; whole messages are read as requests and replies.
pub fn messages(data: &[u8]) {
    let Ok(own) = "cam_front".parse() else { return };
    let Ok(from) = "ann".parse() else { return };
    let mut assembler = Assembler::new(own);
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (fragment, next) = after.split_at(length);
        if let Some(Ok(message)) = assembler.handle_fragment(Clock.now(), &from, fragment) {
            read(&message);
        }
        rest = next;
    }
    if let Ok(message) = Message::read(data) {
        read(&message);
    }
}

fn read(message: &Message) {
    let _understood = protocol::read(&message.json);
    if let Ok(written) = message.write() {
        assert_eq!(
            Message::read(&written).as_ref(),
            Ok(message),
            "what was read is written as it was"
        );
    }
}
