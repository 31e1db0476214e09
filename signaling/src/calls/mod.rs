//! Calls between users: invitations to several devices, answers, and the end.
//!
//! A device is a WebSocket at `/calls` ([`device`]), lighter than a login: a user has several of them, on any nodes. The state of
//! a call is a document on the bus ([`rotunda_proto::call`]), which [`changes`] change by compare-and-set. Every node follows all
//! calls ([`Exchange`]): it sends its devices what has changed, and carries out what is due ([`desk`]). The media of a call is a
//! room; only its members may enter it ([`room_rights`]).

mod changes;
mod config;
mod desk;
mod device;
mod devices;
mod engagement;
mod exchange;
mod invitations;
mod presence;
mod profiles;
mod requests;
#[cfg(test)]
mod tests;

use rotunda_bus::BusExt;
use rotunda_proto::call::{Call, call_key};
use rotunda_proto::ids::{CallId, RoomKey, UserId};
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::signaling::{ErrorBody, ErrorCode};

use crate::member::{error_of, failure};
use crate::shared::Shared;

pub use config::Calls;
pub use device::routes;
pub use exchange::{Exchange, follow};

/// The rights of a user in a room that is a call's: all for those who have joined it. None: it is no call's room.
pub async fn room_rights(shared: &Shared, room: &RoomKey, user: &UserId) -> Option<Result<Rights, ErrorBody>> {
    let id = CallId::of_room(&room.room)?;
    let Some(id) = id else {
        return Some(Err(failure(ErrorCode::NotPermitted)));
    };
    Some(match shared.bus.load::<Call>(&call_key(room.app, id)).await {
        Ok(Some((call, _))) if call.has_joined(user) => Ok(Rights::ALL),
        Ok(_) => Err(ErrorBody {
            message: "the room is a call's, and the user has not joined it; accept or join the call first".to_owned(),
            ..failure(ErrorCode::NotPermitted)
        }),
        Err(error) => Err(failure(error_of(&error))),
    })
}
