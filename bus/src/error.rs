//! Why the bus did not do it.

use thiserror::Error;

/// Of one call.
///
/// [`Timeout`](BusError::Timeout) and [`Failed`](BusError::Failed) leave it open whether the call had an effect: read again,
/// or repeat what may be repeated. Every other error means that it had none.
#[derive(Debug, Error)]
pub enum BusError {
    #[error("nobody serves {0}")]
    NoResponder(String),
    #[error("the server of {0} did not answer the request")]
    Unanswered(String),
    #[error("no reply in time on {0}")]
    Timeout(String),
    #[error("another writer changed {0} first")]
    Conflict(String),
    #[error("{what} has {bytes} bytes, and the bus takes {limit}", limit = crate::MAX_BYTES)]
    TooLarge { what: String, bytes: usize },
    #[error("{0:?} is not a valid key, prefix or subject")]
    Name(String),
    #[error("encode a bus message")]
    Encode(#[source] serde_json::Error),
    #[error("decode a bus message")]
    Decode(#[source] serde_json::Error),
    #[error("the bus is away")]
    Away,
    #[error("{doing}")]
    Failed {
        doing: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BusError {
    /// The bus or the other side cannot be reached for now; the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Away | Self::Timeout(_) | Self::NoResponder(_) | Self::Unanswered(_) | Self::Failed { .. }
        )
    }
}
