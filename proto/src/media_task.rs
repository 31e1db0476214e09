//! A task that the server API or a member has started on a room, beside the room's mix: to publish it, or to record it.
//!
//! The task is a document. A mix for a task is a [mix task](crate::mix_task) of its own, which signaling starts and ends; the streams of
//! single members are relayed by whichever process has the relay. A task waits for publishers, and ends when there was none for its
//! idle time.

use serde::{Deserialize, Serialize};

use crate::ids::{MembershipId, RecordId, RoomKey, SdkAppId, StreamId, TaskId, UserId};
use crate::mix::MixSpec;
use crate::mix_task::Origin;
use crate::push_state::{PushError, PushSource, PushState};
use crate::recording::FileWishes;
use crate::room::{Publisher, Seats};
use crate::selection::{Selection, Videos};

/// Prefix of every [`media_task_key`].
pub const MEDIA_TASKS_PREFIX: &str = "media_tasks.";

/// Key of a task, with [`MediaTask`] as its value.
pub fn media_task_key(app: SdkAppId, id: &TaskId) -> String {
    format!("{MEDIA_TASKS_PREFIX}{app}.{id}")
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaTask {
    pub id: TaskId,
    pub purpose: Purpose,
    pub room: RoomKey,
    /// The user that the task stands for. A room has one task of each.
    pub robot: UserId,
    /// The id of the API key.
    pub started_by: String,
    pub work: Work,
    /// The task ends when nobody has published anything for it for so long.
    pub max_idle_seconds: u32,
    /// Of the newest change.
    pub sequence: u64,
    /// 0: an earlier version has begun it.
    #[serde(default)]
    pub begun_unix_ms: u64,
    pub state: TaskState,
    /// None: it runs, or an earlier version has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<TaskEnd>,
    /// The server API does not know the task after this time.
    pub known_until_unix_ms: u64,
    /// The task has ended, all files of it are announced, and that was told. False: a task that does not record, too.
    #[serde(default)]
    pub is_settled: bool,
    /// None: the server API has started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_member: Option<OfMember>,
}

/// A task by which a member pushes their own media; its robot is the member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfMember {
    /// The stay in the room in which the member has asked for it. The task takes nothing of another stay.
    pub membership: MembershipId,
    /// The newest state of the push.
    pub state: PushState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<PushError>,
    /// The place of that state in the stream of events.
    pub sequence: i64,
}

impl OfMember {
    pub fn new(membership: MembershipId) -> Self {
        Self {
            membership,
            state: PushState::Connecting,
            error: None,
            sequence: 0,
        }
    }

    /// The same after another state of the push; None: it changes nothing.
    ///
    /// `sequence`: of the state in the stream of events, which several nodes may read.
    #[must_use]
    pub fn after(&self, state: PushState, error: Option<&PushError>, sequence: i64) -> Option<Self> {
        // A push that has failed is told as idle, too. The failure is what the member needs to know.
        let is_hidden = self.state == PushState::Failed && state == PushState::Idle;
        let is_known = self.state == state && self.error.as_ref() == error;
        (sequence > self.sequence && !is_hidden && !is_known).then(|| Self {
            membership: self.membership,
            state,
            error: error.cloned(),
            sequence,
        })
    }
}

/// A task as its streams, its files and what is told of them name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRef {
    pub id: TaskId,
    /// The user that the task stands for.
    pub robot: UserId,
}

/// The actions of the server API that the task belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Publishing,
    Recording,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Running,
    Ended,
}

/// The reason for the end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEnd {
    /// By a call that stops it.
    Stopped,
    /// A call has removed its robot from the room.
    RobotRemoved,
    /// A call has dismissed its room.
    RoomDismissed,
    /// Nobody published for it for its idle time.
    Idle,
    /// Another task of the same robot has begun.
    Replaced,
    /// The application, or the rights of the member whose push it is, do not permit it any more.
    NotPermitted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    Mix {
        spec: Box<MixSpec>,
    },
    Singles(Singles),
    /// The push of a mix that the task's robot, a member, has by itself.
    MemberMix(MemberMix),
}

/// Streams of single members, as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Singles {
    pub selection: Selection,
    pub output: SinglesOutput,
}

/// The mix of a member: the member starts and ends it, and the task pushes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberMix {
    /// All media of the member. Without any of it the task is idle.
    pub selection: Selection,
    pub stream_id: StreamId,
    /// RTMP(S) addresses.
    pub push_urls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SinglesOutput {
    /// One stream, whose members the selection names.
    Publish {
        stream_id: StreamId,
        /// RTMP(S) addresses.
        push_urls: Vec<String>,
    },
    Record {
        /// Prefix of the files' names, before the member's.
        prefix: RecordId,
        files: FileWishes,
    },
}

impl MediaTask {
    pub fn key(&self) -> String {
        media_task_key(self.room.app, &self.id)
    }

    /// The task in the names of its streams and files.
    pub fn named(&self) -> TaskRef {
        TaskRef {
            id: self.id.clone(),
            robot: self.robot.clone(),
        }
    }

    /// RTMP(S) addresses that its stream is pushed to, and the stream; None: it publishes nothing.
    pub fn pushed(&self) -> Option<(&StreamId, &[String])> {
        match (self.purpose, &self.work) {
            (Purpose::Publishing, Work::Mix { spec }) => Some((&spec.stream_id, spec.push_urls.as_slice())),
            (Purpose::Publishing, Work::Singles(Singles { output, .. })) => match output {
                SinglesOutput::Publish { stream_id, push_urls } => Some((stream_id, push_urls.as_slice())),
                SinglesOutput::Record { .. } => None,
            },
            (Purpose::Publishing, Work::MemberMix(mix)) => Some((&mix.stream_id, mix.push_urls.as_slice())),
            (Purpose::Recording, _) => None,
        }
    }

    /// Which of the room's mixes has the media of the task; None: the task takes single streams.
    pub fn mix_origin(&self) -> Option<Origin> {
        match &self.work {
            Work::Mix { .. } => Some(Origin::Task(self.id.clone())),
            Work::MemberMix(_) => Some(Origin::Client(self.robot.clone())),
            Work::Singles(_) => None,
        }
    }

    pub fn is_running(&self) -> bool {
        self.state == TaskState::Running
    }

    pub fn selection(&self) -> &Selection {
        match &self.work {
            Work::Mix { spec } => &spec.layout.selection,
            Work::Singles(singles) => &singles.selection,
            Work::MemberMix(mix) => &mix.selection,
        }
    }

    /// Whether someone publishes what the task takes.
    pub fn is_fed_by(&self, seats: &Seats) -> bool {
        let selection = self.selection();
        let feeds = |publisher: &Publisher| self.is_for(publisher) && selection.takes_any(publisher);
        seats.publishers.iter().any(feeds)
    }

    /// Whether the task may take media of this stay in the room.
    pub fn is_for(&self, publisher: &Publisher) -> bool {
        let of_member = self.of_member.as_ref();
        of_member.is_none_or(|of_member| of_member.membership == publisher.holder.membership)
    }

    /// The stream that a member pushes; None: the server API has started the task.
    pub fn pushed_by_member(&self) -> Option<PushSource> {
        self.of_member.as_ref()?;
        Some(match (&self.work, self.selection().videos) {
            (Work::MemberMix(_), _) => PushSource::Mix,
            (_, Videos::Screen) => PushSource::Screen,
            (_, Videos::Camera | Videos::All) => PushSource::Camera,
        })
    }
}

#[cfg(test)]
mod tests {
    use PushState::{Connecting, Failed, Idle, Running};

    use super::*;

    #[test]
    fn a_member_is_told_each_state_once_in_order_and_a_failure_stays() {
        let first = OfMember::new(MembershipId(1));
        assert_eq!(first.after(Connecting, None, 3), None, "it is known");
        let running = first.after(Running, None, 5).unwrap();
        assert_eq!((running.state, running.sequence), (Running, 5));
        assert_eq!(running.after(Failed, None, 5), None, "another node has told it");
        let failed = running.after(Failed, None, 6).unwrap();
        assert_eq!(failed.after(Idle, None, 7), None);
        assert_eq!(failed.after(Connecting, None, 8).unwrap().state, Connecting);
        assert_eq!(running.after(Idle, None, 9).unwrap().state, Idle);
    }
}
