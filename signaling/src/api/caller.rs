//! Whose application calls: `authorization: Bearer <secret id>:<api secret>`, for the faces that are not signed.

use rotunda_proto::config::Application;
use subtle::ConstantTimeEq;

use super::ApiError;
use crate::applications::Applications;

/// The application of an `authorization` header.
pub fn caller<'a>(applications: &'a Applications, header: Option<&str>) -> Result<&'a Application, ApiError> {
    let malformed = |what: &str| ApiError::new("AuthFailure.InvalidAuthorization", what);
    let header = header.ok_or_else(|| malformed("send `authorization: Bearer <secret id>:<secret>`"))?;
    let keys = header.strip_prefix("Bearer ").and_then(|keys| keys.split_once(':'));
    let (id, secret) = keys.ok_or_else(|| malformed("write `Bearer <secret id>:<secret>`"))?;
    let application = applications
        .by_secret_id(id)
        .ok_or_else(|| ApiError::new("AuthFailure.SecretIdNotFound", "unknown key id"))?;
    let same: bool = application
        .api_secret
        .reveal()
        .as_bytes()
        .ct_eq(secret.as_bytes())
        .into();
    if same {
        Ok(application)
    } else {
        Err(ApiError::new("AuthFailure.SignatureFailure", "wrong secret"))
    }
}
