//! Requests as their server receives them.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::BusError;

/// Maximum requests that wait for one server; further ones wait at their callers.
pub(crate) const QUEUE: usize = 4096;

/// Requests on a subject. After a drop this server receives no more of them.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Request>);

impl Requests {
    pub(crate) fn new(requests: mpsc::Receiver<Request>) -> Self {
        Self(requests)
    }

    /// The next request. Cancel-safe.
    pub async fn next(&mut self) -> Request {
        match self.0.recv().await {
            Some(request) => request,
            // The bus itself has ended: there will be no more requests.
            None => std::future::pending().await,
        }
    }
}

/// A request to answer; if it is dropped, its caller gets [`BusError::Unanswered`] at once.
pub struct Request {
    pub payload: Bytes,
    reply: Option<Reply>,
}

/// Receives the reply, or None for "dropped".
pub(crate) type Reply = Box<dyn FnOnce(Option<Bytes>) + Send + Sync>;

impl Request {
    pub(crate) fn new(payload: Bytes, reply: Reply) -> Self {
        Self {
            payload,
            reply: Some(reply),
        }
    }

    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, BusError> {
        serde_json::from_slice(&self.payload).map_err(BusError::Decode)
    }

    /// Answers; a caller that has given up is not an error here. An answer larger than
    /// [`MAX_BYTES`](crate::MAX_BYTES) is [unanswered](BusError::Unanswered).
    pub fn answer<T: Serialize>(mut self, reply: &T) {
        let bytes = serde_json::to_vec(reply).ok().map(Bytes::from);
        let bytes = bytes.filter(|bytes| bytes.len() <= crate::MAX_BYTES);
        if let Some(send) = self.reply.take() {
            send(bytes);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(send) = self.reply.take() {
            send(None);
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("payload", &self.payload).finish()
    }
}
