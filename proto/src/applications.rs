//! The applications that a server knows, and their change while it runs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;

use crate::config::Application;
use crate::ids::SdkAppId;

/// A part of the API that a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Start and stop mixes.
    Mix,
    /// Members of rooms: their statistics and permissions.
    Rooms,
    /// Remove members and dismiss rooms.
    Moderate,
    /// List, fetch and delete recordings.
    Recordings,
    /// Live streams and their pushes.
    Live,
    /// Usage.
    Usage,
    /// Nodes, and the deliveries of callbacks.
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no scope; write mix, rooms, moderate, recordings, live, usage or admin")]
pub struct UnknownScope(String);

/// The scopes of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scopes {
    /// The key of the configuration file opens everything.
    #[default]
    All,
    Some(BTreeSet<Scope>),
}

/// Applications, and the further API keys of some of them.
#[derive(Debug, Default)]
pub struct ApplicationSet {
    applications: Vec<Application>,
    /// Each is an application under another key.
    with_other_keys: Vec<Application>,
}

/// The applications of a process. A change reaches all clones; a handler takes a snapshot with [`now`](Self::now).
#[derive(Debug, Clone, Default)]
pub struct ApplicationList(Arc<RwLock<Arc<ApplicationSet>>>);

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::Mix,
        Self::Rooms,
        Self::Moderate,
        Self::Recordings,
        Self::Live,
        Self::Usage,
        Self::Admin,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Rooms => "rooms",
            Self::Moderate => "moderate",
            Self::Recordings => "recordings",
            Self::Live => "live",
            Self::Usage => "usage",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

impl Scopes {
    pub fn permit(&self, scope: Scope) -> bool {
        match self {
            Self::All => true,
            Self::Some(scopes) => scopes.contains(&scope),
        }
    }
}

impl ApplicationSet {
    /// `with_other_keys`: each an application of the first list, with another key in `secret_id` and `api_secret`.
    pub fn new(applications: Vec<Application>, with_other_keys: Vec<Application>) -> Self {
        Self {
            applications,
            with_other_keys,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Application> {
        self.applications.iter()
    }

    pub fn by_id(&self, id: SdkAppId) -> Option<&Application> {
        self.iter().find(|application| application.sdk_app_id == id)
    }

    /// An application for each API key.
    pub fn by_key(&self) -> impl Iterator<Item = &Application> {
        self.applications.iter().chain(&self.with_other_keys)
    }
}

impl ApplicationList {
    pub fn new(applications: Vec<Application>) -> Self {
        let list = Self::default();
        list.replace(ApplicationSet::new(applications, Vec::new()));
        list
    }

    /// The applications as they are now.
    pub fn now(&self) -> Arc<ApplicationSet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace(&self, applications: ApplicationSet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(applications);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_stays_and_the_next_one_has_the_change() {
        let app = |id: u32| Application::new(id.try_into().unwrap(), "key");
        let list = ApplicationList::new(vec![app(1)]);
        let (clone, before) = (list.clone(), list.now());
        list.replace(ApplicationSet::new(vec![app(2)], Vec::new()));
        let known = |set: &ApplicationSet, id: u32| set.by_id(id.try_into().unwrap()).is_some();
        assert!(known(&before, 1) && !known(&before, 2));
        assert!(!known(&clone.now(), 1) && known(&clone.now(), 2));
    }

    #[test]
    fn a_scope_is_a_word() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert!(Scopes::All.permit(scope));
            assert!(!Scopes::Some(BTreeSet::new()).permit(scope));
        }
        assert_eq!(
            "all".parse::<Scope>().unwrap_err().to_string(),
            "\"all\" is no scope; write mix, rooms, moderate, recordings, live, usage or admin"
        );
    }
}
