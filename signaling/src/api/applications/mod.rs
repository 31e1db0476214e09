//! The actions on applications and their API keys: list, make, change, exchange secrets, delete. The contract has none of these.
//!
//! A key administers its own application. The operator's keys administer all: those of the generated application, and those made with
//! `rotunda keys create --operator`. Applications of the configuration file change there alone.

mod keys;
mod list;
mod settings;

use rotunda_proto::application_settings::{Settings, SettingsChange, mistakes};
use rotunda_proto::applications::{Origin, Reach};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{SdkAppId, shortened};
use rotunda_store::{IssuedSecret, Kept, Purpose, Slot, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::ApiError;
use super::request::{request, required};
use crate::shared::Shared;
use settings::ApplicationSettings;

pub use keys::{
    ApiKeyList, ApiKeyMade, CreateApiKey, DeleteApiKey, ListApiKeys, create as create_key, delete as delete_key,
    list as list_keys,
};
pub use list::{ApplicationPage, ListApplications, list};

type Checked<T> = Result<T, ApiError>;

/// Longest name, characters.
const LONGEST_NAME: usize = 128;
/// Numbers that are given to applications begin after this one.
const NUMBERS_AFTER: u32 = 1_400_000_001;
/// Numbers that are tried when another call takes them at the same time.
const TRIES: u32 = 16;

request! {
    /// Makes an application. Its secrets are in the answer, and are never shown again. Every node serves it within 2 seconds.
    CreateApplication {
        /// 1 to 4294967295; absent: the next free number.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
        /// For people: at most 128 characters.
        name: Option<String> = "Name" ? "InvalidParameter",
        /// Absent settings have their defaults.
        settings: Option<ApplicationSettings> = "Settings" ? "InvalidParameter",
        /// Whether playback addresses are protected with a key that is made (`txSecret`, `txTime`). Default false.
        play_key: Option<bool> = "PlayKey" ? "InvalidParameter",
    }
}

request! {
    /// Changes the name and settings of an application. What is absent stays as it is. Every node follows within 2 seconds.
    ModifyApplication {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// For people: at most 128 characters.
        name: Option<String> = "Name" ? "InvalidParameter",
        /// The settings to change.
        settings: Option<ApplicationSettings> = "Settings" ? "InvalidParameter",
        /// The change is refused when the application has another revision, because someone else has changed it.
        revision: Option<u64> = "Revision" ? "InvalidParameter",
    }
}

request! {
    /// Puts a new secret beside the present one: both are valid until a call with `Finish`. The new one is never shown again.
    RotateApplicationSecret {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// `user_sig` (UserSigs and room tickets), `callback` or `play`. Default `user_sig`. Callbacks and playback addresses have one
        /// valid secret at a time: the newest.
        purpose: Option<String> = "Purpose" ? "InvalidParameter",
        /// Ends the exchange: the earlier secret is valid no longer. Default false.
        finish: Option<bool> = "Finish" ? "InvalidParameter",
    }
}

request! {
    /// Deletes an application with its secrets and API keys. Members who are inside stay until they leave.
    DeleteApplication {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApplicationMade {
    pub sdk_app_id: u32,
    /// Signs UserSigs and room tickets.
    pub secret_key: String,
    /// Signs callbacks; absent: the application has no address for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_key: Option<String>,
    /// Signs playback addresses; absent: `PlayKey` was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play_key: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApplicationChanged {
    /// That of the changed application.
    pub revision: u64,
    /// Signs callbacks: made when the application gets its first address for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_key: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SecretRotated {
    pub purpose: String,
    /// The new secret; absent: the exchange has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

pub async fn create(shared: &Shared, caller: &Application, request: CreateApplication) -> Checked<ApplicationMade> {
    operator(caller)?;
    let name = name(request.name)?.unwrap_or_default();
    let change = settings::change(request.settings.unwrap_or_default())?;
    let settings = Settings::default().changed(change);
    let mut purposes = vec![Purpose::UserSig];
    purposes.extend(settings.has_callbacks().then_some(Purpose::Callback));
    purposes.extend(request.play_key.unwrap_or(false).then_some(Purpose::Play));
    let wanted = request.sdk_app_id.map(app_id).transpose()?;
    let mut id = match wanted {
        Some(id) => id,
        None => next_number(shared).await?,
    };
    check(shared, id, &settings)?;
    let value = serde_json::to_value(&settings).map_err(|error| ApiError::internal(&error))?;
    let mut tries = 0;
    let issued = loop {
        // An application of the configuration file hides one of the database.
        let is_known = shared.applications().by_id(id).is_some();
        let created = match is_known {
            true => Err(StoreError::Exists(format!("application {id}"))),
            false => shared.vault.create(id, &name, &value, &purposes, Clock.unix()).await,
        };
        match created {
            Err(StoreError::Exists(_)) if wanted.is_none() && tries < TRIES => {
                tries += 1;
                id = id
                    .get()
                    .checked_add(1)
                    .and_then(|next| next.try_into().ok())
                    .unwrap_or(id);
            }
            Err(StoreError::Exists(_)) => {
                let message = format!("SdkAppId {id} is an application already; choose another number");
                return Err(ApiError::new("ResourceInUse", message));
            }
            created => break created.map_err(failed)?,
        }
    };
    let mut made = ApplicationMade {
        sdk_app_id: id.get(),
        secret_key: String::new(),
        callback_key: None,
        play_key: None,
    };
    for IssuedSecret { purpose, text } in issued {
        match purpose {
            Purpose::UserSig => made.secret_key = text,
            Purpose::Callback => made.callback_key = Some(text),
            Purpose::Play => made.play_key = Some(text),
        }
    }
    tracing::info!(application = %id, by = caller.secret_id, "an application was made");
    Ok(made)
}

/// After those of the database and of the configuration.
async fn next_number(shared: &Shared) -> Checked<SdkAppId> {
    let kept = shared.vault.applications().await.map_err(failed)?;
    let applications = shared.applications();
    let known = kept.iter().map(|kept| kept.row.id);
    let known = known.chain(applications.iter().map(|application| application.sdk_app_id));
    let highest = known.map(SdkAppId::get).max().unwrap_or(0).max(NUMBERS_AFTER);
    // Past the last number it is found to be taken.
    highest.saturating_add(1).try_into().map_err(|_| app_id_error(0))
}

pub async fn modify(shared: &Shared, caller: &Application, request: ModifyApplication) -> Checked<ApplicationChanged> {
    let kept = find(shared, caller, request.sdk_app_id).await?;
    let revision = kept.row.revision.unsigned_abs();
    if request.revision.is_some_and(|wanted| wanted != revision) {
        return Err(changed_meanwhile(kept.row.id));
    }
    let change = settings::change(request.settings.unwrap_or_default())?;
    if change == SettingsChange::default() && request.name.is_none() {
        return Err(ApiError::new(
            "MissingParameter",
            "name what is to change: Name or Settings",
        ));
    }
    let name = name(request.name)?.unwrap_or_else(|| kept.row.name.clone());
    let before: Settings =
        serde_json::from_value(kept.row.settings.clone()).map_err(|error| ApiError::internal(&error))?;
    let settings = before.changed(change);
    check(shared, kept.row.id, &settings)?;
    let value = serde_json::to_value(&settings).map_err(|error| ApiError::internal(&error))?;
    let now = Clock.unix();
    let changed = shared
        .vault
        .change(&kept, &name, &value, settings.has_callbacks(), now)
        .await;
    let issued = changed.map_err(failed)?;
    tracing::info!(application = %kept.row.id, by = caller.secret_id, "an application was changed");
    Ok(ApplicationChanged {
        revision: revision + if issued.is_some() { 2 } else { 1 },
        callback_key: issued.map(|secret| secret.text),
    })
}

pub async fn rotate(shared: &Shared, caller: &Application, request: RotateApplicationSecret) -> Checked<SecretRotated> {
    let purpose = request.purpose.as_deref().unwrap_or("user_sig");
    let purpose = Purpose::parse(purpose).ok_or_else(|| {
        let message = format!("Purpose must be user_sig, callback or play, not {}", shortened(purpose));
        ApiError::new("InvalidParameter", message)
    })?;
    let kept = find(shared, caller, request.sdk_app_id).await?;
    let (id, now) = (kept.row.id, Clock.unix());
    let mut rotated = SecretRotated {
        purpose: purpose.as_str().to_owned(),
        secret: None,
    };
    if request.finish.unwrap_or(false) {
        shared.vault.finish_rotation(id, purpose, now).await.map_err(failed)?;
        return Ok(rotated);
    }
    if kept.has(purpose, Slot::Second) {
        let message = "two secrets are valid already; end that exchange with Finish = true first";
        return Err(ApiError::new("FailedOperation.TwoSecretsValid", message));
    }
    let issued = shared.vault.rotate(&kept, purpose, now).await.map_err(failed)?;
    tracing::info!(application = %id, purpose = purpose.as_str(), by = caller.secret_id, "a secret is exchanged");
    rotated.secret = Some(issued.text);
    Ok(rotated)
}

pub async fn delete(shared: &Shared, caller: &Application, request: DeleteApplication) -> Checked<()> {
    operator(caller)?;
    let kept = find(shared, caller, request.sdk_app_id).await?;
    let deleted = shared.store.delete_application(kept.row.id).await.map_err(failed)?;
    tracing::info!(application = %kept.row.id, by = caller.secret_id, "an application was deleted");
    match deleted {
        true => Ok(()),
        false => Err(no_application(kept.row.id)),
    }
}

/// An application of the database that the caller administers.
async fn find(shared: &Shared, caller: &Application, id: Option<u64>) -> Checked<Kept> {
    let id = app_id(required(id, "MissingParameter.SdkAppId", "SdkAppId")?)?;
    administers(caller, id)?;
    let applications = shared.applications();
    if let Some(known) = applications.by_id(id)
        && known.origin == Origin::Configuration
    {
        let message = format!("application {id} is in the configuration file; change it there");
        return Err(ApiError::new("FailedOperation.ConfiguredApplication", message));
    }
    let kept = shared.vault.application(id).await.map_err(failed)?;
    kept.ok_or_else(|| no_application(id))
}

/// Errors: the caller's key is another application's.
fn administers(caller: &Application, id: SdkAppId) -> Checked<()> {
    match caller.reach {
        Reach::All => Ok(()),
        Reach::Own if caller.sdk_app_id == id => Ok(()),
        Reach::Own => operator(caller),
    }
}

/// Errors: the caller's key is not the operator's.
pub fn operator(caller: &Application) -> Checked<()> {
    match caller.reach {
        Reach::All => Ok(()),
        Reach::Own => {
            let message = format!(
                "the key {} administers its own application alone; make an operator's key with `rotunda keys create --operator \
                 --scopes admin`",
                caller.secret_id
            );
            Err(ApiError::new("UnauthorizedOperation.SdkAppId", message))
        }
    }
}

fn check(shared: &Shared, id: SdkAppId, settings: &Settings) -> Checked<()> {
    let application = settings.clone().apply(Application::new(id, "-"));
    match mistakes(&application, &shared.config.process.outbound).first() {
        Some(mistake) => {
            let message = format!("Settings.{}: {}", settings::field(&mistake.key), mistake.message);
            Err(ApiError::new("InvalidParameter", message))
        }
        None => Ok(()),
    }
}

fn name(name: Option<String>) -> Checked<Option<String>> {
    let is_long = |name: &String| name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control);
    match name {
        Some(name) if is_long(&name) => {
            let message = format!("Name must have at most {LONGEST_NAME} characters in one line");
            Err(ApiError::new("InvalidParameter", message))
        }
        name => Ok(name),
    }
}

fn app_id(number: u64) -> Checked<SdkAppId> {
    let id = u32::try_from(number).ok().and_then(|number| number.try_into().ok());
    id.ok_or_else(|| app_id_error(number))
}

fn app_id_error(number: u64) -> ApiError {
    let message = format!("SdkAppId must be 1 to {}, not {number}", u32::MAX);
    ApiError::new("InvalidParameter.SdkAppId", message)
}

fn no_application(id: SdkAppId) -> ApiError {
    ApiError::new(
        "ResourceNotFound",
        format!("there is no application {id}; see ListApplications"),
    )
}

fn changed_meanwhile(id: SdkAppId) -> ApiError {
    let message = format!("application {id} has been changed meanwhile; read it again with ListApplications");
    ApiError::new("FailedOperation.ApplicationChanged", message)
}

fn failed(error: StoreError) -> ApiError {
    match error {
        StoreError::Changed(what) | StoreError::Exists(what) => {
            let message = format!("{what} has been changed meanwhile; read it again with ListApplications");
            ApiError::new("FailedOperation.ApplicationChanged", message)
        }
        StoreError::Missing(what) => ApiError::new("ResourceNotFound", format!("there is no {what}")),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "administer applications");
            ApiError::new("InternalError.DBError", "the database does not answer; try again")
        }
    }
}

#[cfg(test)]
mod tests;
