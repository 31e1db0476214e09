//! Sessions of the console: signed texts in a cookie, so that every node of the cluster knows them without a table. Pure.
//!
//! The signature also covers what the session was opened with, the hash of the password or the secret of the key. So a change of that
//! ends the session.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

/// Longest cookie that is read.
const LONGEST: usize = 2048;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The local administrator: every application.
    Admin,
    /// An API key, by its id: what the key opens.
    Key(String),
    /// Somebody whom the OpenID provider knows: what the rule of the claim opens.
    Person { claim: String, value: String, name: String },
}

/// A session whose signature has not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub who: Who,
    /// Unix seconds.
    pub expires: u64,
    tag: Vec<u8>,
}

#[derive(Clone)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// `opened_with`: the hash of the password, or the secret of the API key.
    pub fn issue(&self, who: &Who, opened_with: &str, expires: u64) -> String {
        let tag = self.mac(who, opened_with, expires).finalize().into_bytes();
        let (kind, name) = parts(who);
        let name = URL_SAFE_NO_PAD.encode(&*name);
        format!("{kind}.{name}.{expires}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    pub fn verify(&self, claimed: &Claimed, opened_with: &str, unix_now: Duration) -> bool {
        let mac = self.mac(&claimed.who, opened_with, claimed.expires);
        mac.verify_slice(&claimed.tag).is_ok() && unix_now.as_secs() < claimed.expires
    }

    fn mac(&self, who: &Who, opened_with: &str, expires: u64) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key length");
        let (kind, name) = parts(who);
        for part in [kind, &name, opened_with] {
            // Lengths, so that no two lists of parts are one text.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(&expires.to_be_bytes());
        mac
    }
}

/// None: it has another form.
pub fn read(text: &str) -> Option<Claimed> {
    if text.len() > LONGEST {
        return None;
    }
    let mut parts = text.split('.');
    let (kind, name) = (parts.next()?, parts.next()?);
    let (expires, tag) = (parts.next()?.parse().ok()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    let who = match kind {
        "admin" if name.is_empty() => Who::Admin,
        "key" if !name.is_empty() => Who::Key(name),
        "person" => {
            let (claim, value, name) = serde_json::from_str(&name).ok()?;
            Who::Person { claim, value, name }
        }
        _ => return None,
    };
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    Some(Claimed { who, expires, tag })
}

fn parts(who: &Who) -> (&'static str, Cow<'_, str>) {
    match who {
        Who::Admin => ("admin", "".into()),
        Who::Key(id) => ("key", id.into()),
        Who::Person { claim, value, name } => ("person", json!([claim, value, name]).to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SessionKey {
        SessionKey::new([7; 32])
    }

    #[test]
    fn a_session_is_good_until_it_expires_or_its_password_changes() {
        let person = Who::Person {
            claim: "groups".to_owned(),
            value: "ops".to_owned(),
            name: "ann@example.com".to_owned(),
        };
        for who in [Who::Admin, Who::Key("AKID.1".to_owned()), person] {
            let claimed = read(&key().issue(&who, "hash", 100)).unwrap();
            assert_eq!((&claimed.who, claimed.expires), (&who, 100));
            let good = |opened_with, at| key().verify(&claimed, opened_with, Duration::from_secs(at));
            assert!(good("hash", 99));
            assert!(!good("hash", 100), "expired");
            assert!(!good("new hash", 99), "another password");
            let other = SessionKey::new([8; 32]);
            assert!(
                !other.verify(&claimed, "hash", Duration::from_secs(99)),
                "another cluster"
            );
        }
    }

    #[test]
    fn a_changed_session_is_refused() {
        let issued = key().issue(&Who::Key("low".to_owned()), "hash", 100);
        let later = issued.replace(".100.", ".999.");
        assert!(!key().verify(&read(&later).unwrap(), "hash", Duration::ZERO));
        let claimed = read(&issued).unwrap();
        let admin = Claimed {
            who: Who::Admin,
            ..claimed
        };
        assert!(!key().verify(&admin, "hash", Duration::ZERO));
    }

    #[test]
    fn other_texts_are_no_session() {
        for text in [
            "",
            "admin",
            "admin..1",
            "admin..x.AA",
            "admin.AA.1.AA",
            "key..1.AA",
            "root..1.AA",
            "admin..1.*",
            "admin..1.AA.AA",
            "person..1.AA",
            "person.WyJhIl0.1.AA",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"a".repeat(LONGEST + 1)), None);
    }
}
