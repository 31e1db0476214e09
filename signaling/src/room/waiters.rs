//! The users of this node who wait for a room: what the [`WaitingRoom`] document has to say of them, and what it answers them. Pure.

use std::collections::{BTreeMap, HashSet};

use rotunda_events::KnockOutcome;
use rotunda_proto::ids::{MembershipId, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::room::Holder;
use rotunda_proto::waiting_room::{EntryAnswer, WaitingRoom, WaitingUser};
use tokio::sync::watch;

use super::gate::Demand;
use crate::waiting_room::list::{self, Here};

/// What has become of a user who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Waits,
    Answered(EntryAnswer),
}

/// The end of a user's waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub user: UserId,
    pub id: MembershipId,
    pub outcome: KnockOutcome,
    /// The moderator who has answered.
    pub by: Option<UserId>,
}

#[derive(Debug, Default)]
pub struct Waiters {
    here: BTreeMap<MembershipId, Waiter>,
    /// Users who do not wait any more, and whose entries may be in the document.
    gone: Vec<MembershipId>,
}

#[derive(Debug)]
struct Waiter {
    here: Here,
    /// When they knocked.
    demand: Demand,
    outcome: watch::Sender<Outcome>,
}

impl Waiters {
    pub fn is_empty(&self) -> bool {
        self.here.is_empty() && self.gone.is_empty()
    }

    pub fn count(&self) -> usize {
        self.here.len()
    }

    /// The entry follows with the next write.
    pub fn knock(
        &mut self,
        user: UserId,
        since_unix_ms: u64,
        holder: Holder,
        demand: Demand,
    ) -> watch::Receiver<Outcome> {
        let (outcome, receiver) = watch::channel(Outcome::Waits);
        let id = holder.membership;
        let user = WaitingUser {
            user,
            since_unix_ms,
            holder,
            answer: None,
        };
        let here = Here {
            user,
            was_listed: false,
        };
        let waiter = Waiter { here, demand, outcome };
        self.here.insert(id, waiter);
        receiver
    }

    pub fn waits(&self, id: MembershipId) -> bool {
        self.here.contains_key(&id)
    }

    /// The user gives up. None: they were answered already.
    pub fn leave(&mut self, id: MembershipId) -> Option<Ended> {
        let waiter = self.here.remove(&id)?;
        self.gone.push(id);
        Some(Ended {
            user: waiter.here.user.user,
            id,
            outcome: KnockOutcome::GaveUp,
            by: None,
        })
    }

    /// Tells users the answers that the document has for them. Answers everybody who does not wait any more, users whose task has ended
    /// among them.
    pub fn handle_document(&mut self, document: &WaitingRoom) -> Vec<Ended> {
        let lost = self.here.iter().filter(|(_, waiter)| waiter.outcome.is_closed());
        let lost: Vec<MembershipId> = lost.map(|(id, _)| *id).collect();
        let mut ended: Vec<Ended> = lost.into_iter().filter_map(|id| self.leave(id)).collect();
        for entry in &document.waiting {
            let id = entry.holder.membership;
            let Some(waiter) = self.here.get_mut(&id) else {
                continue;
            };
            waiter.here.was_listed = true;
            let (answer, by) = match &entry.answer {
                Some(answered) => (answered.answer, answered.by.clone()),
                // It was switched off while they were being listed.
                None if !document.required && waiter.demand == Demand::None => (EntryAnswer::Admitted, None),
                None => continue,
            };
            waiter.outcome.send_replace(Outcome::Answered(answer));
            let outcome = match answer {
                EntryAnswer::Admitted => KnockOutcome::Admitted,
                EntryAnswer::Refused => KnockOutcome::Refused,
                EntryAnswer::RoomEnded => KnockOutcome::RoomEnded,
            };
            let told = self.leave(id).map(|told| Ended { outcome, by, ..told });
            ended.extend(told);
        }
        ended
    }

    /// Whether the document is to be written for this node's users.
    pub fn is_due(&self, document: &WaitingRoom) -> bool {
        if self.is_empty() {
            return false;
        }
        let listed: HashSet<MembershipId> = document.waiting.iter().map(|entry| entry.holder.membership).collect();
        self.here.keys().any(|id| !listed.contains(id)) || self.gone.iter().any(|id| listed.contains(id))
    }

    /// The document with this node's users. `node`: this node.
    pub fn merged(&mut self, document: &WaitingRoom, node: &Incarnation) -> WaitingRoom {
        let here = self.here.values_mut().map(|waiter| {
            waiter.here.user.holder.node = node.clone();
            waiter.here.clone()
        });
        let here: Vec<Here> = here.collect();
        list::merged(document, &here, &self.gone)
    }

    /// `written`: what stands in the document now. New users whom it did not take do not wait.
    pub fn handle_written(&mut self, written: &WaitingRoom) {
        self.gone.clear();
        self.here
            .retain(|id, waiter| waiter.here.was_listed || list::has(written, *id));
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::waiting_room::{Answered, MAX_WAITING};

    use super::*;

    fn node(run: u64) -> Incarnation {
        Incarnation::new("node-1".parse().unwrap(), run)
    }

    fn holder(id: u64) -> Holder {
        Holder {
            membership: MembershipId(id),
            node: node(1),
        }
    }

    fn knock(waiters: &mut Waiters, id: u64) -> watch::Receiver<Outcome> {
        let user = format!("user{id}").parse().unwrap();
        waiters.knock(user, id, holder(id), Demand::ByApplication)
    }

    fn written(waiters: &mut Waiters, document: &WaitingRoom) -> WaitingRoom {
        let document = waiters.merged(document, &node(1));
        waiters.handle_written(&document);
        document
    }

    #[test]
    fn an_answer_reaches_its_user_and_takes_the_entry_out() {
        let mut waiters = Waiters::default();
        let ann = knock(&mut waiters, 1);
        let bob = knock(&mut waiters, 2);
        assert!(waiters.is_due(&WaitingRoom::default()));
        let mut document = written(&mut waiters, &WaitingRoom::default());
        assert!(!waiters.is_due(&document));
        let answered = Answered {
            answer: EntryAnswer::Refused,
            by: None,
        };
        list::answer(&mut document, Some(&["user1".parse().unwrap()]), &answered);
        let told = waiters.handle_document(&document);
        assert_eq!(
            (told.len(), told[0].id, told[0].outcome),
            (1, MembershipId(1), KnockOutcome::Refused)
        );
        assert_eq!(*ann.borrow(), Outcome::Answered(EntryAnswer::Refused));
        assert_eq!(*bob.borrow(), Outcome::Waits);
        assert!(waiters.is_due(&document), "the entry is still there");
        assert!(
            waiters.handle_document(&document).is_empty(),
            "the document has not changed yet"
        );
        let document = written(&mut waiters, &document);
        assert_eq!(document.waiting.len(), 1);
        assert!(!waiters.is_due(&document));
    }

    #[test]
    fn a_user_who_was_listed_while_it_was_switched_off_is_admitted() {
        let mut waiters = Waiters::default();
        let ann = waiters.knock("ann".parse().unwrap(), 1, holder(1), Demand::None);
        let mut document = WaitingRoom {
            required: true,
            ..WaitingRoom::default()
        };
        document = written(&mut waiters, &document);
        assert!(waiters.handle_document(&document).is_empty());
        document.required = false;
        assert_eq!(waiters.handle_document(&document)[0].outcome, KnockOutcome::Admitted);
        assert_eq!(*ann.borrow(), Outcome::Answered(EntryAnswer::Admitted));
    }

    #[test]
    fn an_entry_that_others_removed_is_written_again_under_the_new_incarnation() {
        let mut waiters = Waiters::default();
        let _ann = knock(&mut waiters, 1);
        let document = written(&mut waiters, &WaitingRoom::default());
        waiters.handle_document(&document);
        let full = WaitingRoom {
            required: true,
            waiting: vec![document.waiting[0].clone(); MAX_WAITING]
                .into_iter()
                .zip(1000..)
                .map(|(user, id)| WaitingUser {
                    user: format!("other{id}").parse().unwrap(),
                    holder: holder(id),
                    ..user
                })
                .collect(),
            removed: Vec::new(),
        };
        assert!(waiters.is_due(&full));
        let again = waiters.merged(&full, &node(2));
        let entry = again
            .waiting
            .iter()
            .find(|entry| entry.holder.membership == MembershipId(1));
        assert_eq!(entry.unwrap().holder.node, node(2));
    }

    #[test]
    fn a_user_whose_task_has_ended_does_not_wait_any_more() {
        let mut waiters = Waiters::default();
        let ann = knock(&mut waiters, 1);
        let document = written(&mut waiters, &WaitingRoom::default());
        drop(ann);
        let ended = waiters.handle_document(&document);
        assert_eq!(ended[0].outcome, KnockOutcome::GaveUp);
        assert!(!waiters.waits(MembershipId(1)) && waiters.is_due(&document));
        assert!(written(&mut waiters, &document).is_empty() && waiters.is_empty());
    }
}
