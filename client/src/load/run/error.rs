//! Why a run has no result.

use rotunda_proto::ids::UserId;
use thiserror::Error;

use super::joining::JOIN_WITHIN;
use crate::JoinError;
use crate::load::plan::PlanError;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("the plan")]
    Plan(#[from] PlanError),
    #[error("find the route to the server")]
    Address(#[source] JoinError),
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
    #[error("read the CPU time and memory of process {pid}")]
    ServerPid {
        pid: u32,
        #[source]
        source: std::io::Error,
    },
    #[error("{user} could not join")]
    Publisher {
        user: UserId,
        #[source]
        source: JoinError,
    },
    #[error("no media of the publishers within {} s", JOIN_WITHIN.as_secs())]
    NoPublishers,
    #[error("no viewer received a frame{}", .0.as_ref().map(|first| format!(": {first}")).unwrap_or_default())]
    NoViewers(Option<String>),
    #[error("no audience member could join{}", .0.as_ref().map(|first| format!(": {first}")).unwrap_or_default())]
    NoAudience(Option<String>),
    #[error("stopped before anything was measured")]
    Stopped,
    #[error("a load thread has ended unexpectedly")]
    ThreadEnded,
}
