//! The state of a room as this node knows it, and the events that follow from its changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rotunda_bus::Change;
use rotunda_proto::ids::{RoomId, UserId};
use rotunda_proto::mix::RunningMix;
use rotunda_proto::room::{MemberCounts, Publisher, RoomInfo, Roster, Seats};
use rotunda_proto::signaling::{Event, MixView, PublisherView, RoomView, Speaker};
use serde::de::DeserializeOwned;

use crate::room_messages::RoomMessages;

/// The documents of a room, and its speakers. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomState {
    /// Counts the states that a node has seen of a room; a later one has a greater number.
    pub number: u64,
    pub info: Option<Arc<RoomInfo>>,
    pub seats: Arc<Seats>,
    pub roster: Arc<Roster>,
    pub member_count: u64,
    /// The running mixes, by the last token of their key. Members see the first: that of the server API, if there is one.
    pub mixes: Arc<BTreeMap<String, RunningMix>>,
    pub speakers: Arc<Vec<Speaker>>,
    pub messages: RoomMessages,
}

impl RoomState {
    /// Applies a change of one of the room's documents.
    pub fn apply(&mut self, change: &Change) {
        let mut tokens = change.key.split('.');
        let is_mix = tokens.next() == Some("mixes");
        let kind = change.key.split('.').nth(3).unwrap_or_default();
        match kind {
            _ if is_mix => self.apply_mix(kind, change.parse()),
            "info" => self.info = change.parse().map(Arc::new),
            "seats" => self.seats = document(change),
            "roster" => self.roster = document(change),
            "count" => self.member_count = change.parse::<MemberCounts>().unwrap_or_default().total(),
            _ => {}
        }
    }

    fn apply_mix(&mut self, token: &str, mix: Option<RunningMix>) {
        let mixes = Arc::make_mut(&mut self.mixes);
        match mix {
            Some(mix) => mixes.insert(token.to_owned(), mix),
            None => mixes.remove(token),
        };
    }

    pub fn mix_view(&self) -> Option<MixView> {
        let RunningMix { spec, not_mixable, .. } = self.mixes.values().next()?;
        Some(MixView {
            stream_id: spec.stream_id.clone(),
            template: spec.layout.template,
            not_mixable: not_mixable.clone(),
        })
    }

    pub fn view(&self, room_id: &RoomId) -> RoomView {
        RoomView {
            room_id: room_id.clone(),
            members: self.roster.members.iter().map(|member| member.user.clone()).collect(),
            member_count: self.member_count,
            publishers: self.seats.publishers.iter().map(publisher_view).collect(),
            mix: self.mix_view(),
        }
    }
}

fn document<T: Default + DeserializeOwned>(change: &Change) -> Arc<T> {
    Arc::new(change.parse().unwrap_or_default())
}

/// An event for the members of a room.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomEvent {
    /// The event is about this member, who does not get it.
    pub about: Option<UserId>,
    pub event: Event,
    /// The number of a custom message in the room.
    pub message: Option<u64>,
}

/// Whether a member gets custom messages as events, or on a data channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessagePath {
    Signaling,
    /// The messages after this number: the SFU keeps them until the channel is open. The earlier ones came before the session was
    /// connected, even if the member is notified of them later.
    DataChannel {
        after: u64,
    },
}

impl RoomEvent {
    pub fn is_for(&self, me: &UserId, path: MessagePath) -> bool {
        let has_it = match (path, self.message) {
            (MessagePath::DataChannel { after }, Some(number)) => number > after,
            _ => false,
        };
        self.about.as_ref() != Some(me) && !has_it
    }
}

/// The events for members about the changes from one state of the room to the next.
pub fn diff(before: &RoomState, after: &RoomState) -> Vec<RoomEvent> {
    let mut events = Vec::new();
    let about = |user: &UserId, event| RoomEvent {
        about: Some(user.clone()),
        event,
        message: None,
    };
    let same_roster = Arc::ptr_eq(&before.roster, &after.roster);
    let (old, new) = (&before.roster.members, &after.roster.members);
    if !same_roster {
        let entered = new
            .iter()
            .filter(|member| !old.iter().any(|known| known.user == member.user));
        events.extend(entered.map(|member| {
            let user_id = member.user.clone();
            about(&member.user, Event::MemberEntered { user_id })
        }));
    }
    events.extend(publishing(before, after));
    if !same_roster {
        let left = old
            .iter()
            .filter(|member| !new.iter().any(|known| known.user == member.user));
        events.extend(left.map(|member| {
            let user_id = member.user.clone();
            about(&member.user, Event::MemberLeft { user_id })
        }));
    }
    events.extend(after.messages.since(&before.messages).map(|(number, message)| {
        let event = Event::CustomMessage {
            user_id: message.user.clone(),
            cmd_id: message.command,
            seq: message.count,
            data: message.data.clone(),
        };
        RoomEvent {
            message: Some(number),
            ..about(&message.user, event)
        }
    }));
    let mut all = |event| {
        events.push(RoomEvent {
            about: None,
            event,
            message: None,
        });
    };
    if !Arc::ptr_eq(&before.mixes, &after.mixes) && before.mix_view() != after.mix_view() {
        all(Event::Mix { mix: after.mix_view() });
    }
    if before.member_count != after.member_count {
        all(Event::MemberCount {
            count: after.member_count,
        });
    }
    if before.speakers != after.speakers {
        all(Event::Speakers {
            speakers: after.speakers.to_vec(),
        });
    }
    events
}

fn publishing(before: &RoomState, after: &RoomState) -> Vec<RoomEvent> {
    if Arc::ptr_eq(&before.seats, &after.seats) {
        return Vec::new();
    }
    let views = |state: &RoomState| -> BTreeMap<UserId, PublisherView> {
        let publishers = state.seats.publishers.iter();
        publishers
            .map(|publisher| (publisher.user.clone(), publisher_view(publisher)))
            .collect()
    };
    let (old, new) = (views(before), views(after));
    let changed = new.iter().filter(|(user, view)| old.get(user) != Some(view));
    let changed = changed.map(|(_, view)| view.clone());
    let ended = old.keys().filter(|user| !new.contains_key(*user));
    let ended = ended.map(|user| PublisherView {
        user_id: user.clone(),
        audio: None,
        camera: None,
        screen: None,
    });
    changed
        .chain(ended)
        .map(|publisher| RoomEvent {
            about: Some(publisher.user_id.clone()),
            event: Event::Publishing { publisher },
            message: None,
        })
        .collect()
}

fn publisher_view(publisher: &Publisher) -> PublisherView {
    let Publisher {
        user,
        holder: _,
        audio,
        camera,
        screen,
        names: _,
    } = publisher.clone();
    PublisherView {
        user_id: user,
        audio,
        camera,
        screen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{roster, seats};
    use rotunda_proto::ids::{MembershipId, TrackSource};
    use rotunda_proto::incarnation::Incarnation;
    use rotunda_proto::room::{Holder, RosterMember, TrackState};

    fn room_of(users: &[(&str, u64)]) -> RoomState {
        let mut state = RoomState::default();
        let members = users.iter().map(|(user, entered_unix_ms)| RosterMember {
            user: user.parse().unwrap(),
            entered_unix_ms: *entered_unix_ms,
            holder: Holder {
                membership: MembershipId(*entered_unix_ms),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
        });
        state.roster = Arc::new(roster::merged(&Roster::default(), members));
        state
    }

    #[test]
    fn everybody_but_the_member_is_notified_that_they_enter_publish_and_leave() {
        let before = RoomState::default();
        let mut after = room_of(&[("ann", 1), ("bob", 2)]);
        let (ann, bob): (UserId, UserId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let mut seats = Seats::default();
        seats::take_alone(&mut seats, Default::default(), &bob, TrackSource::Audio, TrackState::On).unwrap();
        after.seats = Arc::new(seats);
        let told = diff(&before, &after);
        let about: Vec<_> = told.iter().map(|event| event.about.clone().unwrap()).collect();
        assert_eq!(about, [ann, bob.clone(), bob.clone()]);
        assert_eq!(told[1].event, Event::MemberEntered { user_id: bob.clone() });
        let gone = diff(&after, &before);
        assert_eq!(gone.last().unwrap().event, Event::MemberLeft { user_id: bob });
        assert!(diff(&after, &after).is_empty());
    }

    #[test]
    fn members_are_notified_of_changes_of_the_count_and_of_the_speakers() {
        let before = RoomState::default();
        let mut after = before.clone();
        after.member_count = 7;
        after.speakers = Arc::new(vec![Speaker {
            user_id: "ann".parse().unwrap(),
            volume: 80,
        }]);
        let told = diff(&before, &after);
        assert_eq!(told[0].event, Event::MemberCount { count: 7 });
        assert!(matches!(&told[1].event, Event::Speakers { speakers } if speakers.len() == 1));
    }
}
