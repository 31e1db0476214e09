//! The settings of an application that can change while it runs, their changes and their checks. Pure.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{Application, Cameras, ConfigMistake, Microphones, Publishers, RecordFormat, WhenFull};
use crate::name_time_zone::NameTimeZone;
use crate::outbound::AllowedNetworks;
use crate::stream_profile::{self, StreamProfile};

/// The longest `callback_key` that the callback contract permits.
const MAX_CALLBACK_KEY: usize = 32;
/// Bounds of the recording contract: seconds, days and minutes.
const MAX_RESUME: u32 = 1800;
const MAX_RETENTION: u32 = 1500;
const MAX_FILE_MINUTES: u32 = 120;
/// Longest address, bytes.
/// Longest names that an OpenID provider gives a client and a claim, bytes.
const MAX_CLIENT_ID: usize = 255;
const MAX_CLAIM: usize = 64;
const MAX_URL: usize = 1024;

/// Each setting has the name and the type of the field of [`Application`] that it sets.
macro_rules! settings {
    ($($field:ident: $type:ty,)*) => {
        /// The settings of an application, as its row in the database has them.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Settings {
            $(pub $field: $type,)*
        }

        /// The settings that are to change.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct SettingsChange {
            $(pub $field: Option<$type>,)*
        }

        impl Settings {
            pub fn of(application: &Application) -> Self {
                Self { $($field: application.$field.clone(),)* }
            }

            /// The application with these settings.
            pub fn apply(self, application: Application) -> Application {
                Application { $($field: self.$field,)* ..application }
            }

            /// These settings with those of the change in their place.
            #[must_use]
            pub fn changed(self, change: SettingsChange) -> Self {
                Self { $($field: change.$field.unwrap_or(self.$field),)* }
            }
        }
    };
}

impl Settings {
    /// Whether requests go to the application's server, which are signed with its callback key.
    pub fn has_callbacks(&self) -> bool {
        let urls = [
            &self.callback_url,
            &self.event_callback_url,
            &self.call_push_url,
            &self.token_hook_url,
        ];
        urls.into_iter().any(Option::is_some)
    }
}

settings! {
    callback_url: Option<String>,
    event_callback_url: Option<String>,
    call_push_url: Option<String>,
    token_hook_url: Option<String>,
    oidc_issuer: Option<String>,
    oidc_client_id: Option<String>,
    oidc_user_claim: Option<String>,
    max_microphones: Microphones,
    max_cameras: Cameras,
    max_mixes: u32,
    requires_private_map_key: bool,
    members_may_push: bool,
    record_publishers: Publishers,
    relay_publishers: Publishers,
    record_resume_seconds: u32,
    record_retention_days: u32,
    record_quota_mb: u64,
    record_quota_full: WhenFull,
    record_formats: Vec<RecordFormat>,
    record_file_minutes: u32,
    record_time_zone: Option<NameTimeZone>,
    stream_profiles: Vec<StreamProfile>,
    disabled: bool,
}

/// The mistakes in an application's settings and in its callback key. The `key` of each is the name of a field alone.
///
/// `outbound`: the networks that callback URLs may reach.
pub fn mistakes(application: &Application, outbound: &AllowedNetworks) -> Vec<ConfigMistake> {
    let mut mistakes = Vec::new();
    let mut wrong = |key: &str, message: String| mistakes.push(ConfigMistake::new(key, message));
    for (key, url) in [
        ("callback_url", &application.callback_url),
        ("event_callback_url", &application.event_callback_url),
        ("call_push_url", &application.call_push_url),
        ("token_hook_url", &application.token_hook_url),
        ("oidc_issuer", &application.oidc_issuer),
    ] {
        if let Some(message) = url.as_deref().and_then(|url| url_mistake(url, outbound)) {
            wrong(key, message);
        }
    }
    if let Some(message) = client_mistake(application) {
        wrong("oidc_client_id", message);
    }
    if application
        .oidc_user_claim
        .as_ref()
        .is_some_and(|claim| claim.len() > MAX_CLAIM)
    {
        wrong("oidc_user_claim", format!("write at most {MAX_CLAIM} bytes"));
    }
    if application.record_resume_seconds > MAX_RESUME {
        wrong("record_resume_seconds", format!("write 0 to {MAX_RESUME}"));
    }
    if application.record_retention_days > MAX_RETENTION {
        let message = format!("write 0 to {MAX_RETENTION}; 0 keeps files for ever");
        wrong("record_retention_days", message);
    }
    if application.record_file_minutes > MAX_FILE_MINUTES {
        let message = format!("write 1 to {MAX_FILE_MINUTES}; 0 is the recorder's setting");
        wrong("record_file_minutes", message);
    }
    if let Some(message) = stream_profile::mistake(&application.stream_profiles) {
        wrong("stream_profiles", message);
    }
    let key = application.callback_key.reveal();
    if key.len() > MAX_CALLBACK_KEY || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let message = format!("write at most {MAX_CALLBACK_KEY} letters and digits");
        wrong("callback_key", message);
    }
    mistakes
}

fn client_mistake(application: &Application) -> Option<String> {
    match (&application.oidc_issuer, application.oidc_client_id.as_deref()) {
        (Some(_), None | Some("")) => {
            Some("write the client that the provider issues ID tokens for; oidc_issuer needs it".to_owned())
        }
        (_, Some(id)) if id.len() > MAX_CLIENT_ID => Some(format!("write at most {MAX_CLIENT_ID} bytes")),
        _ => None,
    }
}

fn url_mistake(text: &str, outbound: &AllowedNetworks) -> Option<String> {
    if text.len() > MAX_URL {
        return Some(format!("write an address of at most {MAX_URL} bytes"));
    }
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        _ => return Some("write an http:// or https:// URL".to_owned()),
    };
    let host = url.host()?;
    outbound.check_host(&host).err().map(|refused| refused.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Application {
        Application::new(7.try_into().unwrap(), "key")
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let before = Settings {
            max_mixes: 3,
            record_time_zone: "UTC".parse().ok(),
            ..Settings::default()
        };
        let change = SettingsChange {
            record_formats: Some(vec![RecordFormat::Flv]),
            record_time_zone: Some(None),
            ..SettingsChange::default()
        };
        let after = before.changed(change);
        assert_eq!((after.max_mixes, &after.record_time_zone), (3, &None));
        let application = after.clone().apply(application());
        assert_eq!(application.record_formats, [RecordFormat::Flv]);
        assert_eq!(Settings::of(&application), after);
    }

    #[test]
    fn a_row_of_an_earlier_version_has_the_defaults_for_the_rest() {
        let read: Settings = serde_json::from_str(r#"{"record_retention_days": 3, "of_another_version": 1}"#).unwrap();
        assert_eq!(
            read,
            Settings {
                record_retention_days: 3,
                ..Settings::default()
            }
        );
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&written).unwrap(), read);
    }

    #[test]
    fn each_setting_out_of_range_is_named() {
        let keys = |application: &Application| {
            let found = mistakes(application, &AllowedNetworks::default());
            found.into_iter().map(|mistake| mistake.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&application()), [] as [&str; 0]);
        let wrong = Application {
            callback_url: Some("http://127.0.0.1/".to_owned()),
            event_callback_url: Some(format!("https://example.com/{}", "a".repeat(MAX_URL))),
            record_resume_seconds: 1801,
            record_retention_days: 1501,
            record_file_minutes: 121,
            stream_profiles: vec![StreamProfile {
                layers: Some(4),
                ..StreamProfile::default()
            }],
            callback_key: crate::config::Secret::new("no valid key"),
            ..application()
        };
        let all = [
            "callback_url",
            "event_callback_url",
            "record_resume_seconds",
            "record_retention_days",
            "record_file_minutes",
            "stream_profiles",
            "callback_key",
        ];
        assert_eq!(keys(&wrong), all);
    }
}
