//! The documents of a room in the bus's key-value store. No node owns a room; every change is a compare-and-set of one of
//! these documents, and services that follow a room watch them.
//!
//! | key | document | writer | watchers |
//! | --- | --- | --- | --- |
//! | `rooms.<token>.info` | [`RoomInfo`] | signaling, once | signaling, mcu |
//! | `rooms.<token>.seats` | [`Seats`] | signaling | signaling, mcu |
//! | `rooms.<token>.roster` | [`Roster`] | signaling | signaling, mcu |
//! | `rooms.<token>.count` | [`MemberCounts`] | signaling | signaling |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, RoomKey, TrackSource, UserId};
use crate::room_ticket::Rights;

/// At most this many members publish video (camera or screen) at one time.
pub const MAX_VIDEO_PUBLISHERS: usize = 4;
/// The roster lists this many members: the earliest who are still present.
pub const ROSTER_WINDOW: usize = 50;
/// Members in a room, audience included.
pub const MAX_MEMBERS: u64 = 50_000;

/// Prefix of every key of a room, with its final dot.
pub fn key_prefix(room: &RoomKey) -> String {
    format!("rooms.{}.", room.token())
}

pub fn info_key(room: &RoomKey) -> String {
    format!("{}info", key_prefix(room))
}

pub fn seats_key(room: &RoomKey) -> String {
    format!("{}seats", key_prefix(room))
}

pub fn roster_key(room: &RoomKey) -> String {
    format!("{}roster", key_prefix(room))
}

pub fn count_key(room: &RoomKey) -> String {
    format!("{}count", key_prefix(room))
}

/// The subject on which a signaling node receives [`MemberCommand`]s.
pub fn members_subject(node: &NodeId) -> String {
    format!("signaling.{node}.members")
}

/// Sent to a signaling node that has members in the room ([`MemberCounts`]); other nodes do not know the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum MemberCommand {
    /// Gives a member other rights for the rest of their membership. It is done when the SFU forwards nothing that
    /// is no longer permitted.
    Permit {
        room: RoomKey,
        user: UserId,
        rights: Rights,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberReply {
    Done,
    /// The user is not in that room through this node.
    NotHere,
    Failed,
}

/// The sources that a member may send and receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    pub send: BTreeSet<TrackSource>,
    pub receive: BTreeSet<TrackSource>,
}

/// The node that has a room's media; written when the first member enters, deleted when the last one leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    pub room: RoomKey,
    /// The SFU node that serves the room.
    pub sfu: NodeId,
    pub created_unix_ms: u64,
}

/// The publishers and their sources: at most [`MAX_VIDEO_PUBLISHERS`] videos, and as many audio sources as the
/// application [permits](crate::config::Microphones).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seats {
    /// In the order in which they began to publish.
    pub publishers: Vec<Publisher>,
    /// Publishers who were cut off and may come back; mixes keep their cells for that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptCell>,
}

/// A publisher's cell in mixes, kept while the publisher is away. Signaling removes it when the time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCell {
    pub user: UserId,
    /// The sources that the publisher had published and has not published again.
    pub sources: BTreeSet<TrackSource>,
    /// The publisher comes back with this time, and so to the same position in the order of entering.
    pub entered_unix_ms: u64,
    /// The publisher's position in [`Seats::publishers`].
    pub index: usize,
    pub until_unix_ms: u64,
}

impl Seats {
    pub fn is_empty(&self) -> bool {
        self.publishers.is_empty() && self.kept.is_empty()
    }

    /// All members with a cell in a mix, in the order in which they began to publish. A source that a returning
    /// publisher has not published again counts as muted.
    pub fn cells(&self) -> Vec<Publisher> {
        let mut cells = self.publishers.clone();
        let mut kept: Vec<&KeptCell> = self.kept.iter().collect();
        kept.sort_by_key(|cell| cell.index);
        for cell in kept {
            let at = cells.iter().position(|publisher| publisher.user == cell.user);
            let at = at.unwrap_or_else(|| {
                let at = cell.index.min(cells.len());
                cells.insert(at, Publisher::of(cell.user.clone()));
                at
            });
            for source in &cell.sources {
                cells[at].track_mut(*source).get_or_insert(TrackState::Muted);
            }
        }
        cells
    }

    pub fn kept_for(&self, user: &UserId) -> Option<&KeptCell> {
        self.kept.iter().find(|cell| cell.user == *user)
    }
}

/// One publishing member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    pub user: UserId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<TrackState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<TrackState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<TrackState>,
}

impl Publisher {
    /// A member who publishes nothing yet.
    pub fn of(user: UserId) -> Self {
        Self {
            user,
            audio: None,
            camera: None,
            screen: None,
        }
    }

    pub fn track(&self, source: TrackSource) -> Option<TrackState> {
        match source {
            TrackSource::Audio => self.audio,
            TrackSource::Camera => self.camera,
            TrackSource::Screen => self.screen,
        }
    }

    pub fn track_mut(&mut self, source: TrackSource) -> &mut Option<TrackState> {
        match source {
            TrackSource::Audio => &mut self.audio,
            TrackSource::Camera => &mut self.camera,
            TrackSource::Screen => &mut self.screen,
        }
    }
}

/// A published track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrackState {
    /// Being sent.
    On,
    /// Published, and currently muted by the publisher.
    Muted,
}

/// The members that all clients see: the [`ROSTER_WINDOW`] earliest who are still present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// In the order of entering.
    pub members: Vec<RosterMember>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterMember {
    pub user: UserId,
    pub entered_unix_ms: u64,
}

/// How many members of a room each signaling node has. It is one document, so that [`MAX_MEMBERS`] holds across
/// nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCounts {
    pub by_node: BTreeMap<NodeId, u64>,
}

impl MemberCounts {
    pub fn total(&self) -> u64 {
        self.by_node.values().sum()
    }

    /// Sets a node's members; a node without members is not listed.
    pub fn set(&mut self, node: &NodeId, members: u64) {
        if members > 0 {
            self.by_node.insert(node.clone(), members);
        } else {
            self.by_node.remove(node);
        }
    }
}
