//! `ListMembers` and `SetMemberPermissions`.

use std::collections::BTreeSet;

use rotunda_bus::BusExt;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{TextId, TrackSource, UserId, shortened};
use rotunda_proto::room::{
    MemberCounts, Permissions, Publisher, ROSTER_WINDOW, Roster, Seats, TrackState, count_key, roster_key, seats_key,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus, room_key};
use crate::api::ApiError;
use crate::api::moderation::{self, PERMISSIONS_LAST};
use crate::api::request::{request, required};
use crate::shared::Shared;

request! {
    /// Lists the members of a room: the earliest 50 who are present, and every publisher.
    ListMembers {
        /// Digits are a numeric room; `text:` before a name makes it a text room.
        room: Option<String> = "Room" ! "InvalidParameterValue.RoomId",
    }
}

request! {
    /// Sets what a member may send and receive. Returns when the server forwards nothing else from them. It outlives the stay.
    SetMemberPermissions {
        /// Digits are a numeric room; `text:` before a name makes it a text room.
        room: Option<String> = "Room" ! "InvalidParameterValue.RoomId",
        /// The member.
        user_id: Option<String> = "UserId" ! "InvalidParameter.UserId",
        /// Some of `audio`, `camera`, `screen`; empty: the member is muted.
        send: Vec<String> = "Send" ? "InvalidParameter",
        /// Some of `audio`, `camera`, `screen`.
        receive: Vec<String> = "Receive" ? "InvalidParameter",
        /// Seconds for which it holds, also when the member enters again: 0 to 31536000. 0: until they leave. Default 86400, a day.
        seconds: Option<u64> = "Seconds" ? "InvalidParameter",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MemberList {
    /// Everybody in the room, also members who are not listed.
    pub total: u64,
    pub members: Vec<Member>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Member {
    pub user_id: String,
    /// Unix seconds; absent: a publisher who is not among the earliest members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_time: Option<u64>,
    /// What they publish.
    pub tracks: Vec<MemberTrack>,
    /// The signaling node that they are connected to.
    pub node: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MemberTrack {
    /// `audio`, `camera` or `screen`.
    pub source: TrackSource,
    /// `on`, or `muted` by the publisher.
    pub state: TrackState,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListMembers) -> Checked<MemberList> {
    let room = room_key(caller, request.room)?;
    let counts = shared.bus.load::<MemberCounts>(&count_key(&room)).await.map_err(bus)?;
    let Some((counts, _)) = counts else {
        return Err(ApiError::new("FailedOperation.RoomNotExist", "nobody is in the room"));
    };
    let roster = shared.bus.load::<Roster>(&roster_key(&room)).await.map_err(bus)?;
    let seats = shared.bus.load::<Seats>(&seats_key(&room)).await.map_err(bus)?;
    let roster = roster.map(|(roster, _)| roster).unwrap_or_default();
    let publishers = seats.map(|(seats, _)| seats.publishers).unwrap_or_default();
    Ok(MemberList {
        total: counts.total(),
        members: members(&roster, &publishers),
    })
}

/// In the order of entering; publishers who are not in the roster's window come last.
fn members(roster: &Roster, publishers: &[Publisher]) -> Vec<Member> {
    let of_roster = roster.members.iter().take(ROSTER_WINDOW).map(|member| {
        let publisher = publishers.iter().find(|publisher| publisher.user == member.user);
        Member {
            user_id: member.user.to_string(),
            join_time: Some(member.entered_unix_ms / 1000),
            tracks: publisher.map(tracks).unwrap_or_default(),
            node: member.holder.node.node().to_string(),
        }
    });
    let is_listed = |user: &UserId| roster.members.iter().any(|member| member.user == *user);
    let others = publishers.iter().filter(|publisher| !is_listed(&publisher.user));
    let others = others.map(|publisher| Member {
        user_id: publisher.user.to_string(),
        join_time: None,
        tracks: tracks(publisher),
        node: publisher.holder.node.node().to_string(),
    });
    of_roster.chain(others).collect()
}

fn tracks(publisher: &Publisher) -> Vec<MemberTrack> {
    let sources = [TrackSource::Audio, TrackSource::Camera, TrackSource::Screen];
    let published = sources.into_iter().filter_map(|source| {
        let state = publisher.track(source)?;
        Some(MemberTrack { source, state })
    });
    published.collect()
}

pub async fn set_permissions(shared: &Shared, caller: &Application, request: SetMemberPermissions) -> Checked<()> {
    let room = room_key(caller, request.room)?;
    let user = required(request.user_id, "MissingParameter.UserId", "UserId")?;
    let user: UserId = user.parse().map_err(|error| {
        let message = format!("UserId {} {error}; write {}", shortened(&user), UserId::RULE);
        ApiError::new("InvalidParameter.UserId", message)
    })?;
    let permissions = Permissions {
        send: sources("Send", &request.send)?,
        receive: sources("Receive", &request.receive)?,
    };
    let seconds = request.seconds.unwrap_or(PERMISSIONS_LAST);
    moderation::set_permissions(shared, room, user, &permissions, seconds, &caller.secret_id).await
}

fn sources(name: &str, texts: &[String]) -> Checked<BTreeSet<TrackSource>> {
    let parse = |text: &String| match text.as_str() {
        "audio" => Ok(TrackSource::Audio),
        "camera" => Ok(TrackSource::Camera),
        "screen" => Ok(TrackSource::Screen),
        other => {
            let message = format!(
                "{name} must have some of audio, camera and screen, not {}",
                shortened(other)
            );
            Err(ApiError::new("InvalidParameter", message))
        }
    };
    texts.iter().map(parse).collect()
}
