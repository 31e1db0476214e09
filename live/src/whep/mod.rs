//! WHEP of programs (draft-ietf-wish-whep): `POST /live/<streamId>.whep` with an SDP offer, H.264 and Opus back, under a second behind.
//!
//! A viewer is a session of this process, because a program is encoded once for all: no viewer has layers to choose. See
//! `docs/decisions/0006-whep-of-mixes-at-the-origin.md`.

mod audio;
pub mod http;
mod media;
mod viewer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use rand::distr::{Alphanumeric, SampleString};
use rotunda_client::{OfferError, SendingSession};
use rotunda_media::program::ProgramReader;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamKey;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span};

use crate::config::Config;
use audio::AudioFeeds;
pub use media::Media;
use viewer::Viewer;

/// Characters of a session's id: it cannot be guessed, because it is the permission to end the session.
const ID_LENGTH: usize = 32;

/// Why a viewer gets no session.
#[derive(Debug, Error)]
pub enum WhepError {
    #[error("the server has reached live.whep_players; try again later")]
    Full,
    #[error("send an SDP offer as application/sdp")]
    NotSdp,
    #[error("no stream with that id is running")]
    NoSuchStream,
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error("the session's ICE user name is taken; try again")]
    UserName,
}

/// Reads a program from its last keyframe on; None: it does not run.
pub type Reading = Arc<dyn Fn() -> Option<ProgramReader> + Send + Sync>;

/// A session that was begun.
#[derive(Debug)]
pub struct Begun {
    pub id: String,
    pub answer: String,
}

/// The viewers of this process.
#[derive(Clone)]
pub struct Whep {
    media: Arc<Media>,
    feeds: AudioFeeds,
    places: Arc<Semaphore>,
    sessions: Arc<Mutex<HashMap<String, CancellationToken>>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Whep {
    /// Opens the UDP sockets. Errors: none of them could be opened.
    pub async fn start(config: &Config, shutdown: CancellationToken) -> std::io::Result<Self> {
        Ok(Self {
            feeds: AudioFeeds::default(),
            media: Arc::new(Media::bind(config.whep_port, &config.whep_advertise).await?),
            places: Arc::new(Semaphore::new(config.whep_players.min(Semaphore::MAX_PERMITS))),
            sessions: Arc::default(),
            tasks: TaskTracker::new(),
            shutdown,
        })
    }

    /// Answers the offer of a viewer of a stream. Errors: [`WhepError`].
    pub fn begin(&self, stream: &StreamKey, program: Reading, offer: &str) -> Result<Begun, WhepError> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            counter!("rotunda_live_refused_total", "reason" => "players").increment(1);
            return Err(WhepError::Full);
        };
        let audio = self.feeds.subscribe(stream, &program).ok_or(WhepError::NoSuchStream)?;
        let (session, answer) = SendingSession::answer(Clock.now(), &self.media.addresses(), offer)?;
        let user_name = answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
        let datagrams = user_name.and_then(|name| self.media.register(name.trim()));
        let viewer = Viewer {
            session,
            media: self.media.clone(),
            datagrams: datagrams.ok_or(WhepError::UserName)?,
            program,
            audio,
        };
        let id = Alphanumeric.sample_string(&mut rand::rng(), ID_LENGTH);
        let stop = self.shutdown.child_token();
        self.sessions().insert(id.clone(), stop.clone());
        let (sessions, ended) = (self.sessions.clone(), id.clone());
        let task = async move {
            viewer.run(&stop).await;
            lock(&sessions).remove(&ended);
            drop(place);
        };
        self.tasks.spawn(task.instrument(info_span!("whep", %stream)));
        Ok(Begun { id, answer })
    }

    /// Ends a session; false: there is none of this id.
    pub fn end(&self, id: &str) -> bool {
        let known = self.sessions().remove(id);
        known.is_some_and(|stop| {
            stop.cancel();
            true
        })
    }

    /// Waits for the viewers' goodbyes after shutdown.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        lock(&self.sessions)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Any bytes as a datagram to the media port, and as an offer.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    media::fuzz(data);
    if let Ok(offer) = std::str::from_utf8(data) {
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let _refused = SendingSession::answer(Clock.now(), &[local], offer);
    }
}

#[cfg(test)]
mod tests;
