//! Stream ids and file names of single streams, by the recording contract. Pure.

use md5::{Digest, Md5};
use rotunda_proto::ids::{RoomKey, StreamId, UserId};
use rotunda_proto::program::StreamKind;
use rotunda_proto::room::OwnNames;

/// The stream's id: the publisher's own, or the default one. A publisher's own id names the camera's stream; the screen's stream
/// gets the same id with `_aux`.
pub fn stream_id(room: &RoomKey, user: &UserId, names: &OwnNames, kind: StreamKind) -> StreamId {
    let own = match (&names.stream, kind) {
        (Some(stream), StreamKind::Main) => Some(stream.clone()),
        (Some(stream), StreamKind::Aux) => format!("{stream}_aux").parse().ok(),
        (None, _) => None,
    };
    own.unwrap_or_else(|| default_stream_id(room, user, kind))
}

/// `<sdkAppId>_<roomId>_<userId>_<streamType>`. A room with other characters than stream ids may have, or a name that is too long,
/// gives `<sdkAppId>_<MD5 of the rest>`, which is the contract's other form.
fn default_stream_id(room: &RoomKey, user: &UserId, kind: StreamKind) -> StreamId {
    let rest = format!("{}_{user}_{}", room.room.bare(), kind.as_str());
    let plain = format!("{}_{rest}", room.app).parse();
    let digest = || hex::encode_upper(Md5::digest(&rest));
    plain.unwrap_or_else(|_| short(&format!("{}_{}", room.app, digest())))
}

/// Digits, `_` and 32 hex digits are always an id.
#[expect(
    clippy::expect_used,
    reason = "at most 10 digits, an underscore and 32 hex digits are a valid id"
)]
fn short(id: &str) -> StreamId {
    id.parse().expect("a valid id")
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
    fn a_name_that_does_not_fit_is_replaced_by_its_digest() {
        // The contract's sample: MD5 of `12345_userA_main`.
        let digest = hex::encode_upper(Md5::digest("12345_userA_main"));
        assert_eq!(digest, "8D0261436C375BB0DEA901D86D7D70E8");
        let id = stream("a room!", "userA", None, StreamKind::Main);
        assert_eq!(
            id,
            format!("12345678_{}", hex::encode_upper(Md5::digest("a room!_userA_main")))
        );
        let long = stream(&"r".repeat(64), "userA", None, StreamKind::Main);
        assert_eq!(long.len(), "12345678_".len() + 32);
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
