//! Entry points for fuzzing: what a node reads of another node. Compiled for tests, which replay the saved inputs, and with the feature
//! `fuzzing`.

use bytes::BytesMut;
use rotunda_media::program_messages::ProgramReceiver;
use rotunda_proto::framing;

use crate::messages::{self, FromSource, ToSource};

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[("programs_messages", between_nodes)];

/// Messages one after the other, as each of two nodes reads them.
fn between_nodes(data: &[u8]) {
    let mut rest = BytesMut::from(data);
    let mut program = ProgramReceiver::default();
    while let Ok(Some((message, payload))) = framing::read::<FromSource>(&mut rest) {
        let _absence = message.as_absence();
        if let FromSource::Program { message, .. } = message
            && let Ok(Some(frame)) = program.handle(message, payload)
        {
            assert!(frame.data.len() <= data.len());
            // As the recorder and the window of the next node calculate with them.
            let end = frame.pts.plus(frame.duration.into()).duration();
            assert!(end >= frame.pts.duration());
            assert!(std::time::Duration::MAX - end > end);
        }
    }
    let _whole = messages::read::<FromSource>(bytes::Bytes::copy_from_slice(data));
    let _whole = messages::read::<ToSource>(bytes::Bytes::copy_from_slice(data));
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
