//! The protocol of calls: JSON text messages over one WebSocket at `/calls`, in the form of [`signaling`](crate::signaling).
//!
//! A device registers, and then begins, takes and ends calls. The server sends the whole [`CallView`] after every change of a call
//! that the user is in, so that a device that has missed a message knows the present state. Media is not part of it: a device that
//! has joined a call enters the call's room by [`EnterRoom`](crate::signaling::Request::EnterRoom). `docs/calls.md` explains the order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Call, CallEndReason, CallMedia, Gone, PartyState};
use crate::ids::{CallId, DeviceId, RoomId, SdkAppId, UserId};

/// Longest message in either direction, bytes.
pub const MAX_CALL_MESSAGE_BYTES: usize = 64 * 1024;
/// Users whose presence or profile is asked for in one request.
pub const MAX_USERS_ASKED: usize = 100;
/// Longest `userData`, bytes.
pub const MAX_USER_DATA: usize = 2048;
/// Longest `groupId`, bytes.
pub const MAX_GROUP_ID: usize = 128;
/// Longest nickname, characters.
pub const MAX_NICKNAME: usize = 64;
/// Longest address of an avatar or ring tone, bytes.
pub const MAX_URL: usize = 1024;
/// Seconds that a call may ring; 0 means no limit.
pub const MAX_RING_SECONDS: u32 = 3600;

/// A request with the id that its reply repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallRequestEnvelope {
    pub id: u64,
    #[serde(flatten)]
    pub request: CallRequest,
}

/// A request of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CallRequest {
    /// Registers this device; the first request on every WebSocket. A user may have several devices. Replied by
    /// [`CallReply::Registered`].
    Register {
        sdk_app_id: SdkAppId,
        user_id: UserId,
        user_sig: String,
        /// The same as before, for a device that has lost its WebSocket. It takes the place of the earlier WebSocket.
        device_id: DeviceId,
    },
    /// Calls users. Replied by [`CallReply::Called`], also when the call is over at once because everybody is busy.
    Call {
        user_ids: Vec<UserId>,
        media: CallMedia,
        /// Makes it a group call that users who know this id may join; 1 to 128 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group_id: Option<String>,
        /// Seconds until an invitation has no answer: 1 to 3600; 0: never. The server's setting by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<u32>,
        /// For the invitees; at most 2048 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_data: Option<String>,
    },
    /// Takes the call on this device. Replied by [`CallReply::Called`]; then the device may enter the call's room.
    Accept { call_id: CallId },
    /// Replied by [`CallReply::Done`].
    Reject { call_id: CallId },
    /// Leaves the call; an inviter whom nobody has answered cancels it. Replied by [`CallReply::Done`].
    HangUp { call_id: CallId },
    /// Adds users to a call that this device is in, which becomes a group call. Replied by [`CallReply::Called`].
    Invite {
        call_id: CallId,
        user_ids: Vec<UserId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_seconds: Option<u32>,
    },
    /// Joins a running group call: as one of its users, or with its group id. Replied by [`CallReply::Called`].
    Join {
        call_id: CallId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group_id: Option<String>,
    },
    /// The running calls of a group. Replied by [`CallReply::Found`].
    FindCalls { group_id: String },
    /// For all users of the call. Replied by [`CallReply::Called`].
    SwitchMedia { call_id: CallId, media: CallMedia },
    /// Sets the fields of the user's own profile that are there; an empty text removes one. Replied by [`CallReply::Profiles`].
    SetProfile {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nickname: Option<String>,
        /// An `http` or `https` address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        avatar_url: Option<String>,
        /// The ring tone of this user's devices; an `http` or `https` address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bell_url: Option<String>,
    },
    /// This user's or others'. Replied by [`CallReply::Profiles`], for those users who have one.
    GetProfiles { user_ids: Vec<UserId> },
    /// Replied by [`CallReply::Presences`].
    GetPresence { user_ids: Vec<UserId> },
    /// The device is not for calls any more, and leaves its call. The WebSocket closes after the reply, [`CallReply::Done`].
    Unregister {},
}

/// A message of the server: a reply or an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CallServerMessage {
    Ok {
        id: u64,
        /// Always true.
        ok: bool,
        #[serde(flatten)]
        reply: CallReply,
    },
    Failed {
        /// The request's id; null when the message had no readable id.
        id: Option<u64>,
        error: CallErrorBody,
    },
    Event(CallEvent),
}

/// The fields of a successful reply, by `result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CallReply {
    Registered {
        /// The call that the user rings in or is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallView>,
        /// Calls of which no device has known, newest first. They are told once.
        missed: Vec<MissedCall>,
        /// How long the call waits for a device that has lost its WebSocket, seconds.
        return_seconds: u32,
    },
    Called {
        call: CallView,
    },
    Found {
        calls: Vec<CallView>,
    },
    Profiles {
        profiles: Vec<Profile>,
    },
    Presences {
        presences: Vec<Presence>,
    },
    Done {},
}

/// An event of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CallEvent {
    /// A call in which this user rings, is or was has begun, changed or ended.
    Call { call: CallView },
    /// Another WebSocket has registered as this device, or the server shuts down; the WebSocket closes next.
    Replaced { by: ReplacedBy },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReplacedBy {
    Device,
    /// Register again, at another node.
    Shutdown,
}

/// A call as one of its users sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    pub call_id: CallId,
    /// Of two views of a call the one with the higher version is newer.
    pub version: u64,
    /// Of the media.
    pub room_id: RoomId,
    pub inviter: UserId,
    pub media: CallMedia,
    pub is_group: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// The time since the first answer, milliseconds; absent: nobody has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_for_ms: Option<u64>,
    /// In the order in which they were invited; the inviter is first.
    pub parties: Vec<PartyView>,
    /// Absent: it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartyView {
    pub user_id: UserId,
    pub invited_by: UserId,
    pub state: PartyStateView,
    /// Of this user's own device that has joined or rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PartyStateView {
    Ringing,
    Joined,
    Rejected,
    Busy,
    /// Did not answer in time.
    NoAnswer,
    /// Did not answer in time, and had no device.
    Offline,
    Cancelled,
    Left,
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndView {
    pub reason: CallEndReason,
    /// From the first answer to the end.
    pub duration_ms: u64,
}

/// A user's profile for calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub user_id: UserId,
    pub nickname: String,
    pub avatar_url: String,
    /// Only in the user's own profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bell_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PresenceState {
    /// No device is registered.
    Offline,
    Online,
    /// Rings or is in a call.
    InCall,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    pub user_id: UserId,
    pub state: PresenceState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissedCall {
    pub call_id: CallId,
    pub inviter: UserId,
    pub media: CallMedia,
    pub is_group: bool,
    /// Unix milliseconds of the invitation.
    pub at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallErrorBody {
    pub code: CallErrorCode,
    /// For people: the error and the next step.
    pub message: String,
}

/// Why a request failed. The names are stable; clients may switch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallErrorCode {
    /// Not JSON, or not a request of this protocol.
    BadRequest,
    /// Longer than [`MAX_CALL_MESSAGE_BYTES`]; the connection is closed.
    MessageTooLarge,
    /// More requests than the connection may send; it is closed.
    RateLimited,
    /// A request other than `register` came first.
    NotRegistered,
    /// A second `register` on one WebSocket.
    AlreadyRegistered,
    UnknownApplication,
    UserSigInvalid,
    UserSigExpired,
    UserSigUserMismatch,
    UserSigAppMismatch,
    /// The user has as many devices as the server permits.
    TooManyDevices,
    /// A field has a value that is not permitted: the message names it.
    InvalidParameter,
    /// The user, or this device, is in a call already.
    AlreadyInCall,
    /// The user has invited more users than are permitted in this time.
    TooManyInvitations,
    /// The call has as many users as the server permits.
    CallFull,
    /// The call is over, or there is none with this id.
    CallOver,
    /// The user is not invited to the call.
    NotInvited,
    /// Another device of the user has taken or rejected the call.
    AnsweredElsewhere,
    /// The device is not in the call.
    NotInCall,
    /// Only a group call can be joined.
    NotAGroupCall,
    /// The servers cannot reach one another or their database for now; try again in two seconds.
    TryLater,
    /// Our fault; try again.
    Internal,
}

impl CallView {
    /// `user`: who is to see it.
    pub fn of(call: &Call, user: &UserId, now_unix_ms: u64) -> Self {
        let parties = call.parties.iter().map(|party| {
            let (state, device) = match &party.state {
                PartyState::Ringing { .. } => (PartyStateView::Ringing, None),
                PartyState::Joined { device, .. } => (PartyStateView::Joined, Some(device)),
                PartyState::Gone { why, device } => (gone(*why, party.reached), device.as_ref()),
            };
            PartyView {
                user_id: party.user.clone(),
                invited_by: party.invited_by.clone(),
                state,
                device_id: device.filter(|_| party.user == *user).cloned(),
            }
        });
        let since = |from: u64, to: u64| to.saturating_sub(from);
        let answered = call.answered_unix_ms;
        Self {
            call_id: call.id,
            version: call.version,
            room_id: call.id.room(),
            inviter: call.inviter.clone(),
            media: call.media,
            is_group: call.is_group,
            group_id: call.group_id.clone(),
            user_data: call.user_data.clone(),
            answered_for_ms: answered.map(|answered| since(answered, now_unix_ms)),
            parties: parties.collect(),
            ended: call.ended.as_ref().map(|ended| EndView {
                reason: ended.reason,
                duration_ms: answered.map_or(0, |answered| since(answered, ended.at_unix_ms)),
            }),
        }
    }
}

fn gone(why: Gone, reached: bool) -> PartyStateView {
    match why {
        Gone::Rejected => PartyStateView::Rejected,
        Gone::Busy => PartyStateView::Busy,
        Gone::NoAnswer if reached => PartyStateView::NoAnswer,
        Gone::NoAnswer => PartyStateView::Offline,
        Gone::Cancelled => PartyStateView::Cancelled,
        Gone::Left => PartyStateView::Left,
        Gone::Lost => PartyStateView::Lost,
    }
}
