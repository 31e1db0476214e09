//! `ListRooms`: the rooms that exist now.

use std::collections::BTreeMap;

use rotunda_proto::config::Application;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::room::{MemberCounts, ROOMS_PREFIX, RoomInfo, Seats, room_of_key};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus, matching, page, page_size};
use crate::api::request::request;
use crate::shared::Shared;

request! {
    /// Lists the rooms that exist now, by name.
    ListRooms {
        /// Rooms after this one: `Next` of the page before.
        after: Option<String> = "After" ? "InvalidParameter",
        /// A part of the room's name; upper and lower case are the same. Absent: every room.
        search: Option<String> = "Search" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RoomPage {
    pub rooms: Vec<Room>,
    /// `After` of the next page; absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Rooms of all pages.
    pub total: u64,
    /// Members of the rooms of all pages.
    pub total_members: u64,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Room {
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    pub members: u64,
    pub publishers: u64,
    /// Unix seconds.
    pub create_time: u64,
    /// The node that forwards the room's media.
    pub media_node: String,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListRooms) -> Checked<RoomPage> {
    let size = page_size(request.page_size)?;
    let prefix = format!("{ROOMS_PREFIX}{}.", caller.sdk_app_id);
    let mut rooms: BTreeMap<RoomKey, (bool, Room)> = BTreeMap::new();
    for (key, entry) in shared.bus.list(&prefix).await.map_err(bus)? {
        let Some(room) = room_of_key(&key) else { continue };
        let (exists, row) = rooms.entry(room).or_default();
        match key.rsplit('.').next() {
            Some("info") => {
                let Ok(info) = serde_json::from_slice::<RoomInfo>(&entry.value) else {
                    continue;
                };
                *exists = true;
                row.room = info.room.room.to_string();
                row.create_time = info.created_unix_ms / 1000;
                row.media_node = info.sfu.to_string();
            }
            Some("count") => {
                let counts = serde_json::from_slice::<MemberCounts>(&entry.value).unwrap_or_default();
                row.members = counts.total();
            }
            Some("seats") => {
                let seats = serde_json::from_slice::<Seats>(&entry.value).unwrap_or_default();
                row.publishers = seats.publishers.len() as u64;
            }
            _ => {}
        }
    }
    let existing = rooms.into_values().filter(|(exists, _)| *exists);
    let named = existing.map(|(_, room)| (room.room.clone(), room)).collect();
    let found = matching(named, request.search.as_deref());
    let (total, total_members) = (found.len() as u64, found.iter().map(|(_, room)| room.members).sum());
    let (rooms, next) = page(found, request.after.as_deref(), size);
    Ok(RoomPage {
        rooms,
        next,
        total,
        total_members,
    })
}
