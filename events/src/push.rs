//! The pushes of tasks of the server API to other servers, as the application is told of them.

use rotunda_proto::media_task::TaskRef;
use rotunda_proto::push_address::PushAddress;
pub use rotunda_proto::push_state::{PushError, PushErrorKind, PushState};
use serde::{Deserialize, Serialize};

/// A push has another state, or an attempt has failed once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushChange {
    /// The task that the push is for.
    pub task: TaskRef,
    /// The address as the application has given it. Its key is secret: journal and lists have [`without_key`](Self::without_key).
    pub url: String,
    pub state: PushState,
    /// The last failure, in the states that follow from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<PushError>,
}

impl PushChange {
    /// The same with an address that can be shown.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self {
            url: shown(&self.url),
            ..self.clone()
        }
    }
}

/// A push address without its key.
pub fn shown(url: &str) -> String {
    match url.parse::<PushAddress>() {
        Ok(address) => address.to_string(),
        Err(_) => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_key() {
        let change = PushChange {
            task: TaskRef {
                id: "t1".parse().unwrap(),
                robot: "robot".parse().unwrap(),
            },
            url: "rtmp://cdn.example.com/live/SECRET?sign=SECRET".to_owned(),
            state: PushState::Running,
            error: None,
        };
        assert_eq!(change.without_key().url, "rtmp://cdn.example.com:1935/live/***");
        assert_eq!(shown("SECRET"), "***");
    }
}
