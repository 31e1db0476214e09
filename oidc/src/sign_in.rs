//! Sign-in by a provider's page: the authorization code flow with PKCE (OpenID Connect Core 1.0 §3.1, RFC 7636).

use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse, SubjectIdentifier,
    TokenResponse, UserInfoClaims,
};
use serde_json::Value;
use url::Url;

use crate::claims::Claims;
use crate::provider::{OidcError, Others, Provider};

type Answer = StandardTokenResponse<
    IdTokenFields<
        Others,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

/// The library's client, which keeps the claims that the library has no name for.
type CodeClient = openidconnect::Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A sign-in that goes to the provider's page.
#[derive(Debug)]
pub struct Begun {
    /// The provider's page.
    pub url: Url,
    pub pending: Pending,
}

/// The value that the browser has to bring back. It is secret, and good for one sign-in.
#[derive(Debug, Clone)]
pub struct Pending {
    state: String,
    nonce: String,
    verifier: String,
}

impl Pending {
    /// For a cookie: letters, digits, `-`, `_` and `.`.
    pub fn to_text(&self) -> String {
        format!("{}.{}.{}", self.state, self.nonce, self.verifier)
    }

    /// None: it is not such a text.
    pub fn read(text: &str) -> Option<Self> {
        let is_plain = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=128).contains(&part.len()) && part.bytes().all(is_plain)
        };
        let mut parts = text.split('.').filter(|part| is_plain(part)).map(str::to_owned);
        let (state, nonce, verifier) = (parts.next()?, parts.next()?, parts.next()?);
        let pending = Self { state, nonce, verifier };
        (pending.to_text() == text).then_some(pending)
    }
}

impl Provider {
    /// `redirect`: where the provider sends the browser back to. `scopes`: besides `openid`.
    pub async fn begin(&self, redirect: &Url, scopes: &[String], now: Instant) -> Result<Begun, OidcError> {
        let metadata = self.metadata(Duration::MAX, now).await?;
        let client = self.code_client(metadata, redirect);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        Ok(Begun {
            url,
            pending: Pending {
                state: state.into_secret(),
                nonce: nonce.secret().clone(),
                verifier: verifier.into_secret(),
            },
        })
    }

    /// The person who comes back with a code.
    pub async fn finish(
        &self,
        redirect: &Url,
        pending: Pending,
        state: &str,
        code: &str,
        now: Instant,
        unix_now: Duration,
    ) -> Result<Claims, OidcError> {
        if pending.state != state {
            return Err(OidcError::State);
        }
        let metadata = self.metadata(Duration::MAX, now).await?;
        let client = self.code_client(metadata, redirect);
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request = request.map_err(|_| OidcError::Lacks("token endpoint"))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(pending.verifier));
        let answer = request.request_async(self.http()).await;
        let answer = answer.map_err(|error| match &error {
            openidconnect::RequestTokenError::ServerResponse(_) => OidcError::Refused(error.into()),
            _ => OidcError::Away(error.into()),
        })?;
        let token = answer.id_token().ok_or(OidcError::Lacks("ID token in its answer"))?;
        let claims = self
            .check(token, Some(&Nonce::new(pending.nonce)), now, unix_now)
            .await?;
        self.with_user_info(&client, answer.access_token(), claims).await
    }

    /// Many providers tell email and groups at this endpoint alone (OpenID Connect Core 1.0 §5.3, §5.4).
    async fn with_user_info(
        &self,
        client: &CodeClient,
        access: &AccessToken,
        claims: Claims,
    ) -> Result<Claims, OidcError> {
        let subject = claims
            .text("sub")
            .map(|subject| SubjectIdentifier::new(subject.to_owned()));
        let Ok(request) = client.user_info(access.clone(), subject) else {
            return Ok(claims);
        };
        let info = request.request_async(self.http()).await;
        let info: UserInfoClaims<Others, CoreGenderClaim> = info.map_err(|error| OidcError::Away(error.into()))?;
        match serde_json::to_value(info) {
            Ok(Value::Object(info)) => Ok(claims.or(info)),
            _ => Ok(claims),
        }
    }

    fn code_client(&self, metadata: CoreProviderMetadata, redirect: &Url) -> CodeClient {
        let methods = metadata.token_endpoint_auth_methods_supported();
        // Basic is the default (OpenID Connect Discovery 1.0 §3).
        let has_basic = methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let id = ClientId::new(self.client().id.clone());
        let secret = Some(self.client().secret.reveal()).filter(|secret| !secret.is_empty());
        let secret = secret.map(|secret| ClientSecret::new(secret.to_owned()));
        let client = CodeClient::from_provider_metadata(metadata, id, secret);
        client
            .set_auth_type(if has_basic {
                AuthType::BasicAuth
            } else {
                AuthType::RequestBody
            })
            .set_redirect_uri(RedirectUrl::from_url(redirect.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_is_kept_as_a_text() {
        let pending = Pending::read("a-1.b_2.c").unwrap();
        assert_eq!(pending.to_text(), "a-1.b_2.c");
        let long = "a".repeat(129);
        for text in ["", "a.b", "a.b.c.d", "a..c", "a.b.c;", "a. b.c", &format!("a.b.{long}")] {
            assert!(Pending::read(text).is_none(), "{text}");
        }
    }
}
