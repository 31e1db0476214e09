//! What a user may do who comes to a room.

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::room::info_key;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::signaling::ErrorCode;

use super::rights::Moderators;
use crate::restrictions::Left;
use crate::room::{Knocked, Passes, Way};
use crate::room_documents::Refused;
use crate::shared::Shared;

/// Answers what restrictions leave to the user.
pub async fn may_come(shared: &Shared, room: &RoomKey, user: &UserId, rights: Rights) -> Result<Left, Refused> {
    let left = shared.restrictions.of(room, user, Clock.unix());
    if left == Left::Nothing {
        return Err(Refused::Code(ErrorCode::Banned));
    }
    if !rights.may_create() && shared.bus.get(&info_key(room)).await?.is_none() {
        return Err(Refused::Code(ErrorCode::NotPermitted));
    }
    Ok(left)
}

pub fn way(shared: &Shared, room: &RoomKey, user: &UserId, rights: Rights, passes: Passes) -> Way {
    Way {
        passes: if rights.may_moderate() { Passes::Always } else { passes },
        demand: shared.restrictions.demand(room, user, Clock.unix()),
    }
}

pub fn moderators(shared: &Shared, room: &RoomKey) -> Moderators {
    let applications = shared.applications();
    let application = applications.by_id(room.app);
    match application.is_some_and(|application| application.requires_private_map_key) {
        true => Moderators::ByTicket,
        false => Moderators::Anchors,
    }
}

/// Asks for admission. Returns when moderators see the user.
///
/// Errors: they may not enter the room at all, or the waiting room is full.
pub async fn knock(
    shared: &Shared,
    room: &RoomKey,
    user: &UserId,
    rights: Rights,
    passes: Passes,
) -> Result<Knocked, Refused> {
    may_come(shared, room, user, rights).await?;
    let way = way(shared, room, user, rights, passes);
    shared.rooms.knock(shared, room, user, way).await
}
