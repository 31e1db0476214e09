//! A worker and its queues: the part of the worker's shell that has no sockets. It gives the worker the messages of other threads, and
//! hands over what the worker has for them.

use std::time::{Duration, Instant};

use rotunda_proto::sfu::{ControlError, Reply};
use tokio::sync::mpsc;

use super::worker_message::{Command, Inbox, Task, WorkerEvent, WorkerMessage, WorkerMessages};
use crate::slab::{Index, WorkerIndex};
use crate::worker::Worker;

/// Events and relay messages for which there is no place are offered again after so long.
const OFFER_AGAIN: Duration = Duration::from_millis(10);

pub struct Driver {
    pub worker: Worker,
    messages: WorkerMessages,
    /// Of all workers of the node, and which of them this is.
    workers: Vec<Inbox>,
    index: WorkerIndex,
    events: mpsc::Sender<WorkerEvent>,
}

impl Driver {
    /// `workers`: of the node, this one included. `index`: of this one.
    pub fn new(
        worker: Worker,
        messages: WorkerMessages,
        workers: Vec<Inbox>,
        index: WorkerIndex,
        events: mpsc::Sender<WorkerEvent>,
    ) -> Self {
        Self {
            worker,
            messages,
            workers,
            index,
            events,
        }
    }

    /// None: there is none now.
    pub fn next_message(&mut self) -> Option<WorkerMessage> {
        self.messages.next()
    }

    /// Waits for a message. None: there will be no more.
    #[cfg(feature = "simulated")]
    pub async fn message(&mut self) -> Option<WorkerMessage> {
        self.messages.recv().await
    }

    /// `now`: not before the time of the worker's last input.
    pub fn handle_message(&mut self, now: Instant, message: WorkerMessage) {
        match message {
            WorkerMessage::Command(Command { task, reply }) => {
                let _caller_gave_up = reply.send(self.carry_out(now, task));
            }
            // The shell has the sockets.
            WorkerMessage::TcpPeer { .. } | WorkerMessage::TcpFrame(_) => {}
            WorkerMessage::Neighbours { room, neighbours } => self.worker.set_neighbours(now, &room, &neighbours),
            WorkerMessage::Link {
                peer,
                number,
                node,
                link,
            } => self.worker.open_link(peer, number, node, *link),
            WorkerMessage::CustomMessage { room, bytes } => self.worker.carry_message(now, &room, bytes),
            WorkerMessage::Relayed { from, messages } => {
                for message in messages {
                    self.worker.handle_relay_message(now, from, message);
                }
            }
        }
    }

    fn carry_out(&mut self, now: Instant, task: Task) -> Reply {
        let done = |result: Result<(), ControlError>| match result {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused { error },
        };
        match task {
            Task::Adopt { session, answer } => match self.worker.adopt(now, *session) {
                Ok(()) => Reply::Opened { answer },
                Err(error) => Reply::Refused { error },
            },
            Task::Restart { session, offer } => match self.worker.restart(now, session, &offer) {
                Ok(answer) => Reply::Opened { answer },
                Err(error) => Reply::Refused { error },
            },
            Task::SetIngress { session, sources } => done(self.worker.set_ingress(now, session, sources)),
            Task::SetSlots { session, slots } => done(self.worker.set_slots(now, session, &slots)),
            Task::Statistics { room, user } => match self.worker.statistics(&room, &user) {
                Ok(statistics) => Reply::Statistics {
                    statistics: Box::new(statistics),
                },
                Err(error) => Reply::Refused { error },
            },
            Task::Close { session } => {
                self.worker.close(now, session);
                Reply::Done
            }
        }
    }

    /// Hands over relay messages and events after a turn. Those that find no place stay with the worker for the next time.
    pub fn hand_over(&mut self) {
        for (to, inbox) in self.workers.iter().enumerate() {
            let to = WorkerIndex::at(to);
            if self.worker.has_relay_messages(to) {
                let worker = &mut self.worker;
                let _full = inbox.try_send_made(|| WorkerMessage::Relayed {
                    from: self.index,
                    messages: worker.take_relay_messages(to),
                });
            }
        }
        while self.worker.has_events()
            && let Ok(place) = self.events.try_reserve()
            && let Some(event) = self.worker.poll_event()
        {
            place.send(WorkerEvent::Room(event));
        }
        while self.worker.has_link_events()
            && let Ok(place) = self.events.try_reserve()
            && let Some(event) = self.worker.poll_link_event()
        {
            let worker = self.index;
            place.send(WorkerEvent::Link { worker, event });
        }
    }

    /// Tells the control task of an event that no worker has told. False: there is no place for it now.
    #[cfg(feature = "simulated")]
    pub fn tell(&self, event: impl FnOnce() -> crate::worker::RoomEvent) -> bool {
        let place = self.events.try_reserve();
        place.map(|place| place.send(WorkerEvent::Room(event()))).is_ok()
    }

    /// When the next turn is due after one that has been finished; None: never, if no input comes.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let has_events = self.worker.has_events() || self.worker.has_link_events();
        let mut workers = (0..self.workers.len()).map(WorkerIndex::at);
        let unsent = has_events || workers.any(|to| self.worker.has_relay_messages(to));
        let offer = unsent.then_some(now + OFFER_AGAIN);
        self.worker.poll_timeout().into_iter().chain(offer).min()
    }
}
