//! Changes of calls on the bus, and what follows from them: engagements end, and facts are told.

use futures::{StreamExt, stream};
use metrics::counter;
use rotunda_bus::{BusError, BusExt};
use rotunda_events::What;
use rotunda_proto::call::{
    Call, CallRefusal, Device, DeviceDocument, Found, NewCall, PartyState, call_key, devices_prefix,
};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{CallId, SdkAppId, UserId};
use thiserror::Error;
use tracing::{info, warn};

use super::desk::CallKey;
use super::engagement;
use crate::shared::Shared;

/// Invitees that are looked up at one time.
const AT_ONCE: usize = 16;

/// Why a call was not changed.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("change the call")]
    Call(#[from] CallRefusal),
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// Why a user cannot begin or join a call.
#[derive(Debug, Error)]
pub enum CannotJoin {
    #[error("the user is in another call")]
    Engaged,
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<BusError> for CannotJoin {
    fn from(error: BusError) -> Self {
        Self::Refused(error.into())
    }
}

/// Begins a call. It may be over at once, when everybody is busy.
pub async fn begin(
    shared: &Shared,
    new: NewCall,
    invitees: Vec<UserId>,
    ring_ms: Option<u64>,
) -> Result<Call, CannotJoin> {
    let (app, id, inviter) = (new.app, new.id, new.inviter.user.clone());
    if !engagement::engage(&shared.bus, app, &inviter, id).await? {
        return Err(CannotJoin::Engaged);
    }
    let begun = async {
        let found = look_up(shared, app, id, &invitees).await?;
        let call = Call::begin(new, &found, ring_ms, unix_ms());
        shared.bus.store(&call_key(app, id), &call, None).await?;
        Ok::<_, BusError>((call, found))
    };
    let (call, found) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            let engaged: Vec<UserId> = invitees.into_iter().chain([inviter]).collect();
            release(shared, (app, id), &engaged).await;
            return Err(error.into());
        }
    };
    info!(call = %id, %app, user = %inviter, invitees = found.len(), "a call has begun");
    let what = What::CallStarted {
        call: id,
        inviter: inviter.clone(),
        invitees,
        media: call.media,
        is_group: call.is_group,
    };
    shared.facts.tell_as(format!("call-started-{id}"), &call.room(), what);
    push(shared, &call, &found);
    if call.is_over() {
        let engaged: Vec<UserId> = call.parties.iter().map(|party| party.user.clone()).collect();
        release(shared, (app, id), &engaged).await;
        tell_ended(shared, &call);
    }
    Ok(call)
}

/// Adds users to a call.
pub async fn invite(
    shared: &Shared,
    key: CallKey,
    by: &Device,
    invitees: &[UserId],
    ring_ms: Option<u64>,
) -> Result<Call, Refused> {
    let (app, id) = key;
    let found = look_up(shared, app, id, invitees).await?;
    let most = shared.config.calls.max_parties;
    let changed = apply(shared, key, |call, now| call.invite(by, &found, ring_ms, most, now)).await;
    match &changed {
        Ok(call) => push(shared, call, &found),
        Err(_) => release(shared, key, invitees).await,
    }
    changed
}

/// Joins a running group call.
pub async fn join(shared: &Shared, key: CallKey, by: &Device, group_id: Option<&str>) -> Result<Call, CannotJoin> {
    if !engagement::engage(&shared.bus, key.0, &by.user, key.1).await? {
        return Err(CannotJoin::Engaged);
    }
    let most = shared.config.calls.max_parties;
    let changed = apply(shared, key, |call, now| call.join(by, group_id, most, now)).await;
    if changed.is_err() {
        release(shared, key, std::slice::from_ref(&by.user)).await;
    }
    Ok(changed?)
}

/// Changes a call by compare-and-set. Users who are not in it any more may be called again when this returns.
pub async fn apply(
    shared: &Shared,
    key: CallKey,
    mut change: impl FnMut(&mut Call, u64) -> Result<(), CallRefusal> + Send,
) -> Result<Call, Refused> {
    let (now, name) = (unix_ms(), call_key(key.0, key.1));
    let changed = shared.bus.update(&name, |document: Option<Call>| {
        let before = document.ok_or(CallRefusal::Over)?;
        let mut after = before.clone();
        change(&mut after, now)?;
        if after != before {
            after.version += 1;
        }
        Ok::<_, CallRefusal>((Some(after.clone()), (before, after)))
    });
    let (before, after) = changed.await??;
    let gone: Vec<UserId> = before.engaged().filter(|user| !after.engages(user)).cloned().collect();
    release(shared, key, &gone).await;
    for user in gone.iter().filter(|user| before.has_joined(user)) {
        shared.calls.left(key, user);
    }
    if before.answered_unix_ms.is_none() && after.answered_unix_ms.is_some() {
        tell_answered(shared, &after);
    }
    if after.is_over() && !before.is_over() {
        tell_ended(shared, &after);
    }
    Ok(after)
}

/// Deletes an ended call, after its end is certainly told.
pub async fn forget(shared: &Shared, (app, id): CallKey) -> Result<(), BusError> {
    let key = call_key(app, id);
    let Some((call, revision)) = shared.bus.load::<Call>(&key).await? else {
        return Ok(());
    };
    if !call.is_over() {
        return Ok(());
    }
    // The node that has ended it may have died before it told it. The same fact counts once.
    tell_fact(shared, &call);
    match shared.bus.delete(&key, revision).await {
        Ok(_) | Err(BusError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Engages invitees in a call, and finds out who of them has a device.
async fn look_up(
    shared: &Shared,
    app: SdkAppId,
    id: CallId,
    invitees: &[UserId],
) -> Result<Vec<(UserId, Found)>, BusError> {
    let looked_up = invitees.iter().map(|user| async move {
        if !engagement::engage(&shared.bus, app, user, id).await? {
            return Ok((user.clone(), Found::Busy));
        }
        let devices = shared
            .bus
            .documents::<DeviceDocument>(&devices_prefix(app, user))
            .await?;
        let found = if devices.is_empty() {
            Found::Offline
        } else {
            Found::Online
        };
        Ok((user.clone(), found))
    });
    let looked_up: Vec<_> = looked_up.collect();
    let results: Vec<Result<_, BusError>> = stream::iter(looked_up).buffered(AT_ONCE).collect().await;
    results.into_iter().collect()
}

/// Releases users whom the call does not engage. What fails is no harm: an engagement counts only if its call says so, too.
async fn release(shared: &Shared, (app, id): CallKey, users: &[UserId]) {
    let releases: Vec<_> = users
        .iter()
        .map(|user| engagement::release(&shared.bus, app, user, id))
        .collect();
    let results: Vec<_> = stream::iter(releases).buffered(AT_ONCE).collect().await;
    if let Some(error) = results.into_iter().find_map(Result::err) {
        warn!(
            error = &error as &dyn std::error::Error,
            "a user was not released from a call"
        );
    }
}

/// Asks for a push message to each invitee without a device.
fn push(shared: &Shared, call: &Call, found: &[(UserId, Found)]) {
    for party in &call.parties {
        let is_offline = found
            .iter()
            .any(|(user, found)| *user == party.user && *found == Found::Offline);
        let PartyState::Ringing { ring_ms, round } = party.state else {
            continue;
        };
        if !is_offline {
            continue;
        }
        let what = What::CallPush {
            call: call.id,
            user: party.user.clone(),
            inviter: call.inviter.clone(),
            invited_by: party.invited_by.clone(),
            media: call.media,
            is_group: call.is_group,
            user_data: call.user_data.clone(),
            ring_ms,
        };
        shared
            .facts
            .tell_as(format!("call-push-{}-{round}", call.id), &call.room(), what);
    }
}

fn tell_answered(shared: &Shared, call: &Call) {
    let is_first = |state: &PartyState| matches!(state, PartyState::Joined { .. });
    let mut invitees = call.parties.iter().filter(|party| party.user != call.inviter);
    let Some(first) = invitees.find(|party| is_first(&party.state)) else {
        return;
    };
    let what = What::CallAnswered {
        call: call.id,
        user: first.user.clone(),
    };
    shared
        .facts
        .tell_as(format!("call-answered-{}", call.id), &call.room(), what);
}

fn tell_ended(shared: &Shared, call: &Call) {
    if let Some(record) = call.record() {
        info!(call = %call.id, reason = record.reason.as_str(), duration_ms = record.duration_ms(), "a call has ended");
        counter!("rotunda_calls_total", "reason" => record.reason.as_str()).increment(1);
    }
    tell_fact(shared, call);
}

fn tell_fact(shared: &Shared, call: &Call) {
    let Some(record) = call.record() else { return };
    let what = What::CallEnded {
        record: Box::new(record),
    };
    shared
        .facts
        .tell_as(format!("call-ended-{}", call.id), &call.room(), what);
}

fn unix_ms() -> u64 {
    Clock.unix().as_millis() as u64
}
