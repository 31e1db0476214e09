//! A mix as a document: what is wanted of it, and which node does it.
//!
//! Callers change what is wanted by compare-and-set ([`started`], [`stopped`]). An MCU node claims the task by writing itself in as its
//! owner, carries out the newest revision, and writes down how far it is. When the owner is declared dead, another node claims it.

use serde::{Deserialize, Serialize};

use crate::ids::{MixId, RoomKey, StreamId, TaskId, UserId};
use crate::incarnation::Incarnation;
use crate::media_task::TaskRef;
use crate::mix::{MixSpec, Refusal};

/// Prefix of every [`task_key`].
pub const TASKS_PREFIX: &str = "mix_tasks.";

/// Key of a task, with [`MixTask`] as its value.
pub fn task_key(room: &RoomKey, origin: &Origin) -> String {
    format!("{}{}", room_tasks_prefix(room), origin.token())
}

/// Prefix of the [`task_key`]s of a room.
pub fn room_tasks_prefix(room: &RoomKey) -> String {
    format!("{TASKS_PREFIX}{}.", room.token())
}

/// Which of its room's mixes a task is. A room has at most one of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The mix of the server API: by contract a room has one.
    #[default]
    Api,
    /// One of several mixes of the server API, where the configuration permits several.
    ApiStream(StreamId),
    /// The mix that this member has started.
    Client(UserId),
    /// The mix of a [media task](crate::media_task).
    Task(TaskId),
}

impl Origin {
    /// As one token of a bus key.
    pub fn token(&self) -> String {
        match self {
            Self::Api => "api".to_owned(),
            Self::ApiStream(stream) => format!("stream={stream}"),
            Self::Client(user) => format!("user={user}"),
            Self::Task(task) => format!("task={task}"),
        }
    }

    /// A mix that `StartMCUMixTranscode` has started.
    pub fn is_api(&self) -> bool {
        matches!(self, Self::Api | Self::ApiStream(_))
    }
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixTask {
    /// Another mix in the place of the first has another id.
    pub id: MixId,
    pub room: RoomKey,
    pub origin: Origin,
    /// The id of the API key, or the user.
    pub started_by: String,
    pub desired: Desired,
    /// Grows with every change of `desired`.
    pub revision: u64,
    /// The node that does it; None: nobody does yet.
    pub owner: Option<Incarnation>,
    /// Counts the owners.
    pub epoch: u64,
    /// The unix time of the program's time 0, so that the next owner carries on with the time that the last one had.
    pub program_began_unix_ms: Option<u64>,
    /// The revision that the owner has carried out, or refused.
    pub reached: u64,
    pub refused: Option<Refused>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "desired", rename_all = "snake_case")]
pub enum Desired {
    Run {
        spec: Box<MixSpec>,
    },
    /// The owner ends the mix and deletes the document.
    Stop,
}

/// A revision that the owner has not carried out. What ran before it runs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    pub revision: u64,
    pub error: Refusal,
}

/// A caller's wish for a mix.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The id for a new mix.
    pub id: MixId,
    pub origin: Origin,
    pub started_by: String,
    pub spec: MixSpec,
}

impl MixTask {
    /// The mix that should run; None: none.
    pub fn spec(&self) -> Option<&MixSpec> {
        match &self.desired {
            Desired::Run { spec } => Some(spec),
            Desired::Stop => None,
        }
    }
}

/// The document after a start: a mix that goes on gets a new layout and encoding, another one takes its place.
pub fn started(before: Option<MixTask>, wish: &Wish) -> MixTask {
    let desired = Desired::Run {
        spec: Box::new(wish.spec.clone()),
    };
    match before {
        Some(same) if same.desired == desired => same,
        Some(task) if task.spec().is_some_and(|spec| goes_on(spec, &wish.spec)) => MixTask {
            revision: task.revision + 1,
            desired,
            ..task
        },
        // The owner of the mix before ends that one first.
        before => MixTask {
            id: wish.id,
            room: wish.spec.room.clone(),
            origin: wish.origin.clone(),
            started_by: wish.started_by.clone(),
            desired,
            revision: before.as_ref().map_or(1, |task| task.revision + 1),
            epoch: before.as_ref().map_or(0, |task| task.epoch),
            reached: before.as_ref().map_or(0, |task| task.reached),
            owner: before.and_then(|task| task.owner),
            program_began_unix_ms: None,
            refused: None,
        },
    }
}

/// There is no mix to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMix;

/// The document after a stop (None: delete it, as nobody does the task).
pub fn stopped(before: Option<MixTask>) -> Result<Option<MixTask>, NoMix> {
    let task = before.ok_or(NoMix)?;
    match (&task.desired, &task.owner) {
        (Desired::Stop, _) => Err(NoMix),
        (Desired::Run { .. }, None) => Ok(None),
        (Desired::Run { .. }, Some(_)) => Ok(Some(MixTask {
            revision: task.revision + 1,
            desired: Desired::Stop,
            ..task
        })),
    }
}

/// The document after a change of the pushes of its program: those of a task, or (None) none. A mix that ends, or has these pushes
/// already, stays as it is.
pub fn pushed(before: MixTask, task: Option<TaskRef>, push_urls: &[String]) -> MixTask {
    let Some(spec) = before.spec() else { return before };
    if spec.task == task && spec.push_urls == push_urls {
        return before;
    }
    let spec = MixSpec {
        task,
        push_urls: push_urls.to_vec(),
        ..spec.clone()
    };
    MixTask {
        revision: before.revision + 1,
        desired: Desired::Run { spec: Box::new(spec) },
        ..before
    }
}

/// Whether the program goes on: layout and encoding may change; stream id, recording and tracks may not.
pub fn goes_on(before: &MixSpec, after: &MixSpec) -> bool {
    before.stream_id == after.stream_id
        && before.record == after.record
        && before.video.is_some() == after.video.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RoomId;
    use crate::mix::{AudioEncode, Layout, Template};

    fn wish(id: u64, stream: &str) -> Wish {
        Wish {
            id: MixId(id),
            origin: Origin::Api,
            started_by: "key".to_owned(),
            spec: MixSpec {
                room: RoomKey {
                    app: 7.try_into().unwrap(),
                    room: RoomId::Number(1001.try_into().unwrap()),
                },
                stream_id: stream.parse().unwrap(),
                audio: AudioEncode {
                    sample_rate: 48_000,
                    bitrate_kbps: 64,
                    channels: 2,
                },
                video: None,
                layout: Layout::default(),
                record: None,
                push_urls: Vec::new(),
                task: None,
            },
        }
    }

    fn owned(task: MixTask) -> MixTask {
        MixTask {
            owner: Some(Incarnation::new("mcu-1".parse().unwrap(), 1)),
            epoch: 1,
            ..task
        }
    }

    #[test]
    fn a_start_repeated_changes_nothing() {
        let once = started(None, &wish(1, "one"));
        assert_eq!(started(Some(once.clone()), &wish(2, "one")), once);
    }

    #[test]
    fn another_layout_is_a_new_revision_of_the_same_mix() {
        let first = owned(started(None, &wish(1, "one")));
        let mut changed = wish(2, "one");
        changed.spec.layout.template = Template::Grid;
        let second = started(Some(first.clone()), &changed);
        assert_eq!((second.id, second.revision), (MixId(1), 2));
        assert_eq!(second.owner, first.owner);
        assert_eq!(second.spec(), Some(&changed.spec));
    }

    #[test]
    fn pushes_change_the_same_mix_once_and_never_one_that_ends() {
        let first = owned(started(None, &wish(1, "one")));
        let task = TaskRef {
            id: "task".parse().unwrap(),
            robot: "ann".parse().unwrap(),
        };
        let urls = ["rtmp://cdn.example.com/live/key".to_owned()];
        let second = pushed(first.clone(), Some(task.clone()), &urls);
        assert_eq!((second.id, second.revision), (MixId(1), 2));
        assert_eq!(second.spec().unwrap().push_urls, urls);
        assert_eq!(pushed(second.clone(), Some(task.clone()), &urls), second);
        let third = pushed(second, None, &[]);
        assert_eq!((third.revision, third.spec()), (3, first.spec()));
        let stopping = stopped(Some(third)).unwrap().unwrap();
        assert_eq!(pushed(stopping.clone(), Some(task), &urls), stopping);
    }

    #[test]
    fn another_stream_is_another_mix_of_the_same_owner() {
        let first = owned(started(None, &wish(1, "one")));
        let second = started(Some(first.clone()), &wish(2, "two"));
        assert_eq!((second.id, second.revision), (MixId(2), 2));
        assert_eq!(second.owner, first.owner);
    }

    #[test]
    fn a_start_after_a_stop_is_another_mix() {
        let first = owned(started(None, &wish(1, "one")));
        let stopping = stopped(Some(first)).unwrap().unwrap();
        let again = started(Some(stopping), &wish(2, "one"));
        assert_eq!((again.id, again.revision), (MixId(2), 3));
    }

    #[test]
    fn a_task_that_nobody_does_is_deleted_by_a_stop_and_a_stop_without_a_mix_says_so() {
        assert_eq!(stopped(Some(started(None, &wish(1, "one")))), Ok(None));
        assert_eq!(stopped(None), Err(NoMix));
        let stopping = stopped(Some(owned(started(None, &wish(1, "one"))))).unwrap();
        assert_eq!(stopped(stopping), Err(NoMix));
    }

    #[test]
    fn each_origin_has_a_key_of_its_own() {
        let room = wish(1, "one").spec.room;
        let origins = [
            Origin::Api,
            Origin::ApiStream("api".parse().unwrap()),
            Origin::Client("api".parse().unwrap()),
            Origin::Task("api".parse().unwrap()),
        ];
        let keys = origins.map(|origin| task_key(&room, &origin));
        assert_eq!(
            keys,
            [
                "mix_tasks.7.n1001.api",
                "mix_tasks.7.n1001.stream=api",
                "mix_tasks.7.n1001.user=api",
                "mix_tasks.7.n1001.task=api"
            ]
        );
    }
}
