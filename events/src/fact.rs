//! The facts of the stream.

use rotunda_proto::call::{CallMedia, CallRecord};
use rotunda_proto::ids::{CallId, MembershipId, MixId, NodeId, RecordId, RoomKey, StreamId, TrackSource, UserId};
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::mix::{MixSpec, NotMixable};
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_proto::mix_task::Origin;
use rotunda_proto::recording::{RecordingFile, RecordingRefusal, RecordingState};
use rotunda_proto::signaling::Role;
use serde::{Deserialize, Serialize};

use crate::push::PushChange;
use crate::recording_task::RecordingStep;

/// Something that has happened. It never changes once it is in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The same fact has the same id, also when another node tells it. It has effects once.
    pub id: String,
    pub room: RoomKey,
    pub at_unix_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The first member has entered.
    RoomMade {
        /// None: facts of earlier versions.
        #[serde(default)]
        user: Option<UserId>,
    },
    /// The last member has left.
    RoomEnded,
    Entered {
        user: UserId,
        membership: MembershipId,
        role: Role,
    },
    RoleChanged {
        user: UserId,
        membership: MembershipId,
        /// From now on.
        role: Role,
    },
    Left {
        user: UserId,
        membership: MembershipId,
        reason: LeftBecause,
        stayed_ms: u64,
    },
    /// A user waits to be admitted to the room.
    Knocked {
        user: UserId,
        /// Of the time in the waiting room. A stay in the room has another one.
        membership: MembershipId,
    },
    KnockEnded {
        user: UserId,
        /// As in its beginning.
        membership: MembershipId,
        outcome: KnockOutcome,
        /// The moderator who has answered; None: the server API, or nobody.
        #[serde(default)]
        by: Option<UserId>,
    },
    Published {
        user: UserId,
        membership: MembershipId,
        source: TrackSource,
    },
    Unpublished {
        user: UserId,
        membership: MembershipId,
        source: TrackSource,
    },
    /// The members of one node in the room, over at most a minute.
    Attendance {
        node: NodeId,
        /// The sum of the members' times in the room.
        anchor_ms: u64,
        audience_ms: u64,
        /// The most members at one time.
        peak: u64,
    },
    MixBegun {
        mix: MixId,
        stream_id: StreamId,
        /// None: facts of earlier versions.
        #[serde(default)]
        started_unix_ms: Option<u64>,
        #[serde(default)]
        output: Option<MixOutput>,
        #[serde(default)]
        origin: Origin,
        /// Without its push addresses, which are secret. None: an earlier version has told it.
        #[serde(default)]
        spec: Option<Box<MixSpec>>,
    },
    /// The running mix got another layout or other settings.
    MixChanged {
        stream_id: StreamId,
        /// None: facts of earlier versions.
        #[serde(default)]
        mix: Option<MixId>,
        #[serde(default)]
        output: Option<MixOutput>,
    },
    /// The video of a mix shows another layout.
    MixLayout {
        mix: MixId,
        stream_id: StreamId,
        layout: ShownLayout,
    },
    /// A mix runs at a multiple of five minutes of the clock: what a crash can lose of its usage is at most that.
    MixRuns {
        mix: MixId,
        output: MixOutput,
    },
    MixEnded {
        mix: MixId,
        stream_id: StreamId,
        record_id: Option<RecordId>,
        /// The stream of the mix that has replaced it.
        replaced_by: Option<StreamId>,
        /// None: its program never began.
        started_unix_ms: Option<u64>,
        reason: String,
    },
    /// A published track is missing in a mix.
    NotMixable {
        mix: MixId,
        stream_id: StreamId,
        track: NotMixable,
    },
    RecordingBegun {
        /// Decimal digits, as `task_id` of its files.
        recording: String,
        stream_id: StreamId,
        record_id: Option<RecordId>,
    },
    /// No more is recorded; its files follow.
    RecordingEnded {
        recording: String,
        stream_id: StreamId,
    },
    /// A running recording is paused or resumed, its disk is full, or its source is silent.
    RecordingChanged {
        recording: String,
        stream_id: StreamId,
        state: RecordingState,
    },
    /// A wanted recording does not begin; it is tried again for as long as its stream runs.
    RecordingRefused {
        stream_id: StreamId,
        record_id: Option<RecordId>,
        refusal: RecordingRefusal,
    },
    FileReady {
        file: Box<RecordingFile>,
    },
    /// A stream can be played.
    LiveBegun {
        stream_id: StreamId,
        /// None: it is a mix, or a fact of an earlier version.
        #[serde(default)]
        single: Option<SingleRun>,
    },
    LiveEnded {
        stream_id: StreamId,
        /// As in its beginning.
        #[serde(default)]
        single: Option<SingleRun>,
    },
    /// The media of a URL comes into the room.
    IngestBegun {
        task: StreamId,
        user: UserId,
    },
    /// It does not any more, and is not tried again.
    IngestEnded {
        task: StreamId,
        user: UserId,
        /// A word.
        reason: String,
        /// For a person.
        message: String,
    },
    /// A push of a task that publishes has another state.
    PushChanged {
        push: Box<PushChange>,
    },
    /// A task that records has come to another step.
    RecordingTask {
        task: TaskRef,
        #[serde(flatten)]
        step: RecordingStep,
    },
    /// A task that records has ended, and all its files are announced.
    RecordingTaskDone {
        task: TaskRef,
        /// No: the server forgets the task before all its files are stored.
        is_complete: bool,
        /// Its files go to the storage of `recorder.storage`.
        #[serde(default)]
        is_uploaded: bool,
    },
    /// The room of this and the following facts is that of the call's media.
    CallStarted {
        call: CallId,
        inviter: UserId,
        invitees: Vec<UserId>,
        media: CallMedia,
        is_group: bool,
    },
    /// The first invitee has joined.
    CallAnswered {
        call: CallId,
        user: UserId,
    },
    CallEnded {
        record: Box<CallRecord>,
    },
    /// An invitee rings who has no device: the application is to wake one by a push message.
    CallPush {
        call: CallId,
        user: UserId,
        inviter: UserId,
        invited_by: UserId,
        media: CallMedia,
        is_group: bool,
        user_data: Option<String>,
        ring_ms: Option<u64>,
    },
}

/// The output of a mix, by which its time is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixOutput {
    Audio,
    /// Pixels.
    Video {
        width: u16,
        height: u16,
    },
}

impl MixOutput {
    pub fn of(spec: &MixSpec) -> Self {
        match spec.video {
            None => Self::Audio,
            Some(video) => Self::Video {
                width: video.width,
                height: video.height,
            },
        }
    }
}

/// A publisher's own live stream, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingleRun {
    pub user: UserId,
    pub started_unix_ms: u64,
}

/// Why a member is no longer in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftBecause {
    /// The member asked for it, or the server has ended.
    Asked,
    /// The server API asked for it.
    Removed,
    /// The connection or the media was lost, or a newer login has taken over.
    CutOff,
    /// The member's signaling node has died.
    NodeDied,
}

impl Fact {
    /// The fact as the journal has it: without the key of a push address, and the address of a picture. None: as it is in the stream.
    pub fn without_secrets(&self) -> Option<Self> {
        let what = match &self.what {
            What::PushChanged { push } => What::PushChanged {
                push: Box::new(push.without_key()),
            },
            What::RecordingTask { task, step } => What::RecordingTask {
                task: task.clone(),
                step: step.without_secrets()?,
            },
            _ => return None,
        };
        Some(Self { what, ..self.clone() })
    }
}

/// How the waiting of a user has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnockOutcome {
    Admitted,
    Refused,
    /// The user left, was removed, or nobody answered in time.
    GaveUp,
    RoomEnded,
}

impl KnockOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
            Self::RoomEnded => "room_ended",
        }
    }
}

impl What {
    /// The journal's name of it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RoomMade { .. } => "room_made",
            Self::RoomEnded => "room_ended",
            Self::Entered { .. } => "entered",
            Self::RoleChanged { .. } => "role_changed",
            Self::Left { .. } => "left",
            Self::Knocked { .. } => "knocked",
            Self::KnockEnded { .. } => "knock_ended",
            Self::Published { .. } => "published",
            Self::Unpublished { .. } => "unpublished",
            Self::Attendance { .. } => "attendance",
            Self::MixBegun { .. } => "mix_begun",
            Self::MixChanged { .. } => "mix_changed",
            Self::MixLayout { .. } => "mix_layout",
            Self::MixRuns { .. } => "mix_runs",
            Self::MixEnded { .. } => "mix_ended",
            Self::NotMixable { .. } => "not_mixable",
            Self::RecordingBegun { .. } => "recording_begun",
            Self::RecordingEnded { .. } => "recording_ended",
            Self::RecordingChanged { .. } => "recording_changed",
            Self::RecordingRefused { .. } => "recording_refused",
            Self::FileReady { .. } => "file_ready",
            Self::LiveBegun { .. } => "live_begun",
            Self::LiveEnded { .. } => "live_ended",
            Self::IngestBegun { .. } => "ingest_begun",
            Self::IngestEnded { .. } => "ingest_ended",
            Self::PushChanged { .. } => "push_changed",
            Self::RecordingTask { .. } => "recording_task",
            Self::RecordingTaskDone { .. } => "recording_task_done",
            Self::CallStarted { .. } => "call_started",
            Self::CallAnswered { .. } => "call_answered",
            Self::CallEnded { .. } => "call_ended",
            Self::CallPush { .. } => "call_push",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::ids::RoomId;
    use rotunda_proto::media_task::TaskEnd;

    /// Facts of before must stay readable: they wait in streams while servers are replaced.
    #[test]
    fn a_fact_keeps_its_form() {
        let fact = Fact {
            id: "left-1".to_owned(),
            room: RoomKey {
                app: 1_400_000_001.try_into().unwrap(),
                room: RoomId::Number(7.try_into().unwrap()),
            },
            at_unix_ms: 1_764_000_000_000,
            what: What::Left {
                user: "ann".parse().unwrap(),
                membership: MembershipId(u64::MAX),
                reason: LeftBecause::NodeDied,
                stayed_ms: 5,
            },
        };
        let text = serde_json::to_string(&fact).unwrap();
        assert_eq!(serde_json::from_str::<Fact>(&text).unwrap(), fact);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let kind = fact.what.kind();
        assert_eq!((&value["kind"], &value["reason"]), (&kind.into(), &"node_died".into()));
        assert_eq!(value["membership"], u64::MAX);
    }

    #[test]
    fn a_step_of_a_recording_task_keeps_its_form_and_the_journal_has_no_address() {
        let step = |step| Fact {
            id: "step-1".to_owned(),
            room: RoomKey {
                app: 7.try_into().unwrap(),
                room: "1001".parse().unwrap(),
            },
            at_unix_ms: 1,
            what: What::RecordingTask {
                task: TaskRef {
                    id: "t1".parse().unwrap(),
                    robot: "robot".parse().unwrap(),
                },
                step,
            },
        };
        let ended = step(RecordingStep::Ended { end: TaskEnd::Idle });
        let value = serde_json::to_value(&ended).unwrap();
        let form = serde_json::json!({
            "id": "step-1", "room": { "app": 7, "room": 1001 }, "at_unix_ms": 1, "kind": "recording_task",
            "task": { "id": "t1", "robot": "robot" }, "step": "ended", "end": "idle",
        });
        assert_eq!(value, form);
        assert_eq!(serde_json::from_value::<Fact>(value).unwrap(), ended);
        assert_eq!(ended.without_secrets(), None);
        let picture = step(RecordingStep::PictureNotFetched {
            url: "https://h/p.png?token=SECRET".to_owned(),
        });
        let shown = serde_json::to_string(&picture.without_secrets().unwrap()).unwrap();
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
