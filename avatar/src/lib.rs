//! Talking avatars over HTTP and WebRTC: text or audio in, a face that speaks out. `docs/avatar.md` tells how to use them.
//!
//! | module | what |
//! | --- | --- |
//! | `http`, `request`, `reply` | the API |
//! | `sessions`, `service` | the live sessions, the role |
//! | `avatar` | one avatar: its thread and its clock |
//! | `session`, `stage` | what is said; what is heard and seen, 20 ms by 20 ms |
//! | `speech`, `words`, `sentences` | voices, language models |
//! | `audio`, `decode` | 16 kHz mono, from uploads and engines |
//! | `face` | frames: a drawn face, clips, renderers outside this process |
//! | `encode`, `program`, `output` | from frames and audio to what is sent |
//! | `sockets`, `peer` | the sockets of a WebRTC session; they and its core together |
//! | `push`, `room`, `hearing`, `transcribe` | pushes; the avatar as participant who listens |
//! | `record`, `notify`, `pace` | `/record`, webhooks, frame rates |

mod attempts;
mod audio;
mod avatar;
mod config;
mod decode;
mod encode;
mod face;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hearing;
mod http;
mod notify;
mod output;
mod pace;
mod peer;
mod program;
mod push;
mod record;
mod reply;
mod request;
mod room;
mod sentences;
mod service;
mod session;
mod sessions;
mod sockets;
mod speech;
mod stage;
mod transcribe;
mod viseme;
mod words;

pub use config::Config;
pub use service::{Service, StartError, Surroundings};
