//! The application's id.

use std::fmt;

use schemars::JsonSchema;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

use super::text::{IdError, refused, shortened};

/// An application: the tenant that owns rooms, keys and settings. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct SdkAppId(#[schemars(range(min = 1))] u32);

impl SdkAppId {
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SdkAppId {
    type Error = IdError;

    fn try_from(number: u32) -> Result<Self, IdError> {
        if number == 0 {
            Err(IdError::Range)
        } else {
            Ok(Self(number))
        }
    }
}

impl<'de> Deserialize<'de> for SdkAppId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const RULE: &str = "a number from 1 to 4294967295";
        let number = i128::from(deserializer.deserialize_any(WholeNumber { rule: RULE })?);
        let id = u32::try_from(number)
            .ok()
            .and_then(|number| Self::try_from(number).ok());
        id.ok_or_else(|| refused(RULE, number))
    }
}

/// Reads a whole number of either sign.
struct WholeNumber {
    rule: &'static str,
}

impl Visitor<'_> for WholeNumber {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| refused(self.rule, number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        Err(refused(self.rule, shortened(text)))
    }
}

impl fmt::Display for SdkAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
