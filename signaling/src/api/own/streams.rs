//! `ListStreams`: the streams that are on the air.

use rotunda_bus::BusExt;
use rotunda_proto::config::Application;
use rotunda_proto::program::{PROGRAMS_PREFIX, Playing, ProgramDescriptor};
use rotunda_proto::push_address::PushAddress;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus, matching, page, page_size};
use crate::api::request::request;
use crate::shared::Shared;

request! {
    /// Lists the streams that are on the air, by name: mixes, and the media of single publishers.
    ListStreams {
        /// Streams after this one: `Next` of the page before.
        after: Option<String> = "After" ? "InvalidParameter",
        /// A part of the name of the room or stream; upper and lower case are the same. Absent: all.
        search: Option<String> = "Search" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StreamList {
    pub streams: Vec<Stream>,
    /// `After` of the next page; absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Streams of all pages.
    pub total: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Stream {
    pub stream_id: String,
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    /// The publisher of a single stream; absent: a mix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Unix seconds.
    pub start_time: u64,
    /// Pixels; 0 for audio only.
    pub width: u16,
    pub height: u16,
    pub is_recorded: bool,
    /// Whether players may have it.
    pub is_playable: bool,
    /// Where it is pushed to, without stream names and keys.
    pub pushes: Vec<String>,
    /// The node that makes it.
    pub node: String,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListStreams) -> Checked<StreamList> {
    let size = page_size(request.page_size)?;
    let prefix = format!("{PROGRAMS_PREFIX}{}.", caller.sdk_app_id);
    let programs = shared.bus.documents::<ProgramDescriptor>(&prefix).await.map_err(bus)?;
    let named = programs
        .into_iter()
        .map(|program| (format!("{}/{}", program.stream_id, program.room.room), program));
    let found: Vec<_> = matching(named.collect(), request.search.as_deref())
        .into_iter()
        .map(|(_, program)| (program.stream_id.to_string(), program))
        .collect();
    let total = found.len() as u64;
    let (programs, next) = page(found, request.after.as_deref(), size);
    let streams = programs.into_iter().map(stream).collect();
    Ok(StreamList { streams, next, total })
}

fn stream(program: ProgramDescriptor) -> Stream {
    let single = program.single.as_ref();
    let shown = |url: &String| url.parse::<PushAddress>().map(|address| address.to_string()).ok();
    Stream {
        stream_id: program.stream_id.to_string(),
        room: program.room.room.to_string(),
        user_id: single.map(|single| single.user.to_string()),
        start_time: program.started_unix_ms / 1000,
        width: program.video.map_or(0, |video| video.size().0),
        height: program.video.map_or(0, |video| video.size().1),
        is_recorded: program.record.is_some() || single.is_some_and(|single| single.recording.is_some()),
        is_playable: single.is_none_or(|single| single.playing == Playing::Live),
        pushes: program.push_urls.iter().filter_map(shown).collect(),
        node: program.node.to_string(),
    }
}
