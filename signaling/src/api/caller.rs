//! Finds the calling application by `authorization: Bearer <secret id>:<api secret>`, for the faces without signatures.

use rotunda_proto::api_key::{self, ApiKeyError};
use rotunda_proto::applications::{Reach, Scope};
use rotunda_proto::config::Application;
use rotunda_proto::ids::shortened;

use super::ApiError;
use crate::applications::Applications;

/// The application of an `authorization` header, whose key must open that part of the API.
pub fn caller(applications: &Applications, header: Option<&str>, scope: Scope) -> Result<Application, ApiError> {
    let found = known(applications, header)?;
    check_scope(found, scope)?;
    Ok(found.clone())
}

/// The application of an `authorization` header, whatever its key opens.
pub fn known<'a>(applications: &'a Applications, header: Option<&str>) -> Result<&'a Application, ApiError> {
    api_key::application(applications.by_key(), header).map_err(|error| {
        let code = match error {
            ApiKeyError::Missing | ApiKeyError::Malformed => "AuthFailure.InvalidAuthorization",
            ApiKeyError::UnknownId => "AuthFailure.SecretIdNotFound",
            ApiKeyError::WrongSecret => "AuthFailure.SignatureFailure",
        };
        ApiError::new(code, error.to_string())
    })
}

/// Names the application for which an operator's key makes a call.
pub const ACTS_AS: &str = "x-sdk-app-id";

/// The application for which a call is made: with an operator's key the one that the header `x-sdk-app-id` names.
///
/// `header`: reads a header of the call.
pub fn acting_as<'a>(
    applications: &Applications,
    known: &Application,
    header: impl Fn(&'static str) -> Option<&'a str>,
) -> Result<Application, ApiError> {
    let Some(wanted) = header(ACTS_AS) else {
        return Ok(known.clone());
    };
    let id = wanted.trim().parse::<u32>().ok().and_then(|id| id.try_into().ok());
    let id = id.ok_or_else(|| {
        let message = format!(
            "{ACTS_AS} must be the number of an application, not {}",
            shortened(wanted)
        );
        ApiError::new("InvalidParameter.SdkAppId", message)
    })?;
    if known.sdk_app_id == id {
        return Ok(known.clone());
    }
    if known.reach != Reach::All {
        let message = "the key belongs to another application; only an operator's key acts as each";
        return Err(ApiError::new("UnauthorizedOperation.SdkAppId", message));
    }
    let of = applications.by_id(id).ok_or_else(|| {
        ApiError::new(
            "ResourceNotFound",
            format!("there is no application {id}; see ListApplications"),
        )
    })?;
    Ok(Application {
        secret_id: known.secret_id.clone(),
        api_secret: known.api_secret.clone(),
        scopes: known.scopes.clone(),
        reach: known.reach,
        ..of.clone()
    })
}

/// Errors: the caller's key does not open that part of the API.
pub fn check_scope(caller: &Application, scope: Scope) -> Result<(), ApiError> {
    match caller.scopes.permit(scope) {
        true => Ok(()),
        false => Err(ApiError::new(
            "UnauthorizedOperation.Scope",
            format!(
                "the key {} does not have the scope {scope}; use another key",
                caller.secret_id
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_key_acts_as_the_application_that_the_call_names() {
        let app = |id: u32| Application::new(id.try_into().unwrap(), "key");
        let operator = Application {
            secret_id: "operator".to_owned(),
            reach: Reach::All,
            ..app(1)
        };
        let applications = Applications::new(vec![app(1), app(2)]);
        let acting = |known: &Application, header: Option<&'static str>| {
            acting_as(&applications, known, |_| header)
                .map(|caller| (caller.sdk_app_id.get(), caller.secret_id))
                .map_err(|error| error.code)
        };
        assert_eq!(acting(&operator, None), Ok((1, "operator".to_owned())));
        assert_eq!(acting(&operator, Some("2")), Ok((2, "operator".to_owned())));
        assert_eq!(acting(&operator, Some("3")), Err("ResourceNotFound"));
        assert_eq!(acting(&operator, Some("two")), Err("InvalidParameter.SdkAppId"));
        assert_eq!(acting(&app(2), Some("2")), Ok((2, String::new())));
        assert_eq!(acting(&app(2), Some("1")), Err("UnauthorizedOperation.SdkAppId"));
    }
}
