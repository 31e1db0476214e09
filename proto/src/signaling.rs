//! The client protocol: JSON text messages over one WebSocket at `/ws`.
//!
//! A request is `{"id": 7, "op": "enterRoom", ...}`; its reply is `{"id": 7, "ok": true, ...}` or `{"id": 7,
//! "error": {"code": "room_full", "message": "..."}}`. Events of the server are `{"event": "memberEntered", ...}`.
//! `docs/signaling.md` explains the order; the schema is generated from these types.

mod errors;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::errors::{ErrorBody, ErrorCode};
use crate::ids::{OwnStreamId, RecordId, RoomId, SdkAppId, StreamId, TrackSource, UserId};
use crate::mix::{NotMixable, Template};
use crate::push_state::{PushError, PushSource, PushState};
pub use crate::room::TrackState;
pub use crate::sfu::{Lines, Speaker};
use crate::statistics::{NetworkQuality, Statistics};
use crate::stream_profile::StreamProfile;
use crate::transcoding::TranscodingConfig;

/// Longest message in either direction, bytes. An SDP offer of a browser is about 41 kB.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// A request with the id that its reply repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestEnvelope {
    pub id: u64,
    #[serde(flatten)]
    pub request: Request,
}

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Identifies the client; the first request on every WebSocket. Replied by [`Reply::LoggedIn`].
    Login {
        sdk_app_id: SdkAppId,
        user_id: UserId,
        user_sig: String,
        /// From an earlier [`Reply::LoggedIn`]: continues that login's room and media.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_token: Option<String>,
    },
    /// Enters a room, which exists from its first member to its last. Replied by [`Reply::Entered`].
    EnterRoom {
        room_id: RoomId,
        #[serde(default)]
        role: Role,
        /// Names this member's recording.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_define_record_id: Option<RecordId>,
        /// Names this member's live stream.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream_id: Option<OwnStreamId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private_map_key: Option<String>,
        /// From [`Event::Admission`], or from the earlier [`Reply::Entered`] of a stay that was cut off: enters past the waiting room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pass: Option<String>,
    },
    /// Asks to be admitted to a room that has refused `enterRoom` with `admission_required`. Replied by [`Reply::Admission`]; the answer
    /// comes with [`Event::Admission`]. `exitRoom` ends the waiting.
    Knock {
        room_id: RoomId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private_map_key: Option<String>,
    },
    /// Admits waiting users or refuses them; for moderators. Replied by [`Reply::Answered`].
    AnswerWaiting {
        /// False: they are refused.
        admit: bool,
        /// Absent: everybody who waits. At most 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_ids: Option<Vec<UserId>>,
    },
    /// A page of the users who wait, in the order of arrival; for moderators. Replied by [`Reply::WaitingUsers`].
    ListWaiting {
        /// `next` of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// 1 to 100, default 50.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page_size: Option<u32>,
    },
    /// Switches the waiting room of this room on, until the room ends, or off, which admits everybody who waits; for moderators. Replied
    /// by [`Reply::Done`].
    SetWaitingRoom { required: bool },
    /// The one SDP offer of this membership (or, later, an ICE restart). Replied by [`Reply::Connected`].
    Connect { offer: String, lines: Lines },
    /// Takes a seat for a source and begins to send it. Replied by [`Reply::Done`].
    Publish {
        source: TrackSource,
        #[serde(default)]
        muted: bool,
    },
    /// Releases the seat. Replied by [`Reply::Done`].
    Unpublish { source: TrackSource },
    /// Mutes a published source or unmutes it. Replied by [`Reply::Done`].
    Mute { source: TrackSource, muted: bool },
    /// Asks for a video: at most 4 cameras (3 while sending one) and one screen. Replied by [`Reply::Done`]; the slot
    /// comes with [`Event::Slots`].
    RequestVideo {
        user_id: UserId,
        source: TrackSource,
        /// The largest useful frame height, pixels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_height: Option<u16>,
    },
    /// Cancels a video. Replied by [`Reply::Done`].
    CancelVideo { user_id: UserId, source: TrackSource },
    /// Stops (or starts again) one publisher's audio for this listener alone. Replied by [`Reply::Done`].
    MuteRemoteAudio { user_id: UserId, muted: bool },
    /// Sends a message to all other members of the room: for a client without a data channel. Replied by
    /// [`Reply::Done`].
    SendCustomMessage {
        /// 1 to 10.
        cmd_id: u8,
        /// Base64 of at most 1024 bytes.
        data: String,
    },
    /// Statistics of this member's media, as the server measures them. Replied by [`Reply::Stats`].
    GetStats {},
    /// Takes another role, and (where room tickets are required) the rights of another ticket. [`Reply::Done`]
    /// comes when the server forwards only the sources that are still permitted.
    SwitchRole {
        role: Role,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        private_map_key: Option<String>,
    },
    /// Starts this member's mix of the room or changes it; null ends it. The member must publish audio, and (unless
    /// the mode is `pureAudio`) video. The mix ends when the member leaves. Replied by [`Reply::Done`] when it runs.
    SetMixTranscodingConfig { config: Option<Box<TranscodingConfig>> },
    /// Pushes the stream of this member's camera (with the microphone) or screen, or their mix, to another server, in place of an earlier
    /// push of that source. The member must publish the source (the microphone is enough for `camera`), or have a mix. Replied by
    /// [`Reply::Done`] when the push is begun; [`Event::CdnStreamState`] follows. The push ends when the member leaves, and that of a mix
    /// with the mix.
    StartPublishCdnStream {
        #[serde(default)]
        source: PushSource,
        /// `rtmp://` or `rtmps://`, with the key of the other server.
        url: String,
    },
    /// Ends a push. Replied by [`Reply::Done`], also where there is none.
    StopPublishCdnStream {
        #[serde(default)]
        source: PushSource,
    },
    /// Leaves the room; the WebSocket stays. Replied by [`Reply::Done`].
    ExitRoom {},
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May publish.
    #[default]
    Anchor,
    /// Only watches.
    Audience,
}

/// A message of the server: a reply or an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ServerMessage {
    Ok {
        id: u64,
        /// Always true.
        ok: bool,
        #[serde(flatten)]
        reply: Reply,
    },
    Failed {
        /// The request's id; null when the message had no readable id.
        id: Option<u64>,
        error: ErrorBody,
    },
    Event(Event),
}

/// The fields of a successful reply, by `result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reply {
    LoggedIn {
        /// For the next [`Request::Login`] after this WebSocket is lost.
        resume_token: String,
        /// How long the room waits for that login, seconds.
        resume_seconds: u32,
        /// True when the token continued an earlier membership: room, seats and media are unchanged.
        resumed: bool,
    },
    Entered {
        room: RoomView,
        /// For `RTCPeerConnection`; empty when none is configured.
        ice_servers: Vec<IceServer>,
        /// The stream profiles of the application, set by its operator. The client sends video by the first rule for its platform and role.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stream_profiles: Vec<StreamProfile>,
        /// For the next [`Request::EnterRoom`] after this login was lost, as long as the room lasts: the user need not wait again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pass: Option<String>,
        /// For moderators alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waiting_room: Option<Box<WaitingRoomView>>,
    },
    Admission {
        #[serde(flatten)]
        admission: Admission,
    },
    Answered {
        /// The users who had been waiting.
        count: u32,
    },
    WaitingUsers {
        users: Vec<WaitingUserView>,
        /// `after` of the next page; absent: this is the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        total: u32,
    },
    Connected {
        answer: String,
    },
    Stats {
        statistics: Box<Statistics>,
    },
    Done {},
}

/// A room as its members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomView {
    pub room_id: RoomId,
    /// The 50 earliest members present, in the order in which they entered.
    pub members: Vec<UserId>,
    /// All members, audience included.
    pub member_count: u64,
    pub publishers: Vec<PublisherView>,
    /// The running mix of this room, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublisherView {
    pub user_id: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<TrackState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<TrackState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<TrackState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MixView {
    pub stream_id: StreamId,
    pub template: Template,
    /// Tracks that are missing in the mix, because the server cannot decode their codec: their publishers can
    /// change it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_mixable: Vec<NotMixable>,
}

/// The waiting room, as moderators see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingRoomView {
    /// A moderator has switched it on. The application may require it as well.
    pub required: bool,
    /// Everybody who waits.
    pub total: u32,
    /// The first [`WAITING_WINDOW`] of them, in the order of arrival.
    pub users: Vec<WaitingUserView>,
}

/// Waiting users in a [`WaitingRoomView`].
pub const WAITING_WINDOW: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingUserView {
    pub user_id: UserId,
    pub since_unix_ms: u64,
}

/// How far the admission of a user who has knocked is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Admission {
    Waiting,
    /// `enterRoom` with the pass enters, within a minute.
    Admitted {
        pass: String,
    },
    Refused,
    /// Nobody has answered in time (`signaling.waiting_seconds`); knock again.
    Expired,
    /// The room has ended.
    RoomEnded,
}

/// As in `RTCIceServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// An event of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The whole room, for a client that has reconnected and may have missed events; it replaces the client's
    /// state.
    Room { room: RoomView },
    /// A member within the window of 50 entered (or moved into the window).
    MemberEntered { user_id: UserId },
    /// A member of the window left.
    MemberLeft { user_id: UserId },
    /// The number of members, audience included; at most once per second.
    MemberCount { count: u64 },
    /// All published sources of a member, after a change; all absent: the member publishes nothing.
    Publishing {
        #[serde(flatten)]
        publisher: PublisherView,
    },
    /// The publishers in this client's receive slots, complete, after a change.
    Slots {
        audio: Vec<Option<UserId>>,
        video: Vec<Option<SlotView>>,
    },
    /// The sources that this client may send and receive from now on, by its role and rights. Other sources that it sent have ended.
    Permissions {
        send: BTreeSet<TrackSource>,
        receive: BTreeSet<TrackSource>,
        /// Whether this client decides who enters.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        moderate: bool,
    },
    /// The admission of this client, which has knocked.
    Admission {
        #[serde(flatten)]
        admission: Admission,
    },
    /// The waiting room, after a change; for moderators alone, at most twice a second.
    WaitingRoom {
        #[serde(flatten)]
        waiting_room: WaitingRoomView,
    },
    /// The speakers, loudest first; empty: nobody speaks.
    Speakers { speakers: Vec<Speaker> },
    /// The session's media is connected or lost.
    MediaState { state: MediaState },
    /// The media server ends soon. Make another peer connection and `connect` with its offer, which leads to another media server;
    /// send on both. Close the former one when the new one is connected: the server ends it a second later. A client that does not
    /// is disconnected when the media server ends.
    MoveMedia {},
    /// The quality of this client's connection; at most every 2 s, when a score has changed, and at least every 10
    /// s.
    NetworkQuality {
        #[serde(flatten)]
        quality: NetworkQuality,
    },
    /// The simulcast layers (by rid) of a source that this client should send from now on: set `active` of its
    /// encodings. Nobody watches the others. A layer that the client has chosen not to send stays off even if it is
    /// named.
    Layers { source: TrackSource, active: Vec<String> },
    /// For a source that this client sends as one stream with layers inside (SVC): layers higher than `max_height`
    /// (pixels) have no viewer. Send only those up to it, in the same size, and begin with a keyframe. Absent: send
    /// all.
    SpatialLayers {
        source: TrackSource,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_height: Option<u16>,
    },
    /// A source that this client watches is sent in a codec that its offer does not have, so it cannot be received.
    CodecNotSupported {
        user_id: UserId,
        source: TrackSource,
        /// As in SDP: `H265`.
        codec: String,
    },
    /// Another member's own message, for a client without a data channel.
    CustomMessage {
        user_id: UserId,
        cmd_id: u8,
        /// Counts that member's messages on the same path.
        seq: u32,
        /// Base64.
        data: String,
    },
    /// A mix began, changed or (null) ended.
    Mix { mix: Option<MixView> },
    /// This member's push of a source to another server has another state, or an attempt has failed once more.
    CdnStreamState {
        source: PushSource,
        state: CdnStreamState,
        /// The last failure, in the states that follow from one. With `ended`: why the push is not permitted any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<PushError>,
    },
    /// This login has ended; the WebSocket closes next.
    Kicked { reason: KickReason },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlotView {
    pub user_id: UserId,
    pub source: TrackSource,
}

/// The state of a member's push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CdnStreamState {
    Connecting,
    /// The other server takes the stream.
    Running,
    /// The connection is lost, and is tried again.
    Recovering,
    /// There was no connection for a minute. Attempts go on.
    Failed,
    /// The source is not sent, or the mix does not run. It is pushed again when it is there within 30 s.
    Waiting,
    /// It is over.
    Ended,
}

impl From<PushState> for CdnStreamState {
    fn from(state: PushState) -> Self {
        match state {
            PushState::Connecting => Self::Connecting,
            PushState::Running => Self::Running,
            PushState::Recovering => Self::Recovering,
            PushState::Failed => Self::Failed,
            PushState::Disconnecting | PushState::Idle => Self::Waiting,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    Connected,
    /// Create a new `RTCPeerConnection` and `connect` again.
    Disconnected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KickReason {
    /// The same user logged in elsewhere.
    Kick,
    /// Removed through the server API.
    Banned,
    /// The room was dismissed.
    RoomDisband,
    /// The server is shutting down; reconnect later.
    Shutdown,
}
