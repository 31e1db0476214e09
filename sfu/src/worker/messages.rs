//! Members' own messages, from one to all others of the room, over the data channels of their sessions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_proto::custom_message::{self, CustomMessage, Refused};
use rotunda_proto::ids::{RoomKey, SessionId};
use rotunda_proto::sfu::Event;
use str0m::channel::{ChannelData, ChannelId};

use super::Worker;
use super::spread::Handover;
use crate::custom_messages::{Admitted, Delivery};

/// Each receiver costs an encryption, and media must not wait for a room of thousands: so many are served in a row, and the
/// next ones after a pause.
const CHUNK: usize = 32;
const PAUSE: Duration = Duration::from_millis(1);
/// Messages of all rooms that wait for their receivers; more are refused.
const QUEUE: usize = 64;
/// A receiver that is so far behind, bytes, misses messages.
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
    /// Those that were in the room when it came; the last is served next.
    receivers: Vec<SessionId>,
}

impl Outbox {
    pub(super) fn next(&self) -> Option<Instant> {
        self.due
    }
}

impl Worker {
    /// What has come on a member's data channel.
    pub(super) fn handle_channel_data(&mut self, now: Instant, index: usize, data: &ChannelData) {
        let full = self.outbox.queue.len() >= QUEUE;
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let (Some(delivery), Some(user)) = (session.messages.delivery(data.id), &session.user) else {
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
        let bytes: Arc<[u8]> = custom_message::write(user, command, count, own).into();
        let message = CustomMessage::new(user, command, count, own);
        let (sender, key) = (session.id, session.room.clone());
        counter!("rotunda_sfu_custom_messages_total", "result" => "ok").increment(1);
        self.events.tell(&key, Event::CustomMessage { message });
        if let Some(room) = self.rooms.get(&key) {
            for neighbour in &room.neighbours {
                let message = Handover::Message {
                    room: key.clone(),
                    delivery,
                    bytes: Arc::clone(&bytes),
                };
                self.handovers.push(*neighbour, message);
            }
        }
        self.deliver_to_room(now, &key, delivery, bytes, Some(sender));
    }

    /// A message that came by signaling, for everybody of a room who is at this worker.
    pub fn carry_message(&mut self, now: Instant, key: &RoomKey, bytes: Arc<[u8]>) {
        self.deliver_to_room(now, key, Delivery::Ordered, bytes, None);
        self.settle(now);
    }

    /// Queues a message for everybody of a room who is at this worker.
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
        if self.outbox.queue.len() >= QUEUE {
            counter!("rotunda_sfu_custom_messages_dropped_total").increment(1);
            return;
        }
        let sessions = room
            .sessions
            .iter()
            .filter_map(|index| self.sessions.get(*index)?.as_ref());
        let receivers = sessions.filter(|other| Some(other.id) != sender && other.messages.channel(delivery).is_some());
        let message = Message {
            delivery,
            bytes,
            receivers: receivers.map(|other| other.id).collect(),
        };
        self.outbox.queue.push_back(message);
        if self.outbox.due.is_none() {
            self.deliver_messages(now);
        }
    }

    /// Serves the next receivers.
    pub(super) fn deliver_messages(&mut self, now: Instant) {
        let mut served = 0;
        while served < CHUNK
            && let Some(message) = self.outbox.queue.front_mut()
        {
            let Some(receiver) = message.receivers.pop() else {
                self.outbox.queue.pop_front();
                continue;
            };
            let (delivery, bytes) = (message.delivery, Arc::clone(&message.bytes));
            served += 1;
            if let Some(index) = self.by_id.get(&receiver).copied() {
                let channel = |worker: &Self| worker.sessions.get(index)?.as_ref()?.messages.channel(delivery);
                if let Some(channel) = channel(self) {
                    self.write_message(index, channel, &bytes);
                }
            }
        }
        self.outbox.due = (!self.outbox.queue.is_empty()).then(|| now + PAUSE);
    }

    fn refuse_message(&mut self, now: Instant, index: usize, channel: ChannelId, refused: Refused) {
        counter!("rotunda_sfu_custom_messages_total", "result" => refused.code()).increment(1);
        if let Some(Some(session)) = self.sessions.get_mut(index)
            && session.messages.may_tell(now)
        {
            self.write_message(index, channel, &refused.write());
        }
    }

    fn write_message(&mut self, index: usize, channel: ChannelId, bytes: &[u8]) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let Some(mut channel) = session.rtc.channel(channel) else {
            return;
        };
        let written = channel.buffered_amount() < BACKLOG && channel.write(true, bytes).unwrap_or(false);
        if !written {
            counter!("rotunda_sfu_custom_messages_dropped_total").increment(1);
        }
        self.touched.push(index);
    }
}
