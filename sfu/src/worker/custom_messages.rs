//! Members' custom messages: from one member to all others of the room, over the data channels of their sessions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::custom_message::{self, CustomMessage, Refused};
use rotunda_proto::ids::{RoomKey, SessionId};
use rotunda_proto::sfu::Event;
use str0m::channel::{ChannelData, ChannelId};

use super::Worker;
use super::relay::RelayMessage;
use crate::session::custom_messages::{Admitted, Delivery, Way};
use crate::slab::SessionIndex;

/// Receivers that are served in a row. Each costs an encryption, and media must not wait for a room of thousands: the next ones are
/// served after a pause.
const CHUNK: usize = 32;
const PAUSE: Duration = Duration::from_millis(1);
/// Messages of all rooms that wait for their receivers; further ones are refused.
const QUEUE: usize = 64;
/// A receiver that is further behind, bytes, misses messages.
const BACKLOG: usize = 64 * 1024;

/// Messages on their way, first come first served.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Message>,
    due: Option<Instant>,
}

struct Message {
    delivery: Delivery,
    bytes: Arc<[u8]>,
    /// The members who were in the room when it came; the last is served next.
    receivers: Vec<SessionId>,
}

impl Outbox {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Worker {
    /// A message on a member's data channel.
    pub(super) fn handle_channel_data(&mut self, now: Instant, index: SessionIndex, data: &ChannelData) {
        let full = self.custom_messages.queue.len() >= QUEUE;
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let (Some(delivery), Some(user)) = (session.messages.delivery(data.id), session.user().cloned()) else {
            return;
        };
        let admitted = session.messages.admit(now, &data.data);
        let Admitted {
            command,
            count,
            data: own,
        } = match admitted {
            Ok(admitted) if !full => admitted,
            Ok(_) => return self.refuse_message(now, index, data.id, Refused::Busy),
            Err(refused) => return self.refuse_message(now, index, data.id, refused),
        };
        let bytes: Arc<[u8]> = custom_message::write(&user, command, count, own).into();
        let message = CustomMessage::new(&user, command, count, own);
        let (sender, key) = (session.id(), session.room().clone());
        counter!("rotunda_sfu_custom_messages_total", "result" => "ok").increment(1);
        self.events.tell(&key, Event::CustomMessage { message });
        if let Some(room) = self.rooms.get(&key) {
            self.relay.push_all(room.neighbours(), || RelayMessage::Custom {
                room: key.clone(),
                delivery,
                bytes: Arc::clone(&bytes),
            });
        }
        self.deliver_to_room(now, &key, delivery, bytes, Some(sender));
    }

    /// A member's data channel is open: what has come since the session was connected goes out.
    pub(super) fn handle_channel_open(&mut self, index: SessionIndex, channel: ChannelId, label: &str) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        for bytes in session.messages.handle_open(channel, label) {
            self.write_message(index, channel, &bytes);
        }
    }

    /// A message that came by signaling, for everybody in a room who is at this worker.
    pub fn carry_message(&mut self, now: Instant, key: &RoomKey, bytes: Arc<[u8]>) {
        self.deliver_to_room(now, key, Delivery::Ordered, bytes, None);
    }

    /// Queues a message for everybody in a room who is at this worker.
    pub(super) fn deliver_to_room(
        &mut self,
        now: Instant,
        key: &RoomKey,
        delivery: Delivery,
        bytes: Arc<[u8]>,
        sender: Option<SessionId>,
    ) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        if self.custom_messages.queue.len() >= QUEUE {
            counter!("rotunda_sfu_custom_messages_dropped_total").increment(1);
            return;
        }
        let sessions = room.sessions().iter().filter_map(|index| self.sessions.get(*index));
        let receivers = sessions.filter(|other| Some(other.id()) != sender && other.messages.way(delivery).is_some());
        let message = Message {
            delivery,
            bytes,
            receivers: receivers.map(|other| other.id()).collect(),
        };
        self.custom_messages.queue.push_back(message);
        if self.custom_messages.due.is_none() {
            self.deliver_messages(now);
        }
    }

    /// Serves the next receivers.
    pub(super) fn deliver_messages(&mut self, now: Instant) {
        let mut served = 0;
        while served < CHUNK
            && let Some(message) = self.custom_messages.queue.front_mut()
        {
            let Some(receiver) = message.receivers.pop() else {
                self.custom_messages.queue.pop_front();
                continue;
            };
            let (delivery, bytes) = (message.delivery, Arc::clone(&message.bytes));
            served += 1;
            if let Some(index) = self.sessions.with_id(receiver)
                && let Some(session) = self.sessions.get_mut(index)
            {
                match session.messages.way(delivery) {
                    Some(Way::By(channel)) => self.write_message(index, channel, &bytes),
                    Some(Way::Waits) => {
                        let one_was_dropped = session.messages.keep(bytes);
                        if one_was_dropped {
                            counter!("rotunda_sfu_custom_messages_dropped_total").increment(1);
                        }
                    }
                    None => {}
                }
            }
        }
        self.custom_messages.due = (!self.custom_messages.queue.is_empty()).then(|| now + PAUSE);
    }

    fn refuse_message(&mut self, now: Instant, index: SessionIndex, channel: ChannelId, refused: Refused) {
        counter!("rotunda_sfu_custom_messages_total", "result" => refused.code()).increment(1);
        if let Some(session) = self.sessions.get_mut(index)
            && session.messages.may_tell(now)
        {
            self.write_message(index, channel, &refused.write());
        }
    }

    fn write_message(&mut self, index: SessionIndex, channel: ChannelId, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let Some(mut channel) = session.transport.channel(channel) else {
            return;
        };
        let written = channel.buffered_amount() < BACKLOG && channel.write(true, bytes).unwrap_or(false);
        if !written {
            counter!("rotunda_sfu_custom_messages_dropped_total").increment(1);
        }
        self.touched.push(index);
    }
}
