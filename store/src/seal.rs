//! Secrets at rest: encrypted with a key that is not in the database.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use thiserror::Error;

/// First byte of what is sealed, so that another way of sealing can follow.
const VERSION: u8 = 1;

/// 32 bytes of the configuration, as 64 hexadecimal digits.
pub struct SealKey(RandomizedNonceKey);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    #[error("the seal key must be 64 hexadecimal digits; `openssl rand -hex 32` makes one")]
    Key,
    #[error(
        "it was sealed with another key, for another place, or is damaged; is `server.seal_key` the one of before?"
    )]
    Opened,
    #[error("encryption failed")]
    Sealed,
    #[error("there is no randomness for a new secret")]
    Random,
}

impl SealKey {
    pub fn from_hex(text: &str) -> Result<Self, SealError> {
        let bytes = hex::decode(text.trim()).map_err(|_| SealError::Key)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)?;
        Ok(Self(key))
    }

    /// The key that follows from another secret, for installations that configure none.
    pub fn derived_from(secret: &[u8]) -> Result<Self, SealError> {
        let from = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let bytes = hmac::sign(&from, b"rotunda seal key 1");
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_ref()).map_err(|_| SealError::Key)?;
        Ok(Self(key))
    }

    /// `place`: what the secret is of. It opens only for the same place, so that rows cannot be exchanged.
    pub fn seal(&self, place: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut text = secret.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| SealError::Sealed)?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        Ok(sealed)
    }

    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(SealError::Opened)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Opened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Opened)?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(place.as_bytes()), &mut text);
        opened.map(|secret| secret.to_vec()).map_err(|_| SealError::Opened)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> SealKey {
        SealKey::from_hex(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_key_for_its_place_alone() {
        let sealed = key("a").seal("application/1/user_sig/1", b"secret").unwrap();
        assert_ne!(sealed, key("a").seal("application/1/user_sig/1", b"secret").unwrap());
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
        assert_eq!(key("a").open("application/1/user_sig/1", &sealed).unwrap(), b"secret");
        assert_eq!(
            key("a").open("application/2/user_sig/1", &sealed),
            Err(SealError::Opened)
        );
        assert_eq!(
            key("b").open("application/1/user_sig/1", &sealed),
            Err(SealError::Opened)
        );
        for cut in 0..sealed.len() {
            assert_eq!(
                key("a").open("application/1/user_sig/1", &sealed[..cut]),
                Err(SealError::Opened)
            );
        }
    }

    #[test]
    fn a_derived_key_follows_from_its_secret() {
        let sealed = SealKey::derived_from(b"one").unwrap().seal("p", b"secret").unwrap();
        assert_eq!(
            SealKey::derived_from(b"one").unwrap().open("p", &sealed).unwrap(),
            b"secret"
        );
        assert!(SealKey::derived_from(b"other").unwrap().open("p", &sealed).is_err());
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for wrong in ["", "ab", &"g".repeat(64), &"a".repeat(66)] {
            assert_eq!(SealKey::from_hex(wrong).unwrap_err(), SealError::Key, "{wrong}");
        }
        assert_eq!(format!("{:?}", key("a")), "SealKey(***)");
    }
}
