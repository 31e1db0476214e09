//! The id of a call: a room from its first member's entry to its end, as `SdkAppId_RoomNumber_CreateTime`. Pure.

use std::fmt;
use std::str::FromStr;

use rotunda_proto::ids::{RoomId, RoomKey};
use sha2::{Digest, Sha256};

/// See the [module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommId {
    pub app: u64,
    /// A numeric room's number; a text room has a larger one, which follows from its name.
    pub room: u64,
    /// Unix seconds.
    pub created: u64,
}

/// The text is no id of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACommId;

impl CommId {
    pub fn new(room: &RoomKey, created: u64) -> Self {
        Self {
            app: room.app.get().into(),
            room: room_number(room),
            created,
        }
    }
}

/// Text rooms have no number here: theirs is made of their name, above those of numeric rooms.
pub fn room_number(room: &RoomKey) -> u64 {
    match &room.room {
        RoomId::Number(number) => number.get().into(),
        RoomId::Name(name) => {
            let digest = Sha256::digest(name.as_str().as_bytes());
            let bytes = digest.iter().take(5);
            (1 << 40) | bytes.fold(0, |number, byte| (number << 8) | u64::from(*byte))
        }
    }
}

impl fmt::Display for CommId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.app, self.room, self.created)
    }
}

impl FromStr for CommId {
    type Err = NotACommId;

    fn from_str(text: &str) -> Result<Self, NotACommId> {
        let mut parts = text.split('_').map(str::parse::<u64>);
        let mut next = || parts.next().and_then(Result::ok).ok_or(NotACommId);
        let id = Self {
            app: next()?,
            room: next()?,
            created: next()?,
        };
        match parts.next() {
            None => Ok(id),
            Some(_) => Err(NotACommId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(room: &str) -> RoomKey {
        RoomKey {
            app: 1_400_000_001.try_into().unwrap(),
            room: room.parse().unwrap(),
        }
    }

    #[test]
    fn an_id_is_read_back() {
        let id = CommId::new(&room("1001"), 1_764_000_000);
        assert_eq!(id.to_string(), "1400000001_1001_1764000000");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "1_2", "1_2_3_4", "a_2_3", "1__3", "1_2_-3"] {
            assert_eq!(wrong.parse::<CommId>(), Err(NotACommId), "{wrong}");
        }
    }

    #[test]
    fn a_text_room_is_no_numeric_room() {
        let text = CommId::new(&room("text:1001"), 5);
        assert!(text.room > u64::from(u32::MAX));
        assert_ne!(text.room, CommId::new(&room("text:1002"), 5).room);
        assert_eq!(text.to_string().parse(), Ok(text));
    }
}
