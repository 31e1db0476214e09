//! Why a bus operation failed.

use thiserror::Error;

/// The error of one call.
///
/// [`Timeout`](BusError::Timeout) and [`Failed`](BusError::Failed) do not tell whether the call had an effect: read
/// again, or repeat calls that may be repeated. Every other error means that it had none.
#[derive(Debug, Error)]
pub enum BusError {
    #[error("no service answers on {0}")]
    NoResponder(String),
    #[error("the server of {0} did not answer the request")]
    Unanswered(String),
    #[error("no reply in time on {0}")]
    Timeout(String),
    #[error("another writer changed {0} first")]
    Conflict(String),
    #[error("{what} has {bytes} bytes, and the limit of the bus is {limit}", limit = crate::MAX_BYTES)]
    TooLarge { what: String, bytes: usize },
    #[error("{0:?} is not a valid key, prefix or subject")]
    Name(String),
    #[error("encode a bus message")]
    Encode(#[source] serde_json::Error),
    #[error("decode a bus message")]
    Decode(#[source] serde_json::Error),
    #[error("the bus is not reachable")]
    Away,
    #[error("{doing}")]
    Failed {
        doing: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BusError {
    /// The bus or the other side is not reachable at the moment; the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Away | Self::Timeout(_) | Self::NoResponder(_) | Self::Unanswered(_) | Self::Failed { .. }
        )
    }
}
