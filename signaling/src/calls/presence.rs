//! Who can be called now.

use futures::{StreamExt, stream};
use rotunda_bus::{BusError, BusExt};
use rotunda_proto::call::{DeviceDocument, devices_prefix};
use rotunda_proto::call_signaling::{Presence, PresenceState};
use rotunda_proto::ids::{SdkAppId, UserId};

use super::engagement;
use crate::shared::Shared;

/// Users that are looked up at one time.
const AT_ONCE: usize = 16;

pub async fn presences(shared: &Shared, app: SdkAppId, users: &[UserId]) -> Result<Vec<Presence>, BusError> {
    let found = users.iter().map(|user| async move {
        let devices = shared
            .bus
            .documents::<DeviceDocument>(&devices_prefix(app, user))
            .await?;
        let state = if devices.is_empty() {
            PresenceState::Offline
        } else if engagement::is_in_a_call(&shared.bus, app, user).await? {
            PresenceState::InCall
        } else {
            PresenceState::Online
        };
        Ok(Presence {
            user_id: user.clone(),
            state,
        })
    });
    let found: Vec<_> = found.collect();
    let found: Vec<Result<_, BusError>> = stream::iter(found).buffered(AT_ONCE).collect().await;
    found.into_iter().collect()
}
