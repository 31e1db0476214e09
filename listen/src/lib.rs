//! The TCP side of every listener of the process (HTTP, gRPC, RTMP): limits of connections per address and in
//! total, time limits of silence, the client's address behind a proxy, and TLS.
//!
//! [`Listeners`] binds; a [`Listener`] admits connections; [`http::serve`] serves an axum router on one.

mod admission;
mod config;
mod forwarded;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod http;
mod listener;
mod proxy_protocol;
mod stream;
mod tls;
mod trusted;

pub use admission::Refusal;
pub use config::{Limits, TlsFiles};
pub use forwarded::ClientAddress;
pub use listener::{Binding, Connection, Incoming, Listener, Listeners, OpenError, Policy, Security};
pub use stream::Stream;
pub use tls::{Tls, TlsError};
pub use trusted::TrustedProxies;
