//! API keys in an HTTP header: `authorization: Bearer <secret id>:<api secret>`.

use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::config::Application;

/// Why a header identifies no application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiKeyError {
    #[error("send `authorization: Bearer <secret id>:<api secret>`")]
    Missing,
    #[error("write `Bearer <secret id>:<api secret>`")]
    Malformed,
    #[error("unknown key id")]
    UnknownId,
    #[error("wrong secret")]
    WrongSecret,
}

/// The application whose key the header has. Applications without API keys are never found.
pub fn application<'a>(
    mut applications: impl Iterator<Item = &'a Application>,
    header: Option<&str>,
) -> Result<&'a Application, ApiKeyError> {
    let header = header.ok_or(ApiKeyError::Missing)?;
    let keys = header.strip_prefix("Bearer ").and_then(|keys| keys.split_once(':'));
    let (id, secret) = keys.ok_or(ApiKeyError::Malformed)?;
    let application = applications
        .find(|application| !application.secret_id.is_empty() && application.secret_id == id)
        .ok_or(ApiKeyError::UnknownId)?;
    let right = application.api_secret.reveal().as_bytes();
    let same: bool = right.ct_eq(secret.as_bytes()).into();
    if same && !right.is_empty() {
        Ok(application)
    } else {
        Err(ApiKeyError::WrongSecret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_key_names_its_application_and_an_empty_one_nobody() {
        let without = Application::new(1.try_into().unwrap(), "k");
        let with = Application {
            secret_id: "id".to_owned(),
            api_secret: Secret::new("secret"),
            ..Application::new(2.try_into().unwrap(), "k")
        };
        let half = Application {
            secret_id: "half".to_owned(),
            ..Application::new(3.try_into().unwrap(), "k")
        };
        let applications = [without, with, half];
        let found = |header| application(applications.iter(), header).map(|found| found.sdk_app_id.get());
        assert_eq!(found(Some("Bearer id:secret")), Ok(2));
        assert_eq!(found(None), Err(ApiKeyError::Missing));
        assert_eq!(found(Some("id:secret")), Err(ApiKeyError::Malformed));
        assert_eq!(found(Some("Bearer :")), Err(ApiKeyError::UnknownId));
        assert_eq!(found(Some("Bearer half:")), Err(ApiKeyError::WrongSecret));
        assert_eq!(found(Some("Bearer id:secre")), Err(ApiKeyError::WrongSecret));
    }
}
