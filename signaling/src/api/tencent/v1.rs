//! The older signatures, HmacSHA1 (the default) and HmacSHA256. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;

use crate::api::ApiError;

#[derive(Debug)]
pub struct Signed {
    pub secret_id: String,
    method: Method,
    pub signature: Vec<u8>,
    /// Texts that may have been signed: for each host, names as they came or with `_` as `.`.
    texts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    HmacSha1,
    HmacSha256,
}

impl Signed {
    /// `hosts`: names of this server that the client may have signed. `pairs`: decoded.
    pub fn parse(verb: &str, hosts: &[String], mut pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let find = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let missing = |name: &str| ApiError::new("MissingParameter", format!("{name} is missing"));
        let secret_id = find("SecretId").ok_or_else(|| missing("SecretId"))?;
        let signature = find("Signature").ok_or_else(|| missing("Signature"))?;
        find("Nonce").ok_or_else(|| missing("Nonce"))?;
        let method = match find("SignatureMethod").as_deref() {
            None | Some("HmacSHA1") => Method::HmacSha1,
            Some("HmacSHA256") => Method::HmacSha256,
            Some(_) => {
                return Err(ApiError::new(
                    "InvalidParameter",
                    "SignatureMethod must be HmacSHA1 or HmacSHA256",
                ));
            }
        };
        let signature = STANDARD.decode(signature).unwrap_or_default();
        pairs.retain(|(name, _)| name != "Signature");
        let text = |host: &str, pairs: &[(String, String)]| {
            let mut pairs: Vec<_> = pairs.iter().collect();
            pairs.sort();
            let joined: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{verb}{host}/?{}", joined.join("&"))
        };
        let dotted: Vec<(String, String)> = pairs
            .iter()
            .map(|(name, value)| (name.replace('_', "."), value.clone()))
            .collect();
        let texts = hosts
            .iter()
            .flat_map(|host| [text(host, &pairs), text(host, &dotted)])
            .collect();
        Ok(Self {
            secret_id,
            method,
            signature,
            texts,
        })
    }

    pub fn verify(&self, secret: &str) -> bool {
        self.texts.iter().any(|text| match self.method {
            Method::HmacSha1 => check::<Hmac<Sha1>>(secret, text, &self.signature),
            Method::HmacSha256 => check::<Hmac<Sha256>>(secret, text, &self.signature),
        })
    }
}

/// Constant time.
fn check<M: Mac + hmac::digest::KeyInit>(secret: &str, text: &str, signature: &[u8]) -> bool {
    <M as Mac>::new_from_slice(secret.as_bytes())
        .is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok())
}
