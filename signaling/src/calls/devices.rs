//! The devices of this node that are registered for calls.

use std::collections::HashMap;

use axum::extract::ws::Utf8Bytes;
use rotunda_proto::ids::{DeviceId, SdkAppId, UserId};
use tokio::sync::mpsc;

use super::desk::DeviceKey;

/// Most messages that wait for a device. A slower one is disconnected.
pub const MESSAGES: usize = 256;

#[derive(Debug, Default)]
pub struct Devices {
    by_user: HashMap<(SdkAppId, UserId), Vec<Local>>,
    numbers: u64,
}

#[derive(Debug)]
struct Local {
    device: DeviceId,
    /// Of its WebSocket.
    number: u64,
    /// The only sender: dropping it ends the WebSocket. None: the WebSocket is lost, and the device may come back.
    out: Option<mpsc::Sender<Utf8Bytes>>,
}

/// A WebSocket's side of a device.
#[derive(Debug)]
pub struct Attached {
    pub number: u64,
    /// As JSON. They end when another WebSocket registers as this device.
    pub messages: mpsc::Receiver<Utf8Bytes>,
}

impl Devices {
    /// A WebSocket has registered as this device. `farewell`: the last message to the earlier one.
    pub fn attach(&mut self, (app, user, device): DeviceKey, farewell: Utf8Bytes) -> Attached {
        let (out, messages) = mpsc::channel(MESSAGES);
        self.numbers += 1;
        let number = self.numbers;
        let locals = self.by_user.entry((app, user)).or_default();
        let local = Local {
            device,
            number,
            out: Some(out),
        };
        match locals.iter_mut().find(|known| known.device == local.device) {
            Some(known) => {
                if let Some(earlier) = std::mem::replace(known, local).out {
                    let _slow_or_gone = earlier.try_send(farewell);
                }
            }
            None => locals.push(local),
        }
        Attached { number, messages }
    }

    /// That WebSocket is gone. False: another one has taken its place.
    pub fn detach(&mut self, (app, user, device): &DeviceKey, number: u64) -> bool {
        let local = self
            .of(*app, user)
            .find(|local| local.device == *device && local.number == number);
        match local {
            Some(local) => {
                local.out = None;
                true
            }
            None => false,
        }
    }

    /// Forgets a device, unless it has a WebSocket again. Answers whether it is forgotten.
    pub fn forget(&mut self, (app, user, device): &DeviceKey) -> bool {
        let key = (*app, user.clone());
        let Some(locals) = self.by_user.get_mut(&key) else {
            return false;
        };
        let before = locals.len();
        locals.retain(|local| local.device != *device || local.out.is_some());
        let forgotten = locals.len() < before;
        if locals.is_empty() {
            self.by_user.remove(&key);
        }
        forgotten
    }

    /// Sends a message to all devices of a user. Answers whether one of them has got it.
    pub fn tell(&mut self, app: SdkAppId, user: &UserId, json: &Utf8Bytes) -> bool {
        let mut told = false;
        for local in self.of(app, user) {
            let Some(out) = &local.out else { continue };
            match out.try_send(json.clone()) {
                Ok(()) => told = true,
                // It comes back and gets the present state.
                Err(_) => {
                    metrics::counter!("rotunda_signaling_slow_clients_total").increment(1);
                    local.out = None;
                }
            }
        }
        told
    }

    pub fn has(&self, app: SdkAppId, user: &UserId) -> bool {
        self.by_user.contains_key(&(app, user.clone()))
    }

    pub fn all(&self) -> Vec<DeviceKey> {
        let devices = self
            .by_user
            .iter()
            .flat_map(|((app, user), locals)| locals.iter().map(|local| (*app, user.clone(), local.device.clone())));
        devices.collect()
    }

    /// Ends all WebSockets.
    pub fn close(&mut self, farewell: &Utf8Bytes) {
        for local in self.by_user.values_mut().flatten() {
            if let Some(out) = local.out.take() {
                let _slow_or_gone = out.try_send(farewell.clone());
            }
        }
    }

    fn of(&mut self, app: SdkAppId, user: &UserId) -> impl Iterator<Item = &mut Local> {
        self.by_user.get_mut(&(app, user.clone())).into_iter().flatten()
    }
}
