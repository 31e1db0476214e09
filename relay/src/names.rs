//! Stream ids and file names of single streams, by the recording contract. Pure.

use rotunda_proto::ids::{RecordId, RoomKey, StreamId, TaskId, UserId, default_stream_id};
use rotunda_proto::program::StreamKind;
use rotunda_proto::room::OwnNames;

/// The stream's id: the publisher's own, or the default one. A publisher's own id names the camera's stream; the screen's stream
/// gets the same id with `_aux`.
pub fn stream_id(room: &RoomKey, user: &UserId, names: &OwnNames, kind: StreamKind) -> StreamId {
    let own = match (&names.stream, kind) {
        (Some(stream), StreamKind::Main) => Some(stream.clone().into()),
        (Some(stream), StreamKind::Aux) => format!("{stream}_aux").parse().ok(),
        (None, _) => None,
    };
    own.unwrap_or_else(|| default_stream_id(room, user, kind.as_str()))
}

/// The prefix of file names. `is_automatic`: every publisher of the application is recorded (form A of the contract).
pub fn file_prefix(room: &RoomKey, user: &UserId, names: &OwnNames, kind: StreamKind, form: Form) -> String {
    match (&names.record, &names.stream, form) {
        (Some(record), _, Form::Automatic) => format!("{record}_{}", kind.as_str()),
        (Some(record), _, Form::Named) => record.to_string(),
        // The contract's rule A2 has no stream type: the two streams have different ids.
        (None, Some(_), _) => stream_id(room, user, names, kind).to_string(),
        (None, None, _) => {
            let room_name: String = room.room.bare().chars().map(in_file_name).collect();
            format!("{}_{room_name}_{user}_{}", room.app, kind.as_str())
        }
    }
}

/// The stream of a member that a task records; None: it cannot be an id.
pub fn task_stream_id(task: &TaskId, user: &UserId, kind: StreamKind) -> Option<StreamId> {
    format!("{task}_{user}_{}", kind.as_str()).parse().ok()
}

/// The prefix of the files of a member whom a task records.
pub fn task_file_prefix(prefix: &RecordId, user: &UserId, kind: StreamKind) -> String {
    format!("{prefix}_{user}_{}", kind.as_str())
}

/// The contract's forms of single-stream recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Form A: every publisher of the application.
    Automatic,
    /// Form B: publishers who gave a `userDefineRecordId`.
    Named,
}

/// Names of files have letters, digits, `_`, `-` and `.`.
fn in_file_name(character: char) -> char {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => character,
        _ => '-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomKey {
        RoomKey {
            app: 12_345_678.try_into().unwrap(),
            room: name.parse().unwrap(),
        }
    }

    fn names(record: Option<&str>, stream: Option<&str>) -> OwnNames {
        OwnNames {
            record: record.map(|id| id.parse().unwrap()),
            stream: stream.map(|id| id.parse().unwrap()),
        }
    }

    fn stream(room_name: &str, user: &str, own: Option<&str>, kind: StreamKind) -> String {
        stream_id(&room(room_name), &user.parse().unwrap(), &names(None, own), kind).to_string()
    }

    #[test]
    fn default_stream_ids_are_those_of_the_contract() {
        assert_eq!(
            stream("12345", "userA", None, StreamKind::Main),
            "12345678_12345_userA_main"
        );
        assert_eq!(
            stream("12345", "userA", None, StreamKind::Aux),
            "12345678_12345_userA_aux"
        );
        assert_eq!(stream("12345", "userA", Some("film"), StreamKind::Main), "film");
        assert_eq!(stream("12345", "userA", Some("film"), StreamKind::Aux), "film_aux");
    }

    #[test]
    fn a_long_name_keeps_its_form_and_other_characters_are_encoded() {
        assert_eq!(
            stream("a room!", "userA", None, StreamKind::Main),
            "12345678_a%20room%21_userA_main"
        );
        let room = "r".repeat(64);
        assert_eq!(
            stream(&room, "userA", None, StreamKind::Aux),
            format!("12345678_{room}_userA_aux")
        );
    }

    #[test]
    fn file_names_follow_the_contracts_rules() {
        let prefix = |record, own, form, kind| {
            file_prefix(
                &room("1001"),
                &"rexchang".parse().unwrap(),
                &names(record, own),
                kind,
                form,
            )
        };
        use Form::{Automatic, Named};
        use StreamKind::{Aux, Main};
        assert_eq!(prefix(Some("file001"), None, Automatic, Main), "file001_main");
        assert_eq!(prefix(Some("file001"), Some("s"), Automatic, Aux), "file001_aux");
        assert_eq!(prefix(None, Some("film"), Automatic, Main), "film");
        assert_eq!(prefix(None, None, Automatic, Main), "12345678_1001_rexchang_main");
        assert_eq!(prefix(Some("file001"), None, Named, Main), "file001");
        assert_eq!(prefix(Some("file001"), None, Named, Aux), "file001");
    }
}
