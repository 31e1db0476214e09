//! The applications of the database together with the key of their secrets: what the command line and the API do to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rotunda_proto::ids::SdkAppId;
use serde_json::Value;

use crate::api_keys::NewApiKey;
use crate::applications::{ApplicationRow, Purpose, SealedSecret, Slot};
use crate::pool::Store;
use crate::seal::{SealError, SealKey};
use crate::{ApiKey, StoreError};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    store: Store,
    key: Arc<SealKey>,
}

/// A secret that was made; its text is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedSecret {
    pub purpose: Purpose,
    pub text: String,
}

/// The application, the scopes and the end of an API key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWish {
    /// None: it is the operator's, of every application.
    pub application: Option<SdkAppId>,
    /// For people.
    pub name: String,
    pub scopes: BTreeSet<String>,
    /// None: never.
    pub expires: Option<Duration>,
}

/// An API key that was made; its secret is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedKey {
    pub key: NewApiKey,
    pub secret: String,
}

/// An application of the database with what is known of its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub row: ApplicationRow,
    pub secrets: Vec<SealedSecret>,
}

impl Kept {
    pub fn has(&self, purpose: Purpose, slot: Slot) -> bool {
        self.secret(purpose, slot).is_some()
    }

    fn secret(&self, purpose: Purpose, slot: Slot) -> Option<&SealedSecret> {
        let mut secrets = self.secrets.iter();
        secrets.find(|secret| secret.purpose == purpose && secret.slot == slot)
    }
}

impl Vault {
    pub fn new(store: Store, key: SealKey) -> Self {
        let key = Arc::new(key);
        Self { store, key }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn open_secret(&self, secret: &SealedSecret) -> Result<Vec<u8>, StoreError> {
        secret.open(&self.key)
    }

    pub fn open_key(&self, key: &ApiKey) -> Result<Vec<u8>, StoreError> {
        key.open(&self.key)
    }

    /// In the order of their numbers.
    pub async fn applications(&self) -> Result<Vec<Kept>, StoreError> {
        let rows = self.store.applications().await?;
        let mut secrets = self.store.secrets().await?;
        let mut of = |id| secrets.extract_if(.., |secret| secret.application() == id).collect();
        Ok(rows
            .into_iter()
            .map(|row| Kept {
                secrets: of(row.id),
                row,
            })
            .collect())
    }

    pub async fn application(&self, id: SdkAppId) -> Result<Option<Kept>, StoreError> {
        let all = self.applications().await?;
        Ok(all.into_iter().find(|kept| kept.row.id == id))
    }

    /// Makes an application with a secret for each purpose. Errors: [`StoreError::Exists`].
    pub async fn create(
        &self,
        id: SdkAppId,
        name: &str,
        settings: &Value,
        purposes: &[Purpose],
        now: Duration,
    ) -> Result<Vec<IssuedSecret>, StoreError> {
        let mut issued = Vec::new();
        let mut sealed = Vec::new();
        for purpose in purposes {
            let secret = IssuedSecret::of(*purpose)?;
            sealed.push((*purpose, secret.seal(id, Slot::First, &self.key)?));
            issued.push(secret);
        }
        self.store
            .create_application_with(id, name, settings, &sealed, now)
            .await?;
        Ok(issued)
    }

    /// Changes an application as it was read. Callbacks are signed: with an address comes a key, if there is none, which is answered.
    ///
    /// Errors: [`StoreError::Changed`].
    pub async fn change(
        &self,
        before: &Kept,
        name: &str,
        settings: &Value,
        has_callbacks: bool,
        now: Duration,
    ) -> Result<Option<IssuedSecret>, StoreError> {
        let (id, mut revision) = (before.row.id, before.row.revision);
        let mut issued = None;
        // The key is there before the first callback.
        if has_callbacks && !before.has(Purpose::Callback, Slot::First) {
            let secret = IssuedSecret::of(Purpose::Callback)?;
            self.put(id, Slot::First, &secret, now).await?;
            issued = Some(secret);
            // The new secret was a change of its own.
            revision += 1;
        }
        self.store.change_application(id, revision, name, settings, now).await?;
        Ok(issued)
    }

    /// Puts a new secret beside the present one: both are valid until [`Self::finish_rotation`].
    ///
    /// Errors: [`StoreError::Exists`] when two are valid already.
    pub async fn rotate(&self, before: &Kept, purpose: Purpose, now: Duration) -> Result<IssuedSecret, StoreError> {
        let id = before.row.id;
        if before.has(purpose, Slot::Second) {
            return Err(StoreError::Exists("a second valid secret".to_owned()));
        }
        // The present secret moves first, so that it is valid all the time.
        if let Some(present) = before.secret(purpose, Slot::First) {
            let present = present.open(&self.key)?;
            self.store
                .set_secret(id, purpose, Slot::Second, &present, &self.key, now)
                .await?;
        }
        let secret = IssuedSecret::of(purpose)?;
        self.put(id, Slot::First, &secret, now).await?;
        Ok(secret)
    }

    /// The earlier secret is valid no longer.
    pub async fn finish_rotation(&self, id: SdkAppId, purpose: Purpose, now: Duration) -> Result<(), StoreError> {
        self.store.remove_secret(id, purpose, Slot::Second, now).await
    }

    pub async fn create_key(&self, wish: KeyWish, now: Duration) -> Result<IssuedKey, StoreError> {
        let key = NewApiKey {
            id: format!("AKID{}", random_hex(16)?),
            application: wish.application,
            name: wish.name,
            scopes: wish.scopes,
            created: now,
            expires: wish.expires,
        };
        let secret = random_hex(16)?;
        self.store.create_api_key(&key, secret.as_bytes(), &self.key).await?;
        Ok(IssuedKey { key, secret })
    }

    async fn put(&self, id: SdkAppId, slot: Slot, secret: &IssuedSecret, now: Duration) -> Result<(), StoreError> {
        let text = secret.text.as_bytes();
        self.store
            .set_secret(id, secret.purpose, slot, text, &self.key, now)
            .await
    }
}

impl IssuedSecret {
    /// A new one. The callback contract permits 32 letters and digits.
    fn of(purpose: Purpose) -> Result<Self, StoreError> {
        let text = match purpose {
            Purpose::UserSig | Purpose::Play => random_hex(32),
            Purpose::Callback => random_hex(16),
        };
        Ok(Self { purpose, text: text? })
    }

    fn seal(&self, id: SdkAppId, slot: Slot, key: &SealKey) -> Result<Vec<u8>, SealError> {
        key.seal(&self.purpose.place(id, slot), self.text.as_bytes())
    }
}

impl std::fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedSecret({:?}, ***)", self.purpose)
    }
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedKey({}, ***)", self.key.id)
    }
}

fn random_hex(bytes: usize) -> Result<String, SealError> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| SealError::Random)?;
    Ok(hex::encode(random))
}
