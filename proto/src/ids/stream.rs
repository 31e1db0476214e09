//! The streams of applications.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::application::SdkAppId;
use super::room::RoomKey;
use super::text::{IdError, StreamId, UserId, is_word_byte};

/// A live stream of the whole system: two applications may use one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    pub app: SdkAppId,
    pub id: StreamId,
}

/// The contract's id of a publisher's stream without a name of its own: `<sdkAppId>_<roomId>_<userId>_<streamType>`, URL-encoded.
/// `stream_type`: a word such as `main`.
#[expect(
    clippy::expect_used,
    reason = "at most 10 digits, 64 encoded bytes of a room, 32 of a user and a short word are a valid id"
)]
pub fn default_stream_id(room: &RoomKey, user: &UserId, stream_type: &'static str) -> StreamId {
    let id = format!("{}_{}_{user}_{stream_type}", room.app, encoded(&room.room.bare()));
    id.parse().expect("a valid id")
}

/// Letters, digits, `_` and `-`, and every other byte as `%` and two hexadecimal digits.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match is_word_byte(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl StreamId {
    /// The stream of a play address. Default ids are URL-encoded, so that players and servers may have decoded what the address says.
    pub fn from_address(text: &str) -> Option<Self> {
        text.parse().or_else(|_| encoded(text).parse()).ok()
    }
}

impl StreamKey {
    /// The stream as two tokens of a bus key: `1400000001.film`. Keys have no `%`, and stream ids no `=`.
    pub fn token(&self) -> String {
        format!("{}.{}", self.app, self.id.as_str().replace('%', "="))
    }

    /// Reads what [`token`](Self::token) has written.
    pub fn from_token(token: &str) -> Option<Self> {
        let (app, id) = token.split_once('.')?;
        Self::of(app, &id.replace('=', "%")).ok()
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
