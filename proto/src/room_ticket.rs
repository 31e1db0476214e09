//! `PrivateMapKey`: a UserSig that is bound to one room and a set of rights in it.
//!
//! It is the UserSig document with `TLS.userbuf`: Base64 of version, user, application, room, expiry and rights,
//! all integers big-endian. Version 0 has the room as a number, version 1 as text.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{RoomId, SdkAppId, TrackSource, UserId};
use crate::room::Permissions;
use crate::user_sig::{self, UserSigError};

/// Why a room ticket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RoomTicketError {
    #[error(transparent)]
    Ticket(#[from] UserSigError),
    #[error("the ticket is not bound to a room")]
    Unbound,
    #[error("the ticket is for another room")]
    Room,
}

/// The rights of a member in a room. Unknown bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights(u32);

impl Rights {
    pub const ALL: Self = Self(255);
    const CREATE: u32 = 1;
    const ENTER: u32 = 2;
    /// Rotunda's own; the contract ends at 128.
    const MODERATE: u32 = 256;

    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    pub fn may_create(self) -> bool {
        self.0 & Self::CREATE != 0
    }

    pub fn may_enter(self) -> bool {
        self.0 & Self::ENTER != 0
    }

    /// Whether the ticket lets its user decide who enters. Moderators themselves enter without waiting.
    pub fn may_moderate(self) -> bool {
        self.0 & Self::MODERATE != 0
    }

    /// The rights that the [`Permissions`] give, for a member who is already in the room.
    pub fn of(permissions: &Permissions) -> Self {
        let send = permissions.send.iter().map(|source| Self::send_bit(*source));
        let receive = permissions.receive.iter().map(|source| Self::send_bit(*source) << 1);
        Self(
            send.chain(receive)
                .fold(Self::CREATE | Self::ENTER, |all, bit| all | bit),
        )
    }

    pub fn permissions(self) -> Permissions {
        let sources = TrackSource::ALL;
        Permissions {
            send: sources.into_iter().filter(|source| self.may_send(*source)).collect(),
            receive: sources.into_iter().filter(|source| self.may_receive(*source)).collect(),
        }
    }

    /// The same without the rights to send.
    pub fn receive_only(self) -> Self {
        Self(
            TrackSource::ALL
                .into_iter()
                .fold(self.0, |all, source| all & !Self::send_bit(source)),
        )
    }

    pub fn may_send(self, source: TrackSource) -> bool {
        self.0 & Self::send_bit(source) != 0
    }

    pub fn may_receive(self, source: TrackSource) -> bool {
        self.0 & (Self::send_bit(source) << 1) != 0
    }

    /// The right to receive is the next higher bit.
    fn send_bit(source: TrackSource) -> u32 {
        match source {
            TrackSource::Audio => 4,
            TrackSource::Camera => 16,
            TrackSource::Screen => 64,
        }
    }
}

/// Checks a room ticket like [`user_sig::verify`], and that it is for this room. Returns the rights that it gives.
pub fn verify(
    ticket: &str,
    app: SdkAppId,
    secret_key: &str,
    user: &UserId,
    room: &RoomId,
    unix_now: Duration,
) -> Result<Rights, RoomTicketError> {
    let bound = user_sig::verify_with_userbuf(ticket, app, secret_key, user, unix_now)?;
    let bytes = bound.ok_or(RoomTicketError::Unbound)?;
    let bytes = STANDARD.decode(bytes).map_err(|_| UserSigError::Malformed)?;
    let bound = Binding::read(&bytes).ok_or(UserSigError::Malformed)?;
    if bound.user != user.as_str().as_bytes() {
        return Err(UserSigError::User.into());
    }
    if bound.app != app.get() {
        return Err(UserSigError::App.into());
    }
    let is_here = match (bound.room, room) {
        (BoundTo::Number(bound), RoomId::Number(room)) => bound == room.get(),
        (BoundTo::Name(bound), RoomId::Name(room)) => bound == room.as_str().as_bytes(),
        _ => false,
    };
    if !is_here {
        return Err(RoomTicketError::Room);
    }
    if unix_now.as_secs() >= u64::from(bound.expires) {
        return Err(UserSigError::Expired.into());
    }
    Ok(Rights(bound.rights))
}

/// A parsed `userbuf`.
pub(crate) struct Binding<'a> {
    pub user: &'a [u8],
    app: u32,
    room: BoundTo<'a>,
    /// Seconds since 1970.
    expires: u32,
    rights: u32,
}

enum BoundTo<'a> {
    Number(u32),
    Name(&'a [u8]),
}

impl<'a> Binding<'a> {
    /// None: the bytes do not have exactly this form.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (user, rest) = text(rest)?;
        let (numbers, rest) = rest.split_at_checked(20)?;
        let number = |at: usize| Some(u32::from_be_bytes(numbers.get(4 * at..4 * at + 4)?.try_into().ok()?));
        let (room, rest) = match version {
            0 => (BoundTo::Number(number(1)?), rest),
            1 => {
                let (name, rest) = text(rest)?;
                (BoundTo::Name(name), rest)
            }
            _ => return None,
        };
        rest.is_empty().then_some(Self {
            user,
            app: number(0)?,
            room,
            expires: number(2)?,
            rights: number(3)?,
        })
    }
}

/// A text with its length in two bytes before it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by the npm package with a clock frozen at 1700000000.9 s.
    const K1: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
    const V4: &str = "eJxVjU0LgkAURf-L2xoympUMtHgEWWShJEHutJmxUTPxq5Hov0eWi*7iwj1ncZ8QuEe94xVQMHUCk2FLxotGCjlgJaN72hY-VbMsKkvJgBoW*eVrGnnjQI3FP*WqlBUHOh1BW-MqbgVQQMQNd-JrbJZGnB-6IEHE1cUPT17vIiJ69qdxfJYJUCDa3trNrXwbrGeZZqeN70S5IiJRzIgePFREhGfBii7MlvB6A36tQqM_";
    const V5: &str = "eJxVjksLgkAYRf-Ltw7zVdFAiyEqFB*EYrjUcZwZRJl8MRL998DHoru695zN-UDsRdpIW0Bgajrs5i0K2vSiFDNuqSI8a9jquqLKpBQFIMPW1yymFzUFZJz*KVVStBSQddzI0NE2H0pAgJ-YIXVipybneV3EpLLxnEcS79Xc3gvAbmoqTiy-92OstiuCAQLXsMLgqr-Y2JPDnXN8TqIpC6Qj8klGN8rK0ItMNnUSX*D7A2KDSG0_";
    const V6: &str = "eJxVjc0KgkAYRd-l2xqOZmUNtJgQIRikHx2xnTGjfIU-jBpK9O6R2aKzuHDPXdwnhPxsPpQGCnPTgtnYUaqyxQxH3U2ykfe0rlECtRfWxHdpsVBAbfffqr5GrYA6P9E1Sl*7DCgwxnZSBEOYe4QQYlzEYeDsw37M3yPmQCH1yiK4xdxKVr4dVaf1hhh9VEUxd4xAL-2CJSJzRXKUzRZeby*pO9s_";

    fn check(ticket: &str, user: &str, room: &str, at: u64) -> Result<Rights, RoomTicketError> {
        let (app, user, room) = (
            1_400_000_000.try_into().unwrap(),
            user.parse().unwrap(),
            room.parse().unwrap(),
        );
        verify(ticket, app, K1, &user, &room, Duration::from_secs(at))
    }

    #[test]
    fn room_tickets_of_the_official_package_give_their_rights() {
        assert_eq!(check(V4, "xiaojun", "10000", 1_700_000_299), Ok(Rights::ALL));
        assert_eq!(check(V5, "rexchang", "class-101", 1_700_000_000), Ok(Rights(42)));
        assert_eq!(check(V6, "u", "4294967294", 1_700_000_000), Ok(Rights(2)));
    }

    #[test]
    fn each_bit_is_one_right() {
        let listener = Rights(42);
        assert!(listener.may_enter() && !listener.may_create());
        for source in [TrackSource::Audio, TrackSource::Camera] {
            assert!(listener.may_receive(source) && !listener.may_send(source));
        }
        assert!(!listener.may_receive(TrackSource::Screen));
        assert!(Rights(256 | 2).may_moderate() && !Rights::ALL.may_moderate());
        assert!(Rights(64).may_send(TrackSource::Screen) && !Rights(64).may_receive(TrackSource::Screen));
    }

    #[test]
    fn a_ticket_is_for_one_room_and_one_user_until_its_end() {
        assert_eq!(check(V4, "xiaojun", "10001", 1_700_000_000), Err(RoomTicketError::Room));
        assert_eq!(check(V5, "rexchang", "101", 1_700_000_000), Err(RoomTicketError::Room));
        assert_eq!(
            check(V4, "xiaojun", "text:10000", 1_700_000_000),
            Err(RoomTicketError::Room)
        );
        assert_eq!(check(V4, "bob", "10000", 1_700_000_000), Err(UserSigError::User.into()));
        assert_eq!(
            check(V4, "xiaojun", "10000", 1_700_000_300),
            Err(UserSigError::Expired.into())
        );
        let plain = user_sig::sign(
            1_400_000_000.try_into().unwrap(),
            K1,
            &"u".parse().unwrap(),
            Duration::from_secs(1_700_000_000),
            Duration::from_secs(60),
        );
        assert_eq!(check(&plain, "u", "1", 1_700_000_000), Err(RoomTicketError::Unbound));
    }

    #[test]
    fn a_binding_that_is_cut_or_too_long_is_none() {
        let whole = STANDARD.decode("AAAHeGlhb2p1blNyTgAAACcQZVPyLAAAAP8AAAAA").unwrap();
        assert!(Binding::read(&whole).is_some());
        for length in 0..whole.len() {
            assert!(Binding::read(&whole[..length]).is_none());
        }
        let longer = [whole, vec![0]].concat();
        assert!(Binding::read(&longer).is_none());
    }

    proptest! {
        #[test]
        fn permissions_are_the_rights_that_they_are_read_from(bits in 0..256_u32) {
            let rights = Rights(bits);
            let permissions = rights.permissions();
            prop_assert_eq!(Rights::of(&permissions), Rights(bits | Rights::CREATE | Rights::ENTER));
            let receive_only = rights.receive_only().permissions();
            prop_assert!(receive_only.send.is_empty());
            prop_assert_eq!(receive_only.receive, permissions.receive);
        }

        #[test]
        fn any_bytes_are_a_binding_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _read = Binding::read(&bytes);
        }
    }
}
