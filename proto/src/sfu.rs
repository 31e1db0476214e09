//! Control of an SFU node: requests on [`control_subject`], events on [`events_subject`] and, for one session, on
//! [`session_subject`].
//!
//! Sessions are declarative as far as possible: the controller says the desired state ([`Command::SetIngress`],
//! [`Command::SetSlots`]) and the SFU derives the steps.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::custom_message::CustomMessage;
use crate::ids::{NodeId, RoomKey, SessionId, TrackSource, UserId};
use crate::location::Location;
use crate::statistics::{NetworkQuality, SentMedia, Statistics};

/// Receive lines of a member's session: audio slots.
pub const MEMBER_AUDIO_SLOTS: usize = 6;
/// Receive lines of a member's session: video slots for cameras; the screen slot comes after them.
pub const MEMBER_CAMERA_SLOTS: usize = 4;
/// Maximum receive lines of one kind in any session (including a service's).
pub const MAX_SLOTS: usize = 24;

/// Subject on which one SFU node answers [`Command`]s with [`Reply`].
pub fn control_subject(node: &NodeId) -> String {
    format!("sfu.{node}.control")
}

/// Subject on which the [`Event`]s of one room are published.
pub fn events_subject(room: &RoomKey) -> String {
    format!("sfu.events.{}", room.token())
}

/// Subject for the [`Event`]s of one service's session, so that other receivers do not read them.
pub fn session_subject(session: SessionId) -> String {
    format!("sfu.session.{session}")
}

/// Subject for the [`Event`]s of one member's session, which the signaling node of the member reads.
pub fn member_session_subject(signaling: &NodeId, session: SessionId) -> String {
    format!("sfu.sessions.{signaling}.{session}")
}

/// Pattern of the [`member_session_subject`]s of one signaling node.
pub fn member_session_subjects(signaling: &NodeId) -> String {
    format!("sfu.sessions.{signaling}.*")
}

/// Key under which an SFU node announces itself with [`NodeInfo`].
pub fn node_key(node: &NodeId) -> String {
    format!("nodes.sfu.{node}")
}

/// Prefix of [`node_key`].
pub const NODES_PREFIX: &str = "nodes.sfu.";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    pub node: NodeId,
    /// Currently open; sent at most five times per second.
    pub sessions: u64,
    /// Sessions that the node can take.
    pub capacity: u64,
    /// Busy share of its workers' time, percent, averaged over the workers.
    pub load_percent: u8,
    /// Workers that have capacity for more sessions.
    pub open_workers: u64,
    /// The node ends soon, or the server API drains it: it takes no more sessions, and moves those that it has to other nodes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// Members are served by near nodes while these have capacity.
    #[serde(default, skip_serializing_if = "Location::is_unknown")]
    pub location: Location,
}

impl NodeInfo {
    /// The node takes no more sessions.
    pub fn is_full(&self) -> bool {
        self.draining || self.sessions >= self.capacity || self.open_workers == 0
    }
}

/// How a session has moved away from a node that drains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The node of the new session.
    pub node: NodeId,
    /// Between the request to move and the connection of the new session.
    pub took_ms: u64,
    /// The time in which neither of the two sessions was connected.
    pub pause_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Command {
    /// Creates a session from its one SDP offer; answered by [`Reply::Opened`].
    Open {
        session: SessionId,
        room: RoomKey,
        identity: Identity,
        offer: String,
        lines: Lines,
        /// The SFU nodes that the room is on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeId>,
    },
    /// Answers a second offer of the same session (ICE restart); answered by [`Reply::Opened`].
    Restart { session: SessionId, offer: String },
    /// The sources that the session may send from now on; media of any other source is dropped.
    SetIngress {
        session: SessionId,
        sources: BTreeSet<TrackSource>,
    },
    /// Sets the publishers in the session's receive slots.
    SetSlots { session: SessionId, slots: SlotMap },
    /// Ends a session; no error if it does not exist.
    Close {
        session: SessionId,
        /// It has moved to another node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<Moved>,
    },
    /// A member's own message that arrived by signaling, for all members of the room with a data channel.
    CustomMessage { room: RoomKey, message: CustomMessage },
    /// The statistics of a member's media; answered by [`Reply::Statistics`].
    Statistics { room: RoomKey, user: UserId },
    /// From another SFU node: a room is there, too, and this worker of that node relays it. None: it is not there any more. Answered by
    /// [`Reply::Met`].
    Meet {
        room: RoomKey,
        node: NodeId,
        worker: Option<u16>,
        /// Where that node is, if it relays media of further nodes, too. None: an earlier version, which relays its own members' alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<Location>,
    },
    /// From another SFU node: a [link](LinkEnd) between one of its workers and this worker. Answered by [`Reply::Linked`].
    Link { end: LinkEnd, worker: u16 },
    /// From the server API: takes no more sessions, and moves those that it has to other nodes within this time. Repeating it begins the
    /// moving anew.
    Drain { within_ms: u64 },
    /// From the server API: takes sessions again.
    Resume,
}

/// One end of a link, the encrypted way of media between workers of two SFU nodes, as the other end has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEnd {
    pub node: NodeId,
    pub worker: u16,
    /// How this end calls the link in the datagrams that it receives.
    pub link: u32,
    /// Its X25519 key for this link alone.
    pub key: Vec<u8>,
    /// Addresses of the worker.
    pub addresses: Vec<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Opened {
        answer: String,
    },
    Statistics {
        statistics: Box<Statistics>,
    },
    /// The worker of this node that relays the room; None: the room is not here.
    Met {
        worker: Option<u16>,
        /// As in [`Command::Meet`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<Location>,
    },
    Linked {
        end: LinkEnd,
    },
    Done,
    Refused {
        error: ControlError,
    },
}

/// Why a [`Command`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ControlError {
    #[error("the SDP offer could not be parsed: {reason}")]
    BadSdp { reason: String },
    #[error("the offer has no line with mid {mid:?}, or the line has another kind or direction")]
    NoSuchLine { mid: String },
    #[error("the service ticket is wrong or expired")]
    BadTicket,
    #[error("the session does not exist")]
    NoSuchSession,
    #[error("the node takes no more sessions")]
    NodeFull,
    #[error("the link is for another node or worker, or its key is malformed")]
    BadLink,
    #[error("no other node takes sessions")]
    NoOtherNode,
    #[error("the node's process ends")]
    Ends,
}

/// The owner of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Identity {
    /// A member of the room.
    Member {
        user: UserId,
        /// The node that reads the session's events.
        signaling: NodeId,
        #[serde(default)]
        client: Client,
        #[serde(default)]
        standing: Standing,
    },
    /// An internal receiver (MCU, recorder), admitted by a [ticket](crate::ticket).
    Service { ticket: String },
}

/// Whether a full node may refuse the member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    #[default]
    Newcomer,
    /// The member already had media in this membership, and has it again on another session: their capacity is reserved.
    Inside,
}

/// The kinds of event that a member's client accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    /// Events, for example which layers to pause.
    #[default]
    Signaled,
    /// Only media: the member joined by WHIP or WHEP. Its layers never count as paused.
    MediaAlone,
}

/// The purpose of each line (by mid) of the offer. Lines that are not named are refused with port 0 or left
/// inactive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lines {
    /// Send line of the microphone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microphone: Option<String>,
    /// Send line of the camera; may carry simulcast rids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Send line of the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<String>,
    /// Receive m-lines for audio, in slot order.
    #[serde(default)]
    pub audio: Vec<String>,
    /// Receive m-lines for video, in slot order. The last one of a member is the screen slot.
    #[serde(default)]
    pub video: Vec<String>,
}

/// The publisher in each receive slot. Slots beyond the end of a list are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotMap {
    pub audio: Vec<Option<UserId>>,
    /// If set, `audio` is ignored, and the audio slots carry the room's loudest members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudest: Option<Loudest>,
    pub video: Vec<Option<VideoWant>>,
}

/// The SFU chooses the voices that a session hears: the [`MEMBER_AUDIO_SLOTS`] loudest of the other members.
/// [`Event::Voices`] names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loudest {
    /// The members that this member has muted.
    pub except: BTreeSet<UserId>,
}

/// The video that a slot shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoWant {
    pub user: UserId,
    pub source: TrackSource,
    /// The highest useful simulcast layer, by its frame height in pixels. None: the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_height: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// ICE and DTLS are connected.
    Connected { session: SessionId, user: Option<UserId> },
    /// The session ended without a `Close`: ICE timed out or DTLS failed.
    Disconnected {
        session: SessionId,
        user: Option<UserId>,
        reason: String,
    },
    /// A member's own message, for members without a data channel. The others have it already, or get it by
    /// [`Command::CustomMessage`].
    CustomMessage { message: CustomMessage },
    /// The speakers, loudest first; sent when they change, at most every 200 ms.
    Speakers { speakers: Vec<Speaker> },
    /// The quality of the session's connection; sent when a score changes, at most every 2 s, and at least every 10
    /// s.
    Quality {
        session: SessionId,
        quality: NetworkQuality,
        /// The measured video and audio that the member sends.
        #[serde(default)]
        sent: SentMedia,
    },
    /// The simulcast layers (by rid) of a source that the session should send from now on; the others have no
    /// viewer. The list is never empty. No event is sent while all layers are wanted.
    Layers {
        session: SessionId,
        source: TrackSource,
        active: Vec<String>,
    },
    /// In one stream with layers inside (SVC), layers higher than this (pixels) have no viewer and should not be
    /// sent from now on; None: all should be sent. No event is sent while all layers are wanted.
    SpatialLayers {
        session: SessionId,
        source: TrackSource,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_height: Option<u16>,
    },
    /// The publishers in the session's audio slots, if these carry the [`Loudest`].
    Voices {
        session: SessionId,
        audio: Vec<Option<UserId>>,
    },
    /// The node ends soon: the session is to move to another node. Sent again until it has.
    Move { session: SessionId },
    /// The session watches (or hears) a source that it cannot decode, and receives nothing of it; sent once for
    /// each slot, source and codec.
    CodecNotSupported {
        session: SessionId,
        user: UserId,
        source: TrackSource,
        /// As in SDP: `H265`.
        codec: String,
    },
}

impl Event {
    /// The session whose owner alone reads the event; None: it is for the whole room.
    pub fn of_session(&self) -> Option<SessionId> {
        match self {
            Self::Connected { .. } | Self::Disconnected { .. } | Self::CustomMessage { .. } | Self::Speakers { .. } => {
                None
            }
            Self::Quality { session, .. }
            | Self::Layers { session, .. }
            | Self::SpatialLayers { session, .. }
            | Self::Voices { session, .. }
            | Self::Move { session }
            | Self::CodecNotSupported { session, .. } => Some(*session),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Speaker {
    pub user_id: UserId,
    /// Loudness, 0 (silence, -127 dBov) to 100 (0 dBov). Source: RFC 6464 levels.
    pub volume: u8,
}
