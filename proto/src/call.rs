//! A call as a document: the users who ring, who have joined and who are gone.
//!
//! Nobody owns it: the signaling nodes change it by compare-and-set, with the methods of [`Call`], and every node follows all calls.
//! A call is over when at most one user is in it and nobody rings. An ended document stays for some seconds, so that every node
//! learns how the call has ended.

mod parties;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{CallId, DeviceId, RoomKey, SdkAppId, UserId};
use crate::incarnation::Incarnation;

pub use parties::{Call, CallRefusal, Device, Ended, Found, Gone, NewCall, Party, PartyState};

/// Prefix of every [`call_key`].
pub const CALLS_PREFIX: &str = "calls.";

/// Key of a call, with [`Call`] as its value.
pub fn call_key(app: SdkAppId, id: CallId) -> String {
    format!("{CALLS_PREFIX}{app}.{id}")
}

/// Key of a user's [`Engagement`].
pub fn engagement_key(app: SdkAppId, user: &UserId) -> String {
    format!("call_users.{app}.{user}")
}

/// Key of a device that is registered for calls, with [`DeviceDocument`] as its value; it vanishes with its node.
pub fn device_key(app: SdkAppId, user: &UserId, device: &DeviceId) -> String {
    format!("{}{device}", devices_prefix(app, user))
}

/// Prefix of the [`device_key`]s of a user.
pub fn devices_prefix(app: SdkAppId, user: &UserId) -> String {
    format!("call_devices.{app}.{user}.")
}

/// The call that a user rings in or is in: a user is in one call at a time. It counts only as long as that call says so, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engagement {
    pub call: CallId,
    /// The call's own document is written after this one.
    pub since_unix_ms: u64,
}

/// A device that is registered for calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDocument {
    pub node: Incarnation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CallMedia {
    Audio,
    Video,
}

/// Why a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CallEndReason {
    /// Somebody who was in it hung up.
    HangUp,
    /// The last invitee rejected it.
    Rejected,
    /// The last invitee did not answer.
    NoAnswer,
    /// The last invitee had no device.
    Offline,
    /// The last invitee was in another call.
    Busy,
    /// The inviter hung up before anybody answered.
    Cancelled,
    /// A member lost the connection for too long.
    Lost,
}

impl CallEndReason {
    /// The number that the contract of calls has for it.
    pub fn number(self) -> u32 {
        match self {
            Self::HangUp => 1,
            Self::Rejected => 2,
            Self::NoAnswer => 3,
            Self::Offline => 4,
            Self::Busy => 5,
            Self::Cancelled => 6,
            Self::Lost => 9,
        }
    }

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HangUp => "hangUp",
            Self::Rejected => "rejected",
            Self::NoAnswer => "noAnswer",
            Self::Offline => "offline",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// An ended call, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    pub call: CallId,
    pub inviter: UserId,
    pub media: CallMedia,
    pub is_group: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    pub started_unix_ms: u64,
    /// None: nobody answered.
    pub answered_unix_ms: Option<u64>,
    pub ended_unix_ms: u64,
    pub reason: CallEndReason,
    pub parties: Vec<RecordedParty>,
}

/// A user of an ended call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedParty {
    pub user: UserId,
    pub outcome: Gone,
    /// The time in the call.
    pub joined_ms: u64,
    /// The user did not take part, and no device of theirs has shown the invitation.
    pub missed: bool,
}

impl CallRecord {
    pub fn duration_ms(&self) -> u64 {
        self.answered_unix_ms
            .map_or(0, |answered| self.ended_unix_ms.saturating_sub(answered))
    }
}

/// The room of a call's media.
pub fn call_room(app: SdkAppId, id: CallId) -> RoomKey {
    RoomKey { app, room: id.room() }
}

#[cfg(test)]
mod tests;
