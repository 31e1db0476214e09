//! Service tickets: an internal receiver (MCU, recorder) proves to an SFU node that it belongs to the cluster.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::ids::RoomKey;

/// The lifetime of a ticket: it is used at once, so this only covers clock differences.
const LIFE: Duration = Duration::from_secs(120);

/// The secret that all processes of one cluster share.
#[derive(Clone)]
pub struct ClusterSecret(Vec<u8>);

impl ClusterSecret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// A ticket for one room, valid for two minutes from `unix_now`.
    pub fn issue_ticket(&self, room: &RoomKey, unix_now: Duration) -> String {
        let expires = (unix_now + LIFE).as_secs();
        let tag = URL_SAFE_NO_PAD.encode(self.mac(room, expires).finalize().into_bytes());
        format!("{expires}.{tag}")
    }

    /// Errors: [`TicketError`] says which check failed; each means that the peer does not belong to the cluster.
    pub fn verify_ticket(&self, ticket: &str, room: &RoomKey, unix_now: Duration) -> Result<(), TicketError> {
        let (expires, tag) = ticket.split_once('.').ok_or(TicketError::Malformed)?;
        let expires: u64 = expires.parse().map_err(|_| TicketError::Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| TicketError::Malformed)?;
        self.mac(room, expires)
            .verify_slice(&tag)
            .map_err(|_| TicketError::Signature)?;
        if unix_now.as_secs() < expires {
            Ok(())
        } else {
            Err(TicketError::Expired)
        }
    }

    /// A separate key for one purpose, which does not reveal the secret.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        mac.update(format!("rotunda derived key\n{purpose}").as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, room: &RoomKey, expires: u64) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        mac.update(format!("rotunda service ticket\n{}\n{expires}", room.token()).as_bytes());
        mac
    }
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterSecret(***)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    #[error("the ticket is malformed")]
    Malformed,
    #[error("the ticket's signature is wrong")]
    Signature,
    #[error("the ticket is expired")]
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RoomId, SdkAppId};

    fn room(number: u64) -> RoomKey {
        RoomKey {
            app: SdkAppId::try_from(1).unwrap(),
            room: RoomId::Number(number.try_into().unwrap()),
        }
    }

    #[test]
    fn a_ticket_is_good_for_its_room_its_secret_and_its_time_only() {
        let secret = ClusterSecret::new("ours");
        let at = |seconds| Duration::from_secs(seconds);
        let ticket = secret.issue_ticket(&room(7), at(1000));
        assert_eq!(secret.verify_ticket(&ticket, &room(7), at(1119)), Ok(()));
        assert_eq!(
            secret.verify_ticket(&ticket, &room(7), at(1120)),
            Err(TicketError::Expired)
        );
        assert_eq!(
            secret.verify_ticket(&ticket, &room(8), at(1000)),
            Err(TicketError::Signature)
        );
        assert_eq!(
            ClusterSecret::new("theirs").verify_ticket(&ticket, &room(7), at(1000)),
            Err(TicketError::Signature)
        );
        assert_eq!(
            secret.verify_ticket("nonsense", &room(7), at(1000)),
            Err(TicketError::Malformed)
        );
    }
}
