//! UserSig: the bearer ticket for one user id in one application.
//!
//! It is a JSON document signed with HMAC-SHA256, compressed with zlib, in Base64 with `+/=` written `*-_`. The
//! signature is checked from the parsed fields, never from the text, because packages of different languages order
//! and compress differently.

use std::io::{Read, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use thiserror::Error;

use crate::ids::{SdkAppId, UserId};

/// Longest accepted ticket, bytes.
const MAX_TICKET_BYTES: usize = 4 * 1024;
/// Largest document that a ticket may inflate to, bytes.
const MAX_DOCUMENT_BYTES: u64 = 16 * 1024;
/// How far in the future a ticket's start may be, because clocks differ.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

/// Why a UserSig is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UserSigError {
    #[error("the UserSig is malformed")]
    Malformed,
    #[error("the UserSig is for another application")]
    App,
    #[error("the UserSig is for another user")]
    User,
    #[error("the UserSig's signature is wrong")]
    Signature,
    #[error("the UserSig is expired")]
    Expired,
    #[error("the UserSig was made in the future")]
    NotYetValid,
}

/// A UserSig for `user`, valid from `unix_now` for `life` (whole seconds; fractions are cut).
pub fn sign(app: SdkAppId, secret_key: &str, user: &UserId, unix_now: Duration, life: Duration) -> String {
    let mut document = Document {
        version: "2.0".to_owned(),
        identifier: user.as_str().to_owned(),
        app: u64::from(app.get()),
        time: unix_now.as_secs(),
        expire: life.as_secs(),
        userbuf: None,
        signature: String::new(),
    };
    document.signature = STANDARD.encode(document.mac(secret_key).finalize().into_bytes());
    pack(&serde_json::to_vec(&document).unwrap_or_default())
}

/// Compressed, in Base64.
pub(crate) fn pack(json: &[u8]) -> String {
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector does not fail.
    let packed = deflate
        .write_all(json)
        .and_then(|()| deflate.finish())
        .unwrap_or_default();
    let swap = |c| match c {
        '+' => '*',
        '/' => '-',
        '=' => '_',
        c => c,
    };
    STANDARD.encode(packed).chars().map(swap).collect()
}

/// The user and application that a UserSig names. They are not proved until [`verify`] has accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub app: SdkAppId,
    pub user: UserId,
}

/// Reads the application and user of a UserSig, for requests that do not name them.
pub fn claim(ticket: &str) -> Result<Claim, UserSigError> {
    let document = Document::unpack(ticket)?;
    let app = u32::try_from(document.app).ok().and_then(|app| app.try_into().ok());
    Ok(Claim {
        app: app.ok_or(UserSigError::Malformed)?,
        user: document.identifier.parse().map_err(|_| UserSigError::Malformed)?,
    })
}

/// Checks a UserSig against the application's secret key, the user who presents it and the time.
pub fn verify(
    ticket: &str,
    app: SdkAppId,
    secret_key: &str,
    user: &UserId,
    unix_now: Duration,
) -> Result<(), UserSigError> {
    verify_with_userbuf(ticket, app, secret_key, user, unix_now).map(drop)
}

/// Like [`verify`], and returns the signed `userbuf` as it is in the document.
pub(crate) fn verify_with_userbuf(
    ticket: &str,
    app: SdkAppId,
    secret_key: &str,
    user: &UserId,
    unix_now: Duration,
) -> Result<Option<String>, UserSigError> {
    let document = Document::unpack(ticket)?;
    if document.app != u64::from(app.get()) {
        return Err(UserSigError::App);
    }
    if document.identifier != user.as_str() {
        return Err(UserSigError::User);
    }
    let signature = STANDARD
        .decode(&document.signature)
        .map_err(|_| UserSigError::Malformed)?;
    // Anybody can sign with an empty key.
    if secret_key.is_empty() {
        return Err(UserSigError::Signature);
    }
    // Constant time: `verify_slice` does not stop at the first difference.
    document
        .mac(secret_key)
        .verify_slice(&signature)
        .map_err(|_| UserSigError::Signature)?;
    if unix_now.as_secs() >= document.time.saturating_add(document.expire) {
        return Err(UserSigError::Expired);
    }
    if document.time > (unix_now + MAX_CLOCK_SKEW).as_secs() {
        return Err(UserSigError::NotYetValid);
    }
    Ok(document.userbuf)
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    #[serde(rename = "TLS.ver")]
    version: String,
    #[serde(rename = "TLS.identifier")]
    identifier: String,
    #[serde(rename = "TLS.sdkappid", deserialize_with = "number_or_digits")]
    app: u64,
    #[serde(rename = "TLS.time", deserialize_with = "number_or_digits")]
    time: u64,
    #[serde(rename = "TLS.expire", deserialize_with = "number_or_digits")]
    expire: u64,
    #[serde(rename = "TLS.userbuf", default, skip_serializing_if = "Option::is_none")]
    userbuf: Option<String>,
    #[serde(rename = "TLS.sig")]
    signature: String,
}

impl Document {
    fn unpack(ticket: &str) -> Result<Self, UserSigError> {
        if ticket.len() > MAX_TICKET_BYTES {
            return Err(UserSigError::Malformed);
        }
        let mut text: String = ticket
            .chars()
            .map(|c| match c {
                '*' => '+',
                '-' => '/',
                '_' => '=',
                c => c,
            })
            .collect();
        // Old tickets may have lost their padding.
        while !text.len().is_multiple_of(4) {
            text.push('=');
        }
        let packed = STANDARD.decode(text).map_err(|_| UserSigError::Malformed)?;
        let mut json = Vec::new();
        let read = ZlibDecoder::new(packed.as_slice())
            .take(MAX_DOCUMENT_BYTES + 1)
            .read_to_end(&mut json);
        if read.is_err() || json.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(UserSigError::Malformed);
        }
        let document: Self = serde_json::from_slice(&json).map_err(|_| UserSigError::Malformed)?;
        if document.version == "2.0" {
            Ok(document)
        } else {
            Err(UserSigError::Malformed)
        }
    }

    fn mac(&self, secret_key: &str) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).expect("any key length");
        let Self {
            identifier,
            app,
            time,
            expire,
            ..
        } = self;
        mac.update(
            format!("TLS.identifier:{identifier}\nTLS.sdkappid:{app}\nTLS.time:{time}\nTLS.expire:{expire}\n")
                .as_bytes(),
        );
        if let Some(userbuf) = &self.userbuf {
            mac.update(format!("TLS.userbuf:{userbuf}\n").as_bytes());
        }
        mac
    }
}

/// Some packages of other languages write the numbers as strings.
fn number_or_digits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Digits(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Digits(digits) => digits.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests;
