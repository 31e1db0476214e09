//! Stream ingest: the media of a URL as that of a member of a room. A task is a document, which the live processes follow.

mod requests;
#[cfg(test)]
mod tests;
pub mod upkeep;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, Watch, WatchEvent};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{
    OwnStreamId, RoomId, RoomKey, RoomName, SdkAppId, StreamId, TextId, UserId, default_stream_id, shortened,
};
use rotunda_proto::push_address::PushAddress;
use rotunda_proto::stream_ingest::{FULL_VOLUME, StreamIngest, application_prefix};
use url::{Host, Url};

use super::ApiError;
use super::mix::check;
use super::outbound;
use super::request::required;
use crate::connection::verify;
use crate::member::failure;
use crate::shared::Shared;

pub use requests::{
    DescribeStreamIngest, IngestStarted, IngestState, StartStreamIngest, StopStreamIngest, UpdateStreamIngest,
};

type Checked<T> = Result<T, ApiError>;

/// The code of most wrong values.
const PARAMETER: &str = "InvalidParameter.BodyParamsError";
/// Seconds without media, unless the call says otherwise.
const IDLE_SECONDS: u64 = 300;
/// A caller does not wait longer than this for a live process.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// A day: no file is longer.
const SEEK: RangeInclusive<i64> = 0..=86_400;
const MOST_URL_BYTES: usize = 2048;
const MOST_SECRET_BYTES: usize = 4096;

pub async fn start(shared: &Shared, caller: &Application, request: StartStreamIngest) -> Checked<IngestStarted> {
    let now = Clock.unix();
    let ingest = read(request, now)?;
    own(caller, ingest.room.app)?;
    url_must_be_reachable(shared, &ingest.url).await?;
    let verified = verify(shared, ingest.room.app, &ingest.user, &ingest.user_sig).await;
    verified.map_err(|code| {
        let message = format!("UserSig: {}", failure(code).message);
        ApiError::new("InvalidParameter.UserSig", message)
    })?;
    let running = of_application(shared, ingest.room.app).await?;
    if running.iter().any(|other| other.user == ingest.user) {
        return Err(exists(&ingest.user));
    }
    let most = shared.config.api.stream_ingests;
    if running.len() >= most {
        let message =
            format!("the application has {most} tasks (signaling.api.stream_ingests); stop one of them first");
        return Err(ApiError::new("FailedOperation.RestrictedConcurrency", message));
    }
    // Watched from before the task on, so that no claim is missed.
    let mut claim = shared.bus.watch(&ingest.claim_key()).await.map_err(bus)?;
    match shared.bus.store(&ingest.key(), &ingest, None).await {
        Ok(_) => {}
        Err(BusError::Conflict(_)) => return Err(exists(&ingest.user)),
        Err(error) => return Err(ApiError::internal(&error)),
    }
    if tokio::time::timeout(TAKEN_WITHIN, taken(&mut claim)).await.is_err() {
        delete(shared, &ingest).await.map_err(bus)?;
        let message = "no live process has room for the task (live.pulls), or none runs; try again later";
        return Err(ApiError::new("ResourceInsufficient.RequestRejection", message));
    }
    tracing::info!(task = %ingest.id, room = %ingest.room, user = %ingest.user, "a pull was asked for");
    Ok(IngestStarted {
        task_id: ingest.id.to_string(),
    })
}

pub async fn update(shared: &Shared, caller: &Application, request: UpdateStreamIngest) -> Checked<IngestState> {
    let app = check::application(request.sdk_app_id)?;
    own(caller, app)?;
    let id = task_id(request.task_id, "MissingParameter.TaskId")?;
    let volume = request.volume.map(volume).transpose()?;
    only(request.enable_progress, request.tempo)?;
    let url = request.stream_url.filter(|url| !url.is_empty());
    if let Some(url) = &url {
        source(url)?;
        url_must_be_reachable(shared, url).await?;
    }
    let missing = || ApiError::new("FailedOperation.TaskNotExist", "there is no such task: it may be over");
    let task = find(shared, app, &id).await?.ok_or_else(missing)?;
    let now_ms = Clock.unix().as_millis() as u64;
    let change = |before: Option<StreamIngest>| -> Checked<(Option<StreamIngest>, ())> {
        let mut after = before.filter(|before| before.id == id).ok_or_else(missing)?;
        if let Some(url) = &url {
            after.url = url.clone();
            after.seek_seconds = 0;
        }
        if let Some(volume) = volume {
            after.volume = volume;
        }
        after.paused_unix_ms = match request.is_pause {
            Some(true) => after.paused_unix_ms.or(Some(now_ms)),
            Some(false) => None,
            None => after.paused_unix_ms,
        };
        Ok((Some(after), ()))
    };
    let written = shared.bus.update(&task.key(), change).await;
    written.map_err(|error| ApiError::internal(&error))??;
    Ok(IngestState { status: "InProgress" })
}

pub async fn stop(shared: &Shared, caller: &Application, request: StopStreamIngest) -> Checked<()> {
    let app = check::application(request.sdk_app_id)?;
    own(caller, app)?;
    let id = task_id(request.task_id, "InvalidParameter.TaskId")?;
    let finished = || ApiError::new("FailedOperation.TaskFinished", "there is no such task: it may be over");
    let task = find(shared, app, &id).await?.ok_or_else(finished)?;
    match delete(shared, &task).await.map_err(bus)? {
        true => Ok(()),
        false => Err(finished()),
    }
}

pub async fn describe(shared: &Shared, caller: &Application, request: DescribeStreamIngest) -> Checked<IngestState> {
    let app = check::application(request.sdk_app_id)?;
    own(caller, app)?;
    let id = task_id(request.task_id, "MissingParameter.TaskId")?;
    let status = match find(shared, app, &id).await? {
        Some(_) => "InProgress",
        None => "NotExist",
    };
    Ok(IngestState { status })
}

/// Waits until a live process has claimed the task.
async fn taken(claim: &mut Watch) {
    loop {
        if let WatchEvent::Change(change) = claim.next().await
            && change.parse::<serde::de::IgnoredAny>().is_some()
        {
            return;
        }
    }
}

/// Answers whether the task was there.
async fn delete(shared: &Shared, task: &StreamIngest) -> Result<bool, BusError> {
    let delete = |before: Option<StreamIngest>| match before {
        Some(before) if before.id == task.id => Ok((None, ())),
        _ => Err(()),
    };
    Ok(shared.bus.update(&task.key(), delete).await?.is_ok())
}

fn bus(error: BusError) -> ApiError {
    ApiError::internal(&error)
}

async fn of_application(shared: &Shared, app: SdkAppId) -> Checked<Vec<StreamIngest>> {
    let found = shared.bus.documents::<StreamIngest>(&application_prefix(app)).await;
    found.map_err(|error| ApiError::internal(&error))
}

async fn find(shared: &Shared, app: SdkAppId, id: &StreamId) -> Checked<Option<StreamIngest>> {
    let all = of_application(shared, app).await?;
    Ok(all.into_iter().find(|ingest| ingest.id == *id))
}

fn own(caller: &Application, app: SdkAppId) -> Checked<()> {
    match caller.sdk_app_id == app {
        true => Ok(()),
        false => Err(ApiError::new(
            "InvalidParameter.SdkAppId",
            "the key belongs to another application",
        )),
    }
}

fn exists(user: &UserId) -> ApiError {
    let message = format!("user {user} has a task already; stop it first, or use another user");
    ApiError::new("FailedOperation.TaskExist", message)
}

/// The task that a request describes. Pure, but for its new id.
fn read(request: StartStreamIngest, now: Duration) -> Checked<StreamIngest> {
    let app = check::application(request.sdk_app_id)?;
    let room = required(request.room_id, "MissingParameter.RoomId", "RoomId")?;
    let room = RoomKey {
        app,
        room: match required(request.room_id_type, PARAMETER, "RoomIdType")? {
            0 => RoomId::Name(text::<RoomName>(
                &room,
                "RoomId",
                "InvalidParameter.StrRoomId",
                RoomName::RULE,
            )?),
            1 => {
                let number: Option<u64> = room.parse().ok();
                let wrong = || {
                    let message = format!("RoomId must be a number from 1 to 4294967294, not {}", shortened(&room));
                    ApiError::new("InvalidParameter.RoomId", message)
                };
                let number = number.and_then(|number| number.try_into().ok());
                RoomId::Number(number.ok_or_else(wrong)?)
            }
            other => return Err(range("RoomIdType", "0 or 1", other)),
        },
    };
    let user = required(request.user_id, PARAMETER, "UserId")?;
    let user: UserId = text(&user, "UserId", PARAMETER, UserId::RULE)?;
    let user_sig = secret(
        Some(required(request.user_sig, "InvalidParameter.UserSig", "UserSig")?),
        "UserSig",
    )?;
    let url = match (
        request.stream_url.filter(|url| !url.is_empty()),
        request.source_url.as_slice(),
    ) {
        (Some(url), _) => url,
        (None, [url]) => url.clone(),
        (None, []) => return Err(ApiError::new("InvalidParameter.StreamUrl", "StreamUrl is missing")),
        (None, _) => {
            return Err(ApiError::new(
                "InvalidParameter.StreamUrl",
                "SourceUrl takes one address",
            ));
        }
    };
    let kind = source(&url)?;
    let seek = within("SeekSecond", request.seek_second.unwrap_or(0), SEEK)?;
    if seek > 0 && kind == Kind::Stream {
        let message = "SeekSecond needs a file: an MP4, or HLS with an end; this is a stream";
        return Err(ApiError::new(PARAMETER, message));
    }
    let repeats = match request.repeat_num.unwrap_or(1) {
        -1 => None,
        times @ 1..=1000 => Some(times as u32),
        other => return Err(range("RepeatNum", "-1, or 1 to 1000", other)),
    };
    let minutes = request
        .max_duration
        .map(|minutes| within("MaxDuration", minutes, 1..=10_080));
    let minutes = minutes.transpose()?;
    let idle = within("IdleTimeout", request.idle_timeout.unwrap_or(0), 0..=600)?;
    only(request.enable_progress, request.tempo)?;
    let stream_id = match request.auto_push {
        Some(true) => {
            let id = default_stream_id(&room, &user, "main");
            let own = id.as_str().parse::<OwnStreamId>().map_err(|error| {
                let message = format!(
                    "AutoPush: the live stream would be {id}, which {error}; use a room without other characters"
                );
                ApiError::new(PARAMETER, message)
            });
            Some(own?)
        }
        _ => None,
    };
    let started_unix_ms = now.as_millis() as u64;
    Ok(StreamIngest {
        id: new_id(),
        started_unix_ms,
        room,
        user,
        user_sig: user_sig.unwrap_or_default(),
        private_map_key: secret(request.private_map_key, "PrivateMapKey")?,
        stream_id,
        url,
        repeats,
        seek_seconds: seek,
        until_unix_ms: minutes.map(|minutes| started_unix_ms + minutes * 60_000),
        idle_seconds: if idle == 0 { IDLE_SECONDS } else { idle },
        volume: request.volume.map_or(Ok(FULL_VOLUME), volume)?,
        paused_unix_ms: None,
    })
}

#[expect(clippy::expect_used, reason = "hexadecimal digits are a valid id")]
fn new_id() -> StreamId {
    format!("{:032x}", rand::random::<u128>()).parse().expect("a valid id")
}

fn task_id(id: Option<String>, missing: &'static str) -> Checked<StreamId> {
    let id = required(id, missing, "TaskId")?;
    text(
        &id,
        "TaskId",
        "InvalidParameter.TaskId",
        "it as StartStreamIngest has answered it",
    )
}

fn text<T: FromStr<Err: fmt::Display>>(text: &str, name: &str, code: &'static str, rule: &str) -> Checked<T> {
    text.parse().map_err(|error| {
        let message = format!("{name} {} {error}; write {rule}", shortened(text));
        ApiError::new(code, message)
    })
}

fn secret(text: Option<String>, name: &str) -> Checked<Option<String>> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if text.len() > MOST_SECRET_BYTES => Err(ApiError::new(
            PARAMETER,
            format!("{name} has more than {MOST_SECRET_BYTES} bytes"),
        )),
        text => Ok(text),
    }
}

fn within(name: &str, value: i64, allowed: RangeInclusive<i64>) -> Checked<u64> {
    match allowed.contains(&value) {
        true => Ok(value.unsigned_abs()),
        false => Err(range(name, &format!("{} to {}", allowed.start(), allowed.end()), value)),
    }
}

fn range(name: &str, rule: &str, value: impl fmt::Display) -> ApiError {
    ApiError::new(PARAMETER, format!("{name} must be {rule}, not {value}"))
}

fn volume(percent: u64) -> Checked<u32> {
    match u32::try_from(percent) {
        Ok(percent @ 0..=200) => Ok(percent),
        _ => Err(range("Volume", "0 to 200", percent)),
    }
}

/// Values that would ask for something that this server does not do.
fn only(progress: Option<bool>, tempo: Option<f64>) -> Checked<()> {
    if progress == Some(true) {
        return Err(ApiError::new(
            PARAMETER,
            "EnableProgress must be false: this server sends no messages about the progress",
        ));
    }
    match tempo {
        Some(tempo) if tempo != 1.0 => {
            let message = format!("Tempo must be 1.0, not {tempo}: this server plays at the speed of the source");
            Err(ApiError::new(PARAMETER, message))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    MaybeFile,
}

/// Errors: the URL is none of a source.
fn source(url: &str) -> Checked<Kind> {
    let wrong = |message: String| ApiError::new("InvalidParameter.StreamUrl", message);
    if url.len() > MOST_URL_BYTES {
        return Err(wrong(format!("StreamUrl has more than {MOST_URL_BYTES} bytes")));
    }
    let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        "rtmp" | "rtmps" => match url.parse::<PushAddress>() {
            Ok(_) => Ok(Kind::Stream),
            Err(error) => Err(wrong(format!("StreamUrl {error}"))),
        },
        "http" | "https" => match url.parse::<Url>() {
            Ok(parsed) if parsed.host().is_some() => Ok(match parsed.path().to_ascii_lowercase().ends_with(".flv") {
                true => Kind::Stream,
                false => Kind::MaybeFile,
            }),
            _ => Err(wrong("StreamUrl is not a URL with a host".to_owned())),
        },
        _ => Err(wrong(
            "StreamUrl must be rtmp[s]://host/application/stream, or http[s]://host/path of FLV, HLS or MP4".to_owned(),
        )),
    }
}

/// Refuses a source in a network that customers may not reach.
async fn url_must_be_reachable(shared: &Shared, url: &str) -> Checked<()> {
    let (host, port): (Host<String>, u16) = match url.parse::<PushAddress>() {
        Ok(address) => (address.host().clone(), address.port()),
        Err(_) => {
            let url: Option<Url> = url.parse().ok();
            let host = url.as_ref().and_then(|url| Some(url.host()?.to_owned()));
            let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or(80);
            match host {
                Some(host) => (host, port),
                None => return Ok(()),
            }
        }
    };
    match outbound::refused(&shared.config.process.outbound, &host, port).await {
        None => Ok(()),
        Some(refused) => Err(ApiError::new(
            "InvalidParameter.StreamUrl",
            format!("StreamUrl: {refused}"),
        )),
    }
}
