//! Reads the room, the user and the source that a request names; errors say what is allowed. Pure.

use axum::http::StatusCode;
use rotunda_proto::ids::{RoomId, RoomNumber, TextId, TrackSource, UserId, shortened};

use super::problem::Problem;

/// Before a name that is a text room whatever it looks like.
const TEXT: &str = "text:";

/// A room in a path: digits are a numeric room, `text:` before a name makes it a text room, and the rest is a text room.
pub fn room(text: &str) -> Result<RoomId, Problem> {
    let refused = |error| {
        let value = shortened(text);
        format!(
            "room {value} {error}; write {}, percent-encoded in a path",
            RoomId::RULE
        )
    };
    text.parse().map_err(|error| Problem::not_found(refused(error)))
}

/// As a path names it: the text room of the same digits, or the numeric one.
pub fn other_room_of_these_digits(room: &RoomId) -> Option<(RoomId, String)> {
    match room {
        RoomId::Number(number) => {
            let digits = number.get().to_string();
            Some((RoomId::Name(digits.parse().ok()?), format!("{TEXT}{digits}")))
        }
        RoomId::Name(name) => {
            let number = name.as_str().parse::<u64>().ok()?;
            let number = RoomNumber::try_from(number).ok()?;
            let digits = number.get().to_string();
            (digits == name.as_str()).then_some((RoomId::Number(number), digits))
        }
    }
}

pub fn user(text: &str) -> Result<UserId, Problem> {
    let refused = |error| format!("user {} {error}; write {}", shortened(text), UserId::RULE);
    text.parse().map_err(|error| Problem::not_found(refused(error)))
}

/// The video of a viewer's session; the camera when the query names none.
pub fn video_source(text: Option<&str>) -> Result<TrackSource, Problem> {
    match text {
        None | Some("camera") => Ok(TrackSource::Camera),
        Some("screen") => Ok(TrackSource::Screen),
        Some(other) => {
            let message = format!("source {}: write camera (the default) or screen", shortened(other));
            Err(Problem::new(StatusCode::BAD_REQUEST, "bad_request", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        format!("{:?}", room(text).unwrap_err())
    }

    #[test]
    fn digits_are_a_numeric_room_and_text_before_them_makes_a_text_room() {
        let json = |room: RoomId| serde_json::to_string(&room).unwrap();
        assert_eq!(json(room("1001").unwrap()), "1001");
        assert_eq!(json(room("text:1001").unwrap()), "\"1001\"");
        assert_eq!(json(room("text:007").unwrap()), "\"007\"");
        assert_eq!(json(room("+7").unwrap()), "\"+7\"", "as over the WebSocket");
        assert_eq!(json(room("class-1").unwrap()), "\"class-1\"");
    }

    #[test]
    fn digits_that_could_mean_two_rooms_are_refused_with_both() {
        let text = refusal("007");
        assert!(
            text.contains("write the number without it, or text: before it"),
            "{text}"
        );
    }

    #[test]
    fn every_refusal_names_the_value_and_what_is_allowed() {
        for (text, why) in [
            ("0", "out of range"),
            ("4294967295", "out of range"),
            ("99999999999999999999999", "out of range"),
            ("", "is empty"),
            ("text:", "is empty"),
            ("a/b", "not allowed"),
            (&"x".repeat(100), "longer than 64 bytes"),
        ] {
            let refusal = refusal(text);
            assert!(
                refusal.contains(why) && refusal.contains("1 to 4294967294"),
                "{text}: {refusal}"
            );
            assert!(refusal.len() < 500, "{refusal}");
        }
        assert!(format!("{:?}", user("a b").unwrap_err()).contains("1 to 32 letters"));
        assert!(format!("{:?}", video_source(Some("audio")).unwrap_err()).contains("camera (the default) or screen"));
    }

    #[test]
    fn a_number_and_the_text_of_its_digits_point_at_each_other() {
        let other = |text: &str| other_room_of_these_digits(&room(text).unwrap()).map(|(_, path)| path);
        assert_eq!(other("1001").as_deref(), Some("text:1001"));
        assert_eq!(other("text:1001").as_deref(), Some("1001"));
        assert_eq!(other("text:007"), None);
        assert_eq!(other("class-1"), None);
    }
}
