//! `[[applications]]`: reads them so that every mistake is found at once, and checks them against each other.

use rotunda_proto::application_settings;
use rotunda_proto::config::{Application, ConfigMistake};
use rotunda_proto::outbound::AllowedNetworks;
use toml::{Table, Value};

/// Removes the applications from the settings and reads them. Each key is tried separately, so that every wrong one
/// is named.
pub fn take(settings: &mut Table, mistakes: &mut Vec<ConfigMistake>) -> Vec<Application> {
    let entries = match settings.remove("applications") {
        None => return Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(_) => {
            mistakes.push(ConfigMistake::new("applications", "write [[applications]]"));
            return Vec::new();
        }
    };
    let mut applications = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let name = format!("applications[{index}]");
        match entry {
            Value::Table(table) => applications.extend(read(index, &name, table, mistakes)),
            _ => mistakes.push(ConfigMistake::new(name, "write [[applications]]")),
        }
    }
    applications
}

/// Valid values that replace required keys that cannot be read, so that the other keys are still checked.
fn stand_ins(index: usize) -> Table {
    let text = |key: &str| (key.to_owned(), Value::String(format!("unreadable {index}")));
    let number = i64::from(u32::MAX).saturating_sub(i64::try_from(index).unwrap_or_default());
    Table::from_iter([
        ("sdk_app_id".to_owned(), Value::Integer(number)),
        text("secret_key"),
        text("secret_id"),
        text("api_secret"),
    ])
}

fn read(index: usize, name: &str, mut table: Table, mistakes: &mut Vec<ConfigMistake>) -> Option<Application> {
    let stand_ins = stand_ins(index);
    table.retain(|key, value| {
        let mut tried = stand_ins.clone();
        tried.insert(key.to_owned(), value.clone());
        let error = tried.try_into::<Application>().err();
        if let Some(error) = &error {
            mistakes.push(ConfigMistake::new(format!("{name}.{key}"), error.message().to_owned()));
            *value = stand_ins.get(key).cloned().unwrap_or(Value::Boolean(false));
        }
        error.is_none() || stand_ins.contains_key(key)
    });
    if !table.contains_key("sdk_app_id") {
        let message = "write the application's number, 1 to 4294967295";
        mistakes.push(ConfigMistake::new(format!("{name}.sdk_app_id"), message));
        if let Some(number) = stand_ins.get("sdk_app_id") {
            table.insert("sdk_app_id".to_owned(), number.clone());
        }
    }
    // A missing secret counts as an empty one, which `validate` names.
    for key in ["secret_key", "secret_id", "api_secret"] {
        table.entry(key).or_insert_with(|| Value::String(String::new()));
    }
    match table.try_into() {
        Ok(application) => Some(application),
        Err(error) => {
            mistakes.push(ConfigMistake::new(name, error.message().to_owned()));
            None
        }
    }
}

/// `outbound`: the networks that callback URLs may reach.
pub fn validate(applications: &[Application], outbound: &AllowedNetworks) -> Vec<ConfigMistake> {
    let mut mistakes = Vec::new();
    for (index, application) in applications.iter().enumerate() {
        let mut wrong = |key: &str, message: String| {
            mistakes.push(ConfigMistake::new(format!("applications[{index}].{key}"), message));
        };
        for (key, text) in [
            ("secret_key", application.secret_key.reveal()),
            ("secret_id", application.secret_id.as_str()),
            ("api_secret", application.api_secret.reveal()),
        ] {
            if text.trim().is_empty() {
                wrong(key, format!("is empty; write a {} of your own", what(key)));
            }
        }
        let earlier = &applications[..index];
        let same = |is_same: &dyn Fn(&Application) -> bool| earlier.iter().position(is_same);
        let shared = |other| format!("applications[{other}] has the same value; each application needs its own");
        if let Some(other) = same(&|other| other.sdk_app_id == application.sdk_app_id) {
            wrong("sdk_app_id", shared(other));
        }
        let has_id = !application.secret_id.trim().is_empty();
        if let Some(other) = same(&|other| has_id && other.secret_id == application.secret_id) {
            wrong("secret_id", shared(other));
        }
        for mistake in application_settings::mistakes(application, outbound) {
            wrong(&mistake.key, mistake.message);
        }
    }
    mistakes
}

fn what(key: &str) -> &'static str {
    match key {
        "secret_id" => "name of the API key",
        _ => "long random text",
    }
}
