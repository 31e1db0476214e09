//! Rooms: a number or a text within an application.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

use super::application::SdkAppId;
use super::text::{IdError, TextId, refused, shortened, text_id};

/// The allowed rooms, worded to follow "write" or "must be".
const ROOM_RULE: &str = "a number from 1 to 4294967294, or a text of 1 to 64 letters, digits, spaces and \
                         !#$%&()+-:;<=.>?@[]^_{}|~,";

text_id!(
    /// A text room: at most 64 bytes of the 89 characters of the client contract. Room `"123"` is not room `123`.
    RoomName, max 64, is_room_byte, r"^[A-Za-z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]+$",
    "a text of 1 to 64 letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~,"
);

fn is_room_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !#$%&()+-:;<=.>?@[]^_{}|~,".contains(&byte)
}

/// The number of a numeric room: 1 to 4294967294.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64")]
pub struct RoomNumber(#[schemars(range(min = 1, max = 4_294_967_294_u64))] u32);

impl RoomNumber {
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for RoomNumber {
    type Error = IdError;

    fn try_from(number: u64) -> Result<Self, IdError> {
        match u32::try_from(number) {
            Ok(number) if number != 0 && number != u32::MAX => Ok(Self(number)),
            _ => Err(IdError::Range),
        }
    }
}

/// A room within an application, as the application named it: in JSON a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RoomId {
    Number(RoomNumber),
    Name(RoomName),
}

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RoomVisitor)
    }
}

/// A derived deserializer of an untagged enum would not name the mistake.
struct RoomVisitor;

impl Visitor<'_> for RoomVisitor {
    type Value = RoomId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROOM_RULE)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<RoomId, E> {
        let room = RoomNumber::try_from(number).map(RoomId::Number);
        room.map_err(|_| refused(ROOM_RULE, number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<RoomId, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(refused(ROOM_RULE, number)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<RoomId, E> {
        Err(refused(ROOM_RULE, number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RoomId, E> {
        let room = text.parse().map(RoomId::Name);
        room.map_err(|_| refused(ROOM_RULE, shortened(text)))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<RoomId, E> {
        self.visit_str(&text)
    }
}

/// Digits mean a numeric room. `text:` before a name means a text room, even if the name has only digits.
impl RoomId {
    /// The allowed rooms, worded to follow "write" or "must be".
    pub const RULE: &str = ROOM_RULE;

    /// The bare number or name, as the contract's messages have it. Room 123 and the text room `123` look the same in it.
    pub fn bare(&self) -> String {
        match self {
            Self::Number(number) => number.0.to_string(),
            Self::Name(name) => name.0.clone(),
        }
    }
}

impl FromStr for RoomId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Some(name) = text.strip_prefix("text:") {
            return name.parse().map(Self::Name);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Name);
        }
        // `"007"` is a text room over the WebSocket, so it is not room 7 here.
        if text.len() > 1 && text.starts_with('0') {
            return Err(IdError::LeadingZero);
        }
        let number: u64 = text.parse().map_err(|_| IdError::Range)?;
        RoomNumber::try_from(number).map(Self::Number)
    }
}

/// As [`FromStr`] reads it: with `text:` before a name that would be read as something else.
impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.0.fmt(f),
            Self::Name(name) if name.0.bytes().all(|byte| byte.is_ascii_digit()) || name.0.starts_with("text:") => {
                write!(f, "text:{name}")
            }
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A room with its application: unique in the whole system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct RoomKey {
    pub app: SdkAppId,
    pub room: RoomId,
}

impl RoomKey {
    /// The room as two tokens of a bus subject or key: `1400000001.n1001`, or `1400000001.s` and the name's bytes in hex.
    pub fn token(&self) -> String {
        match &self.room {
            RoomId::Number(number) => format!("{}.n{}", self.app, number.0),
            RoomId::Name(name) => {
                let hex: String = name.0.bytes().map(|byte| format!("{byte:02x}")).collect();
                format!("{}.s{hex}", self.app)
            }
        }
    }

    /// Reads what [`token`](Self::token) has written.
    pub fn from_token(token: &str) -> Option<Self> {
        let (app, room) = token.split_once('.')?;
        let app = app.parse::<u32>().ok()?.try_into().ok()?;
        let room = match room.split_at_checked(1)? {
            ("n", number) => RoomId::Number(number.parse::<u64>().ok()?.try_into().ok()?),
            ("s", hex) if hex.len() % 2 == 0 && hex.is_ascii() => {
                let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
                let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?;
                RoomId::Name(String::from_utf8(bytes).ok()?.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self { app, room })
    }
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.room)
    }
}
