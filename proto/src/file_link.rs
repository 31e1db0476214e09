//! Signed, expiring addresses of recorded files: `/recordings/<expires>-<signature>/<file>`.
//!
//! The signature covers the first part of the path: a file's name, or the folder of an HLS recording. So it also
//! covers a playlist's relative addresses.

use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::ticket::ClusterSecret;

/// Signs the addresses of files.
#[derive(Clone)]
pub struct FileLinkKey([u8; 32]);

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FileLinkError {
    #[error("the signature of the address is wrong")]
    Signature,
    #[error("the address has expired; ask the server API for a new one")]
    Expired,
}

impl FileLinkKey {
    /// The key derived from the secret of the cluster, so that all processes make the same signatures.
    pub fn new(secret: &ClusterSecret) -> Self {
        Self(secret.derive("recorded files"))
    }

    /// The first part of a signed path. `name`: of the file, or of its folder.
    pub fn sign(&self, name: &str, expires: Duration) -> String {
        let expires = expires.as_secs();
        let signature = hex::encode(self.mac(name, expires).finalize().into_bytes());
        format!("{expires}-{signature}")
    }

    /// Whether `signed`, the first part of a path, permits access to the second part, `name`.
    pub fn verify(&self, signed: &str, name: &str, unix_now: Duration) -> Result<(), FileLinkError> {
        let (expires, signature) = signed.split_once('-').ok_or(FileLinkError::Signature)?;
        let expires: u64 = expires.parse().map_err(|_| FileLinkError::Signature)?;
        let signature = hex::decode(signature).map_err(|_| FileLinkError::Signature)?;
        self.mac(name, expires)
            .verify_slice(&signature)
            .map_err(|_| FileLinkError::Signature)?;
        if unix_now.as_secs() < expires {
            Ok(())
        } else {
            Err(FileLinkError::Expired)
        }
    }

    /// Whether the first part of a path has the form of a signature. Names of files never have it, because they
    /// contain a `_`.
    pub fn is_signed(first: &str) -> bool {
        let parts = first.split_once('-');
        parts.is_some_and(|(expires, signature)| {
            expires.bytes().all(|byte| byte.is_ascii_digit()) && signature.len() == 64 && !signature.contains('_')
        })
    }

    fn mac(&self, name: &str, expires: u64) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        mac.update(format!("{expires}\n{name}").as_bytes());
        mac
    }
}

impl std::fmt::Debug for FileLinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileLinkKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> FileLinkKey {
        FileLinkKey::new(&ClusterSecret::new(secret))
    }

    #[test]
    fn an_address_opens_its_own_file_until_it_expires() {
        let at = Duration::from_secs;
        let signed = key("a").sign("film_1_2.mp4", at(1000));
        assert!(FileLinkKey::is_signed(&signed));
        let tried = |name: &str, now| key("a").verify(&signed, name, at(now));
        assert_eq!(tried("film_1_2.mp4", 999), Ok(()));
        assert_eq!(tried("film_1_2.mp4", 1000), Err(FileLinkError::Expired));
        assert_eq!(tried("film_1_3.mp4", 0), Err(FileLinkError::Signature));
        let prolonged = signed.replace("1000-", "9999-");
        let forged = [prolonged.as_str(), "", "-", "1000-", "1000-zz", "x-00"];
        for forged in forged {
            let tried = key("a").verify(forged, "film_1_2.mp4", at(0));
            assert_eq!(tried, Err(FileLinkError::Signature), "{forged}");
        }
        let other = key("b").verify(&signed, "film_1_2.mp4", at(0));
        assert_eq!(other, Err(FileLinkError::Signature));
        assert!(!FileLinkKey::is_signed(
            "film_2026-11-25-18-00-00_2026-11-25-18-00-10.mp4"
        ));
    }
}
