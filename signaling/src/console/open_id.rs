//! Sign-in to the console by an OpenID provider, and what its people may do there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use rotunda_oidc::{Claims, Client, Http, OidcError, Pending, Provider};
use rotunda_proto::applications::{Scope, Scopes};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;
use url::Url;

use super::routes::{LIFE, address};
use super::session::Who;
use super::{Console, cookie};

/// Where the provider sends browsers back to, after the address of the page.
pub const CALLBACK: &str = "/oidc/callback";
/// The cookie of a sign-in that is not finished.
const PENDING_COOKIE: &str = "rotunda_console_oidc";
/// A sign-in at the provider's page takes at most this time.
const PENDING_FOR: Duration = Duration::from_secs(900);
/// Longest name that is shown, characters.
const LONGEST_NAME: usize = 100;

/// What a claim of a person opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Name of the claim, such as `groups` or `email`.
    pub claim: String,
    /// The claim is this text, or a list that has it.
    pub value: String,
    /// Parts of the API that it opens. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

pub struct Setup {
    pub provider: Provider,
    /// The page of the console, as browsers reach it.
    pub page: Url,
    /// Asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The first rule that a person has counts.
    pub access: Vec<Access>,
}

#[derive(Debug, Error)]
pub enum SetupError {
    #[error("make an HTTP client")]
    Client(#[from] reqwest::Error),
    #[error(transparent)]
    Provider(#[from] OidcError),
}

/// The provider of the operator's own configuration, which may be at any address. Nothing is asked yet.
pub fn provider(issuer: &str, client: &str, secret: &Secret) -> Result<Provider, SetupError> {
    let http = Http::new(reqwest::Client::builder(), None)?;
    let client = Client {
        id: client.to_owned(),
        secret: secret.clone(),
    };
    Ok(Provider::new(issuer, client, http)?)
}

impl Access {
    pub(super) fn scopes(&self) -> Scopes {
        match &self.scopes {
            None => Scopes::All,
            // Other words were refused with the configuration.
            Some(scopes) => Scopes::Some(scopes.iter().filter_map(|scope| scope.parse().ok()).collect()),
        }
    }

    /// A changed rule ends the sessions that it has opened.
    pub(super) fn opened_with(&self) -> String {
        match self.scopes() {
            Scopes::All => "all".to_owned(),
            Scopes::Some(scopes) => scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(","),
        }
    }

    /// None: it is right.
    pub fn mistake(&self) -> Option<String> {
        if self.claim.is_empty() || self.value.is_empty() {
            return Some("write the name and the value of a claim".to_owned());
        }
        let scopes: Result<BTreeSet<Scope>, _> = self.scopes.iter().flatten().map(|scope| scope.parse()).collect();
        match scopes {
            Err(error) => Some(error.to_string()),
            Ok(scopes) if self.scopes.is_some() && scopes.is_empty() => {
                Some("scopes opens nothing; leave it out for everything".to_owned())
            }
            Ok(_) => None,
        }
    }
}

pub(super) struct OpenId {
    setup: Setup,
    redirect: Url,
}

impl OpenId {
    pub(super) fn new(setup: Setup) -> Self {
        let mut redirect = setup.page.clone();
        redirect.set_path(&format!("{}{CALLBACK}", setup.page.path()));
        Self { setup, redirect }
    }

    /// The provider as people know it.
    pub(super) fn shown(&self) -> &str {
        self.setup.provider.host()
    }

    pub(super) fn rule(&self, claim: &str, value: &str) -> Option<&Access> {
        let is_it = |rule: &&Access| rule.claim == claim && rule.value == value;
        self.setup.access.iter().find(is_it)
    }

    fn rule_of(&self, claims: &Claims) -> Option<&Access> {
        self.setup
            .access
            .iter()
            .find(|rule| claims.has(&rule.claim, &rule.value))
    }

    async fn person(&self, answer: Answer, pending: Option<Pending>) -> Result<(Who, &Access), Refused> {
        if let Some(error) = answer.error {
            return Err(Refused::Provider(error));
        }
        let pending = pending.ok_or(OidcError::State)?;
        let (state, code) = (answer.state.unwrap_or_default(), answer.code.unwrap_or_default());
        let finished = self
            .setup
            .provider
            .finish(&self.redirect, pending, &state, &code, Clock.now(), Clock.unix());
        let claims = finished.await?;
        let name: String = claims.display_name().chars().take(LONGEST_NAME).collect();
        let rule = self.rule_of(&claims).ok_or(Refused::NoAccess(name.clone()))?;
        let who = Who::Person {
            claim: rule.claim.clone(),
            value: rule.value.clone(),
            name,
        };
        Ok((who, rule))
    }

    /// The page, which says why nobody is signed in.
    fn page_with(&self, refused: &Refused) -> Response {
        let mut page = self.setup.page.clone();
        page.query_pairs_mut().append_pair("refused", refused.word());
        Redirect::to(page.as_str()).into_response()
    }
}

#[derive(Debug, Error)]
enum Refused {
    #[error("the provider answers {0:?}")]
    Provider(String),
    #[error("no rule of console.oidc_access is for {0}")]
    NoAccess(String),
    #[error("the address has to wait")]
    TooMany,
    #[error(transparent)]
    Oidc(#[from] OidcError),
}

impl Refused {
    /// What the page is told.
    fn word(&self) -> &'static str {
        match self {
            Self::NoAccess(_) => "no_access",
            Self::TooMany => "too_many",
            Self::Oidc(OidcError::State) => "state",
            Self::Oidc(OidcError::Away(_) | OidcError::Lacks(_) | OidcError::Issuer(_)) => "provider_away",
            Self::Oidc(OidcError::Refused(_) | OidcError::TooLong) | Self::Provider(_) => "provider_refused",
        }
    }
}

/// The provider's answer (RFC 6749 §4.1.2).
#[derive(Deserialize)]
pub(super) struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

pub(super) async fn begin(State(console): State<Console>, extensions: Extensions) -> Response {
    let Some(open_id) = &console.0.open_id else {
        return not_configured();
    };
    let begun = open_id
        .setup
        .provider
        .begin(&open_id.redirect, &open_id.setup.scopes, Clock.now());
    match begun.await {
        Ok(begun) => {
            let answer = Redirect::to(begun.url.as_str());
            console.with_pending(&begun.pending.to_text(), PENDING_FOR, answer)
        }
        Err(error) => refuse(open_id, address(&extensions), &error.into()),
    }
}

pub(super) async fn finish(
    State(console): State<Console>,
    Query(answer): Query<Answer>,
    headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    let Some(open_id) = &console.0.open_id else {
        return not_configured();
    };
    let address = address(&extensions);
    if console.attempts().admit(address, Clock.now()).is_err() {
        return refuse(open_id, address, &Refused::TooMany);
    }
    let pending = cookie(&headers, PENDING_COOKIE).and_then(Pending::read);
    let response = match open_id.person(answer, pending).await {
        Ok((who, rule)) => {
            let session = console.session(who, (Clock.unix() + LIFE).as_secs());
            let answer = Redirect::to(open_id.setup.page.as_str());
            console.opened(&session, &rule.opened_with(), address, answer)
        }
        Err(refused) => refuse(open_id, address, &refused),
    };
    // It was good for one sign-in.
    console.with_pending("", Duration::ZERO, response)
}

fn refuse(open_id: &OpenId, address: IpAddr, refused: &Refused) -> Response {
    metrics::counter!("rotunda_console_sign_ins_total", "result" => "refused").increment(1);
    let error = refused as &dyn std::error::Error;
    warn!(%address, error, "a sign-in to the console by the OpenID provider was refused");
    open_id.page_with(refused)
}

fn not_configured() -> Response {
    let message = "no OpenID provider is configured; set console.oidc_issuer";
    crate::api::ApiError::new("ResourceNotFound", message).into_response()
}

impl Console {
    /// The provider's page leads back from another site, so this cookie is not for the same site alone.
    fn with_pending(&self, value: &str, life: Duration, answer: impl IntoResponse) -> Response {
        let secure = if self.0.is_secure { "; Secure" } else { "" };
        let seconds = life.as_secs();
        let text = format!("{PENDING_COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut response = answer.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.append(header::SET_COOKIE, text);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(claim: &str, value: &str, scopes: Option<&[&str]>) -> Access {
        Access {
            claim: claim.to_owned(),
            value: value.to_owned(),
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        }
    }

    #[test]
    fn a_rule_opens_its_scopes_or_everything() {
        assert_eq!(access("groups", "ops", None).scopes(), Scopes::All);
        let some = access("groups", "ops", Some(&["usage", "rooms"]));
        assert_eq!(some.scopes(), Scopes::Some([Scope::Rooms, Scope::Usage].into()));
        let other_order = access("groups", "ops", Some(&["rooms", "usage"]));
        assert_eq!(some.opened_with(), other_order.opened_with());
        assert_ne!(
            some.opened_with(),
            access("groups", "ops", Some(&["rooms"])).opened_with()
        );
    }

    #[test]
    fn a_rule_that_nobody_can_mean_is_a_mistake() {
        assert_eq!(access("groups", "ops", Some(&["rooms"])).mistake(), None);
        for (wrong, says) in [
            (access("", "ops", None), "the name and the value"),
            (access("groups", "", None), "the name and the value"),
            (access("groups", "ops", Some(&["root"])), "\"root\" is no scope"),
            (access("groups", "ops", Some(&[])), "opens nothing"),
        ] {
            let message = wrong.mistake().unwrap();
            assert!(message.contains(says), "{message}");
        }
    }
}
