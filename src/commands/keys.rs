//! `rotunda keys`: the API keys in the database.

use std::time::Duration;

use anyhow::ensure;
use rotunda_proto::clock::Clock;
use rotunda_store::NewApiKey;
use serde_json::{Value, json};

use super::apps::{Opened, show};
use crate::cli::{KeyCreate, Keys, Stored};
use crate::secrets::random_hex;

const DAY: u64 = 86_400;

pub async fn run(command: Keys) -> anyhow::Result<()> {
    match command {
        Keys::List(stored) => list(&stored).await,
        Keys::Create(arguments) => create(&arguments).await,
        Keys::Delete(arguments) => {
            let opened = Opened::new(&arguments.stored).await?;
            ensure!(
                opened.store.delete_api_key(&arguments.id).await?,
                "there is no API key {:?} in the database; `rotunda keys list` shows those that there are",
                arguments.id
            );
            show(
                &arguments.stored,
                &json!({ "secret_id": arguments.id, "deleted": true }),
            );
            Ok(())
        }
    }
}

async fn list(stored: &Stored) -> anyhow::Result<()> {
    let opened = Opened::new(stored).await?;
    let keys = opened.store.api_keys().await?;
    let shown = keys.iter().map(|key| {
        json!({
            "secret_id": key.about.id, "sdk_app_id": key.about.application, "name": key.about.name,
            "scopes": key.about.scopes, "expires_unix": key.about.expires.map(|end| end.as_secs()),
        })
    });
    if stored.json {
        println!("{}", Value::Array(shown.collect()));
        return Ok(());
    }
    for key in keys {
        let scopes: Vec<&str> = key.about.scopes.iter().map(String::as_str).collect();
        let of = key.about.application.map_or("-".to_owned(), |id| id.to_string());
        let end = key.about.expires.map_or("never".to_owned(), |end| {
            let left = end.saturating_sub(Clock.unix()).as_secs();
            format!("in {} days", left / DAY)
        });
        let (id, name) = (key.about.id, key.about.name);
        println!(
            "{id:<37} application: {of:<11} scopes: {}  expires: {end}  {name}",
            scopes.join(",")
        );
    }
    Ok(())
}

async fn create(arguments: &KeyCreate) -> anyhow::Result<()> {
    let opened = Opened::new(&arguments.stored).await?;
    let is_configured = opened
        .config
        .applications
        .iter()
        .any(|known| known.sdk_app_id == arguments.app);
    if !is_configured {
        opened.check_exists(arguments.app).await?;
    }
    let now = Clock.unix();
    let key = NewApiKey {
        id: format!("AKID{}", random_hex(16)),
        application: Some(arguments.app),
        name: arguments.name.clone(),
        scopes: arguments.scopes.iter().map(ToString::to_string).collect(),
        created: now,
        expires: arguments
            .days
            .map(|days| now + Duration::from_secs(u64::from(days) * DAY)),
    };
    let secret = random_hex(16);
    opened
        .store
        .create_api_key(&key, secret.as_bytes(), &opened.seal_key)
        .await?;
    let shown = json!({
        "secret_id": key.id, "api_secret": secret, "sdk_app_id": arguments.app, "scopes": key.scopes,
        "expires_unix": key.expires.map(|end| end.as_secs()),
    });
    show(&arguments.stored, &shown);
    Ok(())
}
