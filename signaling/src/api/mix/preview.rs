//! `POST /api/mixes/preview`: the first frame of a mix as PNG, without a room.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rotunda_bus::BusExt;
use rotunda_proto::applications::Scope;
use rotunda_proto::ids::{RoomId, TrackSource, UserId};
use rotunda_proto::mix::{MAX_INPUTS, MixNode, NODES_PREFIX};
use rotunda_proto::mix_preview::{PreviewMember, PreviewReply, PreviewRequest, preview_subject};
use serde::Deserialize;
use serde_json::Value;

use super::{bus, check, no_capacity, own};
use crate::api::ApiError;
use crate::api::caller::caller;
use crate::api::pictures;
use crate::api::tencent::read::{self, RoomKind};
use crate::shared::Shared;

/// Longest body, bytes.
const MAX_BODY: usize = 64 * 1024;
/// Members of a preview whose request names none.
const MEMBERS: usize = 4;

pub fn router(shared: Shared) -> Router {
    Router::new()
        .route("/api/mixes/preview", post(preview))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The parameters of StartMCUMixTranscode; room and stream may be left out.
    mix: Value,
    /// In the order of entering; absent: four with cameras.
    members: Option<Vec<BodyMember>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BodyMember {
    user_id: UserId,
    /// Absent: the mix's room.
    room_id: Option<RoomId>,
    #[serde(default = "camera_and_audio")]
    sources: Vec<TrackSource>,
}

fn camera_and_audio() -> Vec<TrackSource> {
    vec![TrackSource::Camera, TrackSource::Audio]
}

async fn preview(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let caller = &caller(&shared.applications(), authorization, Scope::Mix)?;
    let wrong = |message: String| ApiError::new("InvalidRequest", message);
    let body: Body = serde_json::from_slice(&body).map_err(|error| wrong(format!("the body: {error}")))?;
    let Value::Object(mut mix) = body.mix else {
        return Err(wrong("mix must be an object".to_owned()));
    };
    mix.entry("SdkAppId").or_insert(caller.sdk_app_id.get().into());
    mix.entry("RoomId").or_insert(1.into());
    let output = mix.entry("OutputParams").or_insert(serde_json::json!({}));
    if let Value::Object(output) = output {
        output.entry("StreamId").or_insert("preview".into());
    }
    let request = read::start(&Value::Object(mix), RoomKind::Number)?;
    let urls = check::picture_urls(&request.body)?;
    if urls != check::PictureUrls::default() {
        let message = "a preview shows pictures by id alone; upload the picture with CreatePicture";
        return Err(ApiError::new("InvalidParameter", message));
    }
    let spec = check::start(request)?;
    own(caller, &spec.room)?;
    pictures::must_exist(&shared.store, &spec).await?;
    let members = members(body.members)?;
    let nodes = shared.bus.documents::<MixNode>(NODES_PREFIX).await.map_err(bus)?;
    let node = nodes.into_iter().next().ok_or_else(no_capacity)?.node;
    let asked = PreviewRequest { spec, members };
    let reply: PreviewReply = shared.bus.call(&preview_subject(&node), &asked).await.map_err(bus)?;
    match reply {
        PreviewReply::Png { data } => {
            let file = STANDARD.decode(data).map_err(|error| ApiError::internal(&error))?;
            Ok(([(header::CONTENT_TYPE, "image/png")], file).into_response())
        }
        PreviewReply::NoVideo => {
            let message = "OutputParams.PureAudioStream is 1: the mix has no video to be shown";
            Err(ApiError::new("InvalidParameter.PureAudioStream", message))
        }
        PreviewReply::Failed { reason } => {
            tracing::error!(reason, "a preview was not drawn");
            Err(ApiError::new("InternalError", "the preview was not drawn; try again"))
        }
    }
}

fn members(given: Option<Vec<BodyMember>>) -> Result<Vec<PreviewMember>, ApiError> {
    let given = match given {
        Some(given) => given,
        None => (1..=MEMBERS)
            .filter_map(|number| {
                Some(BodyMember {
                    user_id: number.to_string().parse().ok()?,
                    room_id: None,
                    sources: camera_and_audio(),
                })
            })
            .collect(),
    };
    if given.len() > 2 * MAX_INPUTS {
        let message = format!("members must be at most {}, not {}", 2 * MAX_INPUTS, given.len());
        return Err(ApiError::new("InvalidParameter", message));
    }
    let member = |member: BodyMember| PreviewMember {
        user: member.user_id,
        room: member.room_id,
        sources: member.sources,
    };
    Ok(given.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_without_members_has_four_and_too_many_are_refused() {
        let four = members(None).unwrap();
        assert_eq!(four.len(), 4);
        assert_eq!(four[0].sources, [TrackSource::Camera, TrackSource::Audio]);
        let body: Body = serde_json::from_value(serde_json::json!({
            "mix": {}, "members": [{ "userId": "ann", "sources": ["screen"] }]
        }))
        .unwrap();
        assert_eq!(members(body.members).unwrap()[0].sources, [TrackSource::Screen]);
        let many = (0..33).map(|_| BodyMember {
            room_id: None,
            user_id: "a".parse().unwrap(),
            sources: Vec::new(),
        });
        assert!(members(Some(many.collect())).is_err());
    }
}
