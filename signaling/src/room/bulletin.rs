//! Messages for many members, computed and serialized once for all of them.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use rotunda_proto::ids::UserId;

use crate::view::{MessagePath, RoomEvent, RoomState, diff};

/// The change from one state of the room to the next.
#[derive(Debug)]
pub struct Bulletin {
    pub before: Arc<RoomState>,
    pub after: Arc<RoomState>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    event: RoomEvent,
    json: Utf8Bytes,
}

impl Bulletin {
    pub fn new(before: Arc<RoomState>, after: Arc<RoomState>) -> Self {
        let events = diff(&before, &after);
        let line = |event: RoomEvent| {
            let json = serde_json::to_string(&event.event).ok()?;
            Some(Line {
                event,
                json: json.into(),
            })
        };
        let lines = events.into_iter().filter_map(line).collect();
        Self { before, after, lines }
    }

    /// Bytes of all its messages, without WebSocket headers.
    pub fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.json.len()).sum()
    }

    /// The messages for one member.
    pub fn for_member<'a>(&'a self, me: &'a UserId, path: MessagePath) -> impl Iterator<Item = Utf8Bytes> + 'a {
        let others = self.lines.iter().filter(move |line| line.event.is_for(me, path));
        others.map(|line| line.json.clone())
    }
}
