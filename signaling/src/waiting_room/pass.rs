//! Passes: signed texts with which users enter past the waiting room, so that no server keeps a list of those it has admitted. Pure.
//!
//! An admitted user gets one for a minute. A member gets one for as long as the room lasts, and returns with it after their login was
//! lost, also to another node.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rotunda_proto::ids::{RoomKey, UserId};
use sha2::Sha256;

/// An admitted user enters in this time.
pub const ENTER_WITHIN: Duration = Duration::from_secs(60);
/// A member returns in this time, if the room lasts as long.
const RETURN_WITHIN: Duration = Duration::from_secs(86_400);
/// Longest text that is read.
const LONGEST: usize = 256;

#[derive(Clone, PartialEq, Eq)]
pub struct PassKey([u8; 32]);

impl std::fmt::Debug for PassKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PassKey(***)")
    }
}

/// A pass that is good now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Of a user who was admitted.
    Admitted,
    /// Of a member of the room that was made at this time.
    Member { room_created_unix_ms: u64 },
}

impl PassKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub fn issue(&self, pass: Pass, room: &RoomKey, user: &UserId, unix_now: Duration) -> String {
        let within = match pass {
            Pass::Admitted => ENTER_WITHIN,
            Pass::Member { .. } => RETURN_WITHIN,
        };
        let claim = claim(pass, (unix_now + within).as_secs());
        let tag = self.mac(&claim, room, user).finalize().into_bytes();
        format!("{claim}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// None: it is not a pass of this user for this room, or its time is over.
    pub fn read(&self, text: &str, room: &RoomKey, user: &UserId, unix_now: Duration) -> Option<Pass> {
        if text.len() > LONGEST {
            return None;
        }
        let (claim, tag) = text.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.mac(claim, room, user).verify_slice(&tag).ok()?;
        let (room_created, expires) = claim.split_once('.')?;
        if unix_now.as_secs() >= expires.parse().ok()? {
            return None;
        }
        match room_created {
            "" => Some(Pass::Admitted),
            number => Some(Pass::Member {
                room_created_unix_ms: number.parse().ok()?,
            }),
        }
    }

    fn mac(&self, claim: &str, room: &RoomKey, user: &UserId) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        for part in [claim, &room.token(), user.as_str()] {
            // Lengths, so that no two lists of parts are one text.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

fn claim(pass: Pass, expires: u64) -> String {
    match pass {
        Pass::Admitted => format!(".{expires}"),
        Pass::Member { room_created_unix_ms } => format!("{room_created_unix_ms}.{expires}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> PassKey {
        PassKey::new([7; 32])
    }

    fn room(name: &str) -> RoomKey {
        RoomKey {
            app: 7.try_into().unwrap(),
            room: name.parse().unwrap(),
        }
    }

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn a_pass_is_of_one_user_for_one_room_and_a_time() {
        let (ann, bob): (UserId, UserId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let text = key().issue(Pass::Admitted, &room("1"), &ann, NOW);
        let at = |seconds| NOW + Duration::from_secs(seconds);
        assert_eq!(key().read(&text, &room("1"), &ann, at(59)), Some(Pass::Admitted));
        assert_eq!(key().read(&text, &room("1"), &ann, at(60)), None);
        assert_eq!(key().read(&text, &room("1"), &bob, NOW), None);
        assert_eq!(key().read(&text, &room("text:1"), &ann, NOW), None);
        assert_eq!(PassKey::new([8; 32]).read(&text, &room("1"), &ann, NOW), None);
        let member = Pass::Member {
            room_created_unix_ms: 5,
        };
        let text = key().issue(member, &room("1"), &ann, NOW);
        assert_eq!(key().read(&text, &room("1"), &ann, at(86_399)), Some(member));
        assert_eq!(format!("{:?}", key()), "PassKey(***)");
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_pass(text in "\\PC{0,80}") {
            prop_assert_eq!(key().read(&text, &room("1"), &"ann".parse().unwrap(), NOW), None);
        }
    }
}
