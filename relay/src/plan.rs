//! The single streams that a room's publishers should have now: by the rules of the application, and by tasks of the server API. Pure.

use std::collections::BTreeMap;

use rotunda_proto::config::{Application, Publishers};
use rotunda_proto::ids::{RoomKey, StreamId, TaskId, TrackSource, UserId};
use rotunda_proto::media_task::{MediaTask, Singles, SinglesOutput, TaskRef, Work};
use rotunda_proto::program::{Playing, SingleRecording, SingleStream, StreamKind};
use rotunda_proto::recording::FileWishes;
use rotunda_proto::room::{Publisher, Seats, TrackState};
use rotunda_proto::selection::Videos;

use crate::names::{Form, file_prefix, stream_id, task_file_prefix, task_stream_id};

/// The rules of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub record: Publishers,
    pub relay: Publishers,
    pub resume_seconds: u32,
}

impl Rules {
    pub fn of(application: &Application) -> Self {
        Self {
            record: application.record_publishers,
            relay: application.relay_publishers,
            resume_seconds: application.record_resume_seconds,
        }
    }
}

/// Which of a room's streams one is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// None: by the rules of the application.
    pub task: Option<TaskId>,
    pub user: UserId,
    pub kind: StreamKind,
}

/// A stream that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub stream_id: StreamId,
    pub single: SingleStream,
    pub tracks: Tracks,
    pub resume_seconds: u32,
    /// RTMP(S) addresses.
    pub push_urls: Vec<String>,
    /// None: by the rules of the application.
    pub task: Option<TaskRef>,
}

/// The sources of a stream that the publisher sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracks {
    pub audio: Sent,
    pub video: Sent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is not published.
    No,
    Muted,
    Yes,
}

impl Sent {
    fn of(track: Option<TrackState>) -> Self {
        match track {
            None => Self::No,
            Some(TrackState::Muted) => Self::Muted,
            Some(TrackState::On) => Self::Yes,
        }
    }

    /// No, unless it is taken.
    fn filter(self, is_taken: bool) -> Self {
        if is_taken { self } else { Self::No }
    }
}

/// The streams of a room, by publisher and kind.
pub fn plan<'a>(
    room: &RoomKey,
    seats: &Seats,
    rules: Rules,
    tasks: impl Iterator<Item = &'a MediaTask> + Clone,
) -> BTreeMap<Key, Wanted> {
    let mut streams = BTreeMap::new();
    for publisher in &seats.publishers {
        for kind in [StreamKind::Main, StreamKind::Aux] {
            let key = |task: Option<&MediaTask>| Key {
                task: task.map(|task| task.id.clone()),
                user: publisher.user.clone(),
                kind,
            };
            if let Some(wanted) = wanted(room, publisher, kind, rules) {
                streams.insert(key(None), wanted);
            }
            for task in tasks.clone() {
                if let Some(wanted) = wanted_by(task, publisher, kind) {
                    streams.insert(key(Some(task)), wanted);
                }
            }
        }
    }
    streams
}

/// Everything that a publisher sends of a kind.
fn tracks(publisher: &Publisher, kind: StreamKind) -> Tracks {
    match kind {
        StreamKind::Main => Tracks {
            audio: Sent::of(publisher.audio),
            video: Sent::of(publisher.camera),
        },
        StreamKind::Aux => Tracks {
            audio: Sent::No,
            video: Sent::of(publisher.screen),
        },
    }
}

/// The tracks of a user's stream that a task of the server API takes. The audio goes with the camera's stream.
fn taken(task: &MediaTask, user: &UserId, kind: StreamKind) -> (bool, bool) {
    let Work::Singles(Singles { selection, .. }) = &task.work else {
        return (false, false);
    };
    match kind {
        StreamKind::Main => (
            selection.videos != Videos::Screen && selection.takes(user, TrackSource::Audio),
            selection.takes(user, TrackSource::Camera),
        ),
        StreamKind::Aux => (false, selection.takes(user, TrackSource::Screen)),
    }
}

/// Whether a task of the server API wants that stream, as soon as its publisher is there.
pub fn may_want(task: &MediaTask, key: &Key) -> bool {
    let (audio, video) = taken(task, &key.user, key.kind);
    key.task.as_ref() == Some(&task.id) && (audio || video)
}

/// The stream of a publisher that a task of the server API wants.
fn wanted_by(task: &MediaTask, publisher: &Publisher, kind: StreamKind) -> Option<Wanted> {
    let Work::Singles(Singles { output, .. }) = &task.work else {
        return None;
    };
    if !task.is_for(publisher) {
        return None;
    }
    let user = &publisher.user;
    let (audio, video) = taken(task, user, kind);
    let all = tracks(publisher, kind);
    let tracks = Tracks {
        audio: all.audio.filter(audio),
        video: all.video.filter(video),
    };
    let (stream_id, recording, playing, push_urls) = match output {
        SinglesOutput::Publish { stream_id, push_urls } => (stream_id.clone(), None, Playing::Live, push_urls.clone()),
        SinglesOutput::Record { prefix, files } => {
            let recording = SingleRecording {
                prefix: task_file_prefix(prefix, user, kind),
                record_id: Some(prefix.clone()),
                files: files.clone(),
                video_only: !audio,
            };
            let stream_id = task_stream_id(&task.id, user, kind)?;
            (stream_id, Some(recording), Playing::No, Vec::new())
        }
    };
    (tracks.audio != Sent::No || tracks.video != Sent::No).then(|| Wanted {
        stream_id,
        resume_seconds: task.max_idle_seconds,
        single: SingleStream {
            user: user.clone(),
            kind,
            recording,
            playing,
        },
        tracks,
        push_urls,
        task: Some(task.named()),
    })
}

fn wanted(room: &RoomKey, publisher: &Publisher, kind: StreamKind, rules: Rules) -> Option<Wanted> {
    let tracks = tracks(publisher, kind);
    let Publisher { user, names, .. } = publisher;
    let form = match rules.record {
        Publishers::All => Form::Automatic,
        Publishers::None | Publishers::Named => Form::Named,
    };
    let recording = rules.record.include(names.record.as_ref()).then(|| SingleRecording {
        prefix: file_prefix(room, user, names, kind, form),
        record_id: names.record.clone(),
        files: FileWishes::default(),
        // The audio of a shared screen is part of the member's one audio track, which goes with the camera.
        video_only: kind == StreamKind::Aux,
    });
    let playing = match rules.relay.include(names.stream.as_ref()) {
        true => Playing::Live,
        false => Playing::No,
    };
    let is_sent = tracks.audio != Sent::No || tracks.video != Sent::No;
    let is_wanted = recording.is_some() || playing == Playing::Live;
    (is_sent && is_wanted).then(|| Wanted {
        stream_id: stream_id(room, user, names, kind),
        resume_seconds: if recording.is_some() { rules.resume_seconds } else { 0 },
        single: SingleStream {
            user: user.clone(),
            kind,
            recording,
            playing,
        },
        tracks,
        push_urls: Vec::new(),
        task: None,
    })
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::MembershipId;
    use rotunda_proto::incarnation::Incarnation;
    use rotunda_proto::media_task::{Purpose, TaskState};
    use rotunda_proto::room::{Holder, OwnNames};
    use rotunda_proto::selection::{Selection, UserLists};

    use super::*;

    fn publisher(name: &str, names: OwnNames) -> Publisher {
        let holder = Holder {
            membership: MembershipId(1),
            node: Incarnation::new("node-1".parse().unwrap(), 1),
        };
        Publisher {
            audio: Some(TrackState::On),
            camera: Some(TrackState::Muted),
            names,
            ..Publisher::of(name.parse().unwrap(), holder)
        }
    }

    fn planned(record: Publishers, relay: Publishers, screen: bool) -> Vec<(String, String, Option<String>, Playing)> {
        let named = OwnNames {
            record: Some("rec".parse().unwrap()),
            stream: Some("film".parse().unwrap()),
        };
        let mut ann = publisher("ann", named);
        ann.screen = screen.then_some(TrackState::On);
        let seats = Seats {
            publishers: vec![ann, publisher("bob", OwnNames::default())],
            kept: Vec::new(),
        };
        let room = RoomKey {
            app: 1.try_into().unwrap(),
            room: "7".parse().unwrap(),
        };
        let rules = Rules {
            record,
            relay,
            resume_seconds: 5,
        };
        plan(&room, &seats, rules, std::iter::empty())
            .into_values()
            .map(|wanted| {
                let SingleStream {
                    user,
                    recording,
                    playing,
                    ..
                } = wanted.single;
                (
                    user.to_string(),
                    wanted.stream_id.to_string(),
                    recording.map(|rec| rec.prefix),
                    playing,
                )
            })
            .collect()
    }

    fn row(
        user: &str,
        stream: &str,
        prefix: Option<&str>,
        playing: Playing,
    ) -> (String, String, Option<String>, Playing) {
        (user.to_owned(), stream.to_owned(), prefix.map(str::to_owned), playing)
    }

    #[test]
    fn publishers_with_names_are_recorded_and_relayed_and_the_screen_is_a_stream_of_its_own() {
        let all = planned(Publishers::Named, Publishers::Named, true);
        let expected = [
            row("ann", "film", Some("rec"), Playing::Live),
            row("ann", "film_aux", Some("rec"), Playing::Live),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn an_application_may_record_or_relay_everybody() {
        let all = planned(Publishers::All, Publishers::None, false);
        let expected = [
            row("ann", "film", Some("rec_main"), Playing::No),
            row("bob", "1_7_bob_main", Some("1_7_bob_main"), Playing::No),
        ];
        assert_eq!(all, expected);
        let all = planned(Publishers::None, Publishers::All, false);
        let expected = [
            row("ann", "film", None, Playing::Live),
            row("bob", "1_7_bob_main", None, Playing::Live),
        ];
        assert_eq!(all, expected);
        assert!(planned(Publishers::None, Publishers::None, true).is_empty());
    }

    fn task(selection: Selection, output: SinglesOutput) -> MediaTask {
        MediaTask {
            id: "t1".parse().unwrap(),
            purpose: Purpose::Recording,
            room: RoomKey {
                app: 1.try_into().unwrap(),
                room: "7".parse().unwrap(),
            },
            robot: "robot".parse().unwrap(),
            started_by: "key".to_owned(),
            work: Work::Singles(Singles { selection, output }),
            max_idle_seconds: 30,
            sequence: 0,
            state: TaskState::Running,
            known_until_unix_ms: 0,
            is_settled: false,
            begun_unix_ms: 0,
            end: None,
            of_member: None,
        }
    }

    fn planned_by(task: &MediaTask) -> BTreeMap<Key, Wanted> {
        let mut ann = publisher("ann", OwnNames::default());
        ann.screen = Some(TrackState::On);
        let seats = Seats {
            publishers: vec![ann, publisher("bob", OwnNames::default())],
            kept: Vec::new(),
        };
        let rules = Rules {
            record: Publishers::None,
            relay: Publishers::None,
            resume_seconds: 0,
        };
        plan(&task.room, &seats, rules, std::iter::once(task))
    }

    #[test]
    fn a_recording_task_takes_every_selected_publisher_and_screens_apart() {
        let selection = Selection {
            audio: UserLists {
                never: vec!["bob".parse().unwrap()],
                ..UserLists::default()
            },
            ..Selection::default()
        };
        let output = SinglesOutput::Record {
            prefix: "film".parse().unwrap(),
            files: FileWishes::default(),
        };
        let streams = planned_by(&task(selection, output));
        let rows: Vec<_> = streams
            .values()
            .map(|wanted| (wanted.stream_id.as_str(), wanted.tracks.audio, wanted.tracks.video))
            .collect();
        let expected = [
            ("t1_ann_main", Sent::Yes, Sent::Muted),
            ("t1_ann_aux", Sent::No, Sent::Yes),
            ("t1_bob_main", Sent::No, Sent::Muted),
        ];
        assert_eq!(rows, expected);
        let video_only = |wanted: &Wanted| wanted.single.recording.as_ref().unwrap().video_only;
        assert_eq!(
            streams.values().map(video_only).collect::<Vec<_>>(),
            [false, true, true]
        );
        let first = streams.into_values().next().unwrap();
        assert_eq!(first.single.recording.unwrap().prefix, "film_ann_main");
        assert_eq!(first.resume_seconds, 30);
    }

    #[test]
    fn a_publishing_task_takes_one_video_of_one_user() {
        let ann: UserId = "ann".parse().unwrap();
        let output = SinglesOutput::Publish {
            stream_id: "show".parse().unwrap(),
            push_urls: vec!["rtmp://example.com/live/x".to_owned()],
        };
        for (videos, kind) in [(Videos::Camera, StreamKind::Main), (Videos::Screen, StreamKind::Aux)] {
            let streams = planned_by(&task(Selection::of_user(&ann, videos), output.clone()));
            let (key, wanted) = streams.into_iter().next().unwrap();
            assert_eq!((key.user, key.kind), (ann.clone(), kind));
            assert_eq!(wanted.push_urls.len(), 1);
            assert_eq!(wanted.task.unwrap().robot.as_str(), "robot");
            assert_eq!(wanted.single.playing, Playing::Live);
        }
    }
}
