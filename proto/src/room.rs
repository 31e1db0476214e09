//! The documents of a room in the bus's key-value store. No node owns a room; every change is a compare-and-set of one of
//! these documents, and services that follow a room watch them.
//!
//! | key | document | writer | watchers |
//! | --- | --- | --- | --- |
//! | `rooms.<token>.info` | [`RoomInfo`] | signaling | signaling, mcu |
//! | `rooms.<token>.seats` | [`Seats`] | signaling | signaling, mcu |
//! | `rooms.<token>.roster` | [`Roster`] | signaling | signaling, mcu |
//! | `rooms.<token>.count` | [`MemberCounts`] | signaling | signaling |
//! | `rooms.<token>.waiting` | [`WaitingRoom`](crate::waiting_room::WaitingRoom) | signaling | signaling |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{LoginId, MembershipId, NodeId, OwnStreamId, RecordId, RoomKey, SdkAppId, TrackSource, UserId};
use crate::incarnation::Incarnation;
use crate::room_ticket::Rights;
use crate::signaling::Request;

/// At most this many members publish video (camera or screen) at one time.
pub const MAX_VIDEO_PUBLISHERS: usize = 4;
/// The roster lists this many members: the earliest who are still present.
pub const ROSTER_WINDOW: usize = 50;
/// Members in a room, audience included.
pub const MAX_MEMBERS: u64 = 50_000;

/// Prefix of every key of every room.
pub const ROOMS_PREFIX: &str = "rooms.";

/// Prefix of every key of a room, with its final dot.
pub fn key_prefix(room: &RoomKey) -> String {
    format!("rooms.{}.", room.token())
}

pub fn info_key(room: &RoomKey) -> String {
    format!("{}info", key_prefix(room))
}

/// [`info_key`] of the room that another key is of.
pub fn info_key_beside(key: &str) -> String {
    key_beside(key, "info")
}

/// The room that a key is of.
pub fn room_of_key(key: &str) -> Option<RoomKey> {
    let (room, _) = key.strip_prefix(ROOMS_PREFIX)?.rsplit_once('.')?;
    RoomKey::from_token(room)
}

/// [`seats_key`] of the room that another key is of.
pub fn seats_key_beside(key: &str) -> String {
    key_beside(key, "seats")
}

fn key_beside(key: &str, kind: &str) -> String {
    let room = key.rsplit_once('.').map_or(key, |(room, _)| room);
    format!("{room}.{kind}")
}

pub fn seats_key(room: &RoomKey) -> String {
    format!("{}seats", key_prefix(room))
}

/// The room whose [`seats_key`] that is.
pub fn room_of_seats_key(key: &str) -> Option<RoomKey> {
    RoomKey::from_token(key.strip_prefix(ROOMS_PREFIX)?.strip_suffix(".seats")?)
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

/// To the signaling node that has the member: the others do not know them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum MemberCommand {
    /// The user has logged in by another node: this login of theirs ends. Done when it has left its room.
    Kick {
        app: SdkAppId,
        user: UserId,
        login: LoginId,
    },
    /// Gives a member other rights for the rest of their stay. Done when no media comes in any more that is not permitted any more.
    Permit {
        room: RoomKey,
        user: UserId,
        rights: Rights,
    },
    /// Ends the logins of members of a room. Done when they have left it; users who are not in it are no error.
    Remove { room: RoomKey, removed: Removed },
    /// A client has come back by another node, which carries its messages from now on.
    Resume {
        app: SdkAppId,
        user: UserId,
        token: String,
        /// The node that the client is at: when it dies, the WebSocket is lost.
        via: Incarnation,
        /// Subject for the messages to the client, each as it goes over the WebSocket; an empty one says that the WebSocket is to be
        /// closed.
        to: String,
    },
    /// A request of a client that another node carries.
    Ask {
        app: SdkAppId,
        user: UserId,
        /// As [`MemberReply::Resumed`] gave it.
        number: u64,
        id: u64,
        request: Box<Request>,
    },
    /// The WebSocket at the other node is gone.
    Detach { app: SdkAppId, user: UserId, number: u64 },
}

/// The members that the server API removes from a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    Users(Vec<UserId>),
    Everybody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberReply {
    Done,
    /// Names the WebSocket in the commands that follow.
    Resumed {
        number: u64,
    },
    /// That user is not in that room by this node.
    NotHere,
    Failed,
}

/// Below it are the newest logins of all users.
pub const LOGINS_PREFIX: &str = "logins.";

/// Key of a user's newest login, with [`LoginDocument`] as its value; it vanishes with its node.
pub fn login_key(app: SdkAppId, user: &UserId) -> String {
    format!("{LOGINS_PREFIX}{app}.{user}")
}

/// The newest login of a user, on whichever node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginDocument {
    pub login: LoginId,
    pub node: Incarnation,
}

/// The sources that a member may send and receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    pub send: BTreeSet<TrackSource>,
    pub receive: BTreeSet<TrackSource>,
}

/// The nodes that have a room's media; written when the first member enters and when the room goes on at another node, deleted when the
/// last member leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    pub room: RoomKey,
    /// The SFU node that serves the room; the first one where it is on several.
    pub sfu: NodeId,
    /// The other SFU nodes that it is on, in the order in which it came to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_sfu: Vec<NodeId>,
    pub created_unix_ms: u64,
}

impl RoomInfo {
    /// All SFU nodes that the room is on, in the order in which it came to them.
    pub fn sfu_nodes(&self) -> impl Iterator<Item = &NodeId> + Clone {
        std::iter::once(&self.sfu).chain(&self.more_sfu)
    }
}

/// The published sources: at most [`MAX_VIDEO_PUBLISHERS`] videos, and as many microphones as the application
/// [permits](crate::config::Microphones).
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
    /// Of the membership that was cut off.
    pub holder: Holder,
    /// The sources that they published, and have not published again.
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
                cells.insert(at, Publisher::of(cell.user.clone(), cell.holder.clone()));
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

/// The holder of a seat or of a roster entry. A seat belongs to a membership, so that a late leave never takes what a newer login
/// of the same user has; and by the node's incarnation, so that it is freed when the node dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub membership: MembershipId,
    /// The signaling node that keeps the member.
    pub node: Incarnation,
}

/// One publishing member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    pub user: UserId,
    pub holder: Holder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<TrackState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<TrackState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<TrackState>,
    #[serde(default, skip_serializing_if = "OwnNames::is_empty")]
    pub names: OwnNames,
}

/// The names that a member gave on entering, for the recording and the live stream of the member's own media.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnNames {
    /// `userDefineRecordId`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// `streamId`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<OwnStreamId>,
}

impl OwnNames {
    pub fn is_empty(&self) -> bool {
        self.record.is_none() && self.stream.is_none()
    }
}

impl Publisher {
    /// One who publishes nothing yet.
    pub fn of(user: UserId, holder: Holder) -> Self {
        Self {
            user,
            holder,
            audio: None,
            camera: None,
            screen: None,
            names: OwnNames::default(),
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
    pub holder: Holder,
}

/// How many members of a room each signaling node has, by the node's incarnation; one document, so that [`MAX_MEMBERS`] is kept whoever adds one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberCounts {
    pub by_node: BTreeMap<Incarnation, u64>,
}

impl MemberCounts {
    pub fn total(&self) -> u64 {
        self.by_node.values().sum()
    }

    /// A node's members; without any it is not listed.
    pub fn set(&mut self, node: &Incarnation, members: u64) {
        if members > 0 {
            self.by_node.insert(node.clone(), members);
        } else {
            self.by_node.remove(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_document_of_the_version_before_has_one_node_and_one_of_one_node_is_as_before() {
        let before = r#"{"room":{"app":1,"room":1001},"sfu":"sfu-1","created_unix_ms":7}"#;
        let info: RoomInfo = serde_json::from_str(before).unwrap();
        assert_eq!(info.sfu_nodes().map(NodeId::as_str).collect::<Vec<_>>(), ["sfu-1"]);
        assert_eq!(serde_json::to_string(&info).unwrap(), before);
        let more = RoomInfo {
            more_sfu: vec!["sfu-2".parse().unwrap()],
            ..info
        };
        let read: RoomInfo = serde_json::from_str(&serde_json::to_string(&more).unwrap()).unwrap();
        assert_eq!(
            read.sfu_nodes().map(NodeId::as_str).collect::<Vec<_>>(),
            ["sfu-1", "sfu-2"]
        );
    }
}
