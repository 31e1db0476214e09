//! Entry points for fuzzing: each reader of network bytes of this crate, by name. Compiled for tests, which replay the saved
//! inputs, and with the feature `fuzzing`.

use rotunda_proto::clock::Clock;

use crate::message::{Assembler, Message};
use crate::protocol;

pub const TARGETS: &[(&str, fn(&[u8]))] = &[("device_messages", messages)];

/// Fragments, each with two bytes of length before it; whole messages are read as requests and replies.
fn messages(data: &[u8]) {
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
    // Numbers like 1.0e5 are written in another way, which may be longer.
    if let Ok(written) = message.write() {
        let again = Message::read(&written).map(|again| again.binary);
        assert_eq!(
            again.as_ref(),
            Ok(&message.binary),
            "what was read is written as it was"
        );
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod replay;
