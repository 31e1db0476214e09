//! What the configuration of every service has in common.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::SdkAppId;

/// A text that never reaches a log: printed as `***`, also by [`Serialize`].
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
    /// What is wrong and what to write instead.
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

/// An application (tenant): who may log in to it and call the API for it, and where its callbacks go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    pub sdk_app_id: SdkAppId,
    /// Signs UserSigs. Used as text.
    pub secret_key: Secret,
    /// API keys: id and secret of the Tencent envelope and of gRPC.
    pub secret_id: String,
    pub api_secret: Secret,
    /// Receives recording callbacks; none by default.
    #[serde(default)]
    pub callback_url: Option<String>,
    /// Signs callbacks: letters and digits, at most 32.
    #[serde(default)]
    pub callback_key: Secret,
}
