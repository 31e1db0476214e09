//! A room as this node sees it, and what changes of it mean to a member.

use std::collections::BTreeMap;

use rotunda_proto::bus::Change;
use rotunda_proto::ids::{RoomId, UserId};
use rotunda_proto::mix::RunningMix;
use rotunda_proto::room::{MemberCount, Publisher, RoomInfo, Roster, Seats};
use rotunda_proto::signaling::{Event, MixView, PublisherView, RoomView};

/// The documents of a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomState {
    pub info: Option<RoomInfo>,
    pub seats: Seats,
    pub roster: Roster,
    /// By node.
    pub counts: BTreeMap<String, u64>,
    pub mix: Option<RunningMix>,
}

impl RoomState {
    /// Takes a change of one of the room's documents in.
    pub fn apply(&mut self, change: &Change) {
        let mut tokens = change.key.split('.');
        let is_mix = tokens.next() == Some("mixes");
        let kind = change.key.split('.').nth(3).unwrap_or_default();
        match kind {
            _ if is_mix => self.mix = change.parse(),
            "info" => self.info = change.parse(),
            "seats" => self.seats = change.parse().unwrap_or_default(),
            "roster" => self.roster = change.parse().unwrap_or_default(),
            "count" => {
                let node = change.key.clone();
                match change.parse::<MemberCount>() {
                    Some(count) => self.counts.insert(node, count.members),
                    None => self.counts.remove(&node),
                };
            }
            _ => {}
        }
    }

    pub fn member_count(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn mix_view(&self) -> Option<MixView> {
        let spec = &self.mix.as_ref()?.spec;
        Some(MixView {
            stream_id: spec.stream_id.clone(),
            template: spec.layout.template,
        })
    }

    pub fn view(&self, room_id: &RoomId) -> RoomView {
        RoomView {
            room_id: room_id.clone(),
            members: self.roster.members.iter().map(|member| member.user.clone()).collect(),
            member_count: self.member_count(),
            publishers: self.seats.publishers.iter().map(publisher_view).collect(),
            mix: self.mix_view(),
        }
    }
}

/// What a member is told when the room goes from one state to the next.
pub fn diff(before: &RoomState, after: &RoomState, me: &UserId) -> Vec<Event> {
    let mut events = Vec::new();
    let users = |state: &RoomState| -> Vec<UserId> {
        state
            .roster
            .members
            .iter()
            .map(|member| member.user.clone())
            .filter(|user| user != me)
            .collect()
    };
    let (old, new) = (users(before), users(after));
    events.extend(
        new.iter()
            .filter(|user| !old.contains(user))
            .cloned()
            .map(|user_id| Event::MemberEntered { user_id }),
    );
    let publishers = |state: &RoomState| -> BTreeMap<UserId, PublisherView> {
        let others = state.seats.publishers.iter().filter(|publisher| publisher.user != *me);
        others
            .map(|publisher| (publisher.user.clone(), publisher_view(publisher)))
            .collect()
    };
    let (old_publishers, new_publishers) = (publishers(before), publishers(after));
    for (user, publisher) in &new_publishers {
        if old_publishers.get(user) != Some(publisher) {
            events.push(Event::Publishing {
                publisher: publisher.clone(),
            });
        }
    }
    for user in old_publishers.keys().filter(|user| !new_publishers.contains_key(*user)) {
        let publisher = PublisherView {
            user_id: user.clone(),
            audio: None,
            camera: None,
            screen: None,
        };
        events.push(Event::Publishing { publisher });
    }
    events.extend(
        old.iter()
            .filter(|user| !new.contains(user))
            .cloned()
            .map(|user_id| Event::MemberLeft { user_id }),
    );
    if before.mix_view() != after.mix_view() {
        events.push(Event::Mix { mix: after.mix_view() });
    }
    events
}

fn publisher_view(publisher: &Publisher) -> PublisherView {
    let Publisher {
        user,
        audio,
        camera,
        screen,
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
    use rotunda_proto::ids::TrackSource;
    use rotunda_proto::room::TrackState;

    #[test]
    fn a_member_is_told_of_others_and_not_of_himself() {
        let (ann, bob): (UserId, UserId) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let before = RoomState::default();
        let mut after = RoomState::default();
        for (user, at) in [(&ann, 1), (&bob, 2)] {
            roster::enter(&mut after.roster, user, at);
            seats::take(&mut after.seats, user, TrackSource::Audio, TrackState::On).unwrap();
        }
        let told = diff(&before, &after, &ann);
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], Event::MemberEntered { user_id: bob.clone() });
        let gone = diff(&after, &before, &ann);
        assert_eq!(gone.last(), Some(&Event::MemberLeft { user_id: bob }));
        assert!(diff(&after, &after, &ann).is_empty());
    }
}
