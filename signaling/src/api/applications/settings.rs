//! The settings of an application in requests and answers.

use rotunda_proto::application_settings::{Settings, SettingsChange};
use rotunda_proto::config::{Cameras, Microphones, Publishers, RecordFormat, WhenFull};
use rotunda_proto::ids::shortened;
use rotunda_proto::signaling::Role;
use rotunda_proto::stream_profile::{Platform, ProfileCodec, StreamProfile};
use schemars::JsonSchema;
use serde::Serialize;

use super::Checked;
use crate::api::ApiError;
use crate::api::request::request;

/// In place of formats: those of the recorder.
const DEFAULT: &str = "default";

const PLATFORMS: [(&str, Platform); 7] = [
    ("web", Platform::Web),
    ("ios", Platform::Ios),
    ("android", Platform::Android),
    ("windows", Platform::Windows),
    ("mac", Platform::Mac),
    ("linux", Platform::Linux),
    ("device", Platform::Device),
];
const CODECS: [(&str, ProfileCodec); 4] = [
    ("h264", ProfileCodec::H264),
    ("vp8", ProfileCodec::Vp8),
    ("vp9", ProfileCodec::Vp9),
    ("av1", ProfileCodec::Av1),
];

request! {
    /// Settings of an application; what is absent stays as it is.
    ApplicationSettings {
        /// Receives recording callbacks; empty: none.
        callback_url: Option<String> = "CallbackUrl" ? "InvalidParameter",
        /// Receives the events of rooms and media; empty: none.
        event_callback_url: Option<String> = "EventCallbackUrl" ? "InvalidParameter",
        /// Receives a request for each invitee of a call who has no device; empty: none.
        call_push_url: Option<String> = "CallPushUrl" ? "InvalidParameter",
        /// Checks tokens that are no UserSigs at login; empty: none.
        token_hook_url: Option<String> = "TokenHookUrl" ? "InvalidParameter",
        /// The issuer of the OpenID provider whose ID tokens are good in place of UserSigs; empty: none.
        oidc_issuer: Option<String> = "OidcIssuer" ? "InvalidParameter",
        /// The client that the ID tokens are for (`aud`).
        oidc_client_id: Option<String> = "OidcClientId" ? "InvalidParameter",
        /// The claim that is the user id; empty, the default: `sub`.
        oidc_user_claim: Option<String> = "OidcUserClaim" ? "InvalidParameter",
        /// Members of a room who may publish audio at one time: 6 to 20. Default 6.
        max_microphones: Option<u64> = "MaxMicrophones" ? "InvalidParameter",
        /// Members of a room who may publish video at one time: 4 to 16. Default 4.
        max_cameras: Option<u64> = "MaxCameras" ? "InvalidParameter",
        /// Mixes that may run at one time; 0, the default: no limit.
        max_mixes: Option<u64> = "MaxMixes" ? "InvalidParameter",
        /// Whether members need a room ticket (`privateMapKey`) for each room. Default false.
        requires_private_map_key: Option<bool> = "RequiresPrivateMapKey" ? "InvalidParameter",
        /// Whether members may push their own media to other servers (`startPublishCdnStream`). Default false.
        members_may_push: Option<bool> = "MembersMayPush" ? "InvalidParameter",
        /// The publishers whose own media is recorded: `none`, `named` or `all`. Default `named`.
        record_publishers: Option<String> = "RecordPublishers" ? "InvalidParameter",
        /// The publishers whose own media is a live stream: `none`, `named` or `all`. Default `named`.
        relay_publishers: Option<String> = "RelayPublishers" ? "InvalidParameter",
        /// Seconds for which a publisher may be away before the recording of their own media ends: 0 to 1800. Default 0.
        record_resume_seconds: Option<u64> = "RecordResumeSeconds" ? "InvalidParameter",
        /// Days after which recorded files are deleted: 1 to 1500. 0, the default: never.
        record_retention_days: Option<u64> = "RecordRetentionDays" ? "InvalidParameter",
        /// MB that recorded files may take together. 0, the default: no limit.
        record_quota_mb: Option<u64> = "RecordQuotaMb" ? "InvalidParameter",
        /// What a full quota does: `refuse` new recordings, or `remove_oldest` files. Default `refuse`.
        record_quota_full: Option<String> = "RecordQuotaFull" ? "InvalidParameter",
        /// Some of `mp4`, `hls`, `flv` and `aac`. `default` alone, which is the default: those of the recorder.
        record_formats: Vec<String> = "RecordFormats" ? "InvalidParameter",
        /// Minutes after which a new file begins: 1 to 120. 0, the default: those of the recorder.
        record_file_minutes: Option<u64> = "RecordFileMinutes" ? "InvalidParameter",
        /// Time zone of the times in file names: an IANA name, or an offset such as `+05:30`. Empty, the default: that of the recorder.
        record_time_zone: Option<String> = "RecordTimeZone" ? "InvalidParameter",
        /// The video that clients send: a client follows the first rule for its platform and role. The whole new list.
        stream_profiles: Vec<StreamProfileRule> = "StreamProfiles" ? "InvalidParameter",
        /// True: no rules, clients decide.
        no_stream_profiles: Option<bool> = "NoStreamProfiles" ? "InvalidParameter",
        /// The application is not served: nobody logs in, and its keys open nothing. Members who are inside stay. Default false.
        disabled: Option<bool> = "Disabled" ? "InvalidParameter",
    }
}

request! {
    /// The video of some clients; what is absent is the client's default.
    StreamProfileRule {
        /// `web`, `ios`, `android`, `windows`, `mac`, `linux` or `device`; absent: all.
        platform: Option<String> = "Platform" ? "InvalidParameter",
        /// `anchor` or `audience`; absent: both.
        role: Option<String> = "Role" ? "InvalidParameter",
        /// `h264`, `vp8`, `vp9` or `av1`.
        codec: Option<String> = "Codec" ? "InvalidParameter",
        /// Pixels of the camera's frames, 16 to 1920.
        width: Option<u64> = "Width" ? "InvalidParameter",
        /// Pixels of the camera's frames, 16 to 1920.
        height: Option<u64> = "Height" ? "InvalidParameter",
        /// Frames a second, 1 to 60.
        framerate: Option<u64> = "Framerate" ? "InvalidParameter",
        /// Of the largest layer, kbit/s, 30 to 10000.
        bitrate: Option<u64> = "Bitrate" ? "InvalidParameter",
        /// Sizes of the camera that are sent, 1 to 3.
        layers: Option<u64> = "Layers" ? "InvalidParameter",
    }
}

/// A rule of the settings.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StreamProfileInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framerate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
}

/// The settings of an application.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SettingsInfo {
    /// Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_callback_url: Option<String>,
    /// Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_push_url: Option<String>,
    /// Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_hook_url: Option<String>,
    /// Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_client_id: Option<String>,
    /// Absent: `sub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_user_claim: Option<String>,
    pub max_microphones: u64,
    pub max_cameras: u64,
    /// 0: no limit.
    pub max_mixes: u64,
    pub requires_private_map_key: bool,
    pub members_may_push: bool,
    pub record_publishers: String,
    pub relay_publishers: String,
    pub record_resume_seconds: u64,
    /// 0: for ever.
    pub record_retention_days: u64,
    /// 0: no limit.
    pub record_quota_mb: u64,
    pub record_quota_full: String,
    /// `default` alone: those of the recorder.
    pub record_formats: Vec<String>,
    /// 0: those of the recorder.
    pub record_file_minutes: u64,
    /// Empty: that of the recorder.
    pub record_time_zone: String,
    /// Empty: clients decide.
    pub stream_profiles: Vec<StreamProfileInfo>,
    pub disabled: bool,
}

impl SettingsInfo {
    pub fn of(settings: &Settings) -> Self {
        let formats = settings.record_formats.iter().map(word).collect();
        Self {
            callback_url: settings.callback_url.clone(),
            event_callback_url: settings.event_callback_url.clone(),
            call_push_url: settings.call_push_url.clone(),
            token_hook_url: settings.token_hook_url.clone(),
            oidc_issuer: settings.oidc_issuer.clone(),
            oidc_client_id: settings.oidc_client_id.clone(),
            oidc_user_claim: settings.oidc_user_claim.clone(),
            max_microphones: settings.max_microphones.count() as u64,
            max_cameras: settings.max_cameras.count() as u64,
            max_mixes: settings.max_mixes.into(),
            requires_private_map_key: settings.requires_private_map_key,
            members_may_push: settings.members_may_push,
            record_publishers: word(&settings.record_publishers),
            relay_publishers: word(&settings.relay_publishers),
            record_resume_seconds: settings.record_resume_seconds.into(),
            record_retention_days: settings.record_retention_days.into(),
            record_quota_mb: settings.record_quota_mb,
            record_quota_full: word(&settings.record_quota_full),
            record_formats: match settings.record_formats.as_slice() {
                [] => vec![DEFAULT.to_owned()],
                _ => formats,
            },
            record_file_minutes: settings.record_file_minutes.into(),
            record_time_zone: settings
                .record_time_zone
                .as_ref()
                .map_or(String::new(), ToString::to_string),
            stream_profiles: settings.stream_profiles.iter().map(StreamProfileInfo::of).collect(),
            disabled: settings.disabled,
        }
    }
}

impl StreamProfileInfo {
    fn of(profile: &StreamProfile) -> Self {
        Self {
            platform: profile.platform.as_ref().map(word),
            role: profile.role.as_ref().map(word),
            codec: profile.codec.as_ref().map(word),
            width: profile.width,
            height: profile.height,
            framerate: profile.framerate,
            bitrate: profile.bitrate,
            layers: profile.layers,
        }
    }
}

/// As settings are written.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => other.unwrap_or_default().to_string(),
    }
}

/// Errors: `InvalidParameter`. Ranges of numbers are checked with the whole application.
pub fn change(request: ApplicationSettings) -> Checked<SettingsChange> {
    // An empty text takes the setting away.
    let optional = |text: Option<String>| text.map(|text| Some(text).filter(|text| !text.is_empty()));
    let zone = optional(request.record_time_zone).map(|zone| match zone {
        None => Ok(None),
        Some(zone) => zone
            .parse()
            .map(Some)
            .map_err(|error| ApiError::new("InvalidParameter", format!("Settings.RecordTimeZone: {error}"))),
    });
    let microphones = number("MaxMicrophones", request.max_microphones)?.map(|count| {
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        Microphones::try_from(count).map_err(|_| {
            ApiError::new(
                "InvalidParameter",
                format!("Settings.MaxMicrophones must be 6 to 20, not {count}"),
            )
        })
    });
    let cameras = number("MaxCameras", request.max_cameras)?.map(|count| {
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        Cameras::try_from(count).map_err(|_| {
            let message = format!("Settings.MaxCameras must be 4 to 16, not {count}");
            ApiError::new("InvalidParameter", message)
        })
    });
    Ok(SettingsChange {
        callback_url: optional(request.callback_url),
        event_callback_url: optional(request.event_callback_url),
        call_push_url: optional(request.call_push_url),
        token_hook_url: optional(request.token_hook_url),
        oidc_issuer: optional(request.oidc_issuer),
        oidc_client_id: optional(request.oidc_client_id),
        oidc_user_claim: optional(request.oidc_user_claim),
        max_microphones: microphones.transpose()?,
        max_cameras: cameras.transpose()?,
        max_mixes: number("MaxMixes", request.max_mixes)?,
        requires_private_map_key: request.requires_private_map_key,
        members_may_push: request.members_may_push,
        record_publishers: publishers("RecordPublishers", request.record_publishers)?,
        relay_publishers: publishers("RelayPublishers", request.relay_publishers)?,
        record_resume_seconds: number("RecordResumeSeconds", request.record_resume_seconds)?,
        record_retention_days: number("RecordRetentionDays", request.record_retention_days)?,
        record_quota_mb: request.record_quota_mb,
        record_quota_full: one_of(
            "RecordQuotaFull",
            request.record_quota_full.as_deref(),
            &[("refuse", WhenFull::Refuse), ("remove_oldest", WhenFull::RemoveOldest)],
        )?,
        record_formats: formats(&request.record_formats)?,
        record_file_minutes: number("RecordFileMinutes", request.record_file_minutes)?,
        record_time_zone: zone.transpose()?,
        stream_profiles: profiles(request.stream_profiles, request.no_stream_profiles)?,
        disabled: request.disabled,
    })
}

fn profiles(rules: Vec<StreamProfileRule>, none: Option<bool>) -> Checked<Option<Vec<StreamProfile>>> {
    if rules.is_empty() {
        return Ok(none.filter(|none| *none).map(|_| Vec::new()));
    }
    let read = |(index, rule): (usize, StreamProfileRule)| {
        let name = |field: &str| format!("StreamProfiles.{index}.{field}");
        Ok(StreamProfile {
            platform: one_of(&name("Platform"), rule.platform.as_deref(), &PLATFORMS)?,
            role: one_of(
                &name("Role"),
                rule.role.as_deref(),
                &[("anchor", Role::Anchor), ("audience", Role::Audience)],
            )?,
            codec: one_of(&name("Codec"), rule.codec.as_deref(), &CODECS)?,
            width: number(&name("Width"), rule.width)?,
            height: number(&name("Height"), rule.height)?,
            framerate: number(&name("Framerate"), rule.framerate)?,
            bitrate: number(&name("Bitrate"), rule.bitrate)?,
            layers: number(&name("Layers"), rule.layers)?,
        })
    };
    let rules: Checked<Vec<_>> = rules.into_iter().enumerate().map(read).collect();
    rules.map(Some)
}

fn publishers(name: &str, text: Option<String>) -> Checked<Option<Publishers>> {
    let words = [
        ("none", Publishers::None),
        ("named", Publishers::Named),
        ("all", Publishers::All),
    ];
    one_of(name, text.as_deref(), &words)
}

fn formats(texts: &[String]) -> Checked<Option<Vec<RecordFormat>>> {
    let words = [
        ("mp4", RecordFormat::Mp4),
        ("hls", RecordFormat::Hls),
        ("flv", RecordFormat::Flv),
        ("aac", RecordFormat::Aac),
    ];
    match texts {
        [] => Ok(None),
        [only] if only == DEFAULT => Ok(Some(Vec::new())),
        texts => {
            let mut formats = Vec::new();
            for text in texts {
                formats
                    .extend(one_of("RecordFormats", Some(text.as_str()), &words)?.filter(|new| !formats.contains(new)));
            }
            Ok(Some(formats))
        }
    }
}

fn one_of<T: Copy>(name: &str, text: Option<&str>, words: &[(&str, T)]) -> Checked<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("Settings.{name} must be of {}, not {}", all.join(", "), shortened(text));
            Err(ApiError::new("InvalidParameter", message))
        }
    }
}

fn number(name: &str, number: Option<u64>) -> Checked<Option<u32>> {
    let read = |number: u64| {
        u32::try_from(number).map_err(|_| {
            let message = format!("Settings.{name} must be at most {}, not {number}", u32::MAX);
            ApiError::new("InvalidParameter", message)
        })
    };
    number.map(read).transpose()
}

/// `callback_url` is `CallbackUrl`.
pub fn field(setting: &str) -> String {
    let upper = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => String::new(),
    };
    setting.split('_').map(upper).collect()
}
