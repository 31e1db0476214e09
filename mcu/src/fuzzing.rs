//! Entry points for fuzzing: what a host reads of its engine, which has read hostile input, and the other way round. Compiled for tests,
//! which replay the saved inputs, and with the feature `fuzzing`.

use bytes::BytesMut;
use rotunda_media::program_messages::ProgramReceiver;
use rotunda_proto::framing;

use crate::engine::messages::{FromEngine, ToEngine};

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[("mcu_engine", engine)];

/// The bytes of a socket between a host and an engine, as each of the two reads them.
fn engine(data: &[u8]) {
    let mut read = BytesMut::from(data);
    let mut program = ProgramReceiver::default();
    while let Ok(Some((message, payload))) = framing::read::<FromEngine>(&mut read) {
        if let FromEngine::Program(message) = message
            && let Ok(Some(frame)) = program.handle(message, payload)
        {
            assert!(frame.data.len() <= data.len());
        }
    }
    let mut read = BytesMut::from(data);
    while let Ok(Some((message, payload))) = framing::read::<ToEngine>(&mut read) {
        if let ToEngine::Sample(head) = message {
            let _sample = head.into_sample(&payload);
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
