//! Programs between nodes: recorder and live read a program wherever it is made.
//!
//! | module | what |
//! | --- | --- |
//! | [`Programs`] | one way to read a program: from this process, or from the node that makes it |
//! | [`claims`] | which of several processes records or pushes a program |
//! | `messages` | what the two nodes say to each other |
//! | `window` | the frames that a node keeps for readers on other nodes |
//! | `source` | serves programs to other nodes |
//! | `pull` | follows a program on another node |
//! | `tls` | proves to each other that two nodes have the cluster's secret |

pub mod claims;
mod config;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod messages;
mod nodes;
mod programs;
mod pull;
mod source;
mod tls;
mod window;

pub use config::Config;
pub use messages::ReadFrom;
pub use programs::{Programs, Service, StartError, Surroundings};
pub use tls::ClusterTls;

/// The gRPC service, generated from `rotunda/internal/v1/programs.proto`.
#[expect(clippy::allow_attributes, reason = "the generator writes `allow`")]
mod grpc {
    tonic::include_proto!("rotunda.internal.v1");
}

#[cfg(test)]
#[path = "../../tests/end_to_end/support/kept.rs"]
mod kept;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod versions;
