//! A task that the server API has started on a room, beside the room's mix: to publish it, or to record it.
//!
//! The task is a document. A mix for a task is a [mix task](crate::mix_task) of its own, which signaling starts and ends; the streams of
//! single members are relayed by whichever process has the relay. A task waits for publishers, and ends when there was none for its
//! idle time.

use serde::{Deserialize, Serialize};

use crate::ids::{RecordId, RoomKey, SdkAppId, StreamId, TaskId, UserId};
use crate::mix::MixSpec;
use crate::recording::FileWishes;
use crate::room::Seats;
use crate::selection::Selection;

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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    Mix { spec: Box<MixSpec> },
    Singles(Singles),
}

/// Streams of single members, as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Singles {
    pub selection: Selection,
    pub output: SinglesOutput,
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
            (Purpose::Recording, _) => None,
        }
    }

    pub fn is_running(&self) -> bool {
        self.state == TaskState::Running
    }

    pub fn selection(&self) -> &Selection {
        match &self.work {
            Work::Mix { spec } => &spec.layout.selection,
            Work::Singles(singles) => &singles.selection,
        }
    }

    /// Whether someone publishes what the task takes.
    pub fn is_fed_by(&self, seats: &Seats) -> bool {
        let selection = self.selection();
        seats.publishers.iter().any(|publisher| selection.takes_any(publisher))
    }
}
