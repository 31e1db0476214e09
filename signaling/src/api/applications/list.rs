//! `ListApplications`.

use rotunda_proto::application_settings::Settings;
use rotunda_proto::applications::{Origin, Reach};
use rotunda_proto::config::Application;
use rotunda_store::{Kept, Slot};
use schemars::JsonSchema;
use serde::Serialize;

use super::settings::SettingsInfo;
use super::{Checked, failed};
use crate::api::own::page_size;
use crate::api::request::request;
use crate::shared::Shared;

request! {
    /// Lists the applications that the key administers, by their numbers: the operator's key all of them, other keys their own.
    ListApplications {
        /// A part of the name or of the number; absent: all.
        text: Option<String> = "Text" ? "InvalidParameter",
        /// The `Next` of the page before.
        after: Option<u64> = "After" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApplicationPage {
    pub applications: Vec<ApplicationInfo>,
    /// For `After`; absent: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ApplicationInfo {
    pub sdk_app_id: u32,
    pub name: String,
    /// `configuration`: it changes in the configuration file alone; or `database`.
    pub origin: String,
    /// For `ModifyApplication`; absent: it is in the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Unix seconds; absent: it is in the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<u64>,
    /// Unix seconds; absent: it is in the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_time: Option<u64>,
    /// Those of the database.
    pub secrets: Vec<SecretInfo>,
    pub settings: SettingsInfo,
}

/// A valid secret of an application, without the secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SecretInfo {
    /// `user_sig`, `callback` or `play`.
    pub purpose: String,
    /// Unix seconds.
    pub create_time: u64,
    /// It is being exchanged: `RotateApplicationSecret` with `Finish` ends it.
    pub is_earlier: bool,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListApplications) -> Checked<ApplicationPage> {
    let size = page_size(request.page_size)?;
    let kept = shared.vault.applications().await.map_err(failed)?;
    let applications = shared.applications();
    let configured = applications
        .iter()
        .filter(|known| known.origin == Origin::Configuration);
    let mut all: Vec<ApplicationInfo> = configured.map(of_configuration).collect();
    // Those that the configuration hides are not served.
    let is_hidden = |kept: &Kept| all.iter().any(|known| known.sdk_app_id == kept.row.id.get());
    let stored: Vec<_> = kept
        .into_iter()
        .filter(|kept| !is_hidden(kept))
        .map(of_database)
        .collect();
    all.extend(stored);
    let is_meant = |info: &ApplicationInfo| {
        let is_own = caller.reach == Reach::All || info.sdk_app_id == caller.sdk_app_id.get();
        let has =
            |text: &String| info.name.contains(text.as_str()) || info.sdk_app_id.to_string().contains(text.as_str());
        is_own && request.text.as_ref().is_none_or(has)
    };
    all.retain(|info| is_meant(info) && request.after.is_none_or(|after| u64::from(info.sdk_app_id) > after));
    all.sort_by_key(|info| info.sdk_app_id);
    let is_more = all.len() > size;
    all.truncate(size);
    Ok(ApplicationPage {
        next: all.last().filter(|_| is_more).map(|info| info.sdk_app_id.into()),
        applications: all,
    })
}

fn of_configuration(application: &Application) -> ApplicationInfo {
    ApplicationInfo {
        sdk_app_id: application.sdk_app_id.get(),
        name: String::new(),
        origin: "configuration".to_owned(),
        revision: None,
        create_time: None,
        change_time: None,
        secrets: Vec::new(),
        settings: SettingsInfo::of(&Settings::of(application)),
    }
}

fn of_database(kept: Kept) -> ApplicationInfo {
    let Kept { row, secrets } = kept;
    let secrets = secrets.iter().map(|secret| SecretInfo {
        purpose: secret.purpose.as_str().to_owned(),
        create_time: secret.created.as_secs(),
        is_earlier: secret.slot == Slot::Second,
    });
    ApplicationInfo {
        sdk_app_id: row.id.get(),
        name: row.name,
        origin: "database".to_owned(),
        revision: Some(row.revision.unsigned_abs()),
        create_time: Some(row.created.as_secs()),
        change_time: Some(row.changed.as_secs()),
        secrets: secrets.collect(),
        settings: SettingsInfo::of(&serde_json::from_value(row.settings).unwrap_or_default()),
    }
}
