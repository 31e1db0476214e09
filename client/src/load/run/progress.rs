//! The progress of joining, as the threads report it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rotunda_proto::ids::UserId;

use crate::JoinError;
use crate::load::audience::Joined;
use crate::load::delay::Delays;
use crate::load::rtp_session::Part;

#[derive(Default)]
pub struct Progress {
    pub publishers: u64,
    pub viewers: u64,
    /// Members that failed, whether or not their media flowed before.
    pub failed: HashSet<UserId>,
    /// The number of failed members before the current group began to join.
    pub failed_before: u64,
    pub first_failure: Option<(UserId, JoinError)>,
    pub joins: Delays,
    pub audience: Attended,
}

/// The progress of the audience's joins.
#[derive(Default)]
pub struct Attended {
    pub members: u64,
    /// When the last one entered.
    pub last_at: Option<Instant>,
    pub joins: Delays,
    pub replies: Delays,
    /// From the first one's connect to the last one's reply.
    pub took: Duration,
    pub server_bytes_before: Option<u64>,
}

impl Progress {
    pub fn up(&self, part: Part) -> u64 {
        match part {
            Part::Publisher => self.publishers,
            Part::Viewer => self.viewers,
        }
    }

    /// Of the current group.
    pub fn failed_now(&self) -> u64 {
        self.failed.len() as u64 - self.failed_before
    }

    pub fn handle_up(&mut self, part: Part, joined_in: Duration) {
        match part {
            Part::Publisher => self.publishers += 1,
            Part::Viewer => {
                self.viewers += 1;
                self.joins.record(joined_in);
            }
        }
    }

    pub fn handle_failed(&mut self, user: UserId, error: JoinError) {
        self.failed.insert(user.clone());
        self.first_failure.get_or_insert((user, error));
    }

    /// With all its causes.
    pub fn first_failure(&self) -> Option<String> {
        let (user, error) = self.first_failure.as_ref()?;
        let mut text = format!("{user}: {error}");
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Some(text)
    }
}

impl Attended {
    pub fn handle_joined(&mut self, now: Instant, joined: Joined) {
        self.members += 1;
        self.last_at = Some(now);
        self.joins.record(joined.whole);
        self.replies.record(joined.reply);
    }
}
