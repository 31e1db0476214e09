//! The applications of the database: read at the start, and again within a second of every change by any node or command.

use std::collections::BTreeMap;
use std::time::Duration;

use rotunda_proto::applications::{ApplicationList, ApplicationSet, Scope, Scopes};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Microphones, Publishers, Secret};
use rotunda_proto::ids::SdkAppId;
use rotunda_store::{ApiKey, ApplicationRow, Purpose, SealKey, SealedSecret, Slot, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The database is asked for its revision at this interval.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Everything is read again after this time, so that an expired key ends.
const READ_EVERY: Duration = Duration::from_secs(30);

/// The settings of an application, as its row has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub callback_url: Option<String>,
    pub max_microphones: Microphones,
    pub requires_private_map_key: bool,
    pub record_publishers: Publishers,
    pub relay_publishers: Publishers,
    pub record_resume_seconds: u32,
    pub record_retention_days: u32,
}

impl Settings {
    /// The application with these settings.
    pub fn apply(self, application: Application) -> Application {
        Application {
            callback_url: self.callback_url,
            max_microphones: self.max_microphones,
            requires_private_map_key: self.requires_private_map_key,
            record_publishers: self.record_publishers,
            relay_publishers: self.relay_publishers,
            record_resume_seconds: self.record_resume_seconds,
            record_retention_days: self.record_retention_days,
            ..application
        }
    }
}

/// The applications of the configuration file together with those of the database.
pub struct StoredApplications {
    store: Store,
    seal_key: SealKey,
    configured: Vec<Application>,
    list: ApplicationList,
    revision: i64,
}

impl StoredApplications {
    /// Reads the applications.
    pub async fn open(store: Store, seal_key: SealKey, configured: Vec<Application>) -> Result<Self, StoreError> {
        let mut stored = Self {
            store,
            seal_key,
            configured,
            list: ApplicationList::default(),
            revision: 0,
        };
        stored.read().await?;
        Ok(stored)
    }

    pub fn list(&self) -> ApplicationList {
        self.list.clone()
    }

    /// Follows changes until `stop`. While the database is away, the applications stay as they are.
    pub async fn follow(mut self, stop: CancellationToken) {
        let clock = Clock;
        let mut read_at = clock.now() + READ_EVERY;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep_until(clock.now() + LOOK_EVERY) => {}
            }
            let changed = match self.store.applications_revision().await {
                Ok(revision) => revision != self.revision,
                // The store says that it is away.
                Err(_) => continue,
            };
            if !changed && clock.now() < read_at {
                continue;
            }
            match self.read().await {
                Ok(()) if changed => info!(revision = self.revision, "the applications have changed"),
                Ok(()) => {}
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "read the applications; it is tried again"
                    );
                    continue;
                }
            }
            read_at = clock.now() + READ_EVERY;
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        // First, so that a change in the midst of the reading is read again.
        let revision = self.store.applications_revision().await?;
        let rows = self.store.applications().await?;
        let secrets = self.store.secrets().await?;
        let keys = self.store.api_keys().await?;
        self.list.replace(self.set(rows, &secrets, &keys));
        self.revision = revision;
        Ok(())
    }

    fn set(&self, rows: Vec<ApplicationRow>, secrets: &[SealedSecret], keys: &[ApiKey]) -> ApplicationSet {
        let mut opened: BTreeMap<(SdkAppId, Purpose, Slot), Secret> = BTreeMap::new();
        for secret in secrets {
            match secret.open(&self.seal_key) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    opened.insert((secret.application(), secret.purpose, secret.slot), Secret::new(text));
                }
                Err(error) => error!(
                    application = %secret.application(), error = &error as &dyn std::error::Error,
                    "a secret of an application cannot be opened"
                ),
            }
        }
        let mut applications = self.configured.clone();
        for row in rows {
            let id = row.id;
            if applications.iter().any(|known| known.sdk_app_id == id) {
                warn!(application = %id, "the application of the configuration file is used, not that of the database");
                continue;
            }
            applications.extend(application(row, &opened));
        }
        let now = Clock.unix();
        let valid = keys.iter().filter(|key| key.about.expires.is_none_or(|end| end > now));
        let with_other_keys = valid.filter_map(|key| {
            let of = applications
                .iter()
                .find(|known| Some(known.sdk_app_id) == key.about.application)?;
            match key.open(&self.seal_key) {
                Ok(secret) => Some(Application {
                    secret_id: key.about.id.clone(),
                    api_secret: Secret::new(String::from_utf8_lossy(&secret)),
                    scopes: scopes(key),
                    ..of.clone()
                }),
                Err(error) => {
                    error!(
                        key = key.about.id,
                        error = &error as &dyn std::error::Error,
                        "an API key cannot be opened"
                    );
                    None
                }
            }
        });
        let with_other_keys = with_other_keys.collect();
        ApplicationSet::new(applications, with_other_keys)
    }
}

/// None: it has no key, and so nobody may log in.
fn application(row: ApplicationRow, secrets: &BTreeMap<(SdkAppId, Purpose, Slot), Secret>) -> Option<Application> {
    let secret = |purpose, slot| secrets.get(&(row.id, purpose, slot)).cloned().unwrap_or_default();
    let key = secret(Purpose::UserSig, Slot::First);
    if key.reveal().is_empty() {
        warn!(application = %row.id, "the application has no key that could be opened, so it is not served");
        return None;
    }
    let settings: Settings = match serde_json::from_value(row.settings) {
        Ok(settings) => settings,
        Err(error) => {
            error!(application = %row.id, %error, "the settings of an application cannot be read, so it is not served");
            return None;
        }
    };
    Some(settings.apply(Application {
        callback_key: secret(Purpose::Callback, Slot::First),
        play_key: secret(Purpose::Play, Slot::First),
        other_secret_key: secret(Purpose::UserSig, Slot::Second),
        ..Application::new(row.id, key.reveal())
    }))
}

/// Scopes that this version does not know open nothing.
fn scopes(key: &ApiKey) -> Scopes {
    let known = key.about.scopes.iter().filter_map(|scope| scope.parse::<Scope>().ok());
    Scopes::Some(known.collect())
}
