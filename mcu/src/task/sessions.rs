//! The sessions of a mix with SFU nodes: one for each room whose members it shows or makes heard.

use std::collections::BTreeMap;
use std::time::Instant;

use rotunda_bus::SharedBus;
use rotunda_proto::ids::{RoomKey, Source};
use rotunda_proto::ticket::ClusterSecret;
use rotunda_receiver::{LineCounts, Sample, Session, Undecodable, Wants};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Requests for keyframes that wait for a session.
const QUEUE: usize = 256;
/// A session opens itself anew when it is lost; no room needs this many.
const OPENED: u64 = 1 << 16;

/// See the [module](self).
pub struct Sessions {
    common: Common,
    wants: watch::Sender<Wants>,
    open: BTreeMap<RoomKey, OpenSession>,
    /// Sessions begun so far: the RTP clocks of each are its own.
    begun: u64,
}

/// Parameters that all sessions share.
pub struct Common {
    pub bus: SharedBus,
    pub secret: ClusterSecret,
    /// The mix clock's 0.
    pub origin: Instant,
    pub samples: mpsc::Sender<Sample>,
    pub undecodable: mpsc::Sender<Undecodable>,
}

struct OpenSession {
    key_requests: mpsc::Sender<Source>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sessions {
    pub fn new(common: Common) -> Self {
        Self {
            common,
            wants: watch::Sender::new(Wants::default()),
            open: BTreeMap::new(),
            begun: 0,
        }
    }

    /// The session of a room, before anything is wanted of it.
    pub fn open(&mut self, room: &RoomKey) {
        if self.open.contains_key(room) {
            return;
        }
        let (key_requests, requested) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let session = Session {
            room: room.clone(),
            bus: self.common.bus.clone(),
            secret: self.common.secret.clone(),
            lines: LineCounts::ROOM,
            origin: self.common.origin,
            gather: None,
            wants: self.wants.subscribe(),
            key_requests: requested,
            samples: self.common.samples.clone(),
            undecodable: self.common.undecodable.clone(),
            opened: self.begun * OPENED,
            barred: Vec::new(),
        };
        self.begun += 1;
        let session = OpenSession {
            key_requests,
            task: tokio::spawn(session.run(stop.clone())),
            stop,
        };
        self.open.insert(room.clone(), session);
    }

    /// Receives these tracks from now on; rooms that have no session yet get one.
    pub fn handle_wants(&mut self, wants: Wants) {
        for room in wants.rooms() {
            self.open(room);
        }
        self.wants
            .send_if_modified(|before| std::mem::replace(before, wants.clone()) != wants);
    }

    /// Ends the sessions of all rooms that are not `needed`.
    pub fn retain(&mut self, needed: impl Fn(&RoomKey) -> bool) {
        // A session that is told to stop says so to its SFU by itself.
        self.open.retain(|room, session| {
            let is_needed = needed(room);
            if !is_needed {
                session.stop.cancel();
            }
            is_needed
        });
    }

    pub fn request_key(&self, video: Source) {
        if let Some(session) = self.open.get(&video.room) {
            // Asked for again while it is needed.
            let _asked_or_later = session.key_requests.try_send(video);
        }
    }

    /// Ends all sessions.
    pub async fn close(self) {
        for session in self.open.values() {
            session.stop.cancel();
        }
        for (_, session) in self.open {
            let _ended_or_panicked = session.task.await;
        }
    }
}
