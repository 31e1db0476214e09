//! Errors in the words of the client protocol.

use rotunda_bus::BusError;
use rotunda_proto::signaling::{ErrorBody, ErrorCode};
use tracing::warn;

use crate::room_documents::Refused;

/// Clients try again after this time when the bus is away.
const RETRY_AFTER_MS: u64 = 2000;

/// Mistakes of the client are answered by name, and failures of the server without detail.
pub fn explain(refused: Refused) -> ErrorBody {
    match refused {
        Refused::Code(code) => failure(code),
        Refused::Bus(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "a room document was not changed"
            );
            failure(error_of(&error))
        }
    }
}

/// The error for a client when the bus has failed.
pub fn error_of(error: &BusError) -> ErrorCode {
    match error.is_passing() {
        true => ErrorCode::TryLater,
        false => ErrorCode::Internal,
    }
}

/// An error with a message for people.
pub fn failure(code: ErrorCode) -> ErrorBody {
    let message = match code {
        ErrorCode::BadRequest => "the message is not a request of the protocol; see docs/signaling.md",
        ErrorCode::MessageTooLarge => "the message has more than 256 KiB; the connection closes",
        ErrorCode::RateLimited => "the connection sent too many requests (50 a second after 100 at once); it closes",
        ErrorCode::NotLoggedIn => "the connection is not logged in; send login first",
        ErrorCode::AlreadyLoggedIn => "the connection is logged in already; open another one for another user",
        ErrorCode::UnknownApplication => "this server does not know the sdkAppId",
        ErrorCode::UserSigInvalid => "the UserSig is malformed or not signed with the application's key",
        ErrorCode::UserSigExpired => "the UserSig has expired; get a new one",
        ErrorCode::UserSigUserMismatch => "the UserSig is for another user",
        ErrorCode::UserSigAppMismatch => "the UserSig is for another application",
        ErrorCode::TokenRefused => "the application refuses the token; get a new one",
        ErrorCode::TokenUnchecked => "the application's server, which checks tokens, does not answer; try again",
        ErrorCode::ResumeFailed => {
            "the login cannot be resumed any more; log in without resumeToken and enter the room again"
        }
        ErrorCode::NotInRoom => "the member is in no room; enter one first",
        ErrorCode::AlreadyInRoom => "the member is in a room already; leave it first",
        ErrorCode::RoomFull => "the room has 50,000 members, which is the limit",
        ErrorCode::NotPermitted => {
            "the role or the room ticket does not permit it; switch the role or get another ticket"
        }
        ErrorCode::Banned => "the application has removed the user from the room, or dismissed it; enter again later",
        ErrorCode::AdmissionRequired => {
            "the room has a waiting room; knock, and enter when you are admitted, or with a room ticket that has the right 256"
        }
        ErrorCode::WaitingRoomFull => "500 users wait for the room, which is the limit; try again later",
        ErrorCode::BadWaitingRequest => {
            "after must be the next of a page, pageSize 1 to 100, and userIds at most 100 users"
        }
        ErrorCode::PrivateMapKeyInvalid => "the application requires a privateMapKey of this user for this room",
        ErrorCode::TooManyAudioPublishers => {
            "the room already has as many open microphones as the application permits; ask someone to turn theirs off"
        }
        ErrorCode::TooManyVideoPublishers => {
            "the room already has as many videos as the application permits; ask someone to turn theirs off"
        }
        ErrorCode::TooManyVideoRequests => {
            "the member already watches 4 cameras (3 while sending one) or a screen; cancel one first"
        }
        ErrorCode::TooManyMuted => "the member already mutes 86 members; unmute one first",
        ErrorCode::NotPublished => "the member does not publish that source",
        ErrorCode::NotConnected => "there is no media session; connect first",
        ErrorCode::BadSdp => "the offer was refused",
        ErrorCode::CodecNotSupported => "the offer has no codec for that source that this server takes",
        ErrorCode::NoMediaNode => "no media server is available; try again",
        ErrorCode::BadCustomMessage => "a custom message needs a cmdId from 1 to 10 and data in base64",
        ErrorCode::CustomMessageTooLarge => "a custom message has at most 1024 bytes",
        ErrorCode::CustomMessageRate => "a member sends at most 30 custom messages a second; this one reached nobody",
        ErrorCode::BadMix => "the mix configuration is wrong",
        ErrorCode::MixRefused => "the mix cannot run now",
        ErrorCode::BadPush => "source or url of the push is wrong",
        ErrorCode::PushRefused => "the push cannot run now",
        ErrorCode::NodeFull => "the server is full; try again later",
        ErrorCode::TryLater => {
            "the servers cannot reach each other at the moment; members inside are not affected; try again in two seconds"
        }
        ErrorCode::Internal => "the server failed; try again",
    };
    ErrorBody {
        code,
        message: message.to_owned(),
        retry_after_ms: (code == ErrorCode::TryLater).then_some(RETRY_AFTER_MS),
    }
}
