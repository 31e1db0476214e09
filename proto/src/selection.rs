//! The members of a room whose media a task takes: lists of users, and their cameras or screens. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{IdError, TrackSource, UserId};
use crate::room::Publisher;

/// The tracks that a task takes of each member; by default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    pub audio: UserLists,
    pub video: UserLists,
    pub videos: Videos,
}

/// The videos of a member that count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Videos {
    #[default]
    All,
    Camera,
    Screen,
}

/// Which users; by default everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserLists {
    /// These alone; None: everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<UserPattern>>,
    /// But not these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<UserPattern>,
}

/// A user, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserPattern {
    User(UserId),
    Prefix(String),
}

impl Selection {
    /// One user's audio, and their camera or their screen.
    pub fn of_user(user: &UserId, videos: Videos) -> Self {
        let only = UserLists {
            only: Some(vec![UserPattern::User(user.clone())]),
            never: Vec::new(),
        };
        Self {
            audio: only.clone(),
            video: only,
            videos,
        }
    }

    pub fn takes(&self, user: &UserId, source: TrackSource) -> bool {
        match source {
            TrackSource::Audio => self.audio.include(user),
            TrackSource::Camera => self.videos != Videos::Screen && self.video.include(user),
            TrackSource::Screen => self.videos != Videos::Camera && self.video.include(user),
        }
    }

    /// Whether a publisher sends anything that is taken.
    pub fn takes_any(&self, publisher: &Publisher) -> bool {
        [TrackSource::Audio, TrackSource::Camera, TrackSource::Screen]
            .into_iter()
            .any(|source| publisher.track(source).is_some() && self.takes(&publisher.user, source))
    }
}

impl UserLists {
    pub fn nobody() -> Self {
        Self {
            only: Some(Vec::new()),
            never: Vec::new(),
        }
    }

    pub fn include(&self, user: &UserId) -> bool {
        let is_permitted = self
            .only
            .as_ref()
            .is_none_or(|only| only.iter().any(|pattern| pattern.fits(user)));
        is_permitted && !self.never.iter().any(|pattern| pattern.fits(user))
    }
}

impl UserPattern {
    fn fits(&self, user: &UserId) -> bool {
        match self {
            Self::User(one) => one == user,
            Self::Prefix(prefix) => user.as_str().starts_with(prefix),
        }
    }
}

/// `ann`, or `ann.*$` for all whose names begin with `ann`.
impl FromStr for UserPattern {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.strip_suffix(".*$") {
            Some("") => Ok(Self::Prefix(String::new())),
            Some(prefix) => prefix.parse::<UserId>().map(|prefix| Self::Prefix(prefix.to_string())),
            None => text.parse().map(Self::User),
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "{user}"),
            Self::Prefix(prefix) => write!(f, "{prefix}.*$"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        name.parse().unwrap()
    }

    fn lists(only: Option<&[&str]>, never: &[&str]) -> UserLists {
        let parse = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        UserLists {
            only: only.map(parse),
            never: parse(never),
        }
    }

    #[test]
    fn lists_name_users_and_beginnings_of_names_and_the_black_list_wins() {
        assert!(UserLists::default().include(&user("ann")));
        assert!(!UserLists::nobody().include(&user("ann")));
        assert!(lists(Some(&["ann", "bo.*$"]), &[]).include(&user("bob")));
        assert!(!lists(Some(&["ann", "bo.*$"]), &[]).include(&user("anna")));
        assert!(!lists(Some(&["ann"]), &["a.*$"]).include(&user("ann")));
        assert!(lists(None, &["a.*$"]).include(&user("bob")));
        assert_eq!("no spaces".parse::<UserPattern>(), Err(IdError::Character));
        assert_eq!("bo.*$".parse::<UserPattern>().unwrap().to_string(), "bo.*$");
    }

    #[test]
    fn a_users_screen_alone_leaves_the_camera() {
        let screen = Selection::of_user(&user("ann"), Videos::Screen);
        assert!(screen.takes(&user("ann"), TrackSource::Screen));
        assert!(!screen.takes(&user("ann"), TrackSource::Camera));
        assert!(!screen.takes(&user("bob"), TrackSource::Screen));
    }
}
