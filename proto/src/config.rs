//! The parts of the configuration that all services share.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::applications::{Origin, Reach, Scopes};
use crate::ids::SdkAppId;
use crate::name_time_zone::NameTimeZone;
use crate::recording::FileFormat;
use crate::room::MAX_VIDEO_PUBLISHERS;
use crate::sfu::MEMBER_AUDIO_SLOTS;
use crate::stream_profile::StreamProfile;

/// A text that never reaches a log: printed as `***`, and serialized as `***` too.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing and comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMistake {
    /// `section.key`.
    pub key: String,
    /// The mistake, and the text to write instead.
    pub message: String,
}

impl ConfigMistake {
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// An application (tenant): its keys, its callbacks and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub sdk_app_id: SdkAppId,
    /// Signs UserSigs. Its bytes are used as they are.
    pub secret_key: Secret,
    /// API keys: id and secret of the Tencent envelope and of gRPC.
    pub secret_id: String,
    pub api_secret: Secret,
    /// Receives recording callbacks; none by default.
    #[serde(default)]
    pub callback_url: Option<String>,
    /// Receives the events of rooms and media; none by default.
    #[serde(default)]
    pub event_callback_url: Option<String>,
    /// Receives a request for each invitee of a call who has no device, so that a push message can wake one; none by default.
    #[serde(default)]
    pub call_push_url: Option<String>,
    /// Checks tokens that are no UserSigs at login; none by default.
    #[serde(default)]
    pub token_hook_url: Option<String>,
    /// The OpenID provider of its own accounts: its ID tokens are good in place of UserSigs; none by default.
    #[serde(default)]
    pub oidc_issuer: Option<String>,
    /// The client that the ID tokens are for (`aud`). It is needed with `oidc_issuer`.
    #[serde(default)]
    pub oidc_client_id: Option<String>,
    /// The claim that is the user id. Default "sub".
    #[serde(default)]
    pub oidc_user_claim: Option<String>,
    /// Signs callbacks: letters and digits, at most 32.
    #[serde(default)]
    pub callback_key: Secret,
    /// Signs playback addresses (`txSecret`, `txTime`); none by default, which lets anybody play.
    #[serde(default)]
    pub play_key: Secret,
    /// Members of a room who may publish audio at one time; of more than 6 the loudest 6 are heard. Default 6.
    #[serde(default)]
    pub max_microphones: Microphones,
    /// Members of a room who may publish video (camera, screen or both) at one time, 4 to 16. Each viewer still sees at most 4 cameras; mixes
    /// have all of them. Default 4.
    #[serde(default)]
    pub max_cameras: Cameras,
    /// Members need a room ticket (`privateMapKey`) for each room, which gives their rights there. Default false.
    #[serde(default)]
    pub requires_private_map_key: bool,
    /// Members may push their own media to other servers (`startPublishCdnStream`). Default false.
    #[serde(default)]
    pub members_may_push: bool,
    /// The publishers whose own media is recorded, each in its own files. Default "named".
    #[serde(default)]
    pub record_publishers: Publishers,
    /// The publishers whose own media is a live stream. Default "named".
    #[serde(default)]
    pub relay_publishers: Publishers,
    /// Seconds for which a publisher may be away before the recording of their own media ends: 0 to 1800. Default 0.
    #[serde(default)]
    pub record_resume_seconds: u32,
    /// Days after which recorded files are deleted: 1 to 1500. 0, the default: never.
    #[serde(default)]
    pub record_retention_days: u32,
    /// Megabytes (2^20 bytes) that recorded files may take together. 0, the default: no limit.
    #[serde(default)]
    pub record_quota_mb: u64,
    /// Whether a full quota refuses new recordings, or removes the oldest files. Default "refuse".
    #[serde(default)]
    pub record_quota_full: WhenFull,
    /// Formats in which its recordings are written. Empty, the default: those of the recorder.
    #[serde(default)]
    pub record_formats: Vec<RecordFormat>,
    /// Minutes after which a new file begins: 1 to 120. 0, the default: those of the recorder.
    #[serde(default)]
    pub record_file_minutes: u32,
    /// Time zone of the times in file names. None, the default: that of the recorder.
    #[serde(default)]
    pub record_time_zone: Option<NameTimeZone>,
    /// Mixes that may run at one time. 0, the default: no limit.
    #[serde(default)]
    pub max_mixes: u32,
    /// The video that clients send, by platform and role; clients are told on entering a room. None by default: clients decide.
    #[serde(default)]
    pub stream_profiles: Vec<StreamProfile>,
    /// A second key that is also good for UserSigs and room tickets, while the keys are exchanged. Empty: none.
    #[serde(skip)]
    pub other_secret_key: Secret,
    /// The parts of the API that its key opens.
    #[serde(skip)]
    pub scopes: Scopes,
    /// The applications that its key may administer.
    #[serde(skip)]
    pub reach: Reach,
    /// Where it is written.
    #[serde(skip)]
    pub origin: Origin,
    /// It is not served: nobody logs in, and its keys open nothing.
    #[serde(skip)]
    pub disabled: bool,
}

/// A format of recorded files that a setting can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    Mp4,
    Hls,
    Flv,
    Aac,
}

impl RecordFormat {
    pub fn file_format(self) -> FileFormat {
        match self {
            Self::Mp4 => FileFormat::Mp4,
            Self::Hls => FileFormat::Hls,
            Self::Flv => FileFormat::Flv,
            Self::Aac => FileFormat::Aac,
        }
    }
}

/// What happens when recorded files take too much space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// New recordings do not begin.
    #[default]
    Refuse,
    /// The oldest announced files are deleted.
    RemoveOldest,
}

/// Some of the publishers of an application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publishers {
    None,
    /// Those who gave a name for it on entering: `userDefineRecordId` or `streamId`.
    #[default]
    Named,
    All,
}

impl Publishers {
    /// `name`: of a publisher.
    pub fn include<T>(self, name: Option<&T>) -> bool {
        match self {
            Self::None => false,
            Self::Named => name.is_some(),
            Self::All => true,
        }
    }
}

impl Application {
    /// An application with defaults for the rest, and without API keys: nobody can call the API for it.
    pub fn new(sdk_app_id: SdkAppId, secret_key: impl Into<String>) -> Self {
        Self {
            sdk_app_id,
            secret_key: Secret::new(secret_key),
            secret_id: String::new(),
            api_secret: Secret::default(),
            callback_url: None,
            event_callback_url: None,
            call_push_url: None,
            token_hook_url: None,
            oidc_issuer: None,
            oidc_client_id: None,
            oidc_user_claim: None,
            callback_key: Secret::default(),
            play_key: Secret::default(),
            max_microphones: Microphones::default(),
            max_cameras: Cameras::default(),
            requires_private_map_key: false,
            members_may_push: false,
            record_publishers: Publishers::default(),
            relay_publishers: Publishers::default(),
            record_resume_seconds: 0,
            record_retention_days: 0,
            record_quota_mb: 0,
            record_quota_full: WhenFull::Refuse,
            record_formats: Vec::new(),
            record_file_minutes: 0,
            record_time_zone: None,
            max_mixes: 0,
            stream_profiles: Vec::new(),
            other_secret_key: Secret::default(),
            scopes: Scopes::All,
            reach: Reach::Own,
            origin: Origin::Configuration,
            disabled: false,
        }
    }
}

impl Application {
    /// Verifies with each key that is good for UserSigs and room tickets. Answers the error of the first key if none fits, or that
    /// of a key that fits for another reason, such as an expired ticket.
    pub fn verify<T, E>(
        &self,
        verify: impl Fn(&str) -> Result<T, E>,
        is_wrong_key: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let first = verify(self.secret_key.reveal());
        let other = self.other_secret_key.reveal();
        match &first {
            Err(error) if is_wrong_key(error) && !other.is_empty() => match verify(other) {
                Err(error) if is_wrong_key(&error) => first,
                decided => decided,
            },
            _ => first,
        }
    }
}

/// The number of members of a room who may publish audio at one time: 6 to 20, as many as a mix takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Microphones(u8);

/// The number is not 6 to 20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("max_microphones: write 6 to 20, not {0}")]
pub struct MicrophonesError(u8);

impl Microphones {
    /// The largest number that an application can permit.
    pub const MAX: usize = 20;

    pub fn count(self) -> usize {
        self.0.into()
    }

    /// Whether more members may publish audio than a listener has slots, so that only the loudest are heard.
    pub fn exceed_slots(self) -> bool {
        self.count() > MEMBER_AUDIO_SLOTS
    }
}

impl Default for Microphones {
    fn default() -> Self {
        Self(MEMBER_AUDIO_SLOTS as u8)
    }
}

impl TryFrom<u8> for Microphones {
    type Error = MicrophonesError;

    fn try_from(count: u8) -> Result<Self, MicrophonesError> {
        if (MEMBER_AUDIO_SLOTS..=Self::MAX).contains(&count.into()) {
            Ok(Self(count))
        } else {
            Err(MicrophonesError(count))
        }
    }
}

impl From<Microphones> for u8 {
    fn from(microphones: Microphones) -> Self {
        microphones.0
    }
}

/// The number of members of a room who may publish video at one time: 4 to 16, as many as a mix shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Cameras(u8);

/// The number is not 4 to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("max_cameras: write 4 to 16, not {0}")]
pub struct CamerasError(u8);

impl Cameras {
    /// The largest number that an application can permit.
    pub const MAX: usize = 16;

    pub fn count(self) -> usize {
        self.0.into()
    }
}

impl Default for Cameras {
    fn default() -> Self {
        Self(MAX_VIDEO_PUBLISHERS as u8)
    }
}

impl TryFrom<u8> for Cameras {
    type Error = CamerasError;

    fn try_from(count: u8) -> Result<Self, CamerasError> {
        if (MAX_VIDEO_PUBLISHERS..=Self::MAX).contains(&count.into()) {
            Ok(Self(count))
        } else {
            Err(CamerasError(count))
        }
    }
}

impl From<Cameras> for u8 {
    fn from(cameras: Cameras) -> Self {
        cameras.0
    }
}

/// How many members of a room may publish at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishLimits {
    pub microphones: Microphones,
    pub cameras: Cameras,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_four_to_sixteen_may_be_seen_and_four_is_the_default() {
        assert_eq!(Cameras::default().count(), 4);
        assert!(Cameras::try_from(16).is_ok_and(|cameras| cameras.count() == 16));
        for wrong in [0, 3, 17] {
            assert_eq!(Cameras::try_from(wrong), Err(CamerasError(wrong)));
        }
    }

    #[test]
    fn from_six_to_twenty_may_speak_and_six_is_the_default() {
        assert!(!Microphones::default().exceed_slots());
        assert!(Microphones::try_from(7).is_ok_and(Microphones::exceed_slots));
        for wrong in [0, 5, 21] {
            assert_eq!(Microphones::try_from(wrong), Err(MicrophonesError(wrong)));
        }
    }
}
