//! The meaning of NATS' errors for the bus.

use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use thiserror::Error;

use crate::BusError;

/// Why the bus is not available at the start.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("read the files of [bus]")]
    Files(#[source] std::io::Error),
    #[error("no connection to NATS at {urls} within {seconds} s; check bus.urls and that the server runs")]
    Unreachable {
        urls: String,
        seconds: u64,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the NATS server accepts messages of {found} bytes; set its max_payload to at least {needed}")]
    MaxPayload { found: usize, needed: usize },
    #[error("open the JetStream bucket {name}; JetStream must be on (`nats-server -js`) and allowed to this account")]
    Bucket {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("read the JetStream bucket {name} in time")]
    Read { name: String },
}

pub(super) fn failed(doing: String, source: impl std::error::Error + Send + Sync + 'static) -> BusError {
    BusError::Failed {
        doing,
        source: Box::new(source),
    }
}

pub(super) fn ask_error(subject: &str, error: RequestError) -> BusError {
    match error.kind() {
        RequestErrorKind::TimedOut => BusError::Timeout(subject.to_owned()),
        RequestErrorKind::NoResponders => BusError::NoResponder(subject.to_owned()),
        _ => failed(format!("ask on {subject}"), error),
    }
}

pub(super) fn put_error(key: &str, error: PublishError) -> BusError {
    match error.kind() {
        PublishErrorKind::TimedOut => BusError::Timeout(key.to_owned()),
        _ => failed(format!("write {key}"), error),
    }
}

pub(super) fn is_conflict(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::WrongLastSequence
}
