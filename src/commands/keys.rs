//! `rotunda keys`: the API keys in the database.

use std::time::Duration;

use anyhow::ensure;
use rotunda_proto::clock::Clock;
use rotunda_store::{IssuedKey, KeyWish};
use serde_json::{Value, json};

use super::api;
use super::apps::{Opened, show};
use crate::cli::{KeyCreate, Keys, Stored};

const DAY: u64 = 86_400;

pub async fn run(command: Keys) -> anyhow::Result<()> {
    match command {
        Keys::List(stored) if stored.server.is_some() => api::apps::list_keys(&stored).await,
        Keys::List(stored) => list(&stored).await,
        Keys::Create(arguments) if arguments.stored.server.is_some() => api::apps::create_key(&arguments).await,
        Keys::Create(arguments) => create(&arguments).await,
        Keys::Delete(arguments) if arguments.stored.server.is_some() => api::apps::delete_key(&arguments).await,
        Keys::Delete(arguments) => {
            let opened = Opened::new(&arguments.stored).await?;
            ensure!(
                opened.vault.store().delete_api_key(&arguments.id).await?,
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
    let keys = opened.vault.store().api_keys().await?;
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
        let of = key.about.application.map_or("operator".to_owned(), |id| id.to_string());
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
    if let Some(app) = arguments.app {
        opened.check_known(app).await?;
    }
    let now = Clock.unix();
    let wish = KeyWish {
        application: arguments.app,
        name: arguments.name.clone(),
        scopes: arguments.scopes.iter().map(ToString::to_string).collect(),
        expires: arguments
            .days
            .map(|days| now + Duration::from_secs(u64::from(days) * DAY)),
    };
    let IssuedKey { key, secret } = opened.vault.create_key(wish, now).await?;
    let shown = json!({
        "secret_id": key.id, "api_secret": secret, "sdk_app_id": key.application, "scopes": key.scopes,
        "expires_unix": key.expires.map(|end| end.as_secs()),
    });
    show(&arguments.stored, &shown);
    Ok(())
}
