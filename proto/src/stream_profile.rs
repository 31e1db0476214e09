//! The video that clients of an application send, by platform and role: what the operator sets and clients are told on entering.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::signaling::Role;

/// Most rules of an application.
pub const MOST_PROFILES: usize = 32;

/// A rule: a client follows the first one for its platform and role. An absent value leaves the client's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamProfile {
    /// Absent: every platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Absent: every role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<ProfileCodec>,
    /// Pixels of the camera's frames, 16 to 1920.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels of the camera's frames, 16 to 1920.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames a second, 1 to 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framerate: Option<u32>,
    /// Of the largest layer, kbit/s, 30 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<u32>,
    /// Sizes of the camera that are sent, 1 to 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Browsers.
    Web,
    Ios,
    Android,
    Windows,
    Mac,
    Linux,
    /// Cameras and other devices.
    Device,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProfileCodec {
    H264,
    Vp8,
    Vp9,
    Av1,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    #[error(
        "{0:?} is no pair; write NAME=VALUE pairs with commas between them, as in platform=web,role=anchor,height=720"
    )]
    Pair(String),
    #[error("{0} is named twice; name it once")]
    Twice(String),
    #[error("{0} must be a whole number, not {1:?}")]
    Number(String, String),
    #[error("{0} must be one of {1}, not {2:?}")]
    Word(&'static str, &'static str, String),
    #[error("{0:?} is not known; write some of platform, role, codec, width, height, framerate, bitrate, layers")]
    Name(String),
}

/// A rule as people write it: `platform=web,role=anchor,codec=h264,height=720`. Numbers are in range when [`mistake`] finds none.
impl FromStr for StreamProfile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let mut profile = Self::default();
        for pair in text.split(',') {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| ProfileError::Pair(pair.to_owned()))?;
            let is_named_before = match name {
                "platform" => {
                    let platform = word(value).ok_or(ProfileError::Word("platform", PLATFORMS, value.to_owned()))?;
                    profile.platform.replace(platform).is_some()
                }
                "role" => {
                    let role = word(value).ok_or(ProfileError::Word("role", ROLES, value.to_owned()))?;
                    profile.role.replace(role).is_some()
                }
                "codec" => {
                    let codec = word(value).ok_or(ProfileError::Word("codec", CODECS, value.to_owned()))?;
                    profile.codec.replace(codec).is_some()
                }
                "width" => profile.width.replace(number(name, value)?).is_some(),
                "height" => profile.height.replace(number(name, value)?).is_some(),
                "framerate" => profile.framerate.replace(number(name, value)?).is_some(),
                "bitrate" => profile.bitrate.replace(number(name, value)?).is_some(),
                "layers" => profile.layers.replace(number(name, value)?).is_some(),
                other => return Err(ProfileError::Name(other.to_owned())),
            };
            if is_named_before {
                return Err(ProfileError::Twice(name.to_owned()));
            }
        }
        Ok(profile)
    }
}

const PLATFORMS: &str = "web, ios, android, windows, mac, linux, device";
const ROLES: &str = "anchor, audience";
const CODECS: &str = "h264, vp8, vp9, av1";

fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}

fn number(name: &str, text: &str) -> Result<u32, ProfileError> {
    text.parse()
        .map_err(|_| ProfileError::Number(name.to_owned(), text.to_owned()))
}

/// The first mistake in the rules, with the field's name.
pub fn mistake(profiles: &[StreamProfile]) -> Option<String> {
    if profiles.len() > MOST_PROFILES {
        return Some(format!(
            "write at most {MOST_PROFILES} profiles, not {}",
            profiles.len()
        ));
    }
    profiles.iter().enumerate().find_map(|(index, profile)| {
        let values = [
            ("width", profile.width, 16..=1920),
            ("height", profile.height, 16..=1920),
            ("framerate", profile.framerate, 1..=60),
            ("bitrate", profile.bitrate, 30..=10_000),
            ("layers", profile.layers, 1..=3),
        ];
        values.into_iter().find_map(|(name, value, range)| {
            let value = value.filter(|value| !range.contains(value))?;
            let (least, most) = (range.start(), range.end());
            Some(format!(
                "profile {index}: {name} must be {least} to {most}, not {value}"
            ))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_with_its_rule() {
        let good = StreamProfile {
            platform: Some(Platform::Web),
            height: Some(720),
            layers: Some(2),
            ..StreamProfile::default()
        };
        assert_eq!(mistake(std::slice::from_ref(&good)), None);
        let bad = StreamProfile {
            framerate: Some(61),
            ..good.clone()
        };
        let found = mistake(&[good.clone(), bad]);
        assert_eq!(found.as_deref(), Some("profile 1: framerate must be 1 to 60, not 61"));
        assert!(mistake(&vec![good; MOST_PROFILES + 1]).is_some());
    }

    #[test]
    fn a_rule_is_read_as_people_write_it() {
        let read =
            "platform=web,role=anchor,codec=h264,width=1280,height=720,framerate=30,bitrate=1500,layers=2".parse();
        let expected = StreamProfile {
            platform: Some(Platform::Web),
            role: Some(Role::Anchor),
            codec: Some(ProfileCodec::H264),
            width: Some(1280),
            height: Some(720),
            framerate: Some(30),
            bitrate: Some(1500),
            layers: Some(2),
        };
        assert_eq!(read, Ok(expected));
        for (text, names) in [
            ("", "NAME=VALUE"),
            ("platform", "NAME=VALUE"),
            ("platform=amiga", "web, ios"),
            ("role=host", "anchor, audience"),
            ("codec=h265", "h264, vp8"),
            ("height=tall", "height must be a whole number"),
            ("fps=30", "framerate"),
            ("height=720,height=720", "named twice"),
        ] {
            let error = text.parse::<StreamProfile>().unwrap_err().to_string();
            assert!(error.contains(names), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_is_written_with_its_own_values_alone() {
        let text = r#"{"platform":"web","role":"anchor","codec":"h264","bitrate":800}"#;
        let profile: StreamProfile = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&profile).unwrap(), text);
        assert!(serde_json::from_str::<StreamProfile>(r#"{"fps": 5}"#).is_err());
    }
}
