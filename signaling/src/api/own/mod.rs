//! Rotunda's own actions: what there is at this moment, and the deliveries of callbacks. The contract has none of these.

mod callbacks;
mod calls;
mod members;
mod mixes;
mod nodes;
mod recordings;
mod restrictions;
mod rooms;
mod streams;
mod usage;
mod waiting;

use rotunda_bus::BusError;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, RoomKey, shortened};

use super::ApiError;
use super::request::required;

pub use callbacks::{CallbackList, ListCallbacks, ReplayCallback, list as list_callbacks, replay as replay_callback};
pub use calls::{CallList, ListCalls, list as list_calls};
pub use members::{
    ListMembers, MemberList, SetMemberPermissions, list as list_members, set_permissions as set_member_permissions,
};
pub use mixes::{ListMixes, MixList, list as list_mixes};
pub use nodes::{
    DrainNode, ListNodes, NodeList, ResumeNode, drain as drain_node, list as list_nodes, resume as resume_node,
};
pub use recordings::{ListRunningRecordings, RunningRecordingList, list as list_running_recordings};
pub use restrictions::{
    LiftRestriction, ListRestrictions, RestrictionList, lift as lift_restriction, list as list_restrictions,
};
pub use rooms::{ListRooms, RoomPage, list as list_rooms};
pub use streams::{ListStreams, StreamList, list as list_streams};
pub use usage::{DescribeUsage, UsageRows, describe as describe_usage};
pub use waiting::{
    AnswerWaitingUsers, ListWaitingUsers, SetWaitingRoom, WaitingUserList, WaitingUsersAnswered,
    answer as answer_waiting_users, list as list_waiting_users, set as set_waiting_room,
};

type Checked<T> = Result<T, ApiError>;

/// Rows of a page without `PageSize`, and the most.
const ROWS: u64 = 50;
const MOST_ROWS: u64 = 500;

pub fn page_size(size: Option<u64>) -> Checked<usize> {
    match size.unwrap_or(ROWS) {
        size @ 1..=MOST_ROWS => Ok(size as usize),
        size => {
            let message = format!("PageSize must be 1 to {MOST_ROWS}, not {size}");
            Err(ApiError::new("InvalidParameter.PageSize", message))
        }
    }
}

/// A page of what is sorted by its names: what comes after `after`, and the name to go on with.
pub fn page<T>(mut all: Vec<(String, T)>, after: Option<&str>, size: usize) -> (Vec<T>, Option<String>) {
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let first = after.map_or(0, |after| all.partition_point(|(name, _)| name.as_str() <= after));
    let mut rest = all.split_off(first);
    let is_more = rest.len() > size;
    rest.truncate(size);
    let next = rest.last().filter(|_| is_more).map(|(name, _)| name.clone());
    (rest.into_iter().map(|(_, value)| value).collect(), next)
}

/// Those whose name has the text in it; upper and lower case are the same.
fn matching<T>(mut all: Vec<(String, T)>, search: Option<&str>) -> Vec<(String, T)> {
    if let Some(search) = search.map(str::to_lowercase) {
        all.retain(|(name, _)| name.to_lowercase().contains(&search));
    }
    all
}

/// The room as in a WHIP address: digits are a number.
fn room_key(caller: &Application, room: Option<String>) -> Checked<RoomKey> {
    let room = required(room, "MissingParameter.RoomId", "Room")?;
    let parsed = room.parse::<RoomId>().map_err(|error| {
        let rule = "digits are a numeric room, and text: before a name makes it a text room";
        let message = format!("Room {} {error}; write {}; {rule}", shortened(&room), RoomId::RULE);
        ApiError::new("InvalidParameterValue.RoomId", message)
    })?;
    Ok(RoomKey {
        app: caller.sdk_app_id,
        room: parsed,
    })
}

fn bus(error: BusError) -> ApiError {
    match error {
        BusError::Away | BusError::Timeout(_) => {
            ApiError::new("ResourceUnavailable", "the bus does not answer; try again")
        }
        error => ApiError::internal(&error),
    }
}

#[cfg(test)]
mod tests;
