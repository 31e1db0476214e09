//! The applications of the database: read at the start, and again within a second of every change by any node or command.

use std::collections::BTreeMap;
use std::time::Duration;

use rotunda_proto::application_settings::Settings;
use rotunda_proto::applications::{ApplicationList, ApplicationSet, Origin, Reach, Scope, Scopes};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::{Application, Secret};
use rotunda_store::{ApiKey, ApplicationRow, Kept, Purpose, Slot, StoreError, Vault};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// The database is asked for its revision at this interval.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Everything is read again after this time, so that an expired key ends.
const READ_EVERY: Duration = Duration::from_secs(30);

/// The applications of the configuration file together with those of the database.
pub struct StoredApplications {
    vault: Vault,
    configured: Vec<Application>,
    list: ApplicationList,
    revision: i64,
}

impl StoredApplications {
    /// Reads the applications.
    pub async fn open(vault: Vault, configured: Vec<Application>) -> Result<Self, StoreError> {
        let mut stored = Self {
            vault,
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
            let changed = match self.vault.store().applications_revision().await {
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
        let revision = self.vault.store().applications_revision().await?;
        let kept = self.vault.applications().await?;
        let keys = self.vault.store().api_keys().await?;
        self.list.replace(self.set(kept, &keys));
        self.revision = revision;
        Ok(())
    }

    fn set(&self, kept: Vec<Kept>, keys: &[ApiKey]) -> ApplicationSet {
        let mut applications = self.configured.clone();
        for kept in kept {
            let id = kept.row.id;
            if applications.iter().any(|known| known.sdk_app_id == id) {
                warn!(application = %id, "the application of the configuration file is used, not that of the database");
                continue;
            }
            let secrets = self.secrets_of(&kept);
            let application = application(kept.row, &secrets);
            applications.extend(application.filter(|application| !application.disabled));
        }
        let now = Clock.unix();
        let valid = keys.iter().filter(|key| key.about.expires.is_none_or(|end| end > now));
        let with_other_keys = valid.filter_map(|key| self.under_key(&applications, key)).collect();
        ApplicationSet::new(applications, with_other_keys)
    }

    fn secrets_of(&self, kept: &Kept) -> BTreeMap<(Purpose, Slot), Secret> {
        let opened = kept
            .secrets
            .iter()
            .filter_map(|secret| match self.vault.open_secret(secret) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    Some(((secret.purpose, secret.slot), Secret::new(text)))
                }
                Err(error) => {
                    error!(
                        application = %secret.application(), error = &error as &dyn std::error::Error,
                        "a secret of an application cannot be opened"
                    );
                    None
                }
            });
        opened.collect()
    }

    /// The key's application. An operator's key stands for the first one, until a call names another.
    fn under_key(&self, applications: &[Application], key: &ApiKey) -> Option<Application> {
        let (reach, of) = match key.about.application {
            None => (Reach::All, applications.first()),
            Some(id) => (Reach::Own, applications.iter().find(|known| known.sdk_app_id == id)),
        };
        let of = of?;
        match self.vault.open_key(key) {
            Ok(secret) => Some(Application {
                secret_id: key.about.id.clone(),
                api_secret: Secret::new(String::from_utf8_lossy(&secret)),
                scopes: scopes(key),
                reach,
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
    }
}

/// None: it has no key, and so nobody may log in.
fn application(row: ApplicationRow, secrets: &BTreeMap<(Purpose, Slot), Secret>) -> Option<Application> {
    let secret = |purpose, slot| secrets.get(&(purpose, slot)).cloned().unwrap_or_default();
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
        origin: Origin::Database,
        ..Application::new(row.id, key.reveal())
    }))
}

/// Scopes that this version does not know open nothing.
fn scopes(key: &ApiKey) -> Scopes {
    let known = key.about.scopes.iter().filter_map(|scope| scope.parse::<Scope>().ok());
    Scopes::Some(known.collect())
}
