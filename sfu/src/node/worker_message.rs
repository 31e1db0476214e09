//! Messages from the tasks of the runtime to a worker's thread: a queue, and a way to wake the thread.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::Waker;
use rotunda_proto::ids::{NodeId, RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{Reply, SlotMap};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::net::{Peer, TcpFrame};
use crate::link::Link;
use crate::session::Session;
use crate::slab::WorkerIndex;
use crate::worker::relay::{Neighbours, RelayMessage};
use crate::worker::{LinkEvent, RoomEvent};

/// Messages waiting for a worker: commands and the frames of all TCP peers.
pub const QUEUE: usize = 4096;

pub enum WorkerMessage {
    Command(Command),
    /// An ICE-TCP connection was made.
    TcpPeer {
        from: SocketAddr,
        peer: Peer,
    },
    TcpFrame(TcpFrame),
    /// Other workers that a room is on, as for [`set_neighbours`](crate::worker::Worker::set_neighbours).
    Neighbours {
        room: RoomKey,
        neighbours: Neighbours,
    },
    /// A link to a worker of another node, as for [`open_link`](crate::worker::Worker::open_link).
    Link {
        peer: WorkerIndex,
        number: u32,
        node: NodeId,
        link: Box<Link>,
    },
    /// A member's custom message that came by signaling, as it goes out on data channels.
    CustomMessage {
        room: RoomKey,
        bytes: Arc<[u8]>,
    },
    Relayed {
        from: WorkerIndex,
        messages: Vec<RelayMessage>,
    },
}

/// From a worker to the control task.
#[derive(Debug)]
pub enum WorkerEvent {
    Room(RoomEvent),
    /// Of a link of this worker.
    Link {
        worker: WorkerIndex,
        event: LinkEvent,
    },
}

/// A command for a worker, and where its reply goes.
pub struct Command {
    pub task: Task,
    pub reply: oneshot::Sender<Reply>,
}

pub enum Task {
    /// A session that was opened elsewhere, and the answer to its offer.
    Adopt {
        session: Box<Session>,
        answer: String,
    },
    Restart {
        session: SessionId,
        offer: String,
    },
    SetIngress {
        session: SessionId,
        sources: BTreeSet<TrackSource>,
    },
    SetSlots {
        session: SessionId,
        slots: SlotMap,
    },
    Close {
        session: SessionId,
    },
    Statistics {
        room: RoomKey,
        user: UserId,
    },
}

/// The worker's end.
pub struct WorkerMessages {
    queue: mpsc::Receiver<WorkerMessage>,
    /// A wake-up is lost when its waker is dropped before the thread has seen it, so the waker lives as long as the thread.
    _waker: Arc<Waker>,
}

/// The worker has ended, or (at once, without waiting) its queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// The senders' end. Cloned freely.
#[derive(Clone)]
pub struct Inbox {
    messages: mpsc::Sender<WorkerMessage>,
    waker: Arc<Waker>,
}

/// `waker` wakes the thread that has the returned receiver.
pub fn inbox(waker: Waker) -> (Inbox, WorkerMessages) {
    let waker = Arc::new(waker);
    let (messages, queue) = mpsc::channel(QUEUE);
    let receiver = WorkerMessages {
        queue,
        _waker: Arc::clone(&waker),
    };
    (Inbox { messages, waker }, receiver)
}

impl WorkerMessages {
    /// None: nothing is there now.
    pub fn next(&mut self) -> Option<WorkerMessage> {
        self.queue.try_recv().ok()
    }

    #[cfg(any(test, feature = "simulated"))]
    pub async fn recv(&mut self) -> Option<WorkerMessage> {
        self.queue.recv().await
    }
}

impl Inbox {
    /// Waits for a place in the queue.
    pub async fn send(&self, message: WorkerMessage) -> Result<(), NotTaken> {
        self.messages.send(message).await.map_err(|_| NotTaken)?;
        self.wake();
        Ok(())
    }

    pub fn try_send(&self, message: WorkerMessage) -> Result<(), NotTaken> {
        self.messages.try_send(message).map_err(|_| NotTaken)?;
        self.wake();
        Ok(())
    }

    /// As [`try_send`](Self::try_send); the message is only made when there is place for it.
    pub fn try_send_made(&self, make: impl FnOnce() -> WorkerMessage) -> Result<(), NotTaken> {
        let place = self.messages.try_reserve().map_err(|_| NotTaken)?;
        place.send(make());
        self.wake();
        Ok(())
    }

    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            warn!(%error, "a worker could not be woken");
        }
    }
}
