//! TC3-HMAC-SHA256. Pure.

use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::api::ApiError;

/// Text of `X-TC-Content-SHA256` that leaves the body out of the signature.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// The parts of the `Authorization` header.
#[derive(Debug)]
pub struct Authorization<'a> {
    pub secret_id: &'a str,
    date: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: Vec<u8>,
}

/// Everything that the signature covers.
#[derive(Debug)]
pub struct Signed {
    pub secret_id: String,
    date: String,
    service: String,
    pub signature: Vec<u8>,
    /// Canonical requests: one for each host that may have been signed.
    candidates: Vec<String>,
}

impl<'a> Authorization<'a> {
    /// `header`: begins with the name of the scheme.
    pub fn parse(header: &'a str) -> Result<Self, ApiError> {
        let malformed = || {
            ApiError::new(
                "AuthFailure.InvalidAuthorization",
                "the Authorization header is malformed",
            )
        };
        let fields = header.strip_prefix("TC3-HMAC-SHA256").ok_or_else(malformed)?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(malformed)
        };
        let mut scope = field("Credential")?.split('/');
        let mut part = || scope.next().ok_or_else(malformed);
        let (secret_id, date, service) = (part()?, part()?, part()?);
        if scope.next() != Some("tc3_request") {
            return Err(malformed());
        }
        let signed_headers = field("SignedHeaders")?;
        let signature = hex::decode(field("Signature")?).map_err(|_| malformed())?;
        if !["content-type", "host"]
            .iter()
            .all(|needed| signed_headers.split(';').any(|name| name == *needed))
        {
            return Err(malformed());
        }
        Ok(Self {
            secret_id,
            date,
            service,
            signed_headers,
            signature,
        })
    }
}

impl Signed {
    /// `hosts`: values that the client may have signed as `host`.
    pub fn new(
        authorization: Authorization<'_>,
        method: &str,
        query: &str,
        headers: &HeaderMap,
        hosts: &[String],
        body: &[u8],
    ) -> Self {
        let names = authorization.signed_headers;
        let unsigned = headers
            .get("x-tc-content-sha256")
            .is_some_and(|value| value == UNSIGNED);
        let hash = hex::encode(Sha256::digest(if unsigned { UNSIGNED.as_bytes() } else { body }));
        let query = if method == "GET" { query } else { "" };
        let canonical = |host: &str| {
            let mut lines = String::new();
            for name in names.split(';') {
                let value = headers
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default();
                let value = if name == "host" { host } else { value };
                // The official samples lower-case the action and no other value.
                let value = if name.starts_with("x-tc-") {
                    value.to_lowercase()
                } else {
                    value.to_owned()
                };
                lines.push_str(&format!("{name}:{}\n", value.trim()));
            }
            format!("{method}\n/\n{query}\n{lines}\n{names}\n{hash}")
        };
        Self {
            secret_id: authorization.secret_id.to_owned(),
            date: authorization.date.to_owned(),
            service: authorization.service.to_owned(),
            signature: authorization.signature,
            candidates: hosts.iter().map(|host| canonical(host)).collect(),
        }
    }

    /// `timestamp`: Unix seconds; its UTC date must be the credential's.
    pub fn verify(&self, secret: &str, timestamp: u64) -> bool {
        if utc_date(timestamp).as_deref() != Some(self.date.as_str()) {
            return false;
        }
        let key = mac(format!("TC3{secret}").as_bytes(), &self.date)
            .finalize()
            .into_bytes();
        let key = mac(&key, &self.service).finalize().into_bytes();
        let key = mac(&key, "tc3_request").finalize().into_bytes();
        self.candidates.iter().any(|canonical| {
            let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
            let text = format!(
                "TC3-HMAC-SHA256\n{timestamp}\n{}/{}/tc3_request\n{hash}",
                self.date, self.service
            );
            // Constant time.
            mac(&key, &text).verify_slice(&self.signature).is_ok()
        })
    }
}

fn utc_date(timestamp: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(timestamp).ok()?).ok()?;
    let (year, month, day) = time.to_calendar_date();
    Some(format!("{year:04}-{:02}-{day:02}", u8::from(month)))
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104 §2)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    mac.update(text.as_bytes());
    mac
}
