//! What reaches a worker's thread from the tasks of the runtime: a queue, and a way to wake the thread.

use std::net::SocketAddr;
use std::sync::Arc;

use mio::Waker;
use rotunda_proto::ids::RoomKey;
use tokio::sync::mpsc;
use tracing::warn;

use crate::control::Order;
use crate::net::{Peer, TcpFrame};
use crate::worker::spread::Handover;

/// Letters waiting for a worker: commands and the frames of all TCP peers.
pub const QUEUE: usize = 4096;

pub enum Letter {
    Order(Order),
    /// An ICE-TCP connection was made.
    TcpPeer {
        from: SocketAddr,
        peer: Peer,
    },
    TcpFrame(TcpFrame),
    /// Other workers that a room is on.
    Neighbours {
        room: RoomKey,
        workers: Vec<usize>,
    },
    /// A member's own message that came by signaling, as it goes out on data channels.
    CustomMessage {
        room: RoomKey,
        bytes: Arc<[u8]>,
    },
    Handovers {
        from: usize,
        handovers: Vec<Handover>,
    },
}

/// The worker's end.
pub struct Letters {
    queue: mpsc::Receiver<Letter>,
    /// A wake whose waker has gone before the thread looked is no wake: it lives as long as who is woken.
    _waker: Arc<Waker>,
}

/// The worker has ended, or (at once, without waiting) its queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken;

/// The senders' end. Cloned freely.
#[derive(Clone)]
pub struct Inbox {
    letters: mpsc::Sender<Letter>,
    waker: Arc<Waker>,
}

/// `waker` wakes the thread that reads the answered receiver.
pub fn inbox(waker: Waker) -> (Inbox, Letters) {
    let waker = Arc::new(waker);
    let (letters, queue) = mpsc::channel(QUEUE);
    let receiver = Letters {
        queue,
        _waker: Arc::clone(&waker),
    };
    (Inbox { letters, waker }, receiver)
}

impl Letters {
    /// None: nothing is there now.
    pub fn next(&mut self) -> Option<Letter> {
        self.queue.try_recv().ok()
    }

    #[cfg(test)]
    pub async fn recv(&mut self) -> Option<Letter> {
        self.queue.recv().await
    }
}

impl Inbox {
    /// Waits for a place in the queue.
    pub async fn send(&self, letter: Letter) -> Result<(), NotTaken> {
        self.letters.send(letter).await.map_err(|_| NotTaken)?;
        self.wake();
        Ok(())
    }

    pub fn try_send(&self, letter: Letter) -> Result<(), NotTaken> {
        self.letters.try_send(letter).map_err(|_| NotTaken)?;
        self.wake();
        Ok(())
    }

    /// As [`try_send`](Self::try_send), of a letter that is only made when there is place for it.
    pub fn try_send_made(&self, make: impl FnOnce() -> Letter) -> Result<(), NotTaken> {
        let place = self.letters.try_reserve().map_err(|_| NotTaken)?;
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
