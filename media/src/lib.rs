//! Media without sockets: time, frames, audio, codecs, scaling and containers.
//!
//! | module | what |
//! | --- | --- |
//! | [`time`] | media time: ticks of a stated rate |
//! | [`program`] | an encoded program (one frame track, one audio track) and its hand-over inside a process |
//! | [`program_messages`] | the same as messages on a byte stream |
//! | [`video_frame`], [`scale`], [`rotate`], [`draw`], [`mark`] | I420 frames, scaling into a canvas, turning upright, names, machine-readable frame marks |
//! | [`colour`] | BT.601 and BT.709, limited and full range |
//! | [`codec`] | H.264, VP8, VP9, AV1, Opus, AAC |
//! | [`picture`] | uploaded pictures |
//! | [`previews`] | posters, thumbnails and waveforms of recordings |
//! | [`mux`] | fragmented and fast-start MP4, FLV |

pub mod codec;
pub mod colour;
pub mod draw;
mod font;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod mark;
pub mod mux;
pub mod picture;
pub mod previews;
pub mod program;
pub mod program_messages;
pub mod rotate;
pub mod scale;
pub mod time;
pub mod video_frame;
