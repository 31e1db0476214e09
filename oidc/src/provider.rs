//! A provider's endpoints and keys, and the check of its ID tokens.

use std::error::Error;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use openidconnect::core::{
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{
    AdditionalClaims, ClaimsVerificationError, ClientId, ClientSecret, IdToken, IdTokenVerifier, IssuerUrl, Nonce,
    SignatureVerificationError,
};
use rotunda_proto::config::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::claims::Claims;
use crate::http::Http;

/// Endpoints and keys are asked for again after this time.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// A key that is not known, and a provider that does not answer, are asked for at this interval at most.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// After a failure a provider without known keys is not asked for this time: those who waited meanwhile do not wait one after the other.
const AWAY_FOR: Duration = Duration::from_secs(5);
/// The clocks of provider and server may differ by this time.
const CLOCKS_DIFFER: Duration = Duration::from_secs(30);
/// Longest token, bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// The client that the provider knows this server as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub id: String,
    /// Empty: a public client, by PKCE alone.
    pub secret: Secret,
}

#[derive(Debug, Error)]
pub enum OidcError {
    #[error("the issuer is not an address: {0}")]
    Issuer(String),
    #[error("the provider does not answer as OpenID Connect wants it")]
    Away(#[source] Box<dyn Error + Send + Sync>),
    #[error("the token is refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    #[error("the token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    #[error("the sign-in was begun in another browser, or too long ago")]
    State,
    #[error("the provider has no {0}")]
    Lacks(&'static str),
}

/// A client at an issuer.
pub struct Provider {
    issuer: IssuerUrl,
    client: Client,
    http: Http,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<CoreProviderMetadata>,
    read_at: Option<Instant>,
    /// Of the last attempt, also a failed one.
    asked_at: Option<Instant>,
}

/// The claims that the library has no name for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Others {
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl AdditionalClaims for Others {}

pub(crate) type Token = IdToken<Others, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

impl Provider {
    /// Nothing is asked before it is needed.
    pub fn new(issuer: &str, client: Client, http: Http) -> Result<Self, OidcError> {
        let issuer = IssuerUrl::new(issuer.to_owned()).map_err(|error| OidcError::Issuer(error.to_string()))?;
        Ok(Self {
            issuer,
            client,
            http,
            known: Mutex::default(),
        })
    }

    /// The host of the issuer, as people know the provider.
    pub fn host(&self) -> &str {
        self.issuer.url().host_str().unwrap_or_default()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// Checks an ID token (OpenID Connect Core 1.0 §3.1.3.7). `nonce`: of the sign-in that it answers, if there was one here.
    ///
    /// Errors: `Refused` says something about the token, `Away` about the provider.
    pub async fn claims(
        &self,
        token: &str,
        nonce: Option<&Nonce>,
        now: Instant,
        unix_now: Duration,
    ) -> Result<Claims, OidcError> {
        if token.len() > MAX_TOKEN {
            return Err(OidcError::TooLong);
        }
        let token: Token = token.parse().map_err(refused::<serde_json::Error>)?;
        self.check(&token, nonce, now, unix_now).await
    }

    pub(crate) async fn check(
        &self,
        token: &Token,
        nonce: Option<&Nonce>,
        now: Instant,
        unix_now: Duration,
    ) -> Result<Claims, OidcError> {
        let metadata = self.metadata(KNOWN_FOR, now).await?;
        let checked = match self.verified(&metadata, token, nonce, unix_now) {
            Err(ClaimsVerificationError::SignatureVerification(error)) if may_be_a_new_key(&error) => {
                let metadata = self.metadata(Duration::ZERO, now).await?;
                self.verified(&metadata, token, nonce, unix_now)
            }
            checked => checked,
        };
        checked.map_err(refused)
    }

    fn verified(
        &self,
        metadata: &CoreProviderMetadata,
        token: &Token,
        nonce: Option<&Nonce>,
        unix_now: Duration,
    ) -> Result<Claims, ClaimsVerificationError> {
        let verifier = self.verifier(metadata, unix_now);
        let same = |found: Option<&Nonce>| match nonce {
            None => Ok(()),
            Some(wanted) if found.is_some_and(|found| found.secret() == wanted.secret()) => Ok(()),
            Some(_) => Err("another nonce than that of the sign-in".to_owned()),
        };
        let claims = token.claims(&verifier, same)?;
        match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => Ok(Claims::new(claims)),
            _ => Err(ClaimsVerificationError::Other("the claims are no object".to_owned())),
        }
    }

    fn verifier(
        &self,
        metadata: &CoreProviderMetadata,
        unix_now: Duration,
    ) -> IdTokenVerifier<'static, CoreJsonWebKey> {
        let (id, issuer) = (ClientId::new(self.client.id.clone()), metadata.issuer().clone());
        let keys = metadata.jwks().clone();
        let verifier = match self.client.secret.reveal() {
            "" => IdTokenVerifier::new_public_client(id, issuer, keys),
            secret => IdTokenVerifier::new_confidential_client(id, ClientSecret::new(secret.to_owned()), issuer, keys),
        };
        let seconds = unix_now.saturating_sub(CLOCKS_DIFFER).as_secs();
        let time = DateTime::<Utc>::from_timestamp(seconds.cast_signed(), 0).unwrap_or_default();
        verifier
            .set_allowed_algs(metadata.id_token_signing_alg_values_supported().clone())
            .set_time_fn(move || time)
    }

    /// Endpoints and keys that are at most so old. While the provider does not answer, the last ones.
    pub(crate) async fn metadata(&self, at_most: Duration, now: Instant) -> Result<CoreProviderMetadata, OidcError> {
        let mut known = self.known.lock().await;
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let is_fresh = since(known.read_at).is_some_and(|age| age < at_most);
        let is_asked = since(known.asked_at).is_some_and(|age| age < ASKED_EVERY);
        if let Some(metadata) = &known.metadata
            && (is_fresh || is_asked)
        {
            return Ok(metadata.clone());
        }
        if known.metadata.is_none() && since(known.asked_at).is_some_and(|age| age < AWAY_FOR) {
            return Err(OidcError::Away("it has just been asked in vain".into()));
        }
        known.asked_at = Some(now);
        match CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await {
            Ok(metadata) => {
                known.read_at = Some(now);
                known.metadata = Some(metadata.clone());
                Ok(metadata)
            }
            Err(error) => match &known.metadata {
                Some(metadata) => {
                    let error = &error as &dyn Error;
                    tracing::warn!(
                        issuer = self.issuer.as_str(),
                        error,
                        "ask an OpenID provider for its keys; the last ones count"
                    );
                    Ok(metadata.clone())
                }
                None => Err(OidcError::Away(error.into())),
            },
        }
    }
}

/// Whether another set of keys may accept the token.
fn may_be_a_new_key(error: &SignatureVerificationError) -> bool {
    use SignatureVerificationError::{CryptoError, InvalidKey, NoMatchingKey};
    matches!(error, NoMatchingKey | CryptoError(_) | InvalidKey(_))
}

fn refused<E: Error + Send + Sync + 'static>(error: E) -> OidcError {
    OidcError::Refused(error.into())
}
