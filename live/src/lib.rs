//! Live streams: serves programs by HTTP-FLV, HLS and RTMP, pushes them to other RTMP servers, and takes in RTMP publishers, and the
//! media of URLs, as members of rooms.

mod aac_to_opus;
mod config;
mod flv_player;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hls;
mod hls_http;
mod http_flv;
mod ingest;
mod on_air;
mod play_secret;
mod push_status;
mod pushes;
mod rtmp_client;
mod rtmp_guard;
mod rtmp_play;
mod rtmp_push;
mod rtmp_session;
mod service;
mod streams;
mod timeline;
mod tls;
mod whep;

pub use config::Config;
pub use rtmp_client::Outbound;
pub use rtmp_push::{Push, push};
pub use service::{Access, Service, StartError};
pub use tls::{TlsError, client as push_trust};
