//! The members of a room that are on this node, in the order of entering.

use std::collections::BTreeSet;

use rotunda_proto::ids::{MembershipId, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::room::{Holder, ROSTER_WINDOW, RosterMember};

/// A member by the time of entering, Unix ms.
pub type Entered = (u64, UserId, MembershipId);

/// Each member takes an entry of about 80 bytes.
#[derive(Debug, Default)]
pub struct LocalMembers(BTreeSet<Entered>);

impl LocalMembers {
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn insert(&mut self, member: RosterMember) {
        self.0
            .insert((member.entered_unix_ms, member.user, member.holder.membership));
    }

    pub fn remove(&mut self, member: &RosterMember) {
        let key = (member.entered_unix_ms, member.user.clone(), member.holder.membership);
        self.0.remove(&key);
    }

    /// The members that may be in the roster's window: from one node, at most as many as the window has.
    pub fn earliest(&self) -> impl Iterator<Item = &Entered> {
        self.0.iter().take(ROSTER_WINDOW)
    }

    /// As [`earliest`](Self::earliest), for the roster.
    pub fn earliest_of(&self, node: &Incarnation) -> Vec<RosterMember> {
        self.earliest()
            .map(|(entered_unix_ms, user, membership)| RosterMember {
                user: user.clone(),
                entered_unix_ms: *entered_unix_ms,
                holder: Holder {
                    membership: *membership,
                    node: node.clone(),
                },
            })
            .collect()
    }
}
