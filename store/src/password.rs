//! Passwords at rest: PBKDF2 with HMAC-SHA-256, a salt of its own for each, in one text with the parameters.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use aws_lc_rs::rand;
use thiserror::Error;

const SCHEME: &str = "pbkdf2-sha256";
/// As OWASP recommends for this function.
const ROUNDS: u32 = 600_000;
/// A row that asks for more would block the caller.
const MOST_ROUNDS: u32 = 10_000_000;
const SALT: usize = 16;
const HASH: usize = 32;

/// Fewest characters of a password that a person chooses.
pub const SHORTEST_PASSWORD: usize = 12;
/// Most characters, so that a request cannot make hashing slow.
pub const LONGEST_PASSWORD: usize = 200;

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordError {
    #[error("a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")]
    Length,
    #[error("the system gives no random numbers")]
    Random,
}

impl PasswordHash {
    /// Takes a noticeable part of a second: call it where blocking is permitted.
    pub fn of(password: &str) -> Result<Self, PasswordError> {
        if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&password.chars().count()) {
            return Err(PasswordError::Length);
        }
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| PasswordError::Random)?;
        let mut hash = [0; HASH];
        let rounds = NonZeroU32::new(ROUNDS).ok_or(PasswordError::Random)?;
        pbkdf2::derive(PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut hash);
        let text = format!("{SCHEME}${ROUNDS}${}${}", hex::encode(salt), hex::encode(hash));
        Ok(Self(text))
    }

    /// As a row has it; what cannot be read permits nobody.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time. Takes as long as [`of`](Self::of).
    pub fn permits(&self, password: &str) -> bool {
        let Some((rounds, salt, hash)) = self.parts() else {
            return false;
        };
        password.chars().count() <= LONGEST_PASSWORD
            && pbkdf2::verify(PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &hash).is_ok()
    }

    fn parts(&self) -> Option<(NonZeroU32, Vec<u8>, Vec<u8>)> {
        let mut parts = self.0.strip_prefix(SCHEME)?.strip_prefix('$')?.split('$');
        let rounds: NonZeroU32 = parts.next()?.parse().ok()?;
        let salt = hex::decode(parts.next()?).ok()?;
        let hash = hex::decode(parts.next()?).ok()?;
        let is_sound = parts.next().is_none() && rounds.get() <= MOST_ROUNDS && hash.len() == HASH;
        is_sound.then_some((rounds, salt, hash))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_permits_its_password_alone_and_is_another_each_time() {
        let hash = PasswordHash::of("correct horse battery").unwrap();
        assert!(hash.permits("correct horse battery"));
        assert!(!hash.permits("correct horse batterY") && !hash.permits(""));
        assert!(PasswordHash::from_text(hash.as_str()).permits("correct horse battery"));
        assert_ne!(PasswordHash::of("correct horse battery").unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "PasswordHash(***)");
    }

    #[test]
    fn a_damaged_row_permits_nobody() {
        let hash = "00".repeat(HASH);
        for text in [
            String::new(),
            "password".to_owned(),
            format!("{SCHEME}$0$00${hash}"),
            format!("{SCHEME}$4294967295$00${hash}"),
            format!("{SCHEME}$1$00$"),
            format!("{SCHEME}$1$00${hash}$more"),
        ] {
            assert!(!PasswordHash::from_text(text.clone()).permits(""), "{text}");
        }
    }

    #[test]
    fn a_password_is_long_enough_to_resist_and_short_enough_to_hash() {
        assert_eq!(PasswordHash::of("short"), Err(PasswordError::Length));
        assert_eq!(
            PasswordHash::of(&"x".repeat(LONGEST_PASSWORD + 1)),
            Err(PasswordError::Length)
        );
    }
}
