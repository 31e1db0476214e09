//! HLS of a running program: makes its segments and their parts.

mod window;

use std::time::Duration;

use rotunda_media::mux::MuxError;
use rotunda_media::mux::segmenter::{Output, Segmenter};
use rotunda_media::program::{ProgramReader, ReadError};
use rotunda_proto::clock::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::window::{Latency, Position, Reached, Window};

/// How the making of segments has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmented {
    /// With the program.
    Ended,
    /// Nobody wants segments.
    Idle,
}

/// Cuts the program into segments until it ends, or `is_wanted` says that nobody wants them; it is asked after each segment.
pub async fn segment(
    mut reader: ProgramReader,
    window: &watch::Sender<Window>,
    is_wanted: impl Fn() -> bool,
    stop: CancellationToken,
) -> Segmented {
    let mut segmenter = Segmenter::new(window.borrow().lengths(), Clock.unix());
    // The wall-clock time of the program's zero.
    let mut zero: Option<Duration> = None;
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            () = stop.cancelled() => Err(ReadError::Ended),
        };
        let is_over = matches!(read, Err(ReadError::Ended));
        let done: Result<(), MuxError> = match read {
            Ok(frame) => segmenter.handle_frame(frame),
            Err(ReadError::Lagged(frames)) => {
                warn!(frames, "the segmenter was too slow");
                segmenter.handle_loss()
            }
            Err(ReadError::Lost(_)) => segmenter.handle_loss(),
            Err(ReadError::Ended) => segmenter.finish(),
        };
        if let Err(error) = done {
            warn!(error = &error as &dyn std::error::Error, "a segment could not be made");
        }
        while let Some(output) = segmenter.poll_output() {
            let is_end = matches!(output, Output::End(_));
            match output {
                Output::Begin(start) => {
                    let (is_first, at) = (zero.is_none(), start.at.duration());
                    let zero = *zero.get_or_insert_with(|| Clock.unix().saturating_sub(at));
                    window.send_modify(|window| window.begin(start, zero + at, is_first));
                }
                Output::Chunk(chunk) => window.send_modify(|window| window.add_part(chunk.bytes, chunk.duration)),
                Output::End(end) => window.send_modify(|window| window.end_segment(end.duration)),
            }
            if is_end && !is_over && !is_wanted() {
                window.send_modify(Window::clear);
                return Segmented::Idle;
            }
        }
        if is_over {
            window.send_modify(Window::end);
            return Segmented::Ended;
        }
    }
}

#[cfg(test)]
#[path = "../../tests/end_to_end/support/hls_rules.rs"]
mod hls_rules;

#[cfg(test)]
#[path = "../../tests/end_to_end/support/hls_part_rules.rs"]
mod hls_part_rules;

#[cfg(test)]
#[path = "../../tests/end_to_end/support/program.rs"]
#[expect(dead_code, reason = "tests of other crates use the rest")]
pub mod program;

#[cfg(test)]
mod tests;
