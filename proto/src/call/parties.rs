//! The state machine of a call.
//!
//! ```text
//!            accept                      hang up, lost
//! Ringing ───────────▶ Joined ─────────────────────────▶ Gone
//!    │                    ▲                               │
//!    │                    └────────── join ───────────────┤
//!    └── rejected, no answer, cancelled ─────────────────▶│
//!    ▲                                                    │
//!    └────────────────── invited again ───────────────────┘
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CallEndReason, CallMedia, CallRecord, RecordedParty, call_room};
use crate::ids::{CallId, DeviceId, RoomKey, SdkAppId, UserId};
use crate::incarnation::Incarnation;

/// See the [module](super).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub app: SdkAppId,
    pub id: CallId,
    pub inviter: UserId,
    pub media: CallMedia,
    pub is_group: bool,
    /// Of the application: users who know it may join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Of the application, for the invitees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    pub started_unix_ms: u64,
    pub answered_unix_ms: Option<u64>,
    /// In the order in which they were invited; the inviter is first.
    pub parties: Vec<Party>,
    pub ended: Option<Ended>,
    /// Counts the invitations, so that a timer ends no later one.
    pub rounds: u64,
    /// Grows with every change of the document, so that a client knows the newer one of two.
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub reason: CallEndReason,
    pub at_unix_ms: u64,
}

/// A user of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    pub user: UserId,
    pub invited_by: UserId,
    /// Whether a device of theirs has shown the invitation.
    pub reached: bool,
    /// The time in the call before the present stay.
    pub joined_ms: u64,
    pub state: PartyState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PartyState {
    Ringing {
        /// None: until the inviter gives up.
        ring_ms: Option<u64>,
        round: u64,
    },
    Joined {
        device: DeviceId,
        node: Incarnation,
        since_unix_ms: u64,
    },
    Gone {
        why: Gone,
        /// The device that has done it, if one has.
        device: Option<DeviceId>,
    },
}

/// Why a user is not in the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Gone {
    Rejected,
    /// In another call.
    Busy,
    NoAnswer,
    /// The call ended, or its inviter gave up, before they answered.
    Cancelled,
    /// Hung up.
    Left,
    /// The connection was lost for too long.
    Lost,
}

/// A device of a user, and its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub user: UserId,
    pub device: DeviceId,
    pub node: Incarnation,
}

/// A call to begin.
#[derive(Debug, Clone)]
pub struct NewCall {
    pub app: SdkAppId,
    pub id: CallId,
    pub inviter: Device,
    pub media: CallMedia,
    pub is_group: bool,
    pub group_id: Option<String>,
    pub user_data: Option<String>,
}

/// An invitee and what was found out about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Busy,
    Online,
    Offline,
}

/// Why a change of a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallRefusal {
    #[error("the call is over")]
    Over,
    #[error("the user is not invited")]
    NotInvited,
    #[error("another device of the user has answered")]
    AnsweredElsewhere,
    #[error("the device is not in the call")]
    NotInCall,
    #[error("the call is not a group call")]
    NotAGroup,
    #[error("the call has as many users as are permitted")]
    Full,
}

impl Call {
    /// `invitees`: without the inviter, and none twice.
    pub fn begin(new: NewCall, invitees: &[(UserId, Found)], ring_ms: Option<u64>, now_unix_ms: u64) -> Self {
        let NewCall {
            app,
            id,
            inviter,
            media,
            is_group,
            group_id,
            user_data,
        } = new;
        let first = Party {
            user: inviter.user.clone(),
            invited_by: inviter.user.clone(),
            reached: true,
            joined_ms: 0,
            state: joined(&inviter, now_unix_ms),
        };
        let mut call = Self {
            app,
            id,
            inviter: inviter.user.clone(),
            media,
            is_group,
            group_id,
            user_data,
            started_unix_ms: now_unix_ms,
            answered_unix_ms: None,
            parties: vec![first],
            ended: None,
            rounds: 0,
            version: 1,
        };
        call.ring(&inviter.user, invitees, ring_ms);
        call.settle(None, now_unix_ms);
        call
    }

    pub fn room(&self) -> RoomKey {
        call_room(self.app, self.id)
    }

    pub fn party(&self, user: &UserId) -> Option<&Party> {
        self.parties.iter().find(|party| party.user == *user)
    }

    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether the user rings or is in the call.
    pub fn engages(&self, user: &UserId) -> bool {
        !self.is_over() && self.party(user).is_some_and(Party::is_engaged)
    }

    /// Whether the user may enter the call's room.
    pub fn has_joined(&self, user: &UserId) -> bool {
        !self.is_over()
            && self
                .party(user)
                .is_some_and(|party| matches!(party.state, PartyState::Joined { .. }))
    }

    /// The users who ring or are in the call.
    pub fn engaged(&self) -> impl Iterator<Item = &UserId> {
        let engaged = self
            .parties
            .iter()
            .filter(|party| !self.is_over() && party.is_engaged());
        engaged.map(|party| &party.user)
    }

    /// Adds users. Those who ring or are in it already stay as they are.
    pub fn invite(
        &mut self,
        by: &Device,
        invitees: &[(UserId, Found)],
        ring_ms: Option<u64>,
        most: usize,
        now_unix_ms: u64,
    ) -> Result<(), CallRefusal> {
        self.check_in(by)?;
        let new = invitees.iter().filter(|(user, _)| self.party(user).is_none()).count();
        if self.parties.len() + new > most {
            return Err(CallRefusal::Full);
        }
        // With a third user it is a group call.
        self.is_group |= self.parties.len() + new > 2;
        self.ring(&by.user, invitees, ring_ms);
        self.settle(None, now_unix_ms);
        Ok(())
    }

    /// Ringing => Joined. A repeated acceptance of the same device changes nothing, but the node.
    pub fn accept(&mut self, by: &Device, now_unix_ms: u64) -> Result<(), CallRefusal> {
        self.check_runs()?;
        let party = self.party_mut(&by.user)?;
        match &mut party.state {
            PartyState::Ringing { .. } => party.state = joined(by, now_unix_ms),
            PartyState::Joined { device, node, .. } if *device == by.device => *node = by.node.clone(),
            PartyState::Joined { .. }
            | PartyState::Gone {
                why: Gone::Rejected, ..
            } => {
                return Err(CallRefusal::AnsweredElsewhere);
            }
            PartyState::Gone { .. } => return Err(CallRefusal::NotInvited),
        }
        self.answered_unix_ms.get_or_insert(now_unix_ms);
        Ok(())
    }

    /// Ringing => Gone.
    pub fn reject(&mut self, by: &Device, now_unix_ms: u64) -> Result<(), CallRefusal> {
        self.check_runs()?;
        let party = self.party_mut(&by.user)?;
        match &party.state {
            PartyState::Ringing { .. } => party.go(Gone::Rejected, Some(&by.device), now_unix_ms),
            PartyState::Gone { device, .. } if device.as_ref() == Some(&by.device) => return Ok(()),
            PartyState::Joined { .. }
            | PartyState::Gone {
                why: Gone::Rejected, ..
            } => {
                return Err(CallRefusal::AnsweredElsewhere);
            }
            PartyState::Gone { .. } => return Err(CallRefusal::NotInvited),
        }
        self.settle(Some(Gone::Rejected), now_unix_ms);
        Ok(())
    }

    /// Joined => Gone. An inviter who hangs up before an answer cancels the call.
    pub fn hang_up(&mut self, by: &Device, now_unix_ms: u64) -> Result<(), CallRefusal> {
        self.check_in(by)?;
        self.go(by, Gone::Left, now_unix_ms)
    }

    /// Joined => Gone, when the device has not come back in time to `by.node` or another one.
    pub fn lose(&mut self, by: &Device, now_unix_ms: u64) -> Result<(), CallRefusal> {
        self.check_in(by)?;
        let same_node = self.party(&by.user).is_some_and(|party| match &party.state {
            PartyState::Joined { node, .. } => *node == by.node,
            PartyState::Ringing { .. } | PartyState::Gone { .. } => false,
        });
        if !same_node {
            return Err(CallRefusal::NotInCall);
        }
        self.go(by, Gone::Lost, now_unix_ms)
    }

    /// Ringing => Gone, when nobody has answered that invitation in time.
    pub fn expire(&mut self, user: &UserId, expired: u64, now_unix_ms: u64) -> Result<(), CallRefusal> {
        self.check_runs()?;
        let party = self.party_mut(user)?;
        match party.state {
            PartyState::Ringing { round, .. } if round == expired => party.go(Gone::NoAnswer, None, now_unix_ms),
            _ => return Err(CallRefusal::NotInvited),
        }
        self.settle(Some(Gone::NoAnswer), now_unix_ms);
        Ok(())
    }

    /// Gone or a stranger => Joined, in a group call: somebody who was invited, or who knows the group id.
    pub fn join(
        &mut self,
        by: &Device,
        group_id: Option<&str>,
        most: usize,
        now_unix_ms: u64,
    ) -> Result<(), CallRefusal> {
        self.check_runs()?;
        if !self.is_group {
            return Err(CallRefusal::NotAGroup);
        }
        let knows_group = group_id.is_some() && group_id == self.group_id.as_deref();
        let count = self.parties.len();
        match self.parties.iter_mut().find(|party| party.user == by.user) {
            Some(party) => match &party.state {
                PartyState::Joined { device, .. } if *device != by.device => {
                    return Err(CallRefusal::AnsweredElsewhere);
                }
                PartyState::Joined { .. } => {}
                PartyState::Ringing { .. } | PartyState::Gone { .. } => party.state = joined(by, now_unix_ms),
            },
            None if !knows_group => return Err(CallRefusal::NotInvited),
            None if count >= most => return Err(CallRefusal::Full),
            None => self.parties.push(Party {
                user: by.user.clone(),
                invited_by: by.user.clone(),
                reached: true,
                joined_ms: 0,
                state: joined(by, now_unix_ms),
            }),
        }
        self.answered_unix_ms.get_or_insert(now_unix_ms);
        Ok(())
    }

    pub fn switch_media(&mut self, by: &Device, media: CallMedia) -> Result<(), CallRefusal> {
        self.check_in(by)?;
        self.media = media;
        Ok(())
    }

    /// A device of the user has shown the invitation.
    pub fn reach(&mut self, user: &UserId) -> Result<(), CallRefusal> {
        self.check_runs()?;
        self.party_mut(user)?.reached = true;
        Ok(())
    }

    /// A device that is in the call has come back by this node.
    pub fn return_by(&mut self, by: &Device) -> Result<(), CallRefusal> {
        self.check_in(by)?;
        if let PartyState::Joined { node, .. } = &mut self.party_mut(&by.user)?.state {
            *node = by.node.clone();
        }
        Ok(())
    }

    /// None: it is not over.
    pub fn record(&self) -> Option<CallRecord> {
        let ended = self.ended.as_ref()?;
        let parties = self.parties.iter().map(|party| {
            let outcome = match party.state {
                PartyState::Gone { why, .. } => why,
                PartyState::Ringing { .. } => Gone::Cancelled,
                PartyState::Joined { .. } => Gone::Left,
            };
            RecordedParty {
                user: party.user.clone(),
                outcome,
                joined_ms: party.joined_ms,
                missed: !party.reached
                    && party.joined_ms == 0
                    && matches!(outcome, Gone::NoAnswer | Gone::Cancelled | Gone::Busy),
            }
        });
        Some(CallRecord {
            call: self.id,
            inviter: self.inviter.clone(),
            media: self.media,
            is_group: self.is_group,
            group_id: self.group_id.clone(),
            started_unix_ms: self.started_unix_ms,
            answered_unix_ms: self.answered_unix_ms,
            ended_unix_ms: ended.at_unix_ms,
            reason: ended.reason,
            parties: parties.collect(),
        })
    }

    fn check_runs(&self) -> Result<(), CallRefusal> {
        if self.is_over() { Err(CallRefusal::Over) } else { Ok(()) }
    }

    /// Whether this device is in the call.
    fn check_in(&self, by: &Device) -> Result<(), CallRefusal> {
        self.check_runs()?;
        match self.party(&by.user).map(|party| &party.state) {
            Some(PartyState::Joined { device, .. }) if *device == by.device => Ok(()),
            Some(_) | None => Err(CallRefusal::NotInCall),
        }
    }

    fn party_mut(&mut self, user: &UserId) -> Result<&mut Party, CallRefusal> {
        let party = self.parties.iter_mut().find(|party| party.user == *user);
        party.ok_or(CallRefusal::NotInvited)
    }

    fn ring(&mut self, by: &UserId, invitees: &[(UserId, Found)], ring_ms: Option<u64>) {
        for (user, found) in invitees {
            self.rounds += 1;
            let state = match found {
                Found::Busy => PartyState::Gone {
                    why: Gone::Busy,
                    device: None,
                },
                Found::Online | Found::Offline => PartyState::Ringing {
                    ring_ms,
                    round: self.rounds,
                },
            };
            let reached = *found == Found::Online;
            match self.parties.iter_mut().find(|party| party.user == *user) {
                Some(party) if party.is_engaged() => {}
                Some(party) => {
                    party.invited_by = by.clone();
                    party.reached |= reached;
                    party.state = state;
                }
                None => self.parties.push(Party {
                    user: user.clone(),
                    invited_by: by.clone(),
                    reached,
                    joined_ms: 0,
                    state,
                }),
            }
        }
    }

    fn go(&mut self, by: &Device, why: Gone, now_unix_ms: u64) -> Result<(), CallRefusal> {
        self.party_mut(&by.user)?.go(why, Some(&by.device), now_unix_ms);
        self.settle(Some(why), now_unix_ms);
        Ok(())
    }

    /// Ends a call in which at most one user is left and nobody rings, or that everybody has left. `last`: the change before.
    fn settle(&mut self, last: Option<Gone>, now_unix_ms: u64) {
        let count = |is: fn(&PartyState) -> bool| self.parties.iter().filter(|party| is(&party.state)).count();
        let joined = count(|state| matches!(state, PartyState::Joined { .. }));
        let ringing = count(|state| matches!(state, PartyState::Ringing { .. }));
        if self.is_over() || joined >= 2 || (joined == 1 && ringing > 0) {
            return;
        }
        self.ended = Some(Ended {
            reason: self.end_reason(joined, last),
            at_unix_ms: now_unix_ms,
        });
        for party in &mut self.parties {
            match party.state {
                PartyState::Ringing { .. } => party.go(Gone::Cancelled, None, now_unix_ms),
                PartyState::Joined { .. } => party.go(Gone::Left, None, now_unix_ms),
                PartyState::Gone { .. } => {}
            }
        }
    }

    fn end_reason(&self, joined: usize, last: Option<Gone>) -> CallEndReason {
        if self.answered_unix_ms.is_some() {
            return match last {
                Some(Gone::Lost) => CallEndReason::Lost,
                _ => CallEndReason::HangUp,
            };
        }
        if joined == 0 {
            return CallEndReason::Cancelled;
        }
        let invitees = || self.parties.iter().filter(|party| party.user != self.inviter);
        let any =
            |wanted: Gone| invitees().any(|party| matches!(party.state, PartyState::Gone { why, .. } if why == wanted));
        if any(Gone::Rejected) {
            CallEndReason::Rejected
        } else if any(Gone::NoAnswer) {
            let reached = invitees().any(|party| party.reached);
            if reached {
                CallEndReason::NoAnswer
            } else {
                CallEndReason::Offline
            }
        } else {
            CallEndReason::Busy
        }
    }
}

impl Party {
    fn is_engaged(&self) -> bool {
        matches!(self.state, PartyState::Ringing { .. } | PartyState::Joined { .. })
    }

    fn go(&mut self, why: Gone, device: Option<&DeviceId>, now_unix_ms: u64) {
        if let PartyState::Joined { since_unix_ms, .. } = self.state {
            self.joined_ms += now_unix_ms.saturating_sub(since_unix_ms);
        }
        self.state = PartyState::Gone {
            why,
            device: device.cloned(),
        };
    }
}

fn joined(by: &Device, now_unix_ms: u64) -> PartyState {
    PartyState::Joined {
        device: by.device.clone(),
        node: by.node.clone(),
        since_unix_ms: now_unix_ms,
    }
}
