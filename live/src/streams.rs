//! The streams that can be played: by which names, and with which permission.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::ids::{SdkAppId, StreamId, StreamKey};

use crate::play_secret;
use crate::rtmp_session::NotPlayed;

/// A stream as an address names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamName {
    /// `<streamId>`, whichever application's it is.
    Short(StreamId),
    /// `<sdkAppId>/<streamId>`
    Full(StreamKey),
}

impl StreamName {
    pub fn parse(text: &str) -> Option<Self> {
        let Some((app, id)) = text.split_once('/') else {
            return StreamId::from_address(text).map(Self::Short);
        };
        let app = app.parse::<u32>().ok()?.try_into().ok()?;
        let id = StreamId::from_address(id)?;
        Some(Self::Full(StreamKey { app, id }))
    }
}

/// The applications with their play keys, and the streams that run or have just ended.
#[derive(Debug)]
pub struct Streams {
    applications: ApplicationList,
    known: Mutex<BTreeMap<StreamId, BTreeSet<SdkAppId>>>,
}

/// A stream that may be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub stream: StreamKey,
    pub key: PlayKey,
}

/// Whether a stream that may be played needed a permission for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayKey {
    Needed,
    NotNeeded,
}

impl Streams {
    pub fn new(applications: ApplicationList) -> Self {
        Self {
            applications,
            known: Mutex::default(),
        }
    }

    /// A program runs.
    pub fn begin(&self, stream: &StreamKey) {
        self.known().entry(stream.id.clone()).or_default().insert(stream.app);
    }

    /// Nothing of a stream is left.
    pub fn end(&self, stream: &StreamKey) {
        let mut known = self.known();
        if let Some(owners) = known.get_mut(&stream.id) {
            owners.remove(&stream.app);
            if owners.is_empty() {
                known.remove(&stream.id);
            }
        }
    }

    /// The stream of a name, if the query of the address lets its holder play it. A short name that two applications use is
    /// neither's.
    pub fn find(&self, name: &StreamName, query: &str, unix_now: Duration) -> Result<Found, NotPlayed> {
        let stream = self.stream(name)?;
        let applications = self.applications.now();
        let key = applications.by_id(stream.app).map(|application| &application.play_key);
        let Some(key) = key.filter(|key| !key.reveal().is_empty()) else {
            let key = PlayKey::NotNeeded;
            return Ok(Found { stream, key });
        };
        match play_secret::check(key, &stream.id, query, unix_now) {
            Ok(()) => Ok(Found {
                stream,
                key: PlayKey::Needed,
            }),
            Err(refusal) => {
                counter!("rotunda_live_refused_total", "reason" => refusal.label()).increment(1);
                Err(NotPlayed::Refused(refusal))
            }
        }
    }

    fn stream(&self, name: &StreamName) -> Result<StreamKey, NotPlayed> {
        let known = self.known();
        match name {
            StreamName::Full(stream) => {
                let owners = known.get(&stream.id).ok_or(NotPlayed::NoSuchStream)?;
                match owners.contains(&stream.app) {
                    true => Ok(stream.clone()),
                    false => Err(NotPlayed::NoSuchStream),
                }
            }
            StreamName::Short(id) => {
                let mut owners = known.get(id).ok_or(NotPlayed::NoSuchStream)?.iter();
                match (owners.next(), owners.next()) {
                    (Some(app), None) => Ok(StreamKey {
                        app: *app,
                        id: id.clone(),
                    }),
                    _ => Err(NotPlayed::NotUnique),
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StreamId, BTreeSet<SdkAppId>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::config::{Application, Secret};

    use super::*;

    fn found(streams: &Streams, name: &str) -> Result<String, NotPlayed> {
        let name = StreamName::parse(name).ok_or(NotPlayed::NoSuchStream)?;
        let found = streams.find(&name, "", Duration::ZERO);
        found.map(|found| found.stream.to_string())
    }

    #[test]
    fn two_applications_may_use_one_name_and_the_short_address_is_then_neithers() {
        let streams = Streams::new(ApplicationList::default());
        assert_eq!(found(&streams, "film"), Err(NotPlayed::NoSuchStream));
        streams.begin(&"1/film".parse().unwrap());
        assert_eq!(found(&streams, "film"), Ok("1/film".to_owned()));
        streams.begin(&"2/film".parse().unwrap());
        assert_eq!(found(&streams, "film"), Err(NotPlayed::NotUnique));
        assert_eq!(found(&streams, "1/film"), Ok("1/film".to_owned()));
        assert_eq!(found(&streams, "2/film"), Ok("2/film".to_owned()));
        assert_eq!(found(&streams, "3/film"), Err(NotPlayed::NoSuchStream));
        streams.end(&"1/film".parse().unwrap());
        assert_eq!(found(&streams, "film"), Ok("2/film".to_owned()));
    }

    #[test]
    fn each_applications_own_play_key_decides() {
        let mut mine = Application::new(1.try_into().unwrap(), "key");
        mine.play_key = Secret::new("playkey");
        let streams = Streams::new(ApplicationList::new(vec![
            mine,
            Application::new(2.try_into().unwrap(), "key"),
        ]));
        streams.begin(&"1/film".parse().unwrap());
        streams.begin(&"2/film".parse().unwrap());
        assert!(matches!(found(&streams, "1/film"), Err(NotPlayed::Refused(_))));
        assert_eq!(found(&streams, "2/film"), Ok("2/film".to_owned()));
    }
}
