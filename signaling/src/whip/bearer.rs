//! Authenticates the user by the UserSig in `Authorization: Bearer`, which names application and user.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use rotunda_proto::ids::RoomKey;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::signaling::ErrorCode;
use rotunda_proto::user_sig::{self, Claim, UserSigError};

use super::problem::Problem;
use crate::applications::Applications;
use crate::member::failure;

/// The token of a request, from where the client could put it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    Given(&'a str),
    /// It came in the query, which the configuration does not permit.
    OnlyInQuery,
    Missing,
}

/// Whether a token in the query counts: `signaling.whip_query_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTokens {
    Permitted,
    Refused,
}

impl<'a> Token<'a> {
    /// `query`: the value of `token` or `access_token` in the query. The header comes first.
    pub fn of(headers: &'a HeaderMap, query: Option<&'a str>, permitted: QueryTokens) -> Self {
        match (Self::in_header(headers), query) {
            (Some(token), _) => Self::Given(token),
            (None, Some(token)) if permitted == QueryTokens::Permitted => Self::Given(token),
            (None, Some(_)) => Self::OnlyInQuery,
            (None, None) => Self::Missing,
        }
    }

    fn in_header(headers: &HeaderMap) -> Option<&str> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        // RFC 9110 §11.1: schemes have no case.
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// Errors: 401 with the header in which the token belongs.
    fn given(self) -> Result<&'a str, Problem> {
        match self {
            Self::Given(token) => Ok(token),
            Self::OnlyInQuery => Err(Problem::token_in_query()),
            Self::Missing => Err(Problem::no_token()),
        }
    }
}

/// A token with a verified signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    Valid(Claim),
    /// It has expired. It opens no new session, but it may still end an old one.
    Expired(Claim),
}

impl Bearer {
    /// Errors: 401 without a token, and with one that is malformed or wrong.
    pub fn read(token: Token<'_>, applications: &Applications, unix_now: Duration) -> Result<Self, Problem> {
        let token = token.given()?;
        let invalid = || Problem::unauthorized(ErrorCode::UserSigInvalid);
        let claim = user_sig::claim(token).map_err(|_| invalid())?;
        let application = applications
            .by_id(claim.app)
            .ok_or_else(|| Problem::unauthorized(ErrorCode::UnknownApplication))?;
        let verified = application.verify(
            |key| user_sig::verify(token, claim.app, key, &claim.user, unix_now),
            |error| *error == UserSigError::Signature,
        );
        match verified {
            Ok(()) => Ok(Self::Valid(claim)),
            Err(UserSigError::Expired) => Ok(Self::Expired(claim)),
            Err(_) => Err(invalid()),
        }
    }

    /// For requests that need a valid ticket.
    pub fn valid(self) -> Result<Claim, Problem> {
        match self {
            Self::Valid(claim) => Ok(claim),
            Self::Expired(_) => Err(Problem::unauthorized(ErrorCode::UserSigExpired)),
        }
    }

    /// The rights of the token in a room. If the application requires room tickets, the token must be one.
    pub fn rights(
        token: Token<'_>,
        applications: &Applications,
        claim: &Claim,
        room: &RoomKey,
        unix_now: Duration,
    ) -> Result<Rights, Problem> {
        let rights = applications.rights(room, &claim.user, token.given().ok(), unix_now);
        rights.map_err(|code| failure(code).into())
    }

    /// For requests of a running session.
    pub fn even_expired(self) -> Claim {
        match self {
            Self::Valid(claim) | Self::Expired(claim) => claim,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use rotunda_proto::config::Application;
    use rotunda_proto::ids::SdkAppId;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn read(value: &str) -> Result<Bearer, Problem> {
        let applications = Applications::new(vec![Application::new(app(1), "key")]);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        Bearer::read(Token::of(&headers, None, QueryTokens::Refused), &applications, NOW)
    }

    #[test]
    fn a_token_in_the_query_is_used_if_permitted_and_if_there_is_none_in_the_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(Token::of(&headers, None, QueryTokens::Permitted), Token::Missing);
        assert_eq!(
            Token::of(&headers, Some("q"), QueryTokens::Permitted),
            Token::Given("q")
        );
        let refused = Token::of(&headers, Some("q"), QueryTokens::Refused);
        assert_eq!(refused, Token::OnlyInQuery);
        let problem = Bearer::read(refused, &Applications::new(Vec::new()), NOW).unwrap_err();
        assert!(
            format!("{problem:?}").contains("signaling.whip_query_tokens"),
            "{problem:?}"
        );
        headers.insert(header::AUTHORIZATION, "Bearer h".parse().unwrap());
        assert_eq!(
            Token::of(&headers, Some("q"), QueryTokens::Permitted),
            Token::Given("h")
        );
    }

    fn app(number: u32) -> SdkAppId {
        SdkAppId::try_from(number).unwrap()
    }

    fn ticket(app_number: u32, key: &str, seconds: u64) -> String {
        let user = "ann".parse().unwrap();
        let life = Duration::from_secs(seconds);
        user_sig::sign(app(app_number), key, &user, NOW - Duration::from_secs(60), life)
    }

    #[test]
    fn a_valid_ticket_names_application_and_user() {
        let claim = read(&format!("bearer {}", ticket(1, "key", 600)))
            .unwrap()
            .valid()
            .unwrap();
        assert_eq!((claim.app, claim.user.as_str()), (app(1), "ann"));
    }

    #[test]
    fn wrong_tickets_are_401_by_name() {
        for (value, name) in [
            ("Basic YTpi".to_owned(), "not_logged_in"),
            ("Bearer nonsense".to_owned(), "user_sig_invalid"),
            (format!("Bearer {}", ticket(1, "other", 600)), "user_sig_invalid"),
            (format!("Bearer {}", ticket(2, "key", 600)), "unknown_application"),
        ] {
            let problem = read(&value).unwrap_err();
            assert_eq!(problem.status, StatusCode::UNAUTHORIZED);
            assert!(format!("{problem:?}").contains(name), "{problem:?}");
        }
    }

    #[test]
    fn an_expired_ticket_opens_nothing_and_may_still_end_its_own_session() {
        let expired = read(&format!("Bearer {}", ticket(1, "key", 30))).unwrap();
        assert_eq!(expired.clone().valid().unwrap_err().status, StatusCode::UNAUTHORIZED);
        assert_eq!(expired.even_expired().user.as_str(), "ann");
    }
}
