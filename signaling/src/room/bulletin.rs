//! Messages for many members at once: computed and written as JSON one time for all of them.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use rotunda_proto::ids::UserId;

use crate::view::{Hears, News, RoomState, diff};

/// The way from one state of the room to the next.
#[derive(Debug)]
pub struct Bulletin {
    pub before: Arc<RoomState>,
    pub after: Arc<RoomState>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    news: News,
    json: Utf8Bytes,
}

impl Bulletin {
    pub fn new(before: Arc<RoomState>, after: Arc<RoomState>) -> Self {
        let news = diff(&before, &after);
        let line = |news: News| {
            let json = serde_json::to_string(&news.event).ok()?;
            Some(Line {
                news,
                json: json.into(),
            })
        };
        let lines = news.into_iter().filter_map(line).collect();
        Self { before, after, lines }
    }

    /// Of all its messages, without their frames' headers.
    pub fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.json.len()).sum()
    }

    /// The messages for one member.
    pub fn for_member<'a>(&'a self, me: &'a UserId, hears: Hears) -> impl Iterator<Item = Utf8Bytes> + 'a {
        let others = self.lines.iter().filter(move |line| line.news.is_for(me, hears));
        others.map(|line| line.json.clone())
    }
}
