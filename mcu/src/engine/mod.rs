//! The engine of a mix: its decoders, layout, mixer and encoders. It runs in a process of its own, as C code in it reads what members
//! send: whatever ends or stops one engine touches no other mix and no call.
//!
//! | part | runs in | what it does |
//! | --- | --- | --- |
//! | [`launcher`] | the MCU node | starts engines: as child processes, or as threads |
//! | [`host`] | the MCU node | feeds an engine, takes its program, and starts another one when it has ended or does not answer |
//! | [`messages`] | both | what the two say over a socket pair ([`rotunda_proto::framing`]) |
//! | `suspect` | both | names the track that is being decoded, so that one that ends engines is found |
//! | `ends` | the MCU node | leaves such a track out, and ends a mix whose engines end again and again |
//! | `confine` | the engine | limits its memory, and ends it with the server |
//! | [`child`] | the engine | runs a [`Worker`](crate::worker::Worker) on what the host says |

pub mod child;
mod confine;
mod ends;
pub mod host;
pub mod launcher;
pub mod messages;
mod suspect;
#[cfg(test)]
mod tests;

/// What a decoder does with a frame that its writer has not thought of. Only in tests.
#[cfg(test)]
pub fn harmful(frame: &[u8]) {
    match frame {
        b"abort" => std::process::abort(),
        b"hang" => loop {
            std::thread::park();
        },
        _ => {}
    }
}
