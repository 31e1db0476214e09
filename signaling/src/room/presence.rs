//! The members of a room on this node, and this node's part of the room's documents.

use std::collections::HashSet;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MembershipId, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::room::{Holder, KeptCell, ROSTER_WINDOW, Roster, RosterMember};
use rotunda_proto::signaling::ErrorCode;

use super::feed::Written;
use super::local_members::{Entered, LocalMembers};
use super::{Entering, SeatsLeft};
use crate::member::error_of;
use crate::room_documents::{Refused, RoomDocuments};

/// Only the room's task writes this part, once for all members who came at the same time: a thousand joins a second need a few
/// hundred writes, without contention.
pub struct Presence {
    documents: RoomDocuments,
    members: LocalMembers,
    /// The time of the member who entered last.
    last_entered_unix_ms: u64,
    /// Memberships that have ended and may still be in the roster's window.
    left: Vec<MembershipId>,
    /// Members who have left and may still have seats.
    seats_left: Vec<(RosterMember, SeatsLeft)>,
}

/// A member who is counted in and has no answer yet.
pub struct Admitted {
    pub member: RosterMember,
    pub entering: Entering,
}

impl Presence {
    pub fn new(documents: RoomDocuments) -> Self {
        Self {
            documents,
            members: LocalMembers::default(),
            last_entered_unix_ms: 0,
            left: Vec::new(),
            seats_left: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The documents follow with the next [`write`](Self::write).
    pub fn remove(&mut self, member: RosterMember) {
        self.members.remove(&member);
        self.left.push(member.holder.membership);
    }

    /// As [`remove`](Self::remove), of a member who may have seats. They are released by [`release_seats`](Self::release_seats).
    pub fn leave(&mut self, member: RosterMember, seats: SeatsLeft) {
        if seats != SeatsLeft::None {
            self.seats_left.push((member.clone(), seats));
        }
        self.remove(member);
    }

    /// Releases the seats of members who have left. Errors: call it again.
    pub async fn release_seats(&mut self) -> Result<(), Refused> {
        while let Some((member, seats)) = self.seats_left.first() {
            match *seats {
                SeatsLeft::None => {}
                SeatsLeft::Released => self.documents.release_all_seats(member).await?,
                SeatsLeft::CellsKept { until_unix_ms } => self.documents.keep_cells(member, until_unix_ms).await?,
            }
            self.seats_left.remove(0);
        }
        Ok(())
    }

    /// Writes the present members, and admits as many of `entering` as the room has capacity for. `roster`: by the documents.
    ///
    /// Answers the revisions that were written. On an error `admitted` has the members that were counted in.
    pub async fn write(
        &mut self,
        roster: &Roster,
        entering: Vec<Entering>,
        admitted: &mut Vec<Admitted>,
    ) -> Result<Written, Refused> {
        let documents = self.documents.clone();
        let (first, last) = (self.members.is_empty(), self.members.is_empty() && entering.is_empty());
        let opened_at = if last { documents.opened_at().await? } else { None };
        let counted = match documents.count(self.members.count(), entering.len() as u64).await {
            Ok(counted) => counted,
            Err(error) => {
                let code = error_of(&error);
                entering.into_iter().for_each(|one| refuse(one, code));
                return Err(error.into());
            }
        };
        let node = documents.cluster.incarnation();
        let kept = match entering.is_empty() {
            true => Vec::new(),
            // Without these a returning publisher only loses their position in the order of entering.
            false => documents.kept_cells().await.unwrap_or_default(),
        };
        let mut written = Written {
            count: counted.revision,
            ..Written::default()
        };
        for (index, entering) in entering.into_iter().enumerate() {
            if index as u64 >= counted.admitted {
                refuse(entering, ErrorCode::RoomFull);
                continue;
            }
            let member = self.enter(&entering.user, &node, &kept);
            admitted.push(Admitted { member, entering });
        }
        if let Some(one) = admitted.first().filter(|_| first) {
            let user = one.member.user.clone();
            written.info = documents.open(self.last_entered_unix_ms, &user).await?;
        }
        if self.window_changes(roster) || last {
            let present = self.members.earliest_of(&node);
            written.roster = documents.show(&present, &self.left).await?;
        }
        self.left.clear();
        if let Some(opened_at) = opened_at
            && counted.total == 0
        {
            documents.close(opened_at).await?;
            documents.drop_expired_cells(u64::MAX).await?;
        }
        Ok(written)
    }

    /// A publisher with a kept cell enters with the earlier time, and so keeps their position in the order of entering.
    fn enter(&mut self, user: &UserId, node: &Incarnation, kept: &[KeptCell]) -> RosterMember {
        let now = Clock.unix().as_millis() as u64;
        // Members that enter in one millisecond have an order, too.
        self.last_entered_unix_ms = now.max(self.last_entered_unix_ms + 1);
        let before = kept.iter().find(|cell| cell.user == *user && cell.until_unix_ms > now);
        let member = RosterMember {
            user: user.clone(),
            entered_unix_ms: before.map_or(self.last_entered_unix_ms, |cell| cell.entered_unix_ms),
            holder: Holder {
                membership: MembershipId(rand::random()),
                node: node.clone(),
            },
        };
        self.members.insert(member.clone());
        member
    }

    /// Whether the roster's window has to change for this node's members.
    pub fn window_changes(&self, roster: &Roster) -> bool {
        let roster = &roster.members;
        let there: HashSet<MembershipId> = roster.iter().map(|member| member.holder.membership).collect();
        // A newer membership of the same user, on any node, has replaced it.
        let is_replaced = |(entered_unix_ms, user, _): &Entered| {
            roster
                .iter()
                .any(|other| other.user == *user && other.entered_unix_ms > *entered_unix_ms)
        };
        let last = roster.last().filter(|_| roster.len() >= ROSTER_WINDOW);
        let belongs = |(entered_unix_ms, user, _): &&Entered| {
            last.is_none_or(|last| (*entered_unix_ms, user) < (last.entered_unix_ms, &last.user))
        };
        self.left.iter().any(|id| there.contains(id))
            || self
                .members
                .earliest()
                .take_while(belongs)
                .any(|member| !there.contains(&member.2) && !is_replaced(member))
    }
}

pub fn refuse(entering: Entering, code: ErrorCode) {
    let _gone_meanwhile = entering.entered.send(Err(Refused::Code(code)));
}
