//! Live streams: serves programs by HTTP-FLV, HLS and RTMP, and pushes them to other RTMP servers.

mod config;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hls;
mod hls_http;
mod http_flv;
mod on_air;
mod play_secret;
mod pushes;
mod rtmp_guard;
mod rtmp_play;
mod rtmp_push;
mod service;
mod streams;
mod timeline;
mod tls;

pub use config::Config;
pub use rtmp_push::{Outbound, push};
pub use service::{Access, Service, StartError};
pub use tls::{TlsError, client as push_trust};
