//! The gRPC face: `rotunda.actions.v1` with a method for each action, `rotunda.v1`, reflection (v1 and v1alpha, which Python's client speaks) and health.

mod actions;
mod rooms;
mod typed;

use std::sync::Arc;

use rotunda_listen::Listener;
use rotunda_listen::http::{Bodies, Serving};
use rotunda_proto::applications::Scope;
use rotunda_proto::config::Application;
use rotunda_proto::grpc::v1;
use rotunda_proto::grpc::v1::action_service_server::ActionServiceServer;
use rotunda_proto::grpc::v1::mix_service_server::{MixService, MixServiceServer};
use rotunda_proto::grpc::v1::room_service_server::RoomServiceServer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use self::typed::ActionsServer;
pub use self::typed::TypedError;
use super::ApiError;
use super::action::Actions;
use super::caller::{acting_as, check_scope, known as known_caller};
use super::mix::Mixes;
use super::mix::request::{
    EncodeParams, LayoutParams, LayoutStyle, OtherRoom, OtherRoomUser, OutputParams, PresetLayoutConfig,
    PublishCdnParams, RoomField, SmallVideoLayoutParams, StartBody, StartRequest, StopRequest, WaterMarkParams,
};
use crate::service::StartError;
use crate::shared::Shared;

/// Longest request, bytes.
const MAX_MESSAGE: usize = 256 * 1024;

/// The application whose key a call has.
#[derive(Debug, Clone)]
struct Caller(Arc<Application>);

pub fn serve(
    listener: Listener,
    shared: Shared,
    mixes: Arc<Mixes>,
    actions: Actions,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, StartError> {
    let typed = typed::pool().map_err(StartError::Messages)?.encode_to_vec();
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(&typed)
    };
    let reflection = described().build_v1().map_err(StartError::Reflection)?;
    let reflection_alpha = described().build_v1alpha().map_err(StartError::Reflection)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let face = Face {
        shared: shared.clone(),
        mixes,
        actions,
    };
    let each_action = ActionsServer::new(face.clone()).map_err(StartError::Messages)?;
    let mixes = MixServiceServer::new(face.clone()).max_decoding_message_size(MAX_MESSAGE);
    let rooms = RoomServiceServer::new(face.clone()).max_decoding_message_size(MAX_MESSAGE);
    let actions = ActionServiceServer::new(face).max_decoding_message_size(MAX_MESSAGE);
    // Before the message is read and decoded.
    let identified = |scope| {
        let shared = shared.clone();
        move |request| identify(&shared, scope, request)
    };
    let mixes = InterceptedService::new(mixes, identified(Some(Scope::Mix)));
    let rooms = InterceptedService::new(rooms, identified(Some(Scope::Moderate)));
    // The scope follows from the action, which is in the message or in the name of the method.
    let actions = InterceptedService::new(actions, identified(None));
    let each_action = InterceptedService::new(each_action, identified(None));
    let routes = Routes::new(reflection)
        .add_service(reflection_alpha)
        .add_service(health)
        .add_service(mixes)
        .add_service(rooms)
        .add_service(actions)
        .add_service(each_action);
    let serving = Serving {
        router: routes.prepare().into_axum_router(),
        is_of_rooms: |_| false,
        bodies: Bodies::Endless,
    };
    Ok(tokio::spawn(async move {
        reporter.set_serving::<MixServiceServer<Face>>().await;
        reporter.set_serving::<RoomServiceServer<Face>>().await;
        reporter.set_serving::<ActionServiceServer<Face>>().await;
        reporter.set_serving::<ActionsServer>().await;
        rotunda_listen::http::serve(listener, serving, shutdown).await;
    }))
}

#[derive(Clone)]
struct Face {
    shared: Shared,
    mixes: Arc<Mixes>,
    actions: Actions,
}

/// Refuses a call without an application's key, or whose key does not open the service; otherwise attaches the application to the call.
fn identify(shared: &Shared, scope: Option<Scope>, mut request: Request<()>) -> Result<Request<()>, Status> {
    let header = request.metadata().get("authorization");
    let header = header.and_then(|value| value.to_str().ok());
    let applications = shared.applications();
    let application =
        known_caller(&applications, header).map_err(|error| Status::unauthenticated(error.to_string()))?;
    let application = acting_as(&applications, application, |name| {
        request.metadata().get(name).and_then(|value| value.to_str().ok())
    });
    let application = application.map_err(status)?;
    if let Some(scope) = scope {
        check_scope(&application, scope).map_err(status)?;
    }
    let caller = Caller(Arc::new(application));
    request.extensions_mut().insert(caller);
    Ok(request)
}

impl Face {
    fn caller<T>(&self, request: &Request<T>) -> Result<Arc<Application>, Status> {
        let caller = request.extensions().get::<Caller>();
        let application = caller.map(|Caller(application)| application.clone());
        application.ok_or_else(|| Status::unauthenticated("the caller is not known"))
    }
}

#[tonic::async_trait]
impl MixService for Face {
    async fn start_mcu_mix_transcode(
        &self,
        request: Request<v1::StartMcuMixTranscodeRequest>,
    ) -> Result<Response<v1::StartMcuMixTranscodeResponse>, Status> {
        let caller = self.caller(&request)?;
        self.mixes
            .start(&caller, request.into_inner().into())
            .await
            .map_err(status)?;
        Ok(Response::new(v1::StartMcuMixTranscodeResponse {
            request_id: Uuid::new_v4().to_string(),
        }))
    }

    async fn stop_mcu_mix_transcode(
        &self,
        request: Request<v1::StopMcuMixTranscodeRequest>,
    ) -> Result<Response<v1::StopMcuMixTranscodeResponse>, Status> {
        let caller = self.caller(&request)?;
        self.mixes
            .stop(&caller, request.into_inner().into())
            .await
            .map_err(status)?;
        Ok(Response::new(v1::StopMcuMixTranscodeResponse {
            request_id: Uuid::new_v4().to_string(),
        }))
    }
}

/// The class of the code decides the status; the message begins with the code itself.
fn status(error: ApiError) -> Status {
    let class = error.code.split('.').next().unwrap_or_default();
    let code = match class {
        "MissingParameter" | "InvalidParameter" | "InvalidParameterValue" | "UnknownParameter" | "InvalidRequest" => {
            Code::InvalidArgument
        }
        "ResourceNotFound" | "InvalidAction" => Code::NotFound,
        "ActionOffline" | "UnsupportedOperation" => Code::Unimplemented,
        "ResourceUnavailable" => Code::Unavailable,
        "FailedOperation" => Code::FailedPrecondition,
        "AuthFailure" => Code::Unauthenticated,
        "UnauthorizedOperation" => Code::PermissionDenied,
        "RequestLimitExceeded" | "ResourceInsufficient" => Code::ResourceExhausted,
        _ => Code::Internal,
    };
    Status::new(code, error.to_string())
}

impl From<v1::StartMcuMixTranscodeRequest> for StartRequest {
    fn from(request: v1::StartMcuMixTranscodeRequest) -> Self {
        use v1::start_mcu_mix_transcode_request::Room;
        let room = match request.room {
            Some(Room::RoomId(number)) => RoomField::Number(Some(number)),
            Some(Room::StrRoomId(name)) => RoomField::Name(Some(name)),
            None => RoomField::Number(None),
        };
        let body = StartBody {
            output_params: request.output_params.map(|output| OutputParams {
                stream_id: Some(output.stream_id),
                pure_audio_stream: output.pure_audio_stream,
                record_id: output.record_id,
                record_audio_only: output.record_audio_only,
            }),
            encode_params: request.encode_params.map(|encode| EncodeParams {
                audio_sample_rate: encode.audio_sample_rate,
                audio_bitrate: encode.audio_bitrate,
                audio_channels: encode.audio_channels,
                video_width: encode.video_width,
                video_height: encode.video_height,
                video_bitrate: encode.video_bitrate,
                video_framerate: encode.video_framerate,
                video_gop: encode.video_gop,
                background_color: encode.background_color,
                background_image_id: encode.background_image_id,
                background_image_url: encode.background_image_url,
                audio_codec: encode.audio_codec,
            }),
            layout_params: request.layout_params.map(LayoutParams::from),
            publish_cdn_params: request.publish_cdn_params.map(|publish| PublishCdnParams {
                biz_id: publish.biz_id,
                publish_cdn_urls: publish.publish_cdn_urls,
            }),
        };
        Self {
            sdk_app_id: known(request.sdk_app_id),
            room,
            body,
        }
    }
}

impl From<v1::StopMcuMixTranscodeRequest> for StopRequest {
    fn from(request: v1::StopMcuMixTranscodeRequest) -> Self {
        use v1::stop_mcu_mix_transcode_request::Room;
        let room = match request.room {
            Some(Room::RoomId(number)) => RoomField::Number(Some(number)),
            Some(Room::StrRoomId(name)) => RoomField::Name(Some(name)),
            None => RoomField::Number(None),
        };
        Self {
            sdk_app_id: known(request.sdk_app_id),
            room,
            stream_id: request.stream_id,
        }
    }
}

impl From<v1::LayoutParams> for LayoutParams {
    fn from(layout: v1::LayoutParams) -> Self {
        Self {
            template: layout.template,
            main_video_user_id: layout.main_video_user_id,
            main_video_room: layout.main_video_room.into(),
            main_video_stream_type: layout.main_video_stream_type,
            small_video_layout_params: layout.small_video_layout_params.map(|small| SmallVideoLayoutParams {
                user_id: Some(small.user_id),
                stream_type: Some(small.stream_type),
                image_width: small.image_width,
                image_height: small.image_height,
                location_x: small.location_x,
                location_y: small.location_y,
                room: small.room.into(),
            }),
            main_video_right_align: layout.main_video_right_align,
            mix_video_uids: layout.mix_video_uids,
            preset_layout_config: layout
                .preset_layout_config
                .into_iter()
                .map(PresetLayoutConfig::from)
                .collect(),
            other_room_users: layout
                .other_room_users
                .into_iter()
                .map(|user| OtherRoomUser {
                    user_id: Some(user.user_id),
                    room: user.room.into(),
                })
                .collect(),
            pure_audio_hold_place_mode: layout.pure_audio_hold_place_mode,
            render_mode: layout.render_mode,
            place_holder_mode: layout.place_holder_mode,
            water_mark_params: layout.water_mark_params.map(|watermark| WaterMarkParams {
                water_mark_id: watermark.water_mark_id,
                water_mark_width: watermark.water_mark_width,
                water_mark_height: watermark.water_mark_height,
                location_x: watermark.location_x,
                location_y: watermark.location_y,
                water_mark_url: watermark.water_mark_url,
            }),
            style: layout.style.map(|style| LayoutStyle {
                show_names: style.show_names,
                margin: style.margin,
                corner_radius: style.corner_radius,
                speaking_color: style.speaking_color,
                loudest_as_main: style.loudest_as_main,
                loudest_dwell: style.loudest_dwell,
                animated: style.animated,
                layout_sei: style.layout_sei,
            }),
        }
    }
}

impl From<v1::PresetLayoutConfig> for PresetLayoutConfig {
    fn from(cell: v1::PresetLayoutConfig) -> Self {
        Self {
            user_id: cell.user_id,
            stream_type: cell.stream_type,
            image_width: cell.image_width,
            image_height: cell.image_height,
            location_x: cell.location_x,
            location_y: cell.location_y,
            z_order: cell.z_order,
            render_mode: cell.render_mode,
            mix_input_type: cell.mix_input_type,
            place_image_id: cell.place_image_id,
            room: cell.room.into(),
        }
    }
}

impl From<Option<v1::OtherRoom>> for OtherRoom {
    fn from(room: Option<v1::OtherRoom>) -> Self {
        use v1::other_room::Room;
        match room.and_then(|room| room.room) {
            Some(Room::RoomId(number)) => Self {
                number: Some(number),
                name: None,
            },
            Some(Room::StrRoomId(name)) => Self {
                number: None,
                name: Some(name),
            },
            None => Self::default(),
        }
    }
}

/// proto3 has no absent number: 0 is none.
fn known(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}
