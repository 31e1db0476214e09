//! Counters of a mix.

use crate::timeline::Micros;

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub video_frames: u64,
    pub video_bytes: u64,
    pub audio_bytes: u64,
    pub late_ticks: u64,
    /// Packets of audio that came too late to be heard.
    pub late_audio: u64,
    /// Frames of inputs that were thrown away undecoded, because decoding was behind.
    pub shed_frames: u64,
    /// Times that an encoder failed, and was made anew.
    pub encoder_failures: u64,
    /// Length of the program.
    pub program: Micros,
}
