//! The waiting room as a moderator's client knows it.

use std::sync::Arc;

use rotunda_proto::signaling::{Event, WaitingRoomView};
use rotunda_proto::waiting_room::WaitingRoom;
use tokio::sync::watch;

use crate::waiting_room::list;

#[derive(Debug)]
pub struct Moderation {
    waiting_room: watch::Receiver<Arc<WaitingRoom>>,
    /// Of a client that does not moderate: the default.
    known: WaitingRoomView,
}

impl Moderation {
    pub fn new(waiting_room: watch::Receiver<Arc<WaitingRoom>>) -> Self {
        Self {
            waiting_room,
            known: WaitingRoomView::default(),
        }
    }

    /// Resolves when the waiting room has changed. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.waiting_room.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The waiting room now, which the client is told.
    pub fn view(&mut self) -> WaitingRoomView {
        self.known = list::view(&self.waiting_room.borrow_and_update());
        self.known.clone()
    }

    /// The waiting room, if the client does not know it yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        let before = std::mem::take(&mut self.known);
        (self.view() != before).then(|| self.event())
    }

    /// The client does not moderate any more.
    pub fn end(&mut self) {
        self.known = WaitingRoomView::default();
    }

    /// The waiting room that the client knows.
    pub fn event(&self) -> Event {
        Event::WaitingRoom {
            waiting_room: self.known.clone(),
        }
    }
}
