//! Finds the calling application by `authorization: Bearer <secret id>:<api secret>`, for the faces without signatures.

use rotunda_proto::api_key::{self, ApiKeyError};
use rotunda_proto::applications::Scope;
use rotunda_proto::config::Application;

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
