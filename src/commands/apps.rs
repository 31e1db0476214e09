//! `rotunda apps`: the applications in the database.

use anyhow::{Context, bail, ensure};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Microphones};
use rotunda_proto::ids::SdkAppId;
use rotunda_store::{Purpose, SealKey, Slot, Store};
use serde_json::{Value, json};

use super::load;
use crate::cli::{AppCreate, AppRotate, AppSet, AppSettings, AppTarget, Apps, SecretPurpose, Stored};
use crate::config::{self, Config};
use crate::secrets::{Secrets, random_hex};
use crate::stored_applications::Settings;

pub async fn run(command: Apps) -> anyhow::Result<()> {
    match command {
        Apps::List(stored) => list(&stored).await,
        Apps::Create(arguments) => create(&arguments).await,
        Apps::Set(arguments) => set(&arguments).await,
        Apps::Rotate(arguments) => rotate(&arguments).await,
        Apps::Delete(target) => delete(&target).await,
    }
}

/// The database of the configuration, and the key of its secrets.
pub struct Opened {
    pub config: Config,
    pub store: Store,
    pub seal_key: SealKey,
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
            store,
            seal_key,
        })
    }

    fn is_configured(&self, id: SdkAppId) -> bool {
        self.config.applications.iter().any(|known| known.sdk_app_id == id)
    }

    /// Errors: it is one of the configuration file, or there is none.
    pub async fn check_exists(&self, id: SdkAppId) -> anyhow::Result<()> {
        let rows = self.store.applications().await?;
        if rows.iter().any(|row| row.id == id) {
            return Ok(());
        }
        ensure!(
            !self.is_configured(id),
            "application {id} is in the configuration file; change it there"
        );
        bail!("there is no application {id}; `rotunda apps list` shows those that there are")
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
    let secrets = opened.store.secrets().await?;
    for row in opened.store.applications().await? {
        let settings: Settings = serde_json::from_value(row.settings).unwrap_or_default();
        let of = secrets.iter().filter(|secret| secret.application() == row.id);
        let valid = of.filter(|secret| secret.purpose == Purpose::UserSig).count();
        all.push(json!({
            "sdk_app_id": row.id, "name": row.name, "from": "database",
            "callback_url": settings.callback_url, "secrets": valid, "settings": settings,
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
    let settings = changed(Settings::default(), &arguments.settings)?;
    check(&opened.config, *id, &settings)?;
    let value = serde_json::to_value(&settings).context("write the settings")?;
    let now = Clock.unix();
    opened.store.create_application(*id, &name, &value, now).await?;
    let mut shown = json!({ "sdk_app_id": id, "name": name });
    let wanted = [
        (true, Purpose::UserSig, "secret_key"),
        (settings.callback_url.is_some(), Purpose::Callback, "callback_key"),
        (arguments.play_key, Purpose::Play, "play_key"),
    ];
    for (_, purpose, name) in wanted.into_iter().filter(|(is_wanted, ..)| *is_wanted) {
        let secret = new_secret(purpose);
        opened
            .store
            .set_secret(*id, purpose, Slot::First, secret.as_bytes(), &opened.seal_key, now)
            .await?;
        shown[name] = secret.into();
    }
    show(stored, &shown);
    Ok(())
}

/// The callback contract permits 32 letters and digits.
fn new_secret(purpose: Purpose) -> String {
    match purpose {
        Purpose::UserSig | Purpose::Play => random_hex(32),
        Purpose::Callback => random_hex(16),
    }
}

async fn set(arguments: &AppSet) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let opened = Opened::new(stored).await?;
    opened.check_exists(*id).await?;
    let rows = opened.store.applications().await?;
    let row = rows.into_iter().find(|row| row.id == *id);
    let row = row.with_context(|| format!("application {id} has just been deleted"))?;
    let before: Settings = serde_json::from_value(row.settings).context("read the settings")?;
    let settings = changed(before.clone(), &arguments.settings)?;
    let name = arguments.settings.name.clone().unwrap_or_else(|| row.name.clone());
    ensure!(
        settings != before || name != row.name,
        "nothing is to be changed; name a setting (`rotunda apps set --help`) and another value than the present one"
    );
    check(&opened.config, *id, &settings)?;
    let (value, now) = (
        serde_json::to_value(&settings).context("write the settings")?,
        Clock.unix(),
    );
    let mut shown = json!({ "sdk_app_id": id, "name": name, "settings": value });
    let secrets = opened.store.secrets().await?;
    let mut of_callbacks = secrets
        .iter()
        .filter(|secret| secret.application() == *id && secret.purpose == Purpose::Callback);
    let mut revision = row.revision;
    // The key is there before the first callback.
    if settings.callback_url.is_some() && of_callbacks.next().is_none() {
        let secret = new_secret(Purpose::Callback);
        opened
            .store
            .set_secret(
                *id,
                Purpose::Callback,
                Slot::First,
                secret.as_bytes(),
                &opened.seal_key,
                now,
            )
            .await?;
        shown["callback_key"] = secret.into();
        // The new secret was a change of its own.
        revision += 1;
    }
    opened
        .store
        .change_application(*id, revision, &name, &value, now)
        .await?;
    show(stored, &shown);
    Ok(())
}

/// The settings with those that are named in their place.
fn changed(before: Settings, named: &AppSettings) -> anyhow::Result<Settings> {
    let max_microphones = named.max_microphones.map(Microphones::try_from).transpose()?;
    Ok(Settings {
        callback_url: match named.callback_url.as_deref() {
            None => before.callback_url,
            Some("") => None,
            Some(url) => Some(url.to_owned()),
        },
        max_microphones: max_microphones.unwrap_or(before.max_microphones),
        requires_private_map_key: named.room_tickets.unwrap_or(before.requires_private_map_key),
        record_publishers: named.record_publishers.unwrap_or(before.record_publishers),
        relay_publishers: named.relay_publishers.unwrap_or(before.relay_publishers),
        record_resume_seconds: named.record_resume_seconds.unwrap_or(before.record_resume_seconds),
        record_retention_days: named.record_retention_days.unwrap_or(before.record_retention_days),
    })
}

fn check(config: &Config, id: SdkAppId, settings: &Settings) -> anyhow::Result<()> {
    let application = settings.clone().apply(Application {
        secret_id: "-".to_owned(),
        api_secret: rotunda_proto::config::Secret::new("-"),
        ..Application::new(id, "-")
    });
    let mistakes = config::applications::validate(&[application], &config.server.outbound_networks);
    match mistakes.first() {
        // `applications[0].callback_url` is the option `--callback-url`.
        Some(mistake) => {
            let key = mistake.key.rsplit('.').next().unwrap_or_default().replace('_', "-");
            bail!("--{key}: {}", mistake.message)
        }
        None => Ok(()),
    }
}

async fn rotate(arguments: &AppRotate) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let opened = Opened::new(stored).await?;
    opened.check_exists(*id).await?;
    let (purpose, name) = match arguments.purpose {
        SecretPurpose::UserSig => (Purpose::UserSig, "secret_key"),
        SecretPurpose::Callback => (Purpose::Callback, "callback_key"),
        SecretPurpose::Play => (Purpose::Play, "play_key"),
    };
    let now = Clock.unix();
    if arguments.finish {
        opened.store.remove_secret(*id, purpose, Slot::Second, now).await?;
        show(stored, &json!({ "sdk_app_id": id, "rotation": "finished" }));
        return Ok(());
    }
    let secrets = opened.store.secrets().await?;
    let of = |slot| {
        let mut secrets = secrets.iter();
        secrets.find(|secret| secret.application() == *id && secret.purpose == purpose && secret.slot == slot)
    };
    ensure!(
        of(Slot::Second).is_none(),
        "two secrets are valid already; end that exchange with `rotunda apps rotate {id} --finish` first"
    );
    // The present secret moves first, so that it is valid all the time.
    if let Some(present) = of(Slot::First) {
        let present = present.open(&opened.seal_key)?;
        opened
            .store
            .set_secret(*id, purpose, Slot::Second, &present, &opened.seal_key, now)
            .await?;
    }
    let secret = new_secret(purpose);
    opened
        .store
        .set_secret(*id, purpose, Slot::First, secret.as_bytes(), &opened.seal_key, now)
        .await?;
    show(
        stored,
        &json!({ "sdk_app_id": id, name: secret, "earlier_secret": "valid until --finish" }),
    );
    Ok(())
}

async fn delete(AppTarget { stored, id }: &AppTarget) -> anyhow::Result<()> {
    let opened = Opened::new(stored).await?;
    opened.check_exists(*id).await?;
    opened.store.delete_application(*id).await?;
    show(stored, &json!({ "sdk_app_id": id, "deleted": true }));
    Ok(())
}
