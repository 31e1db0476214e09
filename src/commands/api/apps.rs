//! `rotunda apps` and `rotunda keys` with `--server`: through the API.

use rotunda_proto::application_settings::SettingsChange;
use rotunda_proto::stream_profile::StreamProfile;
use serde_json::{Map, Value, json};

use super::client::Call;
use super::table::Column;
use super::{columns, done, list as list_pages, show_fields};
use crate::cli::{ApiServer, AppCreate, AppRotate, AppSet, AppTarget, KeyCreate, KeyDelete, SecretPurpose, Stored};

pub async fn list(stored: &Stored) -> anyhow::Result<()> {
    let mut columns = columns(&["SdkAppId", "Name", "Origin"]);
    columns.push(Column::new("Disabled", "/Settings/Disabled"));
    columns.push(Column::new("Callbacks", "/Settings/CallbackUrl"));
    list_pages(&server(stored), "ListApplications", "Applications", &columns).await
}

pub async fn create(arguments: &AppCreate, change: &SettingsChange) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let mut parameters = json!({ "SdkAppId": id, "Settings": fields(change), "PlayKey": arguments.play_key });
    if let Some(name) = &arguments.settings.name {
        parameters["Name"] = json!(name);
    }
    show_fields(&server(stored), &Call::action("CreateApplication", parameters)).await
}

pub async fn set(arguments: &AppSet, change: &SettingsChange) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let mut parameters = json!({ "SdkAppId": id, "Settings": fields(change) });
    if let Some(name) = &arguments.settings.name {
        parameters["Name"] = json!(name);
    }
    show_fields(&server(stored), &Call::action("ModifyApplication", parameters)).await
}

pub async fn rotate(arguments: &AppRotate) -> anyhow::Result<()> {
    let AppTarget { stored, id } = &arguments.target;
    let purpose = match arguments.purpose {
        SecretPurpose::UserSig => "user_sig",
        SecretPurpose::Callback => "callback",
        SecretPurpose::Play => "play",
    };
    let parameters = json!({ "SdkAppId": id, "Purpose": purpose, "Finish": arguments.finish });
    show_fields(&server(stored), &Call::action("RotateApplicationSecret", parameters)).await
}

pub async fn delete(AppTarget { stored, id }: &AppTarget) -> anyhow::Result<()> {
    let call = Call::action("DeleteApplication", json!({ "SdkAppId": id }));
    done(&server(stored), &call, &format!("application {id} is deleted")).await
}

pub async fn list_keys(stored: &Stored) -> anyhow::Result<()> {
    let columns = columns(&["SecretId", "SdkAppId", "Scopes", "ExpireTime", "Name"]);
    list_pages(&server(stored), "ListApiKeys", "ApiKeys", &columns).await
}

pub async fn create_key(arguments: &KeyCreate) -> anyhow::Result<()> {
    let scopes: Vec<_> = arguments.scopes.iter().map(ToString::to_string).collect();
    let mut parameters = json!({ "Scopes": scopes, "Name": arguments.name });
    if let Some(app) = arguments.app {
        parameters["SdkAppId"] = json!(app);
    }
    if let Some(days) = arguments.days {
        parameters["Days"] = json!(days);
    }
    show_fields(&server(&arguments.stored), &Call::action("CreateApiKey", parameters)).await
}

pub async fn delete_key(arguments: &KeyDelete) -> anyhow::Result<()> {
    let call = Call::action("DeleteApiKey", json!({ "SecretId": arguments.id }));
    done(
        &server(&arguments.stored),
        &call,
        &format!("key {} is deleted", arguments.id),
    )
    .await
}

fn server(stored: &Stored) -> ApiServer {
    ApiServer {
        file: stored.file.clone(),
        url: stored.server.clone(),
        key: stored.key.clone(),
        json: stored.json,
        curl: stored.curl,
    }
}

/// The settings that change, as `ModifyApplication` takes them.
fn fields(change: &SettingsChange) -> Value {
    let text = |text: &Option<String>| json!(text.as_deref().unwrap_or_default());
    let formats = change.record_formats.as_ref().map(|formats| match formats.as_slice() {
        [] => json!(["default"]),
        formats => json!(formats),
    });
    let zone = change.record_time_zone.as_ref();
    let rules = change.stream_profiles.as_ref().filter(|rules| !rules.is_empty());
    let no_rules = change.stream_profiles.as_ref().is_some_and(Vec::is_empty);
    let fields = [
        ("CallbackUrl", change.callback_url.as_ref().map(text)),
        ("EventCallbackUrl", change.event_callback_url.as_ref().map(text)),
        ("CallPushUrl", change.call_push_url.as_ref().map(text)),
        ("TokenHookUrl", change.token_hook_url.as_ref().map(text)),
        ("OidcIssuer", change.oidc_issuer.as_ref().map(text)),
        ("OidcClientId", change.oidc_client_id.as_ref().map(text)),
        ("OidcUserClaim", change.oidc_user_claim.as_ref().map(text)),
        ("MaxMicrophones", change.max_microphones.map(|most| json!(most))),
        ("MaxCameras", change.max_cameras.map(|most| json!(most))),
        ("MaxMixes", change.max_mixes.map(|most| json!(most))),
        (
            "RequiresPrivateMapKey",
            change.requires_private_map_key.map(|is_so| json!(is_so)),
        ),
        ("MembersMayPush", change.members_may_push.map(|is_so| json!(is_so))),
        ("RecordPublishers", change.record_publishers.map(|some| json!(some))),
        ("RelayPublishers", change.relay_publishers.map(|some| json!(some))),
        (
            "RecordResumeSeconds",
            change.record_resume_seconds.map(|seconds| json!(seconds)),
        ),
        (
            "RecordRetentionDays",
            change.record_retention_days.map(|days| json!(days)),
        ),
        ("RecordQuotaMb", change.record_quota_mb.map(|quota| json!(quota))),
        ("RecordQuotaFull", change.record_quota_full.map(|what| json!(what))),
        ("RecordFormats", formats),
        (
            "RecordFileMinutes",
            change.record_file_minutes.map(|minutes| json!(minutes)),
        ),
        (
            "RecordTimeZone",
            zone.map(|zone| json!(zone.as_ref().map_or(String::new(), ToString::to_string))),
        ),
        ("StreamProfiles", rules.map(|rules| rules.iter().map(rule).collect())),
        ("NoStreamProfiles", no_rules.then_some(Value::Bool(true))),
        ("Disabled", change.disabled.map(|is_so| json!(is_so))),
    ];
    let named = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(named.collect::<Map<_, _>>())
}

/// A rule for the video of clients, as `ModifyApplication` takes it.
fn rule(profile: &StreamProfile) -> Value {
    let fields = [
        ("Platform", profile.platform.map(|platform| json!(platform))),
        ("Role", profile.role.map(|role| json!(role))),
        ("Codec", profile.codec.map(|codec| json!(codec))),
        ("Width", profile.width.map(|pixels| json!(pixels))),
        ("Height", profile.height.map(|pixels| json!(pixels))),
        ("Framerate", profile.framerate.map(|frames| json!(frames))),
        ("Bitrate", profile.bitrate.map(|kbps| json!(kbps))),
        ("Layers", profile.layers.map(|layers| json!(layers))),
    ];
    let named = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_the_video_of_clients_go_as_the_api_takes_them() {
        let of = |rules: &[&str]| {
            let change = SettingsChange {
                stream_profiles: Some(rules.iter().map(|rule| rule.parse().unwrap()).collect()),
                ..SettingsChange::default()
            };
            fields(&change)
        };
        assert_eq!(
            of(&["platform=web,role=anchor,height=720", "codec=vp8"]),
            json!({ "StreamProfiles": [{ "Platform": "web", "Role": "anchor", "Height": 720 }, { "Codec": "vp8" }] })
        );
        assert_eq!(of(&[]), json!({ "NoStreamProfiles": true }));
        assert_eq!(fields(&SettingsChange::default()), json!({}));
    }
}
