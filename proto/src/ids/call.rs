//! Calls, and the rooms that are theirs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::room::RoomId;
use super::text::{IdError, TextId, refused, shortened};

/// The first characters of the name of each call's room. Other rooms do not have such names.
const ROOM_PREFIX: &str = "@call:";

/// One call from its invitation to its end: 16 hexadecimal digits. Random, so that it is unique without coordination, and so that
/// nobody guesses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl CallId {
    /// The room of the call's media.
    #[expect(
        clippy::expect_used,
        reason = "the name is short and has only characters that rooms may have"
    )]
    pub fn room(self) -> RoomId {
        let name = format!("{ROOM_PREFIX}{self}");
        RoomId::Name(name.parse().expect("the name of a room"))
    }

    /// Whether a room is a call's, and of which one. `Some(None)`: its name is reserved, but no call has it.
    pub fn of_room(room: &RoomId) -> Option<Option<Self>> {
        let RoomId::Name(name) = room else { return None };
        let id = name.as_str().strip_prefix(ROOM_PREFIX)?;
        Some(id.parse().ok())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for CallId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() {
            0 => Err(IdError::Empty),
            16 if text.bytes().all(is_lower_hex) => {
                u64::from_str_radix(text, 16).map(Self).map_err(|_| IdError::Character)
            }
            length if length > 16 => Err(IdError::TooLong(16)),
            _ => Err(IdError::Character),
        }
    }
}

impl TextId for CallId {
    const RULE: &'static str = "the 16 hexadecimal digits of a call";
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| refused(Self::RULE, shortened(&text)))
    }
}

impl JsonSchema for CallId {
    fn schema_name() -> Cow<'static, str> {
        "CallId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_a_room_that_no_other_name_leads_to() {
        let call = CallId(0xc0ffee);
        assert_eq!(call.to_string(), "0000000000c0ffee");
        assert_eq!(CallId::of_room(&call.room()), Some(Some(call)));
        let room = |name: &str| RoomId::Name(name.parse().unwrap());
        for reserved in [
            "@call:",
            "@call:C0FFEE",
            "@call:0000000000C0FFEE",
            "@call:0000000000c0ffee0",
        ] {
            assert_eq!(CallId::of_room(&room(reserved)), Some(None), "{reserved}");
        }
        assert_eq!(CallId::of_room(&room("0000000000c0ffee")), None);
        assert_eq!(CallId::of_room(&serde_json::from_str("1001").unwrap()), None);
    }

    #[test]
    fn as_json_it_is_the_text() {
        let json = serde_json::to_string(&CallId(7)).unwrap();
        assert_eq!(json, "\"0000000000000007\"");
        assert_eq!(serde_json::from_str::<CallId>(&json).unwrap(), CallId(7));
        assert!(serde_json::from_str::<CallId>("\"7\"").is_err());
        assert!(serde_json::from_str::<CallId>("\"+000000000000007\"").is_err());
    }
}
