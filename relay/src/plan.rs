//! The single streams that a room's publishers should have now. Pure.

use std::collections::BTreeMap;

use rotunda_proto::config::{Application, Publishers};
use rotunda_proto::ids::{RoomKey, StreamId, UserId};
use rotunda_proto::program::{Playing, SingleRecording, SingleStream, StreamKind};
use rotunda_proto::room::{Publisher, Seats, TrackState};

use crate::names::{Form, file_prefix, stream_id};

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

/// A stream that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub stream_id: StreamId,
    pub single: SingleStream,
    pub tracks: Tracks,
    pub resume_seconds: u32,
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
}

/// The streams of a room, by publisher and kind.
pub fn plan(room: &RoomKey, seats: &Seats, rules: Rules) -> BTreeMap<(UserId, StreamKind), Wanted> {
    let mut streams = BTreeMap::new();
    for publisher in &seats.publishers {
        for kind in [StreamKind::Main, StreamKind::Aux] {
            if let Some(wanted) = wanted(room, publisher, kind, rules) {
                streams.insert((publisher.user.clone(), kind), wanted);
            }
        }
    }
    streams
}

fn wanted(room: &RoomKey, publisher: &Publisher, kind: StreamKind, rules: Rules) -> Option<Wanted> {
    let tracks = match kind {
        StreamKind::Main => Tracks {
            audio: Sent::of(publisher.audio),
            video: Sent::of(publisher.camera),
        },
        StreamKind::Aux => Tracks {
            audio: Sent::No,
            video: Sent::of(publisher.screen),
        },
    };
    let Publisher { user, names, .. } = publisher;
    let form = match rules.record {
        Publishers::All => Form::Automatic,
        Publishers::None | Publishers::Named => Form::Named,
    };
    let recording = rules.record.include(names.record.as_ref()).then(|| SingleRecording {
        prefix: file_prefix(room, user, names, kind, form),
        record_id: names.record.clone(),
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
    })
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::MembershipId;
    use rotunda_proto::incarnation::Incarnation;
    use rotunda_proto::room::{Holder, OwnNames};

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
        plan(&room, &seats, rules)
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
}
