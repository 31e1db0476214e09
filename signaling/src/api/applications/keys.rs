//! `ListApiKeys`, `CreateApiKey` and `DeleteApiKey`.

use std::collections::BTreeSet;
use std::time::Duration;

use rotunda_proto::applications::{Reach, Scope};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{SdkAppId, shortened};
use rotunda_store::{ApiKey, IssuedKey, KeyWish};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, administers, app_id, failed, name, no_application, operator};
use crate::api::ApiError;
use crate::api::own::{page, page_size};
use crate::api::request::{request, required};
use crate::shared::Shared;

/// API keys of an application.
const MOST: usize = 100;
/// Longest life of a key, days.
const LONGEST_LIFE: u64 = 36_500;
const DAY: u64 = 86_400;

request! {
    /// Lists the API keys of the database that the key administers, without their secrets.
    ListApiKeys {
        /// Of this application alone.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
        /// The `Next` of the page before.
        after: Option<String> = "After" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

request! {
    /// Makes an API key. Its secret is in the answer, and is never shown again. Every node knows it within 2 seconds.
    CreateApiKey {
        /// The application; absent: that of the calling key.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
        /// The key is the operator's: it administers all applications, and acts as each of them. Default false.
        operator: Option<bool> = "Operator" ? "InvalidParameter",
        /// For people: at most 128 characters.
        name: Option<String> = "Name" ? "InvalidParameter",
        /// Some of `mix`, `rooms`, `moderate`, `recordings`, `live`, `usage` and `admin`; the calling key must have them, too.
        scopes: Vec<String> = "Scopes" ! "InvalidParameter",
        /// Days until it expires, 1 to 36500; absent: it does not.
        days: Option<u64> = "Days" ? "InvalidParameter",
    }
}

request! {
    /// Deletes an API key. It opens nothing any more within 2 seconds.
    DeleteApiKey {
        /// As `ListApiKeys` answers it.
        secret_id: Option<String> = "SecretId" ! "InvalidParameter",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApiKeyList {
    pub api_keys: Vec<ApiKeyInfo>,
    /// For `After`; absent: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApiKeyInfo {
    pub secret_id: String,
    /// Absent: the key is the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk_app_id: Option<u32>,
    pub name: String,
    pub scopes: Vec<String>,
    /// Unix seconds.
    pub create_time: u64,
    /// Unix seconds; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApiKeyMade {
    pub secret_id: String,
    pub api_secret: String,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListApiKeys) -> Checked<ApiKeyList> {
    let size = page_size(request.page_size)?;
    let of = request.sdk_app_id.map(app_id).transpose()?;
    if let Some(of) = of {
        administers(caller, of)?;
    }
    let mut keys = shared.store.api_keys().await.map_err(failed)?;
    keys.retain(|key| {
        let is_meant = of.is_none() || key.about.application == of;
        is_meant && may_administer(caller, key)
    });
    let named = keys.into_iter().map(|key| (key.about.id.clone(), info(key))).collect();
    let (api_keys, next) = page(named, request.after.as_deref(), size);
    Ok(ApiKeyList { api_keys, next })
}

fn info(key: ApiKey) -> ApiKeyInfo {
    let about = key.about;
    ApiKeyInfo {
        secret_id: about.id,
        sdk_app_id: about.application.map(SdkAppId::get),
        name: about.name,
        scopes: about.scopes.into_iter().collect(),
        create_time: about.created.as_secs(),
        expire_time: about.expires.map(|end| end.as_secs()),
    }
}

fn may_administer(caller: &Application, key: &ApiKey) -> bool {
    caller.reach == Reach::All || key.about.application == Some(caller.sdk_app_id)
}

pub async fn create(shared: &Shared, caller: &Application, request: CreateApiKey) -> Checked<ApiKeyMade> {
    let application = match (request.operator.unwrap_or(false), request.sdk_app_id) {
        (true, None) => {
            operator(caller)?;
            None
        }
        (true, Some(_)) => {
            let message = "an operator's key is of no application; leave SdkAppId or Operator out";
            return Err(ApiError::new("InvalidParameter", message));
        }
        (false, None) => Some(caller.sdk_app_id),
        (false, Some(id)) => Some(app_id(id)?),
    };
    if let Some(id) = application {
        administers(caller, id)?;
    }
    let scopes = scopes(caller, &request.scopes)?;
    let now = Clock.unix();
    let expires = request.days.map(|days| match days {
        1..=LONGEST_LIFE => Ok(now + Duration::from_secs(days * DAY)),
        days => {
            let message = format!("Days must be 1 to {LONGEST_LIFE}, not {days}");
            Err(ApiError::new("InvalidParameter", message))
        }
    });
    let wish = KeyWish {
        application,
        name: name(request.name)?.unwrap_or_default(),
        scopes,
        expires: expires.transpose()?,
    };
    if let Some(id) = application
        && shared.applications().by_id(id).is_none()
    {
        // It may be disabled.
        let kept = shared.vault.application(id).await.map_err(failed)?;
        kept.ok_or_else(|| no_application(id))?;
    }
    let keys = shared.store.api_keys().await.map_err(failed)?;
    if keys.iter().filter(|key| key.about.application == application).count() >= MOST {
        let message = format!("there are {MOST} API keys already; delete one with DeleteApiKey first");
        return Err(ApiError::new("LimitExceeded", message));
    }
    let IssuedKey { key, secret } = shared.vault.create_key(wish, now).await.map_err(failed)?;
    tracing::info!(key = key.id, by = caller.secret_id, "an API key was made");
    Ok(ApiKeyMade {
        secret_id: key.id,
        api_secret: secret,
    })
}

/// Nobody gives more than they have.
fn scopes(caller: &Application, texts: &[String]) -> Checked<BTreeSet<String>> {
    if texts.is_empty() {
        return Err(ApiError::new("MissingParameter", "Scopes is missing"));
    }
    let mut scopes = BTreeSet::new();
    for text in texts {
        let scope: Scope = text.parse().map_err(|_| {
            let all = Scope::ALL.map(Scope::as_str).join(", ");
            let message = format!("Scopes must have some of {all}, not {}", shortened(text));
            ApiError::new("InvalidParameter", message)
        })?;
        crate::api::caller::check_scope(caller, scope)?;
        scopes.insert(scope.to_string());
    }
    Ok(scopes)
}

pub async fn delete(shared: &Shared, caller: &Application, request: DeleteApiKey) -> Checked<()> {
    let id = required(request.secret_id, "MissingParameter", "SecretId")?;
    let keys = shared.store.api_keys().await.map_err(failed)?;
    let found = keys
        .iter()
        .find(|key| key.about.id == id && may_administer(caller, key));
    let is_gone = match found {
        None => true,
        Some(_) => !shared.store.delete_api_key(&id).await.map_err(failed)?,
    };
    if is_gone {
        let message = format!("there is no API key {}; see ListApiKeys", shortened(&id));
        return Err(ApiError::new("ResourceNotFound", message));
    }
    tracing::info!(key = id, by = caller.secret_id, "an API key was deleted");
    Ok(())
}
