//! The video that clients of an application send, by platform and role: what the operator sets and clients are told on entering.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    fn a_rule_is_written_with_its_own_values_alone() {
        let text = r#"{"platform":"web","role":"anchor","codec":"h264","bitrate":800}"#;
        let profile: StreamProfile = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&profile).unwrap(), text);
        assert!(serde_json::from_str::<StreamProfile>(r#"{"fps": 5}"#).is_err());
    }
}
