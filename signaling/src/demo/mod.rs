//! The back end of the demo page, in place of a company's own. It issues a UserSig to everybody, so it runs only in demo mode and
//! serves only the generated application, never a configured one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use rotunda_bus::BusExt;
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, UserId};
use rotunda_proto::mix::Template;
use rotunda_proto::recording::{LIST_SUBJECT, ListReply, ListRequest, ListedFile};
use rotunda_proto::user_sig;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::ApiError;
use crate::api::mix::Mixes;
use crate::api::mix::request::{
    EncodeParams, LayoutParams, OutputParams, RoomField, StartBody, StartRequest, StopRequest,
};
use crate::shared::Shared;

/// A UserSig of the demo is valid for a day.
const LIFE: Duration = Duration::from_secs(86_400);

/// Largest body of a request, bytes.
const MAX_BODY: usize = 16 * 1024;

#[derive(Clone)]
struct Demo {
    shared: Shared,
    mixes: Arc<Mixes>,
}

pub fn router(shared: Shared, mixes: Arc<Mixes>) -> Router {
    Router::new()
        .route("/demo/info", get(info))
        .route("/demo/user-sig", post(ticket))
        .route("/demo/mix/start", post(start))
        .route("/demo/mix/stop", post(stop))
        .route("/demo/recordings", get(recordings))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Demo { shared, mixes })
}

async fn info(State(demo): State<Demo>) -> Result<Json<Value>, ApiError> {
    let application = demo.application()?;
    Ok(Json(
        json!({ "sdkAppId": application.sdk_app_id, "version": env!("CARGO_PKG_VERSION"), "demoMode": true }),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TicketRequest {
    user_id: UserId,
}

async fn ticket(State(demo): State<Demo>, Json(request): Json<TicketRequest>) -> Result<Json<Value>, ApiError> {
    let Application {
        sdk_app_id, secret_key, ..
    } = demo.application()?;
    let ticket = user_sig::sign(sdk_app_id, secret_key.reveal(), &request.user_id, Clock.unix(), LIFE);
    Ok(Json(json!({ "sdkAppId": sdk_app_id, "userSig": ticket })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MixRequest {
    room_id: RoomId,
    #[serde(default)]
    template: Option<Template>,
}

async fn start(State(demo): State<Demo>, Json(request): Json<MixRequest>) -> Result<Json<Value>, ApiError> {
    let application = demo.application()?;
    let stream_id = stream_id(&request.room_id);
    let template = match request.template.unwrap_or(Template::Grid) {
        Template::Float | Template::Presenter => 0,
        Template::Grid => 1,
        Template::ScreenShare => 2,
        Template::PictureInPicture => 3,
        Template::Custom => 4,
    };
    let body = StartBody {
        output_params: Some(OutputParams {
            stream_id: Some(stream_id.clone()),
            record_id: Some(stream_id.clone()),
            ..OutputParams::default()
        }),
        encode_params: Some(EncodeParams {
            audio_sample_rate: Some(48_000),
            audio_bitrate: Some(96),
            audio_channels: Some(2),
            video_width: Some(1280),
            video_height: Some(720),
            video_bitrate: Some(1500),
            video_framerate: Some(15),
            video_gop: Some(2),
            background_color: Some(0x18_1c_24),
            ..EncodeParams::default()
        }),
        layout_params: Some(LayoutParams {
            template: Some(template),
            ..LayoutParams::default()
        }),
        publish_cdn_params: None,
    };
    let sdk_app_id = Some(application.sdk_app_id.get().into());
    let request = StartRequest {
        sdk_app_id,
        room: field(request.room_id),
        body,
    };
    demo.mixes.start(&application, request).await?;
    Ok(Json(json!({ "streamId": stream_id })))
}

/// The files of the demo's application.
async fn recordings(State(demo): State<Demo>) -> Result<Json<Vec<ListedFile>>, ApiError> {
    let app = demo.application()?.sdk_app_id;
    let listed = demo.shared.bus.call(LIST_SUBJECT, &ListRequest { app }).await;
    match listed {
        Ok(ListReply { files }) => Ok(Json(files)),
        Err(_) => Err(ApiError::new("ResourceUnavailable", "the recorder does not answer")),
    }
}

async fn stop(State(demo): State<Demo>, Json(request): Json<MixRequest>) -> Result<Json<Value>, ApiError> {
    let application = demo.application()?;
    let sdk_app_id = Some(application.sdk_app_id.get().into());
    demo.mixes
        .stop(
            &application,
            StopRequest {
                sdk_app_id,
                room: field(request.room_id),
                stream_id: None,
            },
        )
        .await?;
    Ok(Json(json!({})))
}

impl Demo {
    fn application(&self) -> Result<Application, ApiError> {
        let none = || ApiError::new("ResourceNotFound", "the server is not in demo mode");
        self.shared.demo_application().ok_or_else(none)
    }
}

/// `demo-ROOM`; characters that a stream id may not have are replaced.
fn stream_id(room: &RoomId) -> String {
    let name: String = room
        .to_string()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || letter == '-' {
                letter
            } else {
                '_'
            }
        })
        .take(50)
        .collect();
    format!("demo-{name}")
}

fn field(room: RoomId) -> RoomField {
    match room {
        RoomId::Number(number) => RoomField::Number(Some(number.get().into())),
        RoomId::Name(name) => RoomField::Name(Some(name.to_string())),
    }
}
