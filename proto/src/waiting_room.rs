//! The waiting room of a room: users who want to enter and wait until a moderator or the server API admits them.
//!
//! It is a document on the bus beside those of [`room`](crate::room), `rooms.<token>.waiting`. The node of a waiting user adds and
//! removes the user's entry; any node writes the answer.

use serde::{Deserialize, Serialize};

use crate::ids::{RoomKey, UserId};
use crate::room::{Holder, key_prefix};

/// Users who wait for one room at one time. An entry takes about 130 bytes of the document.
pub const MAX_WAITING: usize = 500;

/// Removed members in the document.
pub const MAX_REMOVED: usize = 200;

/// The last token of the document's key.
pub const WAITING: &str = "waiting";

pub fn waiting_key(room: &RoomKey) -> String {
    format!("{}{WAITING}", key_prefix(room))
}

/// [`waiting_key`] of the room that another key is of.
pub fn waiting_key_beside(key: &str) -> String {
    let room = key.rsplit_once('.').map_or(key, |(room, _)| room);
    format!("{room}.{WAITING}")
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRoom {
    /// A moderator has switched it on; it ends with the room. The server API may require it as well, by a row of the database.
    #[serde(default)]
    pub required: bool,
    /// In the order of arrival.
    #[serde(default)]
    pub waiting: Vec<WaitingUser>,
    /// Members whom the server API has removed from the room: they need admission again, until they are admitted. The last
    /// [`MAX_REMOVED`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<UserId>,
}

/// A user who waits, or whose answer their node has not read yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingUser {
    pub user: UserId,
    pub since_unix_ms: u64,
    pub holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub answer: EntryAnswer,
    /// The moderator; None: the server API, or the end of the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryAnswer {
    Admitted,
    Refused,
    /// The room has ended, in which a moderator had switched the waiting room on.
    RoomEnded,
}

impl WaitingRoom {
    pub fn is_empty(&self) -> bool {
        !self.required && self.waiting.is_empty() && self.removed.is_empty()
    }

    /// The users without an answer.
    pub fn unanswered(&self) -> impl Iterator<Item = &WaitingUser> {
        self.waiting.iter().filter(|user| user.answer.is_none())
    }
}
