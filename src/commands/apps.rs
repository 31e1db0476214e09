//! `rotunda apps`: the applications in the database, here or through the API of another server.

use anyhow::{Context, bail, ensure};
use rotunda_proto::application_settings::{Settings, SettingsChange, mistakes};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Cameras, Microphones};
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::name_time_zone::NameTimeZone;
use rotunda_store::{IssuedSecret, Kept, Purpose, Slot, Store, Vault};
use serde_json::{Value, json};

use super::{api, load};
use crate::cli::{AppCreate, AppRotate, AppSet, AppSettings, AppTarget, Apps, SecretPurpose, Stored};
use crate::config::Config;
use crate::secrets::Secrets;

pub async fn run(command: Apps) -> anyhow::Result<()> {
    match command {
        Apps::List(stored) if stored.server.is_some() => api::apps::list(&stored).await,
        Apps::List(stored) => list(&stored).await,
        Apps::Create(arguments) if arguments.target.stored.server.is_some() => {
            let change = change(&arguments.settings)?;
            api::apps::create(&arguments, &change).await
        }
        Apps::Create(arguments) => create(&arguments).await,
        Apps::Set(arguments) if arguments.target.stored.server.is_some() => {
            let change = change(&arguments.settings)?;
            api::apps::set(&arguments, &change).await
        }
        Apps::Set(arguments) => set(&arguments).await,
        Apps::Rotate(arguments) if arguments.target.stored.server.is_some() => api::apps::rotate(&arguments).await,
        Apps::Rotate(arguments) => rotate(&arguments).await,
        Apps::Delete(target) if target.stored.server.is_some() => api::apps::delete(&target).await,
        Apps::Delete(target) => delete(&target).await,
    }
}

/// The database of the configuration, and the key of its secrets.
pub struct Opened {
    pub config: Config,
    pub vault: Vault,
}

impl Opened {
    pub async fn new(stored: &Stored) -> anyhow::Result<Self> {
        let config = load(&stored.file)?;
        std::fs::create_dir_all(&config.server.data)
            .with_context(|| format!("make {}", config.server.data.display()))?;
        let seal_key = Secrets::load_or_make(&config.server.data)?.seal_key(&config.server)?;
        let store = Store::open(&config.database_url()).await.context("open the database")?;
        Ok(Self {
            config,
            vault: Vault::new(store, seal_key),
        })
    }

    fn is_configured(&self, id: SdkAppId) -> bool {
        self.config.applications.iter().any(|known| known.sdk_app_id == id)
    }

    /// Errors: it is one of the configuration file, or there is none.
    pub async fn find(&self, id: SdkAppId) -> anyhow::Result<Kept> {
        if let Some(kept) = self.vault.application(id).await? {
            return Ok(kept);
        }
        ensure!(
            !self.is_configured(id),
            "application {id} is in the configuration file; change it there"
        );
        bail!("there is no application {id}; `rotunda apps list` shows those that there are")
    }

    /// Errors: there is no such application, neither in the configuration file nor in the database.
    pub async fn check_known(&self, id: SdkAppId) -> anyhow::Result<()> {
        if !self.is_configured(id) {
            self.find(id).await?;
        }
        Ok(())
    }
}

/// As JSON, or as lines `name: value`.
pub fn show(stored: &Stored, value: &Value) {
    if stored.json {
        println!("{value}");
        return;
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => println!("{name}: {text}"),
            other => println!("{name}: {other}"),
        }
    }
}

async fn list(stored: &Stored) -> anyhow::Result<()> {
    let opened = Opened::new(stored).await?;
    let mut all: Vec<Value> = Vec::new();
    for application in &opened.config.applications {
        all.push(json!({
            "sdk_app_id": application.sdk_app_id, "name": "", "from": "configuration file",
            "callback_url": application.callback_url, "secrets": 1,
        }));
    }
    for kept in opened.vault.applications().await? {
        let valid = [Slot::First, Slot::Second].map(|slot| kept.has(Purpose::UserSig, slot));
        let settings: Settings = serde_json::from_value(kept.row.settings).unwrap_or_default();
        all.push(json!({
            "sdk_app_id": kept.row.id, "name": kept.row.name, "from": "database",
            "callback_url": settings.callback_url, "secrets": valid.iter().filter(|is_valid| **is_valid).count(),
            "settings": settings,
        }));
    }
    if stored.json {
        println!("{}", Value::Array(all));
        return Ok(());
    }
    for application in all {
        let text = |name: &str| application[name].as_str().unwrap_or("-").to_owned();
        let (id, secrets) = (&application["sdk_app_id"], &application["secrets"]);
        let (from, name, callback_url) = (text("from"), text("name"), text("callback_url"));
        println!("{id:<11} {from:<19} secrets: {secrets}  callbacks: {callback_url}  {name}");
    }
    Ok(())
}

async fn create(arguments: &AppCreate) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let opened = Opened::new(stored).await?;
    ensure!(
        !opened.is_configured(*id),
        "application {id} is in the configuration file; choose another number"
    );
    let name = arguments.settings.name.clone().unwrap_or_default();
    let settings = Settings::default().changed(change(&arguments.settings)?);
    check(&opened.config, *id, &settings)?;
    let value = serde_json::to_value(&settings).context("write the settings")?;
    let mut purposes = vec![Purpose::UserSig];
    purposes.extend(settings.has_callbacks().then_some(Purpose::Callback));
    purposes.extend(arguments.play_key.then_some(Purpose::Play));
    let issued = opened.vault.create(*id, &name, &value, &purposes, Clock.unix()).await?;
    let mut shown = json!({ "sdk_app_id": id, "name": name });
    for secret in issued {
        shown[field(secret.purpose)] = secret.text.into();
    }
    show(stored, &shown);
    Ok(())
}

/// The name of a secret in what is shown.
fn field(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::UserSig => "secret_key",
        Purpose::Callback => "callback_key",
        Purpose::Play => "play_key",
    }
}

async fn set(arguments: &AppSet) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let opened = Opened::new(stored).await?;
    let kept = opened.find(*id).await?;
    let before: Settings = serde_json::from_value(kept.row.settings.clone()).context("read the settings")?;
    let settings = before.clone().changed(change(&arguments.settings)?);
    let name = arguments.settings.name.as_ref().unwrap_or(&kept.row.name);
    ensure!(
        settings != before || *name != kept.row.name,
        "nothing is to be changed; name a setting (`rotunda apps set --help`) and another value than the present one"
    );
    check(&opened.config, *id, &settings)?;
    let value = serde_json::to_value(&settings).context("write the settings")?;
    let changed = opened
        .vault
        .change(&kept, name, &value, settings.has_callbacks(), Clock.unix());
    let issued = changed.await?;
    let mut shown = json!({ "sdk_app_id": id, "name": name, "settings": value });
    if let Some(IssuedSecret { purpose, text }) = issued {
        shown[field(purpose)] = text.into();
    }
    show(stored, &shown);
    Ok(())
}

/// The settings that are named.
fn change(named: &AppSettings) -> anyhow::Result<SettingsChange> {
    // An empty text takes the setting away.
    let optional = |text: &Option<String>| text.clone().map(|text| Some(text).filter(|text| !text.is_empty()));
    let time_zone =
        optional(&named.record_time_zone).map(|zone| zone.map(|zone| zone.parse::<NameTimeZone>()).transpose());
    Ok(SettingsChange {
        callback_url: optional(&named.callback_url),
        event_callback_url: optional(&named.event_callback_url),
        call_push_url: optional(&named.call_push_url),
        token_hook_url: optional(&named.token_hook_url),
        oidc_issuer: optional(&named.oidc_issuer),
        oidc_client_id: optional(&named.oidc_client_id),
        oidc_user_claim: optional(&named.oidc_user_claim),
        max_microphones: named.max_microphones.map(Microphones::try_from).transpose()?,
        max_cameras: named.max_cameras.map(Cameras::try_from).transpose()?,
        max_mixes: named.max_mixes,
        requires_private_map_key: named.room_tickets,
        members_may_push: named.members_may_push,
        record_publishers: named.record_publishers,
        relay_publishers: named.relay_publishers,
        record_resume_seconds: named.record_resume_seconds,
        record_retention_days: named.record_retention_days,
        record_quota_mb: named.record_quota_mb,
        record_quota_full: named.record_quota_full,
        record_formats: named.record_formats.clone().map(|formats| formats.0),
        record_file_minutes: named.record_file_minutes,
        record_time_zone: time_zone.transpose().context("--record-time-zone")?,
        stream_profiles: (named.no_stream_profiles || !named.stream_profile.is_empty())
            .then(|| named.stream_profile.clone()),
        disabled: named.disabled,
    })
}

fn check(config: &Config, id: SdkAppId, settings: &Settings) -> anyhow::Result<()> {
    let application = settings.clone().apply(Application::new(id, "-"));
    match mistakes(&application, &config.server.outbound_networks).first() {
        // Each rule is an option of its own.
        Some(mistake) if mistake.key == "stream_profiles" => bail!("--stream-profile: {}", mistake.message),
        // The setting `callback_url` is the option `--callback-url`.
        Some(mistake) => bail!("--{}: {}", mistake.key.replace('_', "-"), mistake.message),
        None => Ok(()),
    }
}

async fn rotate(arguments: &AppRotate) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let opened = Opened::new(stored).await?;
    let kept = opened.find(*id).await?;
    let purpose = match arguments.purpose {
        SecretPurpose::UserSig => Purpose::UserSig,
        SecretPurpose::Callback => Purpose::Callback,
        SecretPurpose::Play => Purpose::Play,
    };
    let now = Clock.unix();
    if arguments.finish {
        opened.vault.finish_rotation(*id, purpose, now).await?;
        show(stored, &json!({ "sdk_app_id": id, "rotation": "finished" }));
        return Ok(());
    }
    ensure!(
        !kept.has(purpose, Slot::Second),
        "two secrets are valid already; end that exchange with `rotunda apps rotate {id} --finish` first"
    );
    let secret = opened.vault.rotate(&kept, purpose, now).await?;
    show(
        stored,
        &json!({ "sdk_app_id": id, field(purpose): secret.text, "earlier_secret": "valid until --finish" }),
    );
    Ok(())
}

async fn delete(AppTarget { stored, id }: &AppTarget) -> anyhow::Result<()> {
    let opened = Opened::new(stored).await?;
    opened.find(*id).await?;
    opened.vault.store().delete_application(*id).await?;
    show(stored, &json!({ "sdk_app_id": id, "deleted": true }));
    Ok(())
}
