//! What a member is told of the room, their media and their pushes, and the slots that follow from it.

use std::sync::Arc;

use rotunda_proto::clock::Clock;
use rotunda_proto::sfu::SlotMap;
use rotunda_proto::signaling::Event;

use super::{Membership, Message};
use crate::slots::{assign, permit, show_only};
use crate::view::{RoomState, diff};

impl Membership {
    /// Resolves on a bulletin of the room, on an event of this member's session, and when an unconfirmed change is tried again.
    /// Cancel-safe.
    pub async fn changed(&mut self) {
        let settle_at = self.settle_at();
        tokio::select! {
            changed = self.bulletins.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            () = self.media.changed() => {}
            () = self.pushes.changed() => {}
            () = Clock.until(settle_at) => {}
            // Members who do not moderate are not woken.
            () = self.moderation.changed(), if self.rights.may_moderate() => {}
            Ok(()) = self.own.changed() => self.seats_lost = self.publishing.has_seats(),
        }
    }

    /// Applies the newest bulletin, updates the SFU's slots and answers messages for the client.
    pub async fn follow(&mut self) -> Vec<Message> {
        if std::mem::take(&mut self.seats_lost) {
            self.take_seats_again().await;
        }
        let bulletin = self.bulletins.borrow_and_update().clone();
        let mut messages: Vec<Message> = self.rights.poll_event().map(Message::Own).into_iter().collect();
        if bulletin.after.number > self.known.number {
            if Arc::ptr_eq(&bulletin.before, &self.known) {
                let shared = bulletin.for_member(&self.member.user, self.media.message_path());
                messages.extend(shared.map(Message::Shared));
            } else {
                messages.extend(self.events_since(&self.known, &bulletin.after));
            }
            self.known = bulletin.after.clone();
        }
        messages.extend(self.poll_waiting_room().map(Message::Own));
        messages.extend(self.pushes.poll_events().into_iter().map(Message::Own));
        self.follow_media(&mut messages).await;
        messages
    }

    /// As [`follow`](Self::follow), but with the newest state of the room: for a member who has just changed something.
    pub async fn catch_up(&mut self) -> Vec<Message> {
        let latest = self.room.latest();
        let mut messages: Vec<Message> = self.rights.poll_event().map(Message::Own).into_iter().collect();
        if latest.number > self.known.number {
            messages.extend(self.events_since(&self.known, &latest));
            self.known = latest;
        }
        messages.extend(self.poll_waiting_room().map(Message::Own));
        messages.extend(self.pushes.poll_events().into_iter().map(Message::Own));
        self.follow_media(&mut messages).await;
        messages
    }

    /// The whole state, for a client that has come back.
    pub fn current_state(&self) -> Vec<Message> {
        let room = self.view(&self.key().room);
        let speakers = self.known.speakers.to_vec();
        let known = [Event::Room { room }, Event::Speakers { speakers }, self.rights.event()];
        let waiting_room = self.may_moderate().then(|| self.moderation.event());
        known
            .into_iter()
            .chain(waiting_room)
            .chain(self.media.current_events())
            .chain(self.pushes.current_events())
            .map(Message::Own)
            .collect()
    }

    fn events_since(&self, before: &RoomState, after: &RoomState) -> Vec<Message> {
        let events = diff(before, after).into_iter();
        let path = self.media.message_path();
        events
            .filter(|event| event.is_for(&self.member.user, path))
            .map(|event| Message::Own(event.event))
            .collect()
    }

    async fn follow_media(&mut self, messages: &mut Vec<Message>) {
        self.wishes.drop_ended(&self.known.seats);
        let had_session = self.media.has_session();
        messages.extend(self.media.poll_events().into_iter().map(Message::Own));
        if had_session && !self.media.has_session() {
            self.publishing.handle_session_end(Clock.now());
        }
        if self.settle_at().is_some_and(|at| at <= Clock.now()) {
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        self.media.follow_move().await;
        let voices_changed = self.media.poll_voices();
        let slots_changed = match self.wanted_slots() {
            Some(slots) => self.media.show(slots).await,
            None => false,
        };
        if slots_changed || voices_changed {
            messages.push(Message::Own(self.media.slots_event()));
        }
    }

    /// The slots by the present wishes, sources and rights; None: there is no session.
    fn wanted_slots(&self) -> Option<SlotMap> {
        let before = self.media.slots()?;
        let slots = match &self.only {
            Some(want) => show_only(&self.known.seats, want),
            None => {
                let microphones = self.room.documents.limits.microphones;
                let (seats, me) = (&self.known.seats, &self.member.user);
                assign(microphones, before, seats, &self.wishes, me)
            }
        };
        Some(permit(slots, self.rights.to_receive()))
    }
}
