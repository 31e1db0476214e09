//! All calls as this node knows them, and what is due: invitations without an answer, devices that do not come back, ended calls.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rotunda_bus::Incarnation;
use rotunda_proto::call::{Call, Device, PartyState};
use rotunda_proto::ids::{CallId, DeviceId, SdkAppId, UserId};

/// A call within its application.
pub type CallKey = (SdkAppId, CallId);
/// A device within its application.
pub type DeviceKey = (SdkAppId, UserId, DeviceId);

/// The node of a device in the call acts when it is time; the others wait longer, in case that node cannot.
const OTHERS_LATER: Duration = Duration::from_secs(3);
/// An ended call is kept for this time, so that every node learns how it has ended.
const KEEP_ENDED: Duration = Duration::from_secs(10);
/// A user who has left a call, and not its room, is removed from the room after this time.
const EJECT_AFTER: Duration = Duration::from_secs(5);
/// What was due and has not changed its call is due again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// What a node is to do now. Each may be done by several nodes; compare-and-set makes it happen once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Nobody has answered this invitation.
    Expire { call: CallKey, user: UserId, round: u64 },
    /// A user's device in a call is gone with its node.
    Lose {
        call: CallKey,
        user: UserId,
        device: DeviceId,
        node: Incarnation,
    },
    /// An ended call is to be deleted.
    Forget { call: CallKey },
    /// A user who has left a call is to be out of its room.
    Eject { call: CallKey, user: UserId },
    /// A device of this node has not come back.
    Unregister { device: DeviceKey },
}

/// See the [module](self).
#[derive(Debug)]
pub struct Desk {
    own: Incarnation,
    return_time: Duration,
    calls: BTreeMap<CallKey, Call>,
    alive: Option<BTreeSet<Incarnation>>,
    due: BTreeMap<Due, Instant>,
}

impl Desk {
    pub fn new(own: Incarnation, return_time: Duration) -> Self {
        Self {
            own,
            return_time,
            calls: BTreeMap::new(),
            alive: None,
            due: BTreeMap::new(),
        }
    }

    pub fn call(&self, key: &CallKey) -> Option<&Call> {
        self.calls.get(key)
    }

    pub fn of_application(&self, app: SdkAppId) -> impl Iterator<Item = &Call> {
        self.calls
            .range((app, CallId(0))..=(app, CallId(u64::MAX)))
            .map(|(_, call)| call)
    }

    /// Calls that run.
    pub fn running(&self) -> usize {
        self.calls.values().filter(|call| !call.is_over()).count()
    }

    /// The call has this document now; None: it is deleted. Answers the document of before.
    pub fn handle_call(&mut self, now: Instant, key: CallKey, call: Option<Call>) -> Option<Call> {
        let before = match call {
            Some(call) => self.calls.insert(key, call),
            None => self.calls.remove(&key),
        };
        self.schedule(now, &key);
        before
    }

    /// These nodes live. None: not known for now.
    pub fn handle_living(&mut self, now: Instant, alive: Option<&BTreeSet<Incarnation>>) {
        let Some(alive) = alive else { return };
        self.alive = Some(alive.clone());
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            self.schedule(now, &key);
        }
    }

    /// This node has another incarnation.
    pub fn handle_own(&mut self, own: Incarnation) {
        self.own = own;
    }

    /// The WebSocket of a device of this node is lost.
    pub fn handle_lost(&mut self, now: Instant, device: DeviceKey) {
        self.due.insert(Due::Unregister { device }, now + self.return_time);
    }

    /// The device is here again.
    pub fn handle_back(&mut self, device: DeviceKey) {
        self.due.remove(&Due::Unregister { device });
    }

    /// A user has left a call by this node.
    pub fn handle_left(&mut self, now: Instant, call: CallKey, user: UserId) {
        self.due.insert(Due::Eject { call, user }, now + EJECT_AFTER);
    }

    /// Removes and answers what is due. What concerns a call is due again, as long as the call stays as it is.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Due> {
        let due: Vec<Due> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(due, _)| due.clone())
            .collect();
        for what in &due {
            match what {
                Due::Eject { .. } | Due::Unregister { .. } => self.due.remove(what),
                Due::Expire { .. } | Due::Lose { .. } | Due::Forget { .. } => {
                    self.due.insert(what.clone(), now + TRY_AGAIN)
                }
            };
        }
        // A user who has come back to the call stays in its room.
        let is_meant = |due: &Due| match due {
            Due::Eject { call, user } => !self.calls.get(call).is_some_and(|call| call.has_joined(user)),
            _ => true,
        };
        due.into_iter().filter(|due| is_meant(due)).collect()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Makes what is due of a call follow from its document. What is due already keeps its time.
    fn schedule(&mut self, now: Instant, key: &CallKey) {
        let wanted = self
            .calls
            .get(key)
            .map(|call| self.wanted(now, *key, call))
            .unwrap_or_default();
        self.due.retain(|due, _| match due {
            Due::Expire { call, .. } | Due::Lose { call, .. } | Due::Forget { call } => {
                call != key || wanted.contains_key(due)
            }
            Due::Eject { .. } | Due::Unregister { .. } => true,
        });
        for (due, at) in wanted {
            self.due.entry(due).or_insert(at);
        }
    }

    fn wanted(&self, now: Instant, key: CallKey, call: &Call) -> BTreeMap<Due, Instant> {
        if call.is_over() {
            return BTreeMap::from([(Due::Forget { call: key }, now + KEEP_ENDED)]);
        }
        let is_here = |state: &PartyState| matches!(state, PartyState::Joined { node, .. } if *node == self.own);
        let later = match call.parties.iter().any(|party| is_here(&party.state)) {
            true => Duration::ZERO,
            false => OTHERS_LATER,
        };
        let due = call.parties.iter().filter_map(|party| match &party.state {
            PartyState::Ringing {
                ring_ms: Some(ring_ms),
                round,
            } => {
                let due = Due::Expire {
                    call: key,
                    user: party.user.clone(),
                    round: *round,
                };
                Some((due, now + Duration::from_millis(*ring_ms) + later))
            }
            PartyState::Joined { device, node, .. } if self.is_dead(node) => {
                let due = Due::Lose {
                    call: key,
                    user: party.user.clone(),
                    device: device.clone(),
                    node: node.clone(),
                };
                Some((due, now + self.return_time))
            }
            PartyState::Ringing { ring_ms: None, .. } | PartyState::Joined { .. } | PartyState::Gone { .. } => None,
        });
        due.collect()
    }

    /// A node that has just started may not be listed yet; it is within the time for returning.
    fn is_dead(&self, node: &Incarnation) -> bool {
        *node != self.own && self.alive.as_ref().is_some_and(|alive| !alive.contains(node))
    }
}

/// The device that a [`Due::Lose`] is about.
pub fn lost(user: UserId, device: DeviceId, node: Incarnation) -> Device {
    Device { user, device, node }
}

#[cfg(test)]
mod tests;
