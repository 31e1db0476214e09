//! What users may not do in a room, also when they enter it again. The rows are in the store; every node follows them within 2 seconds.

mod follow;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room_ticket::Rights;
use rotunda_store::{Restriction, RestrictionKind, RestrictionLimit};

use crate::room::Demand;

pub use follow::{RestrictError, follow, lift, restrict};

type ByRoom = HashMap<RoomKey, Vec<Restriction>>;

/// The restrictions that this node knows.
#[derive(Debug, Default)]
pub struct Restrictions(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Of the store.
    revision: i64,
    by_room: Arc<ByRoom>,
}

/// What restrictions leave to a user who enters a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// What their room ticket permits.
    Everything,
    /// These rights, whatever the ticket says.
    Rights(Rights),
    /// They may not enter.
    Nothing,
}

/// What has changed for the members of this node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    begun: Vec<Restriction>,
    /// Lifted, or over.
    ended: Vec<Restriction>,
}

impl Restrictions {
    pub fn of(&self, room: &RoomKey, user: &UserId, now: Duration) -> Left {
        let known = self.by_room();
        let concerns = |restriction: &&Restriction| {
            !restriction.is_over(now) && restriction.user.as_ref().is_none_or(|whose| whose == user)
        };
        let mut left = Left::Everything;
        for restriction in known.get(room).into_iter().flatten().filter(concerns) {
            match restriction.limit {
                RestrictionLimit::Entry => return Left::Nothing,
                RestrictionLimit::Media(rights) => left = Left::Rights(rights),
                RestrictionLimit::Admission => {}
            }
        }
        left
    }

    /// Whether the server API requires that the user is admitted.
    pub fn demand(&self, room: &RoomKey, user: &UserId, now: Duration) -> Demand {
        match self.has_admission(room, now, |whose| whose.is_none_or(|whose| whose == user)) {
            true => Demand::ByApplication,
            false => Demand::None,
        }
    }

    /// Whether the server API requires that everybody is admitted.
    pub fn requires_admission(&self, room: &RoomKey, now: Duration) -> bool {
        self.has_admission(room, now, |whose| whose.is_none())
    }

    fn has_admission(&self, room: &RoomKey, now: Duration, concerns: impl Fn(Option<&UserId>) -> bool) -> bool {
        let known = self.by_room();
        let mut of_room = known.get(room).into_iter().flatten();
        of_room.any(|restriction| {
            restriction.kind() == RestrictionKind::Admission
                && !restriction.is_over(now)
                && concerns(restriction.user.as_ref())
        })
    }

    fn by_room(&self) -> Arc<ByRoom> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_room.clone()
    }

    fn revision(&self) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).revision
    }

    /// When the next one is over.
    fn next_end(&self) -> Option<Duration> {
        let known = self.by_room();
        known
            .values()
            .flatten()
            .filter_map(|restriction| restriction.until)
            .min()
    }

    /// `all`: those of the store at `revision` that are not over. An older revision than the known one changes nothing.
    fn replace(&self, revision: i64, all: Vec<Restriction>) -> Changes {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if revision < known.revision {
            return Changes::default();
        }
        let mut by_room = ByRoom::new();
        for restriction in all {
            by_room.entry(restriction.room.clone()).or_default().push(restriction);
        }
        let after = Arc::new(by_room);
        let before = std::mem::replace(&mut known.by_room, after.clone());
        known.revision = revision;
        drop(known);
        let is_missing = |of: &ByRoom, wanted: &Restriction, same: fn(&Restriction, &Restriction) -> bool| {
            let mut there = of.get(&wanted.room).into_iter().flatten();
            !there.any(|other| same(other, wanted))
        };
        let begun = after
            .values()
            .flatten()
            .filter(|new| is_missing(&before, new, is_equal));
        let ended = before
            .values()
            .flatten()
            .filter(|old| is_missing(&after, old, is_of_same));
        Changes {
            begun: begun.cloned().collect(),
            ended: ended.cloned().collect(),
        }
    }
}

fn is_equal(one: &Restriction, other: &Restriction) -> bool {
    one == other
}

/// Whether one takes the place of the other.
fn is_of_same(one: &Restriction, other: &Restriction) -> bool {
    one.user == other.user && one.kind() == other.kind()
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::TrackSource;
    use rotunda_proto::room::Permissions;

    use super::*;

    fn room(name: &str) -> RoomKey {
        RoomKey {
            app: 7.try_into().unwrap(),
            room: name.parse().unwrap(),
        }
    }

    fn restriction(user: Option<&str>, limit: RestrictionLimit, until: Option<u64>) -> Restriction {
        Restriction {
            room: room("1"),
            user: user.map(|user| user.parse().unwrap()),
            limit,
            until: until.map(Duration::from_secs),
            created: Duration::from_secs(10),
            created_by: "key".to_owned(),
        }
    }

    fn muted() -> Rights {
        Rights::of(&Permissions {
            send: [].into(),
            receive: TrackSource::ALL.into(),
        })
    }

    #[test]
    fn a_restriction_is_of_its_user_and_room_until_its_end() {
        let known = Restrictions::default();
        let all = vec![
            restriction(Some("ann"), RestrictionLimit::Entry, Some(20)),
            restriction(Some("ann"), RestrictionLimit::Media(muted()), None),
            restriction(Some("bob"), RestrictionLimit::Media(muted()), Some(30)),
        ];
        known.replace(1, all);
        let left =
            |name: &str, user: &str, now: u64| known.of(&room(name), &user.parse().unwrap(), Duration::from_secs(now));
        assert_eq!(left("1", "ann", 19), Left::Nothing);
        assert_eq!(left("1", "ann", 20), Left::Rights(muted()));
        assert_eq!(left("1", "bob", 29), Left::Rights(muted()));
        assert_eq!(left("1", "bob", 30), Left::Everything);
        assert_eq!(left("1", "cat", 19), Left::Everything);
        assert_eq!(left("text:1", "ann", 19), Left::Everything);
        assert_eq!(known.next_end(), Some(Duration::from_secs(20)));
        known.replace(2, vec![restriction(None, RestrictionLimit::Entry, None)]);
        assert_eq!(left("1", "cat", 19), Left::Nothing, "everybody's");
        known.replace(3, vec![restriction(None, RestrictionLimit::Admission, Some(20))]);
        let demand = |now: u64| known.demand(&room("1"), &"cat".parse().unwrap(), Duration::from_secs(now));
        assert_eq!((demand(19), demand(20)), (Demand::ByApplication, Demand::None));
        assert_eq!(
            left("1", "cat", 19),
            Left::Everything,
            "they wait, and then they have everything"
        );
        known.replace(4, Vec::new());
        assert_eq!(known.next_end(), None);
    }

    #[test]
    fn members_are_told_of_what_has_begun_and_ended() {
        let known = Restrictions::default();
        let (ann, bob) = (
            restriction(Some("ann"), RestrictionLimit::Entry, None),
            restriction(Some("bob"), RestrictionLimit::Media(muted()), None),
        );
        let changes = known.replace(1, vec![ann.clone(), bob.clone()]);
        assert_eq!((changes.begun.len(), changes.ended.len()), (2, 0));
        assert_eq!(known.replace(1, vec![ann.clone(), bob.clone()]), Changes::default());
        assert_eq!(
            known.replace(0, Vec::new()),
            Changes::default(),
            "an older reading that came late"
        );
        let longer = Restriction {
            limit: RestrictionLimit::Media(Rights::ALL),
            ..bob
        };
        let changes = known.replace(2, vec![longer.clone()]);
        assert_eq!(
            (changes.begun, changes.ended),
            (vec![longer], vec![ann]),
            "bob's was replaced"
        );
    }
}
