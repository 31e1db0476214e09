//! Text ids: each a type with its rule, parsed once at the edge of the program.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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
    /// A live stream: at most 256 bytes, which is what the longest default id needs, of letters, digits, `_`, `-` and `%`.
    StreamId, max 256, is_stream_byte, "^[A-Za-z0-9_%-]+$", "a text of 1 to 256 letters, digits, _, - and %"
);
text_id!(
    /// A live stream as a client or the server API names it: at most 64 bytes of letters, digits, `_` and `-`.
    OwnStreamId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
text_id!(
    /// The prefix of a recording's file names: at most 64 bytes of letters, digits, `_` and `-`.
    RecordId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
text_id!(
    /// A task of the server API: at most 64 bytes of letters, digits, `_` and `-`.
    TaskId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
text_id!(
    /// One of a user's devices for calls, as the device names itself: at most 32 bytes of letters, digits, `_` and `-`.
    DeviceId, max 32, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 32 letters, digits, _ and -"
);
text_id!(
    /// One process of the cluster.
    NodeId, max 64, is_word_byte, "^[A-Za-z0-9_-]+$", "a text of 1 to 64 letters, digits, _ and -"
);
/// `value`: in the form to show.
pub(super) fn refused<E: serde::de::Error>(rule: &str, value: impl fmt::Display) -> E {
    E::custom(format_args!("write {rule}, not {value}"))
}

fn is_stream_byte(byte: u8) -> bool {
    is_word_byte(byte) || byte == b'%'
}

/// A task's own stream has its name.
impl From<TaskId> for OwnStreamId {
    fn from(task: TaskId) -> Self {
        Self(task.0)
    }
}

impl From<OwnStreamId> for StreamId {
    fn from(own: OwnStreamId) -> Self {
        Self(own.0)
    }
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

pub(super) use text_id;
