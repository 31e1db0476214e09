//! Finds the calling application by `authorization: Bearer <secret id>:<api secret>`, for the faces without signatures.

use rotunda_proto::api_key::{self, ApiKeyError};
use rotunda_proto::config::Application;

use super::ApiError;
use crate::applications::Applications;

/// The application of an `authorization` header.
pub fn caller<'a>(applications: &'a Applications, header: Option<&str>) -> Result<&'a Application, ApiError> {
    api_key::application(applications.iter(), header).map_err(|error| {
        let code = match error {
            ApiKeyError::Missing | ApiKeyError::Malformed => "AuthFailure.InvalidAuthorization",
            ApiKeyError::UnknownId => "AuthFailure.SecretIdNotFound",
            ApiKeyError::WrongSecret => "AuthFailure.SignatureFailure",
        };
        ApiError::new(code, error.to_string())
    })
}
