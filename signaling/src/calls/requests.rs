//! The requests of a registered device: checks them and carries them out.

use std::collections::BTreeSet;

use rotunda_bus::BusError;
use rotunda_proto::call::{Call, CallMedia, CallRefusal, Device, NewCall};
use rotunda_proto::call_signaling::{
    CallErrorBody, CallErrorCode, CallReply, CallRequest, CallView, MAX_GROUP_ID, MAX_RING_SECONDS, MAX_USER_DATA,
    MAX_USERS_ASKED,
};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{CallId, SdkAppId, UserId};
use rotunda_store::StoreError;
use tracing::error;

use super::changes::{self, CannotJoin, Refused};
use super::device::bus_failure;
use super::presence;
use super::profiles::{self, Change};
use crate::shared::Shared;

type Checked<T> = Result<T, CallErrorBody>;

/// A registered device with a request.
pub struct Caller<'a> {
    pub shared: &'a Shared,
    pub app: SdkAppId,
    pub by: Device,
}

impl Caller<'_> {
    pub async fn handle(&self, request: CallRequest) -> Checked<CallReply> {
        let by = &self.by;
        match request {
            CallRequest::Call {
                user_ids,
                media,
                group_id,
                timeout_seconds,
                user_data,
            } => {
                let invitees = self.invitees(user_ids)?;
                self.begin(invitees, media, group_id, timeout_seconds, user_data).await
            }
            CallRequest::Accept { call_id } => self.change(call_id, |call, now| call.accept(by, now)).await,
            CallRequest::Reject { call_id } => {
                self.change(call_id, |call, now| call.reject(by, now)).await?;
                Ok(CallReply::Done {})
            }
            CallRequest::HangUp { call_id } => {
                self.change(call_id, |call, now| call.hang_up(by, now)).await?;
                Ok(CallReply::Done {})
            }
            CallRequest::Invite {
                call_id,
                user_ids,
                timeout_seconds,
            } => {
                let invitees = self.invitees(user_ids)?;
                let ring_ms = self.ring_ms(timeout_seconds)?;
                self.count(invitees.len())?;
                let invited = changes::invite(self.shared, (self.app, call_id), by, &invitees, ring_ms).await;
                Ok(self.called(&invited.map_err(refused)?))
            }
            CallRequest::Join { call_id, group_id } => {
                let joined = changes::join(self.shared, (self.app, call_id), by, group_id.as_deref()).await;
                Ok(self.called(&joined.map_err(cannot_join)?))
            }
            CallRequest::FindCalls { group_id } => Ok(self.find(&group_id)),
            CallRequest::SwitchMedia { call_id, media } => {
                self.change(call_id, |call, _| call.switch_media(by, media)).await
            }
            CallRequest::SetProfile {
                nickname,
                avatar_url,
                bell_url,
            } => {
                let change = Change {
                    nickname,
                    avatar_url,
                    bell_url,
                };
                self.set_profile(change).await
            }
            CallRequest::GetProfiles { user_ids } => {
                let users = asked(user_ids)?;
                let found = self.shared.store.call_profiles(self.app, &users).await;
                let found = found.map_err(|error| store_failure(&error))?;
                let profiles = found.into_iter().filter_map(|profile| {
                    let own = profile.user_id == by.user.as_str();
                    profiles::view(profile, own)
                });
                Ok(CallReply::Profiles {
                    profiles: profiles.collect(),
                })
            }
            CallRequest::GetPresence { user_ids } => {
                let users = asked(user_ids)?;
                let presences = presence::presences(self.shared, self.app, &users).await;
                let presences = presences.map_err(|error| bus_failure(&error))?;
                Ok(CallReply::Presences { presences })
            }
            // The connection serves these itself.
            CallRequest::Register { .. } | CallRequest::Unregister {} => Err(failure(CallErrorCode::AlreadyRegistered)),
        }
    }

    async fn begin(
        &self,
        invitees: Vec<UserId>,
        media: CallMedia,
        group_id: Option<String>,
        timeout_seconds: Option<u32>,
        user_data: Option<String>,
    ) -> Checked<CallReply> {
        let ring_ms = self.ring_ms(timeout_seconds)?;
        if group_id
            .as_ref()
            .is_some_and(|id| id.is_empty() || id.len() > MAX_GROUP_ID)
        {
            return Err(invalid(format!("groupId must have 1 to {MAX_GROUP_ID} bytes")));
        }
        if user_data.as_ref().is_some_and(|data| data.len() > MAX_USER_DATA) {
            return Err(invalid(format!("userData must have at most {MAX_USER_DATA} bytes")));
        }
        self.count(invitees.len())?;
        let new = NewCall {
            app: self.app,
            id: CallId(rand::random()),
            inviter: self.by.clone(),
            media,
            is_group: group_id.is_some() || invitees.len() > 1,
            group_id,
            user_data,
        };
        let begun = changes::begin(self.shared, new, invitees, ring_ms).await;
        Ok(self.called(&begun.map_err(cannot_join)?))
    }

    async fn change(
        &self,
        id: CallId,
        change: impl FnMut(&mut Call, u64) -> Result<(), CallRefusal> + Send,
    ) -> Checked<CallReply> {
        let changed = changes::apply(self.shared, (self.app, id), change).await;
        Ok(self.called(&changed.map_err(refused)?))
    }

    fn called(&self, call: &Call) -> CallReply {
        CallReply::Called { call: self.view(call) }
    }

    fn view(&self, call: &Call) -> CallView {
        CallView::of(call, &self.by.user, Clock.unix().as_millis() as u64)
    }

    fn find(&self, group_id: &str) -> CallReply {
        let parts = self.shared.calls.parts();
        let of_group = |call: &&Call| !call.is_over() && call.group_id.as_deref() == Some(group_id);
        let calls = parts.desk.of_application(self.app).filter(of_group);
        CallReply::Found {
            calls: calls.map(|call| self.view(call)).collect(),
        }
    }

    async fn set_profile(&self, change: Change) -> Checked<CallReply> {
        let store = &self.shared.store;
        let user = std::slice::from_ref(&self.by.user);
        let before = store.call_profiles(self.app, user).await;
        let before = before.map_err(|error| store_failure(&error))?.into_iter().next();
        let after = change.apply(before.unwrap_or_else(|| profiles::empty(&self.by.user)));
        let after = after.map_err(invalid)?;
        let put = store.put_call_profile(self.app, &after).await;
        put.map_err(|error| store_failure(&error))?;
        Ok(CallReply::Profiles {
            profiles: profiles::view(after, true).into_iter().collect(),
        })
    }

    /// Without this user, and none twice.
    fn invitees(&self, user_ids: Vec<UserId>) -> Checked<Vec<UserId>> {
        let mut known = BTreeSet::from([self.by.user.clone()]);
        let mut invitees = user_ids;
        invitees.retain(|user| known.insert(user.clone()));
        let most = self.shared.config.calls.max_parties - 1;
        match invitees.len() {
            0 => Err(invalid("userIds must name somebody else".to_owned())),
            count if count > most => Err(CallErrorBody {
                message: format!("a call has at most {} users; invite at most {most}", most + 1),
                ..failure(CallErrorCode::CallFull)
            }),
            _ => Ok(invitees),
        }
    }

    fn ring_ms(&self, seconds: Option<u32>) -> Checked<Option<u64>> {
        match seconds.unwrap_or(self.shared.config.calls.ring_seconds) {
            0 => Ok(None),
            seconds @ 1..=MAX_RING_SECONDS => Ok(Some(u64::from(seconds) * 1000)),
            seconds => Err(invalid(format!(
                "timeoutSeconds must be 0 to {MAX_RING_SECONDS}, not {seconds}"
            ))),
        }
    }

    fn count(&self, invitees: usize) -> Checked<()> {
        let per_minute = self.shared.config.calls.invitations_per_minute;
        let calls = &self.shared.calls;
        match calls
            .invitations
            .take(Clock.now(), self.app, &self.by.user, invitees, per_minute)
        {
            true => Ok(()),
            false => Err(CallErrorBody {
                message: format!("a user invites at most {per_minute} users a minute; try again later"),
                ..failure(CallErrorCode::TooManyInvitations)
            }),
        }
    }
}

fn asked(users: Vec<UserId>) -> Checked<Vec<UserId>> {
    if users.len() > MAX_USERS_ASKED {
        return Err(invalid(format!(
            "userIds must name at most {MAX_USERS_ASKED} users, not {}",
            users.len()
        )));
    }
    Ok(users)
}

fn invalid(message: String) -> CallErrorBody {
    CallErrorBody {
        code: CallErrorCode::InvalidParameter,
        message,
    }
}

fn cannot_join(error: CannotJoin) -> CallErrorBody {
    match error {
        CannotJoin::Engaged => failure(CallErrorCode::AlreadyInCall),
        CannotJoin::Refused(error) => refused(error),
    }
}

fn refused(error: Refused) -> CallErrorBody {
    let code = match error {
        Refused::Bus(BusError::TooLarge { .. }) | Refused::Call(CallRefusal::Full) => CallErrorCode::CallFull,
        Refused::Bus(error) => return bus_failure(&error),
        Refused::Call(CallRefusal::Over) => CallErrorCode::CallOver,
        Refused::Call(CallRefusal::NotInvited) => CallErrorCode::NotInvited,
        Refused::Call(CallRefusal::AnsweredElsewhere) => CallErrorCode::AnsweredElsewhere,
        Refused::Call(CallRefusal::NotInCall) => CallErrorCode::NotInCall,
        Refused::Call(CallRefusal::NotAGroup) => CallErrorCode::NotAGroupCall,
    };
    failure(code)
}

pub fn store_failure(error: &StoreError) -> CallErrorBody {
    error!(
        error = error as &dyn std::error::Error,
        "read or write the users of calls"
    );
    failure(CallErrorCode::TryLater)
}

/// An error with a message for people.
pub fn failure(code: CallErrorCode) -> CallErrorBody {
    let message = match code {
        CallErrorCode::BadRequest => "the message is not a request of the protocol; see docs/calls.md",
        CallErrorCode::MessageTooLarge => {
            "the message has more than 64 KiB (16 before registering); the connection closes"
        }
        CallErrorCode::RateLimited => {
            "the connection sent too many requests (50 a second after 100 at once); it closes"
        }
        CallErrorCode::NotRegistered => "the device is not registered; send register first",
        CallErrorCode::AlreadyRegistered => "the connection is registered already; open another one for another user",
        CallErrorCode::UnknownApplication => "this server does not know the sdkAppId",
        CallErrorCode::UserSigInvalid => "the UserSig is malformed or not signed with the application's key",
        CallErrorCode::UserSigExpired => "the UserSig has expired; get a new one",
        CallErrorCode::UserSigUserMismatch => "the UserSig is for another user",
        CallErrorCode::UserSigAppMismatch => "the UserSig is for another application",
        CallErrorCode::TooManyDevices => "the user has too many devices; close the page on another one",
        CallErrorCode::InvalidParameter => "a parameter has a value that is not permitted",
        CallErrorCode::AlreadyInCall => "the user is in a call already; hang up first",
        CallErrorCode::TooManyInvitations => "the user has invited too many users; try again later",
        CallErrorCode::CallFull => "the call has as many users as are permitted",
        CallErrorCode::CallOver => "the call is over",
        CallErrorCode::NotInvited => "the user is not invited to this call, or no longer",
        CallErrorCode::AnsweredElsewhere => "another device of the user has answered this call",
        CallErrorCode::NotInCall => "this device is not in the call",
        CallErrorCode::NotAGroupCall => "only a group call can be joined",
        CallErrorCode::TryLater => "the server cannot do it at the moment; try again in two seconds",
        CallErrorCode::Internal => "the server failed; try again",
    };
    CallErrorBody {
        code,
        message: message.to_owned(),
    }
}
