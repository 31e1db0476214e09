//! The errors of the client protocol.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub code: ErrorCode,
    /// For people: the error and the next step.
    pub message: String,
    /// The same request may succeed after this time.
    #[serde(rename = "retryAfterMs", default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Why a request failed. The names are stable; clients may switch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not a request of this protocol.
    BadRequest,
    /// Longer than [`MAX_MESSAGE_BYTES`](super::MAX_MESSAGE_BYTES); the connection is closed.
    MessageTooLarge,
    /// More requests than the connection may send; it is closed.
    RateLimited,
    /// A request other than `login` came first.
    NotLoggedIn,
    /// A second `login` on one WebSocket.
    AlreadyLoggedIn,
    /// The server does not know the application.
    UnknownApplication,
    /// The text is not a UserSig, or its signature is wrong.
    UserSigInvalid,
    /// The UserSig has expired.
    UserSigExpired,
    /// The UserSig is for another user.
    UserSigUserMismatch,
    /// The UserSig is for another application.
    UserSigAppMismatch,
    /// The application's server refuses the token (`token_hook_url`).
    TokenRefused,
    /// The application's server, which checks tokens, does not answer; try again.
    TokenUnchecked,
    /// The resume token is wrong or expired; log in without it.
    ResumeFailed,
    /// The request needs a room.
    NotInRoom,
    /// `enterRoom` while in a room.
    AlreadyInRoom,
    /// The room has 50,000 members.
    RoomFull,
    /// The role or the room ticket does not permit it.
    NotPermitted,
    /// The server API has removed the user from the room, or dismissed it: they may enter again later.
    Banned,
    /// The room has a waiting room: `knock`, and enter with the pass when admitted.
    AdmissionRequired,
    /// As many users wait as a waiting room takes; try again later.
    WaitingRoomFull,
    /// A request about waiting users is wrong: `after` is not the `next` of a page, or `pageSize` is not 1 to 100; or more than 100 `userIds`.
    BadWaitingRequest,
    /// The application requires a room ticket: there is none, it is wrong or expired, or for another room or user.
    PrivateMapKeyInvalid,
    /// The room already has as many audio publishers as the application permits: six by default.
    TooManyAudioPublishers,
    /// The room already has four video publishers.
    TooManyVideoPublishers,
    /// The member already watches four cameras (three while sending) or one screen.
    TooManyVideoRequests,
    /// The listener already mutes as many members as a room can have.
    TooManyMuted,
    /// That member does not publish that source.
    NotPublished,
    /// The request needs a connected media session: `connect` first.
    NotConnected,
    /// The SDP offer or its line list was refused.
    BadSdp,
    /// The offer's line for that source has no codec that the server supports.
    CodecNotSupported,
    /// No media server is available; try again.
    NoMediaNode,
    /// A message needs a `cmdId` of 1 to 10 and base64.
    BadCustomMessage,
    /// A message has at most 1024 bytes.
    CustomMessageTooLarge,
    /// At most 30 messages per second.
    CustomMessageRate,
    /// A field of the mix configuration is wrong: the message names it.
    BadMix,
    /// The mix cannot run: another mix has the stream, or no mixing server has capacity left.
    MixRefused,
    /// A field of a push is wrong: the message names it.
    BadPush,
    /// The application does not permit pushes of members, or as many run as may.
    PushRefused,
    /// The servers have reached their limit of members or sessions, so that the members inside keep their quality.
    /// Try again later.
    NodeFull,
    /// The servers cannot reach one another for now. Media and those inside go on; try again after `retryAfterMs`.
    TryLater,
    /// Our fault; try again.
    Internal,
}

impl ErrorCode {
    /// The name that clients receive.
    pub fn name(self) -> Cow<'static, str> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name.into(),
            // An enum without fields is a string.
            _ => "internal".into(),
        }
    }
}
