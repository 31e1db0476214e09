//! Mixing: the typed requests, their checks, and the one handler that all faces call.

pub mod check;
pub mod client;
pub mod health;
pub mod preview;
pub mod request;
pub mod running;
pub mod tasks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use metrics::counter;
use rotunda_bus::{BusError, BusExt};
use rotunda_proto::applications::Scope;
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{MixId, RoomKey, SdkAppId, StreamId};
use rotunda_proto::mix::Refusal;
use rotunda_proto::mix_task::{MixTask, Origin, Wish};
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_proto::push_address::PushAddress;
use rotunda_proto::room::{Roster, roster_key};

use super::ApiError;
use super::caller::check_scope;
use super::outbound;
use super::pictures::Pictures;
use crate::shared::Shared;
use request::{StartRequest, StopRequest};
use tasks::{StartError, StopError};

/// Starts and stops mixes.
pub struct Mixes {
    shared: Shared,
    pictures: Arc<Pictures>,
    /// Number of starts in the current second, by application.
    starts: Mutex<HashMap<SdkAppId, Window>>,
}

struct Window {
    began: Instant,
    calls: u32,
}

impl Mixes {
    pub fn new(shared: Shared, pictures: Arc<Pictures>) -> Self {
        Self {
            shared,
            pictures,
            starts: Mutex::default(),
        }
    }

    /// `caller`: the application whose key signed the call.
    pub async fn start(&self, caller: &Application, request: StartRequest) -> Result<(), ApiError> {
        let result = self.try_start(caller, request).await;
        count("StartMCUMixTranscode", &result);
        result
    }

    pub async fn stop(&self, caller: &Application, request: StopRequest) -> Result<(), ApiError> {
        let result = self.try_stop(caller, request).await;
        count("StopMCUMixTranscode", &result);
        result
    }

    async fn try_start(&self, caller: &Application, request: StartRequest) -> Result<(), ApiError> {
        check_scope(caller, Scope::Mix)?;
        self.limit(caller.sdk_app_id)?;
        let urls = check::picture_urls(&request.body)?;
        let mut spec = check::start(request)?;
        own(caller, &spec.room)?;
        let (code, name) = ("InvalidParameter.PublishCdnUrls", "PublishCdnParams.PublishCdnUrls");
        self.check_push_hosts(&spec.push_urls, code, name).await?;
        self.room_must_exist(&spec.room).await?;
        self.pictures.settle(&mut spec, urls).await?;
        let at_most = self.shared.config.api.mixes_per_room;
        let origin = match at_most {
            1 => Origin::Api,
            _ => Origin::ApiStream(spec.stream_id.clone()),
        };
        let wish = Wish {
            id: MixId(rand::random()),
            origin,
            started_by: caller.secret_id.clone(),
            spec,
        };
        let done = tasks::start(&self.shared.bus, &wish, tasks::Limit::All(at_most), caller.max_mixes).await;
        let done = done.map_err(|error| refused(&error))?;
        if let tasks::Done::Changed(mix) = done {
            running::tell_change(&self.shared, mix, &wish.spec);
        }
        tracing::info!(room = %wish.spec.room, stream = %wish.spec.stream_id, ?done, "a mix was asked for");
        Ok(())
    }

    async fn try_stop(&self, caller: &Application, request: StopRequest) -> Result<(), ApiError> {
        check_scope(caller, Scope::Mix)?;
        let stream = request.stream_id.as_deref().map(str::parse).transpose();
        let stream: Option<StreamId> = stream.map_err(|error| {
            let message = format!("StreamId: {error}");
            ApiError::new("InvalidParameter.StreamId", message)
        })?;
        let room = check::stop(request)?;
        own(caller, &room)?;
        let is_meant = |task: &MixTask| {
            let has_stream = |stream: &StreamId| task.spec().is_some_and(|spec| spec.stream_id == *stream);
            task.origin.is_api() && stream.as_ref().is_none_or(has_stream)
        };
        let stopped = tasks::stop(&self.shared.bus, &room, is_meant).await;
        match stopped {
            Ok(()) => Ok(()),
            Err(StopError::Bus(error)) => Err(bus(error)),
            Err(StopError::NoMix) => {
                self.room_must_exist(&room).await?;
                Err(no_mix())
            }
        }
    }

    /// Refuses a push into a network that customers may not reach. If a name cannot be resolved now, the push resolves it again.
    pub async fn check_push_hosts(&self, urls: &[String], code: &'static str, name: &str) -> Result<(), ApiError> {
        for (index, url) in urls.iter().enumerate() {
            let Ok(address) = url.parse::<PushAddress>() else {
                continue;
            };
            let refused = outbound::refused(self.outbound(), address.host(), address.port()).await;
            if let Some(refused) = refused {
                return Err(ApiError::new(code, format!("{name}.{index}: {refused}")));
            }
        }
        Ok(())
    }

    fn outbound(&self) -> &AllowedNetworks {
        &self.shared.config.process.outbound
    }

    async fn room_must_exist(&self, room: &RoomKey) -> Result<(), ApiError> {
        let roster = self.shared.bus.load::<Roster>(&roster_key(room)).await.map_err(bus)?;
        match roster {
            Some((roster, _)) if !roster.members.is_empty() => Ok(()),
            _ => Err(no_room()),
        }
    }

    fn limit(&self, app: SdkAppId) -> Result<(), ApiError> {
        let now = Clock.now();
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let window = starts.entry(app).or_insert(Window { began: now, calls: 0 });
        if now.saturating_duration_since(window.began).as_secs() >= 1 {
            *window = Window { began: now, calls: 0 };
        }
        window.calls += 1;
        let most = self.shared.config.api.mix_starts_per_second;
        if window.calls <= most {
            return Ok(());
        }
        Err(ApiError::new(
            "RequestLimitExceeded",
            format!("at most {most} calls a second; wait a second"),
        ))
    }
}

fn own(caller: &Application, room: &RoomKey) -> Result<(), ApiError> {
    if caller.sdk_app_id == room.app {
        return Ok(());
    }
    Err(ApiError::new(
        "UnauthorizedOperation.SdkAppId",
        "the key belongs to another application",
    ))
}

/// The answer for a start that was not carried out.
fn refused(error: &StartError) -> ApiError {
    let code = match error {
        StartError::Refused(Refusal::RoomNotExist) => return no_room(),
        StartError::Refused(Refusal::NoCapacity) => "ResourceInsufficient.RequestRejection",
        StartError::Refused(Refusal::Encoder { .. }) => "InvalidParameter.EncodeParams",
        StartError::Refused(Refusal::StreamIdInUse)
        | StartError::Replaced
        | StartError::Full
        | StartError::MembersFull(_)
        | StartError::ApplicationFull(_) => "FailedOperation.RequestRejection",
        StartError::Ended => "FailedOperation.TaskFinished",
        StartError::Refused(Refusal::Failed { .. }) | StartError::Late | StartError::Bus(_) => {
            return ApiError::internal(error);
        }
    };
    ApiError::new(code, error.to_string())
}

fn no_capacity() -> ApiError {
    ApiError::new("ResourceInsufficient.RequestRejection", "no mixing server is available")
}

fn no_room() -> ApiError {
    ApiError::new(
        "FailedOperation.RoomNotExist",
        "the room does not exist: nobody is in it",
    )
}

fn no_mix() -> ApiError {
    ApiError::new("FailedOperation.MixSessionNotExist", "no mix runs in the room")
}

fn bus(error: BusError) -> ApiError {
    ApiError::internal(&error)
}

fn count(action: &'static str, result: &Result<(), ApiError>) {
    let code = result.as_ref().err().map_or("ok", |error| error.code);
    counter!("rotunda_api_calls_total", "action" => action, "code" => code).increment(1);
}

#[cfg(test)]
mod tests;
