//! The streams of applications.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::application::SdkAppId;
use super::text::{IdError, StreamId};

/// A live stream of the whole system: two applications may use one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    pub app: SdkAppId,
    pub id: StreamId,
}

impl StreamKey {
    /// The stream as two tokens of a bus key: `1400000001.film`.
    pub fn token(&self) -> String {
        format!("{}.{}", self.app, self.id)
    }

    /// Reads what [`token`](Self::token) has written.
    pub fn from_token(token: &str) -> Option<Self> {
        let (app, id) = token.split_once('.')?;
        Self::of(app, id).ok()
    }

    fn of(app: &str, id: &str) -> Result<Self, IdError> {
        let app: u32 = app.parse().map_err(|_| IdError::Range)?;
        Ok(Self {
            app: app.try_into()?,
            id: id.parse()?,
        })
    }
}

/// `1400000001/film`, as it is shown.
impl FromStr for StreamKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (app, id) = text.split_once('/').ok_or(IdError::Character)?;
        Self::of(app, id)
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.id)
    }
}
