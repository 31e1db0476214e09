//! A user is in one call at a time: a document for each user says in which.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::call::{Call, Engagement, call_key, engagement_key};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{CallId, SdkAppId, UserId};

/// For this time an engagement counts whose call has no document yet.
const WITHOUT_CALL: Duration = Duration::from_secs(10);

/// Engages a user in a call. False: they are in another one.
pub async fn engage(bus: &SharedBus, app: SdkAppId, user: &UserId, call: CallId) -> Result<bool, BusError> {
    let key = engagement_key(app, user);
    loop {
        let before = bus.load::<Engagement>(&key).await?;
        if let Some((engagement, _)) = &before
            && engagement.call != call
            && counts(bus, app, user, engagement).await?
        {
            return Ok(false);
        }
        let engagement = Engagement {
            call,
            since_unix_ms: Clock.unix().as_millis() as u64,
        };
        match bus.store(&key, &engagement, before.map(|(_, revision)| revision)).await {
            Ok(_) => return Ok(true),
            Err(BusError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Releases a user from a call, unless the call's document engages them.
pub async fn release(bus: &SharedBus, app: SdkAppId, user: &UserId, call: CallId) -> Result<(), BusError> {
    let key = engagement_key(app, user);
    let Some((engagement, revision)) = bus.load::<Engagement>(&key).await? else {
        return Ok(());
    };
    if engagement.call != call || is_engaged(bus, app, user, call).await?.unwrap_or(false) {
        return Ok(());
    }
    match bus.delete(&key, revision).await {
        // The user has been engaged again meanwhile.
        Ok(_) | Err(BusError::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The call that the user rings in or is in, as it is now: this node may not have heard of it yet.
pub async fn call_of(bus: &SharedBus, app: SdkAppId, user: &UserId) -> Result<Option<Call>, BusError> {
    let Some((engagement, _)) = bus.load::<Engagement>(&engagement_key(app, user)).await? else {
        return Ok(None);
    };
    let call = bus.load::<Call>(&call_key(app, engagement.call)).await?;
    Ok(call.map(|(call, _)| call).filter(|call| call.engages(user)))
}

/// Whether the user rings or is in a call.
pub async fn is_in_a_call(bus: &SharedBus, app: SdkAppId, user: &UserId) -> Result<bool, BusError> {
    match bus.load::<Engagement>(&engagement_key(app, user)).await? {
        Some((engagement, _)) => counts(bus, app, user, &engagement).await,
        None => Ok(false),
    }
}

/// An engagement that was left behind does not count: its call says that the user is not in it.
async fn counts(bus: &SharedBus, app: SdkAppId, user: &UserId, engagement: &Engagement) -> Result<bool, BusError> {
    let is_engaged = is_engaged(bus, app, user, engagement.call).await?;
    Ok(is_engaged.unwrap_or_else(|| {
        let since = Duration::from_millis(engagement.since_unix_ms);
        // The clocks of two nodes differ.
        Clock.unix().abs_diff(since) < WITHOUT_CALL
    }))
}

/// None: the call has no document.
async fn is_engaged(bus: &SharedBus, app: SdkAppId, user: &UserId, call: CallId) -> Result<Option<bool>, BusError> {
    let document = bus.load::<Call>(&call_key(app, call)).await?;
    Ok(document.map(|(document, _)| document.engages(user)))
}
