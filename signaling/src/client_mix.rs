//! The mix that a member asks for (`setMixTranscodingConfig`): its check, pure, and its start and end.

mod check;

use rotunda_bus::BusError;
use rotunda_proto::ids::{RoomKey, TaskId, UserId};
use rotunda_proto::mix::MixSpec;
use rotunda_proto::signaling::{ErrorBody, ErrorCode, PublisherView};
use rotunda_proto::transcoding::{TranscodingConfig, TranscodingMode};

use crate::api::ApiError;
use crate::api::media_tasks::of_member;
use crate::api::mix::client;
use crate::api::pictures;
use crate::member::{error_of, failure};
use crate::shared::Shared;

/// The member who asks for a mix.
pub struct Caller<'a> {
    pub room: &'a RoomKey,
    pub user: &'a UserId,
    /// None: the member publishes nothing.
    pub publisher: Option<PublisherView>,
    /// The task that pushes the mix; None: the mix is not pushed.
    pub push: Option<TaskId>,
}

/// Starts the member's mix, changes it, or (`None`) ends it.
pub async fn set(shared: &Shared, caller: Caller<'_>, config: Option<&TranscodingConfig>) -> Result<(), ErrorBody> {
    let Caller {
        room,
        user,
        publisher,
        push,
    } = caller;
    let Some(config) = config else {
        return client::stop(shared, room, user).await.map_err(explain);
    };
    must_publish(publisher.as_ref(), config.mode)?;
    let mut spec = check::spec(room, user, config).map_err(|message| ErrorBody {
        code: ErrorCode::BadMix,
        message,
        retry_after_ms: None,
    })?;
    may_name_rooms(shared, &spec)?;
    pictures::must_exist(&shared.store, &spec).await.map_err(explain)?;
    let push = match &push {
        Some(task) => of_member::running(&shared.bus, room.app, task).await.map_err(bus)?,
        None => None,
    };
    let Some(push) = push else {
        return client::start(shared, user, spec).await.map_err(explain);
    };
    // The push goes on with the changed mix.
    spec.task = Some(push.named());
    spec.push_urls = push.pushed().map_or_else(Vec::new, |(_, urls)| urls.to_vec());
    let stream = spec.stream_id.clone();
    client::start(shared, user, spec).await.map_err(explain)?;
    let followed = of_member::follow_mix(&shared.bus, room.app, &push.id, &stream).await;
    followed.map_err(bus)
}

fn bus(error: BusError) -> ErrorBody {
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "follow the push of a member's mix"
    );
    failure(error_of(&error))
}

/// Members of an application with room keys do not get into other rooms by a mix.
fn may_name_rooms(shared: &Shared, spec: &MixSpec) -> Result<(), ErrorBody> {
    let applications = shared.applications();
    let application = applications.by_id(spec.room.app);
    let has_keys = application.is_none_or(|application| application.requires_private_map_key);
    match has_keys && !spec.layout.other_rooms(&spec.room).is_empty() {
        true => Err(ErrorBody {
            code: ErrorCode::BadMix,
            message: "mixUsers names another room, and this application lets members into rooms by privateMapKey alone; start this \
                      mix by the server API"
                .to_owned(),
            retry_after_ms: None,
        }),
        false => Ok(()),
    }
}

/// The contract: the mix takes the place of the caller's own stream.
fn must_publish(publisher: Option<&PublisherView>, mode: TranscodingMode) -> Result<(), ErrorBody> {
    let has_audio = publisher.is_some_and(|publisher| publisher.audio.is_some());
    let has_video = publisher.is_some_and(|publisher| publisher.camera.is_some() || publisher.screen.is_some());
    match has_audio && (has_video || mode == TranscodingMode::PureAudio) {
        true => Ok(()),
        false => Err(ErrorBody {
            message: match mode {
                TranscodingMode::PureAudio => "publish audio before you ask for a mix",
                _ => "publish audio and video before you ask for a mix",
            }
            .to_owned(),
            ..failure(ErrorCode::NotPublished)
        }),
    }
}

/// The API's error in the words of the client protocol.
fn explain(error: ApiError) -> ErrorBody {
    let code = match error.code.split('.').next().unwrap_or_default() {
        "InvalidParameter" | "MissingParameter" | "ResourceNotFound" => ErrorCode::BadMix,
        "FailedOperation" | "ResourceInsufficient" | "RequestLimitExceeded" => ErrorCode::MixRefused,
        _ => return failure(ErrorCode::Internal),
    };
    ErrorBody {
        code,
        message: error.message,
        retry_after_ms: None,
    }
}
