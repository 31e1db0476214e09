//! The state of a push to another server, as the application and the member who asked for it are told.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The stream that a member pushes to another server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushSource {
    /// The camera with the microphone, or the microphone alone while there is no camera.
    #[default]
    Camera,
    /// The shared screen without audio.
    Screen,
    /// The member's own mix of the room.
    Mix,
}

impl fmt::Display for PushSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Camera => "camera",
            Self::Screen => "screen",
            Self::Mix => "mix",
        })
    }
}

/// The state of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushState {
    /// It has ended, or has been given up as failed.
    Idle,
    Connecting,
    /// The other server takes the stream.
    Running,
    /// The connection is lost, and is tried again.
    Recovering,
    /// There was no connection for a minute.
    Failed,
    /// It ends, because it is not wanted any more.
    Disconnecting,
}

/// Why an attempt to push has failed, or a push has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushError {
    pub kind: PushErrorKind,
    /// For a person; without the key of the address.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushErrorKind {
    /// The server's name cannot be resolved, or its network may not be reached.
    Address,
    /// The connection was refused or broke.
    Connection,
    /// The server has not answered in time.
    Timeout,
    /// The server has refused the stream.
    Refused,
    /// The server does not speak RTMP as servers do.
    Protocol,
    /// No process of this cluster pushes the stream.
    NotDone,
    /// The push has ended: the application or the member's rights do not permit it any more.
    NotPermitted,
}
