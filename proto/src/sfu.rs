//! Control of an SFU node: requests on [`control_subject`], events on [`events_subject`] and, for one session alone, on
//! [`session_subject`].
//!
//! Sessions are declarative where they can be: who controls a session says what it wants ([`Command::SetIngress`],
//! [`Command::SetSlots`]) and the SFU works out the steps.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::custom_message::CustomMessage;
use crate::ids::{NodeId, RoomKey, SessionId, TrackSource, UserId};
use crate::statistics::{NetworkQuality, Statistics};

/// Receive lines of a person's session: audio slots.
pub const MEMBER_AUDIO_SLOTS: usize = 6;
/// Receive lines of a person's session: video slots for cameras; the screen slot comes after them.
pub const MEMBER_CAMERA_SLOTS: usize = 4;
/// Most receive lines of one kind in any session (a service's included).
pub const MAX_SLOTS: usize = 24;

/// Subject on which one SFU node answers [`Command`]s with [`Reply`].
pub fn control_subject(node: &NodeId) -> String {
    format!("sfu.{node}.control")
}

/// Subject on which the [`Event`]s of one room are published.
pub fn events_subject(room: &RoomKey) -> String {
    format!("sfu.events.{}", room.token())
}

/// Subject on which the [`Event`]s that are for one session alone are published: nobody else has to read them.
pub fn session_subject(session: SessionId) -> String {
    format!("sfu.session.{session}")
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
    /// Open now; told at most five times a second.
    pub sessions: u64,
    /// Sessions that the node takes.
    pub capacity: u64,
    /// Share of their time that its workers are busy, percent, on the whole.
    pub load_percent: u8,
    /// Workers that are not too busy for more sessions.
    pub open_workers: u64,
}

impl NodeInfo {
    pub fn is_full(&self) -> bool {
        self.sessions >= self.capacity || self.open_workers == 0
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Command {
    /// Makes a session out of its one SDP offer; answered by [`Reply::Opened`].
    Open {
        session: SessionId,
        room: RoomKey,
        identity: Identity,
        offer: String,
        lines: Lines,
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
    /// Ends a session; also right when there is none.
    Close { session: SessionId },
    /// A member's own message that came by signaling, for all of the room who have a data channel.
    CustomMessage { room: RoomKey, message: CustomMessage },
    /// How a member's media fares; answered by [`Reply::Statistics`].
    Statistics { room: RoomKey, user: UserId },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    Opened { answer: String },
    Statistics { statistics: Box<Statistics> },
    Done,
    Refused { error: ControlError },
}

/// Why a [`Command`] was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ControlError {
    #[error("the SDP offer was not understood: {reason}")]
    BadSdp { reason: String },
    #[error("the offer has no line with mid {mid:?}, or not of that kind and direction")]
    NoSuchLine { mid: String },
    #[error("the service ticket is wrong or expired")]
    BadTicket,
    #[error("the session is not known")]
    NoSuchSession,
    #[error("the node takes no more sessions")]
    NodeFull,
}

/// The owner of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Identity {
    /// A member of the room.
    Member {
        user: UserId,
        #[serde(default)]
        client: Client,
        #[serde(default)]
        standing: Standing,
    },
    /// A receiver of ours (MCU, recorder), admitted by a [ticket](crate::ticket).
    Service { ticket: String },
}

/// Whether a member can be refused because there are enough already.
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
    /// Events, such as which layers to pause.
    #[default]
    Signaled,
    /// Nothing but what is in its media: it came by WHIP or WHEP. Its layers are never taken for paused.
    MediaAlone,
}

/// Which line (by mid) of the offer is for what. Lines that are not named are refused with port 0 or left inactive.
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

/// The SFU chooses whom a session hears: the [`MEMBER_AUDIO_SLOTS`] loudest of the room but itself, told by
/// [`Event::Voices`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loudest {
    /// Those whom this member does not want to hear.
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
    /// ICE and DTLS are up.
    Connected { session: SessionId, user: Option<UserId> },
    /// Gone without a `Close`: ICE timed out or DTLS failed.
    Disconnected {
        session: SessionId,
        user: Option<UserId>,
        reason: String,
    },
    /// A member's own message, for those who have no data channel: the others have it already, or get it by
    /// [`Command::CustomMessage`].
    CustomMessage { message: CustomMessage },
    /// The speakers, loudest first; sent when they change, at most every 200 ms.
    Speakers { speakers: Vec<Speaker> },
    /// How good the session's connection is; sent when a score changes, at most every 2 s, and at least every 10 s.
    Quality {
        session: SessionId,
        quality: NetworkQuality,
    },
    /// The simulcast layers (by rid) of a source that the session is to send from now on; the others have no viewer. Never
    /// none. Nothing is told as long as all are to be sent.
    Layers {
        session: SessionId,
        source: TrackSource,
        active: Vec<String>,
    },
    /// Of one stream with layers inside (SVC), those higher than this (pixels) have no viewer and are not to be sent from now
    /// on; None: all are. Nothing is told as long as all are to be sent.
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
    /// The session watches (or hears) a source that it cannot decode, and is sent nothing of it; told once for each slot,
    /// source and codec.
    CodecNotSupported {
        session: SessionId,
        user: UserId,
        source: TrackSource,
        /// As in SDP: `H265`.
        codec: String,
    },
}

impl Event {
    /// Where the event is published.
    pub fn subject(&self, room: &RoomKey) -> String {
        match self {
            Self::Connected { .. } | Self::Disconnected { .. } | Self::CustomMessage { .. } | Self::Speakers { .. } => {
                events_subject(room)
            }
            Self::Quality { session, .. }
            | Self::Layers { session, .. }
            | Self::SpatialLayers { session, .. }
            | Self::Voices { session, .. }
            | Self::CodecNotSupported { session, .. } => session_subject(*session),
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
