//! The live sessions by their ids, and how many there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::counter;
use rand::Rng;
use rotunda_client::{OfferError, SendingSession};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::avatar::{Avatar, AvatarError, Handle, Shared};
use crate::peer::{PeerTask, QUEUE};
use crate::sockets::{Addresses, Sockets};
use rotunda_proto::clock::Clock;

/// The avatar without a client, which is pushed or is in a room.
pub const STANDING: u32 = 0;
/// Ids of WebRTC sessions have six digits.
const IDS: std::ops::RangeInclusive<u32> = 100_000..=999_999;

/// Why a session does not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// The text is the documented one.
    #[error("reach max session")]
    Full,
    #[error("open the UDP sockets")]
    Sockets(#[source] std::io::Error),
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error(transparent)]
    Avatar(#[from] AvatarError),
}

#[derive(Debug, Error)]
#[error("there is no session {0}; POST /offer begins one")]
pub struct UnknownSession(pub i64);

/// See the [module](self).
#[derive(Clone)]
pub struct Sessions {
    shared: Shared,
    addresses: Addresses,
    live: Arc<Mutex<HashMap<u32, Option<Handle>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Sessions {
    pub fn new(shared: Shared, stop: CancellationToken) -> Self {
        let config = &shared.config;
        let addresses = Addresses {
            advertise: config.advertise.clone(),
            ports: (config.media_port_min > 0).then_some(config.media_port_min..=config.media_port_max),
        };
        Self {
            shared,
            addresses,
            live: Arc::default(),
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// Answers an offer with a session of its own: its id and the SDP.
    pub async fn start(&self, offer: &str) -> Result<(u32, String), StartError> {
        let place = self.enter()?;
        let sockets = Sockets::bind(&self.addresses).await.map_err(StartError::Sockets)?;
        let (session, answer) = SendingSession::answer(Clock.now(), &sockets.addresses(), offer)?;
        let avatar = Avatar::start(place.id, self.shared.clone())?;
        let (sink, frames) = mpsc::channel(QUEUE);
        avatar.handle().add_output(session.codec(), sink);
        place.fill(avatar.handle());
        counter!("rotunda_avatar_sessions_total").increment(1);
        let id = place.id;
        info!(session = id, codec = ?session.codec(), "a WebRTC session begins");
        let task = PeerTask {
            session,
            sockets,
            frames,
            avatar: avatar.handle(),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            task.run(&stop).await.log(id);
            drop(avatar);
            drop(place);
        });
        Ok((id, answer))
    }

    /// Keeps an avatar that no client has begun, under the id 0.
    pub fn add_standing(&self, handle: Handle) {
        self.live().insert(STANDING, Some(handle));
    }

    pub fn find(&self, id: i64) -> Result<Handle, UnknownSession> {
        let known = u32::try_from(id).ok();
        let handle = known.and_then(|id| self.live().get(&id).cloned().flatten());
        handle.ok_or(UnknownSession(id))
    }

    /// Waits until all have ended; `stop` ends them.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn enter(&self) -> Result<Place, StartError> {
        let mut live = self.live();
        let count = live.keys().filter(|id| **id != STANDING).count();
        if count >= self.shared.config.max_session || self.stop.is_cancelled() {
            counter!("rotunda_avatar_refused_total").increment(1);
            return Err(StartError::Full);
        }
        // At most 1000 of 900,000 are taken.
        let id = loop {
            let id = rand::rng().random_range(IDS);
            if !live.contains_key(&id) {
                break id;
            }
        };
        live.insert(id, None);
        Ok(Place {
            id,
            live: self.live.clone(),
        })
    }

    fn live(&self) -> MutexGuard<'_, HashMap<u32, Option<Handle>>> {
        lock(&self.live)
    }
}

/// One of the sessions that there may be, until it is dropped.
struct Place {
    id: u32,
    live: Arc<Mutex<HashMap<u32, Option<Handle>>>>,
}

impl Place {
    fn fill(&self, handle: Handle) {
        lock(&self.live).insert(self.id, Some(handle));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.live).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
