//! The requests that remove members. Both forms name the room `RoomId`.

use serde_json::Value;

use super::{Checked, RoomKind, room_number};
use crate::api::mix::request::RoomField;
use crate::api::rooms::{RemoveRequest, RoomRequest};
use crate::api::tencent::fields::Fields;

pub fn remove(parameters: &Value, kind: RoomKind) -> Checked<RemoveRequest> {
    let mut fields = Fields::of(parameters);
    let room = room(&mut fields, kind)?;
    let users = fields.texts("UserIds", "InvalidParameter.UserIds")?;
    fields.finish()?;
    Ok(RemoveRequest { room, users })
}

pub fn dismiss(parameters: &Value, kind: RoomKind) -> Checked<RoomRequest> {
    let mut fields = Fields::of(parameters);
    let room = room(&mut fields, kind)?;
    fields.finish()?;
    Ok(room)
}

fn room(fields: &mut Fields<'_>, kind: RoomKind) -> Checked<RoomRequest> {
    let sdk_app_id = fields.number("SdkAppId", "InvalidParameter.SdkAppId")?;
    let room = match kind {
        RoomKind::Number => RoomField::Number(fields.any("RoomId").map(room_number).transpose()?),
        RoomKind::Name => RoomField::Name(fields.text("RoomId", "InvalidParameter.RoomId")?),
    };
    Ok(RoomRequest { sdk_app_id, room })
}
