//! Ids and names, parsed once at the edge of the program.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Why a text or number is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    #[error("has a character that is not allowed")]
    Character,
    #[error("is out of range")]
    Range,
    /// Digits with a leading zero: they could mean a numeric room or a text room.
    #[error("begins with 0: write the number without it, or text: before it for the text room")]
    LeadingZero,
}

/// A text id with its rule.
pub trait TextId: FromStr<Err = IdError> {
    /// The allowed values, worded to follow "write" or "must be".
    const RULE: &'static str;
}

/// The allowed rooms, worded to follow "write" or "must be".
const ROOM_RULE: &str = "a number from 1 to 4294967294, or a text of 1 to 64 letters, digits, spaces and \
                         !#$%&()+-:;<=.>?@[]^_{}|~,";

/// A value as errors show it: in quotes, escaped, and only its first 40 characters.
pub fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// Declares a text id: a newtype that only [`FromStr`] and [`TryFrom<String>`] can make, so it always obeys its
/// rule.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, max $max:literal, $allowed:expr, $pattern:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Longest id, in bytes.
            pub const MAX_BYTES: usize = $max;

            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn check(text: &str) -> Result<(), IdError> {
                let allowed: fn(u8) -> bool = $allowed;
                match text.len() {
                    0 => Err(IdError::Empty),
                    n if n > $max => Err(IdError::TooLong($max)),
                    _ if text.bytes().all(allowed) => Ok(()),
                    _ => Err(IdError::Character),
                }
            }
        }

        impl TextId for $name {
            const RULE: &'static str = $rule;
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::check(&text).map(|()| Self(text))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                match Self::check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(_) => Err(refused($rule, shortened(&text))),
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": $max, "pattern": $pattern })
            }
        }
    };
}

text_id!(
    /// A user or device within an application: at most 32 bytes of letters, digits, `_` and `-`.
    UserId, max 32, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 32 letters, digits, _ and -"
);
text_id!(
    /// A live stream: at most 64 bytes of letters, digits, `_` and `-`.
    StreamId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
text_id!(
    /// The prefix of a recording's file names: at most 64 bytes of letters, digits, `_` and `-`.
    RecordId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
text_id!(
    /// One process of the cluster.
    NodeId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
text_id!(
    /// A text room: at most 64 bytes of the 89 characters of the client contract. Room `"123"` is not room `123`.
    RoomName, max 64, is_room_byte, r"^[A-Za-z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]+$",
    "a text of 1 to 64 letters, digits, spaces and !#$%&()+-:;<=.>?@[]^_{}|~,"
);

/// `value`: in the form to show.
fn refused<E: serde::de::Error>(rule: &str, value: impl fmt::Display) -> E {
    E::custom(format_args!("write {rule}, not {value}"))
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_room_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !#$%&()+-:;<=.>?@[]^_{}|~,".contains(&byte)
}

/// An application: the tenant that owns rooms, keys and settings. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SdkAppId(#[schemars(range(min = 1))] u32);

impl SdkAppId {
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SdkAppId {
    type Error = IdError;

    fn try_from(number: u32) -> Result<Self, IdError> {
        if number == 0 {
            Err(IdError::Range)
        } else {
            Ok(Self(number))
        }
    }
}

impl<'de> Deserialize<'de> for SdkAppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const RULE: &str = "a number from 1 to 4294967295";
        let number = i128::from(deserializer.deserialize_any(WholeNumber { rule: RULE })?);
        let id = u32::try_from(number)
            .ok()
            .and_then(|number| Self::try_from(number).ok());
        id.ok_or_else(|| refused(RULE, number))
    }
}

/// Reads a whole number of either sign.
struct WholeNumber {
    rule: &'static str,
}

impl Visitor<'_> for WholeNumber {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| refused(self.rule, number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        Err(refused(self.rule, shortened(text)))
    }
}

impl fmt::Display for SdkAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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

/// A live stream of the whole system: two applications may use one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    pub app: SdkAppId,
    pub id: StreamId,
}

impl StreamKey {
    /// The stream as two tokens of a bus key: `1400000001.film`.
    pub fn token(&self) -> String {
        format!("{}.{}", self.app, self.id)
    }

    /// Reads what [`token`](Self::token) has written.
    pub fn from_token(token: &str) -> Option<Self> {
        let (app, id) = token.split_once('.')?;
        Self::of(app, id).ok()
    }

    fn of(app: &str, id: &str) -> Result<Self, IdError> {
        let app: u32 = app.parse().map_err(|_| IdError::Range)?;
        Ok(Self {
            app: app.try_into()?,
            id: id.parse()?,
        })
    }
}

/// `1400000001/film`, as it is shown.
impl FromStr for StreamKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (app, id) = text.split_once('/').ok_or(IdError::Character)?;
        Self::of(app, id)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.id)
    }
}

/// One stay of a member (or of a service) on an SFU node. Random, so that it is unique without coordination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One login of a user. Random, so that it is unique without coordination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoginId(pub u64);

/// One mix from its start to its end. Random, so that it is unique without coordination: whoever writes down what becomes of a mix
/// writes it under this id, and so once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MixId(pub u64);

impl fmt::Display for MixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One membership of a user in a room, from entering to leaving. Random, so that it is unique without coordination: another login
/// of the same user is another membership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MembershipId(pub u64);

/// A source that a member can publish, each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrackSource {
    /// The microphone.
    Audio,
    /// The camera: "main".
    Camera,
    /// The shared screen: "aux", "sub" or "second stream" in the server API.
    Screen,
}

impl TrackSource {
    pub const ALL: [Self; 3] = [Self::Audio, Self::Camera, Self::Screen];

    pub fn is_video(self) -> bool {
        matches!(self, Self::Camera | Self::Screen)
    }
}

impl fmt::Display for TrackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Camera => "camera",
            Self::Screen => "screen",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_room_and_a_text_room_of_the_same_digits_differ() {
        let number: RoomId = serde_json::from_str("123").unwrap();
        let name: RoomId = serde_json::from_str("\"123\"").unwrap();
        assert_ne!(number, name);
        let app = SdkAppId::try_from(1).unwrap();
        assert_eq!(RoomKey { app, room: number }.token(), "1.n123");
        assert_eq!(RoomKey { app, room: name }.token(), "1.s313233");
    }

    #[test]
    fn a_room_is_read_back_from_its_token() {
        for room in ["1001", "text:1001", "class-1", "a b!", "~"] {
            let key = RoomKey {
                app: 1_400_000_001.try_into().unwrap(),
                room: room.parse().unwrap(),
            };
            assert_eq!(RoomKey::from_token(&key.token()), Some(key));
        }
        for wrong in ["", "1", "1.", "1.x5", "1.n", "1.n0", "1.s6", "1.sé0", "x.n1", "0.n1"] {
            assert_eq!(RoomKey::from_token(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_same_name_of_two_applications_is_two_streams() {
        let stream = |app: u32| StreamKey {
            app: app.try_into().unwrap(),
            id: "film".parse().unwrap(),
        };
        assert_ne!(stream(1).token(), stream(2).token());
        assert_eq!(StreamKey::from_token(&stream(1).token()), Some(stream(1)));
        assert_eq!(stream(1).to_string().parse(), Ok(stream(1)));
        for wrong in ["film", "0.film", "1.", "x.film", "1.a.b"] {
            assert_eq!(StreamKey::from_token(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_outside_their_rule_are_refused() {
        assert_eq!("".parse::<UserId>(), Err(IdError::Empty));
        assert_eq!("a b".parse::<UserId>(), Err(IdError::Character));
        assert_eq!("x".repeat(33).parse::<UserId>(), Err(IdError::TooLong(32)));
        assert_eq!("a\nTLS.time:0".parse::<UserId>(), Err(IdError::Character));
        assert_eq!(RoomNumber::try_from(4_294_967_295), Err(IdError::Range));
        assert!(serde_json::from_str::<RoomId>("0").is_err());
        assert!(serde_json::from_str::<SdkAppId>("0").is_err());
    }

    #[test]
    fn a_refusal_of_a_json_value_says_what_is_allowed_and_shows_the_value_shortened() {
        let room = |json: &str| serde_json::from_str::<RoomId>(json).unwrap_err().to_string();
        for (json, shown) in [
            ("0", "not 0"),
            ("-5", "not -5"),
            ("4294967295", "not 4294967295"),
            ("1.5", "not 1.5"),
            ("99999999999999999999", "not 100000000000000000000"),
            ("\"\"", "not \"\""),
            ("\"a/b\"", "not \"a/b\""),
            ("\"a\\nb\"", "not \"a\\nb\""),
            ("true", "boolean `true`"),
            ("null", "null"),
            ("[1]", "sequence"),
        ] {
            let refusal = room(json);
            assert!(
                refusal.contains("a number from 1 to 4294967294, or a text of 1 to 64"),
                "{refusal}"
            );
            assert!(refusal.contains(shown), "{refusal}");
        }
        let long = room(&format!("\"{}\"", "é".repeat(10_000)));
        assert!(long.contains(&format!("not \"{}\"…", "é".repeat(40))), "{long}");
        let user = serde_json::from_str::<UserId>("\"a b\"").unwrap_err().to_string();
        assert!(
            user.starts_with("write a text of 1 to 32 letters, digits, _ and -, not \"a b\""),
            "{user}"
        );
        let app = |json: &str| serde_json::from_str::<SdkAppId>(json).unwrap_err().to_string();
        for json in ["0", "-1", "4294967296", "\"x\"", "18446744073709551615"] {
            assert!(
                app(json).starts_with(&format!("write a number from 1 to 4294967295, not {json}")),
                "{}",
                app(json)
            );
        }
    }

    #[test]
    fn a_room_as_text_is_read_as_the_same_room() {
        for name in ["123", "007", "text:7", "text:", "class 1", "+7"] {
            let room = RoomId::Name(name.parse().unwrap());
            assert_eq!(room.to_string().parse(), Ok(room.clone()), "{room}");
            assert_eq!(room.bare(), name);
        }
        let number = RoomId::Number(123.try_into().unwrap());
        assert_eq!(number.to_string().parse(), Ok(number));
    }

    #[test]
    fn a_room_in_a_path_or_command_is_a_number_or_a_text_and_never_in_doubt() {
        let room = |text: &str| text.parse::<RoomId>();
        assert_eq!(room("7"), Ok(RoomId::Number(7.try_into().unwrap())));
        assert_eq!(room("text:7"), Ok(RoomId::Name("7".parse().unwrap())));
        assert_eq!(room("+7"), Ok(RoomId::Name("+7".parse().unwrap())));
        assert_eq!(room("007"), Err(IdError::LeadingZero));
        assert_eq!(room("0"), Err(IdError::Range));
        assert_eq!(room("99999999999999999999"), Err(IdError::Range));
        assert_eq!(room("text:007"), Ok(RoomId::Name("007".parse().unwrap())));
        assert_eq!(room(""), Err(IdError::Empty));
    }
}
