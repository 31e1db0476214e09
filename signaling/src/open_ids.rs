//! ID tokens of an application's OpenID provider in place of UserSigs (OpenID Connect Core 1.0 §2).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rotunda_oidc::{Client, Http, OidcError, Provider};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::ids::UserId;
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_proto::signaling::ErrorCode;

use crate::callbacks::sender::checked_client;

/// The claim that every token has.
const SUBJECT: &str = "sub";
/// Providers that are known. When there are more, all are forgotten.
const MOST_KNOWN: usize = 1000;

#[derive(Default)]
pub struct OpenIds {
    /// None: it could not be made.
    http: OnceLock<Option<Http>>,
    /// By issuer and client.
    known: Mutex<HashMap<(String, String), Arc<Provider>>>,
}

impl OpenIds {
    /// Whether the token is of the application's provider and this user's. `issuer`: its `oidc_issuer`.
    ///
    /// Errors: `token_refused`, or `token_unchecked` when the provider does not answer.
    pub async fn check(
        &self,
        outbound: &AllowedNetworks,
        application: &Application,
        issuer: &str,
        user: &UserId,
        token: &str,
    ) -> Result<(), ErrorCode> {
        let client = application.oidc_client_id.as_deref().unwrap_or_default();
        let claims = async {
            let provider = self.provider(outbound, issuer, client)?;
            provider.claims(token, None, Clock.now(), Clock.unix()).await
        };
        let claim = application.oidc_user_claim.as_deref().unwrap_or(SUBJECT);
        let app = application.sdk_app_id;
        match claims.await {
            Ok(claims) if claims.text(claim) == Some(user.as_str()) => Ok(()),
            Ok(_) => {
                tracing::info!(application = %app, %user, claim, "an ID token is another user's");
                Err(ErrorCode::TokenRefused)
            }
            Err(error @ (OidcError::Refused(_) | OidcError::TooLong)) => {
                let error = &error as &dyn std::error::Error;
                tracing::info!(application = %app, %user, error, "an ID token is refused");
                Err(ErrorCode::TokenRefused)
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(application = %app, issuer, error, "check an ID token");
                metrics::counter!("rotunda_signaling_oidc_failed_total").increment(1);
                Err(ErrorCode::TokenUnchecked)
            }
        }
    }

    fn provider(&self, outbound: &AllowedNetworks, issuer: &str, client: &str) -> Result<Arc<Provider>, OidcError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (issuer.to_owned(), client.to_owned());
        if let Some(provider) = known.get(&key) {
            return Ok(provider.clone());
        }
        let http = self
            .http
            .get_or_init(|| Http::new(checked_client(outbound), Some(outbound.clone())).ok());
        let http = http.clone().ok_or(OidcError::Lacks("HTTP client"))?;
        let client = Client {
            id: client.to_owned(),
            secret: Secret::default(),
        };
        let provider = Arc::new(Provider::new(issuer, client, http)?);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, provider.clone());
        Ok(provider)
    }
}

/// Whether a text has the form of a signed token: three parts (RFC 7515 §3.1). No UserSig has it.
pub fn is_token(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !part.is_empty() && part.bytes().all(is_url_safe)
    };
    text.split('.').count() == 3 && text.split('.').all(is_part)
}
