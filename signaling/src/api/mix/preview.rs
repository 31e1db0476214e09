//! Previews of mixes: the first frame as PNG, without a room. `PreviewLayout` in the table of actions, and `POST /api/mixes/preview`.

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
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, TextId, TrackSource, UserId, shortened};
use rotunda_proto::mix::{MAX_INPUTS, MixNode, NODES_PREFIX};
use rotunda_proto::mix_preview::{PreviewMember, PreviewReply, PreviewRequest, preview_subject};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{bus, check, no_capacity, own};
use crate::api::ApiError;
use crate::api::caller::caller;
use crate::api::pictures;
use crate::api::request::{request, required, whole};
use crate::api::tencent::fields::Fields;
use crate::api::tencent::read::{self, RoomKind};
use crate::shared::Shared;

type Checked<T> = Result<T, ApiError>;

/// Longest body, bytes.
const MAX_BODY: usize = 64 * 1024;
/// Members of a preview whose request names none.
const MEMBERS: u64 = 4;
/// As many members as two rooms of a mix.
const MOST_MEMBERS: usize = 2 * MAX_INPUTS;

request! {
    /// The members of a preview.
    PreviewMembers {
        /// Members named 1, 2, 3 and so on, each with a camera: 0 to 32. Default 4. Not with `Members`.
        member_count: Option<u64> = "MemberCount" ? "InvalidParameter",
        /// At most 32 members in the order of entering.
        members: Vec<PreviewUser> = "Members" ? "InvalidParameter",
    }
}

request! {
    /// A member of a preview.
    PreviewUser {
        /// The member; shown on the name card.
        user_id: Option<String> = "UserId" ! "InvalidParameter.UserId",
        /// Another room than the mix's: digits are a numeric room, `text:` before a name makes it a text room.
        room: Option<String> = "Room" ? "InvalidParameterValue.RoomId",
        /// What they send, some of `audio`, `camera` and `screen`; absent: audio and camera.
        sources: Vec<String> = "Sources" ? "InvalidParameter",
    }
}

/// The first frame of a mix.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PreviewDrawn {
    /// A PNG file as Base64. Over REST the answer is the file itself, unless `Accept` asks for `application/json`.
    pub png: String,
    /// Pixels: half or a quarter of the canvas, when the file would be too large.
    pub width: u64,
    /// Pixels.
    pub height: u64,
}

/// The schema of `PreviewLayout`. `start`: that of `StartMCUMixTranscode`.
pub fn schema(generator: &mut SchemaGenerator, mut start: Schema) -> Schema {
    let text = "Draws the first frame of a mix as PNG, without a room. Videos are shown as name cards; pictures are named by id.";
    start.insert("description".to_owned(), json!(text));
    let members = PreviewMembers::json_schema(generator).to_value();
    if let (Some(Value::Object(properties)), Value::Object(members)) =
        (start.get_mut("properties"), &members["properties"])
    {
        for (name, schema) in members {
            properties.insert(name.clone(), schema.clone());
        }
    }
    start.insert("required".to_owned(), json!(["EncodeParams", "LayoutParams"]));
    start
}

pub async fn preview_layout(shared: &Shared, caller: &Application, parameters: &Value) -> Checked<PreviewDrawn> {
    let mut members = Map::new();
    let mut mix = parameters.as_object().cloned().unwrap_or_default();
    for name in ["MemberCount", "Members"] {
        members.extend(mix.remove_entry(name));
    }
    let members: PreviewMembers = whole(Fields::of(&Value::Object(members)))?;
    let count = members.member_count;
    if count.is_some() && !members.members.is_empty() {
        let message = "leave MemberCount or Members out: the one counts members, the other names them";
        return Err(ApiError::new("InvalidParameter", message));
    }
    let members = match members.members.as_slice() {
        [] => numbered(count.unwrap_or(MEMBERS))?,
        members => members.iter().map(member).collect::<Checked<_>>()?,
    };
    draw(shared, caller, mix, members).await
}

fn numbered(count: u64) -> Checked<Vec<PreviewMember>> {
    if count > MOST_MEMBERS as u64 {
        let message = format!("MemberCount must be 0 to {MOST_MEMBERS}, not {count}");
        return Err(ApiError::new("InvalidParameter", message));
    }
    let member = |number: u64| {
        Some(PreviewMember {
            user: number.to_string().parse().ok()?,
            room: None,
            sources: camera_and_audio(),
        })
    };
    Ok((1..=count).filter_map(member).collect())
}

fn member(user: &PreviewUser) -> Checked<PreviewMember> {
    let id = required(user.user_id.clone(), "MissingParameter.UserId", "Members.UserId")?;
    let room = user.room.as_deref().map(|room| {
        room.parse::<RoomId>().map_err(|error| {
            let message = format!("Members.Room {} {error}; write {}", shortened(room), RoomId::RULE);
            ApiError::new("InvalidParameterValue.RoomId", message)
        })
    });
    let sources = match user.sources.as_slice() {
        [] => camera_and_audio(),
        sources => sources.iter().map(|text| source(text)).collect::<Checked<_>>()?,
    };
    Ok(PreviewMember {
        user: id.parse().map_err(|error| {
            let message = format!("Members.UserId {} {error}; write {}", shortened(&id), UserId::RULE);
            ApiError::new("InvalidParameter.UserId", message)
        })?,
        room: room.transpose()?,
        sources,
    })
}

fn source(text: &str) -> Checked<TrackSource> {
    match text {
        "audio" => Ok(TrackSource::Audio),
        "camera" => Ok(TrackSource::Camera),
        "screen" => Ok(TrackSource::Screen),
        other => {
            let message = format!(
                "Members.Sources must have some of audio, camera and screen, not {}",
                shortened(other)
            );
            Err(ApiError::new("InvalidParameter", message))
        }
    }
}

/// `mix`: the parameters of `StartMCUMixTranscode`; room and stream may be left out.
async fn draw(
    shared: &Shared,
    caller: &Application,
    mut mix: Map<String, Value>,
    members: Vec<PreviewMember>,
) -> Checked<PreviewDrawn> {
    if members.len() > MOST_MEMBERS {
        let message = format!("members must be at most {MOST_MEMBERS}, not {}", members.len());
        return Err(ApiError::new("InvalidParameter", message));
    }
    mix.entry("SdkAppId").or_insert(caller.sdk_app_id.get().into());
    let kind = match mix.contains_key("StrRoomId") {
        true => RoomKind::Name,
        false => RoomKind::Number,
    };
    if kind == RoomKind::Number {
        mix.entry("RoomId").or_insert(1.into());
    }
    let output = mix.entry("OutputParams").or_insert(json!({}));
    if let Value::Object(output) = output {
        output.entry("StreamId").or_insert("preview".into());
    }
    let request = read::start(&Value::Object(mix), kind)?;
    let urls = check::picture_urls(&request.body)?;
    if urls != check::PictureUrls::default() {
        let message = "a preview shows pictures by id alone; upload the picture with CreatePicture";
        return Err(ApiError::new("InvalidParameter", message));
    }
    let spec = check::start(request)?;
    own(caller, &spec.room)?;
    pictures::must_exist(&shared.store, &spec).await?;
    let nodes = shared.bus.documents::<MixNode>(NODES_PREFIX).await.map_err(bus)?;
    let node = nodes.into_iter().next().ok_or_else(no_capacity)?.node;
    let asked = PreviewRequest { spec, members };
    let reply: PreviewReply = shared.bus.call(&preview_subject(&node), &asked).await.map_err(bus)?;
    match reply {
        PreviewReply::Png { data, width, height } => Ok(PreviewDrawn {
            png: data,
            width: width.into(),
            height: height.into(),
        }),
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
    let Value::Object(mix) = body.mix else {
        return Err(wrong("mix must be an object".to_owned()));
    };
    let members = match body.members {
        None => numbered(MEMBERS)?,
        Some(members) => members.into_iter().map(BodyMember::member).collect(),
    };
    let drawn = draw(&shared, caller, mix, members).await?;
    let file = STANDARD.decode(drawn.png).map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "image/png")], file).into_response())
}

impl BodyMember {
    fn member(self) -> PreviewMember {
        PreviewMember {
            user: self.user_id,
            room: self.room_id,
            sources: self.sources,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_counted_or_named() {
        let four = numbered(MEMBERS).unwrap();
        let names: Vec<_> = four.iter().map(|member| member.user.to_string()).collect();
        assert_eq!(names, ["1", "2", "3", "4"]);
        assert_eq!(four[0].sources, [TrackSource::Camera, TrackSource::Audio]);
        assert!(numbered(0).unwrap().is_empty());
        assert!(numbered(33).is_err());
        let read = |user: Value| {
            let user: PreviewUser = whole(Fields::of(&user))?;
            member(&user)
        };
        let ann = read(json!({ "UserId": "ann", "Room": "text:7", "Sources": ["screen"] })).unwrap();
        assert_eq!(
            (ann.user.to_string(), ann.room.unwrap().to_string()),
            ("ann".into(), "text:7".into())
        );
        assert_eq!(ann.sources, [TrackSource::Screen]);
        for (user, code) in [
            (json!({}), "MissingParameter.UserId"),
            (json!({ "UserId": "no spaces" }), "InvalidParameter.UserId"),
            (json!({ "UserId": "ann", "Room": "0" }), "InvalidParameterValue.RoomId"),
            (json!({ "UserId": "ann", "Sources": ["window"] }), "InvalidParameter"),
            (json!({ "UserId": "ann", "Nothing": 1 }), "UnknownParameter"),
        ] {
            assert_eq!(read(user.clone()).unwrap_err().code, code, "{user}");
        }
    }

    #[test]
    fn the_older_form_names_members_in_its_own_way() {
        let body: Body = serde_json::from_value(json!({
            "mix": {}, "members": [{ "userId": "ann", "sources": ["screen"] }]
        }))
        .unwrap();
        let members: Vec<_> = body.members.unwrap().into_iter().map(BodyMember::member).collect();
        assert_eq!(members[0].sources, [TrackSource::Screen]);
    }
}
