//! `ListMixes`: the mixes that are wanted or run.

use rotunda_bus::BusExt;
use rotunda_proto::config::Application;
use rotunda_proto::mix::{RunningMix, running_key};
use rotunda_proto::mix_task::{MixTask, Origin, TASKS_PREFIX};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, bus, matching, page, page_size};
use crate::api::request::request;
use crate::shared::Shared;

request! {
    /// Lists the mixes that run or begin, by room and stream.
    ListMixes {
        /// Mixes after this one: `Next` of the page before.
        after: Option<String> = "After" ? "InvalidParameter",
        /// A part of the name of the room or stream; upper and lower case are the same. Absent: all.
        search: Option<String> = "Search" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MixList {
    pub mixes: Vec<Mix>,
    /// `After` of the next page; absent: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Mixes of all pages.
    pub total: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Mix {
    pub mix_id: String,
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    pub stream_id: String,
    /// `api`, or `client` for a member's own mix.
    pub origin: String,
    /// The id of the key that started it, or the member.
    pub started_by: String,
    /// Whether it is on the air, and not only wanted.
    pub runs: bool,
    /// The mixing node; absent: none has taken it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Grows with every change.
    pub revision: u64,
    /// Pixels; 0 for audio only.
    pub width: u16,
    pub height: u16,
    pub is_recorded: bool,
    /// Tracks that are missing in it, because their codec is not decoded.
    pub missing_inputs: Vec<MissingInput>,
    /// Over the last second; absent: nothing was heard of it for some seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// Members that are seen or heard.
    pub inputs: u32,
    /// Videos that are live in the mix.
    pub live_videos: u32,
    /// Encoded frames a second.
    pub fps: f32,
    pub video_kbps: f32,
    pub audio_kbps: f32,
    /// Ticks that were too late, since the start.
    pub late_ticks: u64,
    /// Audio packets that arrived too late for play-out, since the start.
    pub late_audio: u64,
    /// Input frames thrown away undecoded because decoding was behind, since the start.
    pub shed_frames: u64,
    /// Failures after which an encoder was replaced, since the start.
    pub encoder_failures: u64,
    /// Length of the program so far.
    pub program_seconds: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct MissingInput {
    pub user_id: String,
    pub source: rotunda_proto::ids::TrackSource,
    pub codec: String,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListMixes) -> Checked<MixList> {
    let size = page_size(request.page_size)?;
    let prefix = format!("{TASKS_PREFIX}{}.", caller.sdk_app_id);
    let tasks = shared.bus.documents::<MixTask>(&prefix).await.map_err(bus)?;
    let named = tasks.into_iter().map(|task| {
        let name = format!("{}/{}", task.room.room, task.origin.token());
        let stream = task.spec().map(|spec| spec.stream_id.to_string()).unwrap_or_default();
        (format!("{name}/{stream}"), (name, task))
    });
    let found: Vec<_> = matching(named.collect(), request.search.as_deref())
        .into_iter()
        .map(|(_, named)| named)
        .collect();
    let total = found.len() as u64;
    let (tasks, next) = page(found, request.after.as_deref(), size);
    let mut mixes = Vec::new();
    for task in tasks {
        let key = running_key(&task.room, &task.origin);
        let running = shared.bus.load::<RunningMix>(&key).await.map_err(bus)?;
        let running = running.map(|(running, _)| running);
        let Some(spec) = task.spec().or(running.as_ref().map(|running| &running.spec)) else {
            continue;
        };
        let missing = running.iter().flat_map(|running| &running.not_mixable);
        let health = shared.mix_health.of(&spec.stream());
        mixes.push(Mix {
            health: health.map(|health| Health {
                inputs: health.inputs,
                live_videos: health.live_videos,
                fps: health.fps,
                video_kbps: health.video_kbps,
                audio_kbps: health.audio_kbps,
                late_ticks: health.late_ticks,
                late_audio: health.late_audio,
                shed_frames: health.shed_frames,
                encoder_failures: health.encoder_failures,
                program_seconds: health.program_ms / 1000,
            }),
            mix_id: task.id.to_string(),
            room: task.room.room.to_string(),
            stream_id: spec.stream_id.to_string(),
            origin: match task.origin {
                Origin::Client(_) => "client".to_owned(),
                Origin::Api | Origin::ApiStream(_) => "api".to_owned(),
                Origin::Task(_) => "task".to_owned(),
            },
            started_by: task.started_by.clone(),
            runs: running.is_some(),
            node: task.owner.as_ref().map(|owner| owner.node().to_string()),
            revision: task.revision,
            width: spec.video.map_or(0, |video| video.size().0),
            height: spec.video.map_or(0, |video| video.size().1),
            is_recorded: spec.record.is_some(),
            missing_inputs: missing
                .map(|track| MissingInput {
                    user_id: track.user_id.to_string(),
                    source: track.source,
                    codec: track.codec.clone(),
                })
                .collect(),
        });
    }
    Ok(MixList { mixes, next, total })
}
