//! Follows all calls: sends this node's devices what has changed, and carries out what is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::gauge;
use rotunda_bus::lease::Living;
use rotunda_bus::{BusError, BusExt, WatchEvent};
use rotunda_proto::call::{CALLS_PREFIX, Call, DeviceDocument, call_room, device_key};
use rotunda_proto::call_signaling::{CallEvent, CallServerMessage, CallView, ReplacedBy};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{CallId, SdkAppId, UserId};
use rotunda_proto::room::Removed;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::changes::{self, Refused};
use super::desk::{CallKey, Desk, DeviceKey, Due, lost};
use super::device::json;
use super::devices::Devices;
use super::engagement;
use super::invitations::Invitations;
use crate::removals;
use crate::shared::Shared;

/// What this node knows of calls and its devices.
#[derive(Debug)]
pub struct Exchange {
    parts: Mutex<Parts>,
    pub(super) invitations: Invitations,
    /// Notified when something is due earlier than before.
    wake: Notify,
}

#[derive(Debug)]
pub struct Parts {
    pub desk: Desk,
    pub devices: Devices,
}

impl Exchange {
    pub fn new(own: rotunda_bus::Incarnation, return_time: Duration) -> Self {
        Self {
            parts: Mutex::new(Parts {
                desk: Desk::new(own, return_time),
                devices: Devices::default(),
            }),
            invitations: Invitations::default(),
            wake: Notify::new(),
        }
    }

    /// Never held across an await.
    pub(super) fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running calls of an application, as this node knows them.
    pub fn running(&self, app: SdkAppId) -> Vec<Call> {
        let parts = self.parts();
        parts
            .desk
            .of_application(app)
            .filter(|call| !call.is_over())
            .cloned()
            .collect()
    }

    /// The WebSocket of a device is lost.
    pub(super) fn lost(&self, device: &DeviceKey, number: u64) {
        let mut parts = self.parts();
        if parts.devices.detach(device, number) {
            parts.desk.handle_lost(Clock.now(), device.clone());
            self.wake.notify_one();
        }
    }

    /// A user has left a call.
    pub(super) fn left(&self, call: CallKey, user: &UserId) {
        self.parts().desk.handle_left(Clock.now(), call, user.clone());
        self.wake.notify_one();
    }

    /// Ends the WebSockets of all devices: they register again at another node.
    pub fn close(&self) {
        let farewell = json(&CallServerMessage::Event(CallEvent::Replaced {
            by: ReplacedBy::Shutdown,
        }));
        self.parts().devices.close(&farewell);
    }
}

/// Follows the calls until shutdown.
pub async fn follow(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut calls = shared.bus.watch(CALLS_PREFIX).await?;
    let work = async move {
        let mut living = shared.cluster.living();
        let mut own = shared.cluster.own();
        own.mark_unchanged();
        living.mark_changed();
        loop {
            let next = shared.calls.parts().desk.poll_timeout();
            tokio::select! {
                event = calls.next() => {
                    if let WatchEvent::Change(change) = event
                        && let Some(key) = key_of(&change.key)
                    {
                        handle_call(&shared, key, change.parse());
                    }
                }
                Ok(()) = living.changed() => {
                    let alive: Living = living.borrow_and_update().clone();
                    shared.calls.parts().desk.handle_living(Clock.now(), alive.as_deref());
                }
                Ok(()) = own.changed() => {
                    own.mark_unchanged();
                    shared.calls.parts().desk.handle_own(shared.cluster.incarnation());
                    tokio::spawn(announce_all(shared.clone()));
                }
                () = shared.calls.wake.notified() => {}
                () = Clock.until(next) => {
                    let due = shared.calls.parts().desk.handle_timeout(Clock.now());
                    for what in due {
                        // A slow bus delays none of the others.
                        tokio::spawn(carry_out(shared.clone(), what));
                    }
                }
            }
        }
    };
    Ok(tokio::spawn(async move {
        let _stopped = shutdown.run_until_cancelled(work).await;
    }))
}

fn key_of(key: &str) -> Option<CallKey> {
    let (app, id) = key.strip_prefix(CALLS_PREFIX)?.split_once('.')?;
    let app = SdkAppId::try_from(app.parse::<u32>().ok()?).ok()?;
    Some((app, id.parse::<CallId>().ok()?))
}

fn handle_call(shared: &Shared, key: CallKey, call: Option<Call>) {
    let unix_ms = Clock.unix().as_millis() as u64;
    let mut guard = shared.calls.parts();
    let parts = &mut *guard;
    parts.desk.handle_call(Clock.now(), key, call);
    gauge!("rotunda_calls_running").set(parts.desk.running() as f64);
    let Some(call) = parts.desk.call(&key) else { return };
    for party in &call.parties {
        if !parts.devices.has(call.app, &party.user) {
            continue;
        }
        let view = CallView::of(call, &party.user, unix_ms);
        let event = json(&CallServerMessage::Event(CallEvent::Call { call: view }));
        parts.devices.tell(call.app, &party.user, &event);
    }
}

async fn carry_out(shared: Shared, due: Due) {
    let done = match due {
        Due::Expire { call, user, round } => {
            let expired = changes::apply(&shared, call, |call, now| call.expire(&user, round, now));
            settled(expired.await)
        }
        Due::Lose {
            call,
            user,
            device,
            node,
        } => {
            let by = lost(user, device, node);
            settled(changes::apply(&shared, call, |call, now| call.lose(&by, now)).await)
        }
        Due::Forget { call } => changes::forget(&shared, call).await,
        Due::Eject { call, user } => {
            let room = call_room(call.0, call.1);
            match removals::remove(&shared, room, Removed::Users(vec![user])).await {
                Ok(()) | Err(removals::RemoveError::NoSuchRoom) => Ok(()),
                Err(removals::RemoveError::Bus(error)) => Err(error),
            }
        }
        Due::Unregister { device } => unregister(&shared, device).await,
    };
    if let Err(error) = done {
        warn!(error = &error as &dyn std::error::Error, "a call was not changed");
    }
}

fn settled(changed: Result<Call, Refused>) -> Result<(), BusError> {
    match changed {
        // It is not due any more.
        Ok(_) | Err(Refused::Call(_)) => Ok(()),
        Err(Refused::Bus(error)) => Err(error),
    }
}

/// Removes a device that is gone for good, and takes it out of its call.
pub(super) async fn unregister(shared: &Shared, device: DeviceKey) -> Result<(), BusError> {
    {
        let mut parts = shared.calls.parts();
        if !parts.devices.forget(&device) {
            return Ok(());
        }
        gauge!("rotunda_call_devices").set(parts.devices.all().len() as f64);
    }
    let (app, user, id) = device;
    if let Some(call) = engagement::call_of(&shared.bus, app, &user).await? {
        let by = lost(user.clone(), id.clone(), shared.cluster.incarnation());
        settled(changes::apply(shared, (app, call.id), |call, now| call.lose(&by, now)).await)?;
    }
    let key = device_key(app, &user, &id);
    match shared.bus.load::<DeviceDocument>(&key).await? {
        // Otherwise it has registered at another node.
        Some((document, revision)) if document.node == shared.cluster.incarnation() => {
            match shared.bus.delete(&key, revision).await {
                Ok(_) | Err(BusError::Conflict(_)) => Ok(()),
                Err(error) => Err(error),
            }
        }
        _ => Ok(()),
    }
}

/// Announces the devices again, after this node was declared dead.
async fn announce_all(shared: Shared) {
    let devices = shared.calls.parts().devices.all();
    for (app, user, device) in devices {
        if let Err(error) = announce(&shared, &(app, user, device)).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "a device for calls was not announced"
            );
        }
    }
}

/// Writes the device's document. In a call it is by this node from now on.
pub(super) async fn announce(shared: &Shared, device: &DeviceKey) -> Result<(), BusError> {
    let (app, user, id) = device;
    let node = shared.cluster.incarnation();
    let document = DeviceDocument { node: node.clone() };
    shared
        .bus
        .announce(&device_key(*app, user, id), &document, &node)
        .await?;
    if let Some(call) = engagement::call_of(&shared.bus, *app, user).await? {
        let by = lost(user.clone(), id.clone(), node);
        settled(changes::apply(shared, (*app, call.id), |call, _| call.return_by(&by)).await)?;
    }
    Ok(())
}
