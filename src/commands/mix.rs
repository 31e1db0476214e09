//! `rotunda mix start|stop`: the public API, called over gRPC.

use anyhow::{Context, bail};
use rotunda_proto::config::Application;
use rotunda_proto::grpc::v1;
use rotunda_proto::grpc::v1::mix_service_client::MixServiceClient;
use rotunda_proto::ids::{RoomId, UserId};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::{load, local_application};
use crate::cli::{Mix, MixStart, MixTarget, TemplateName};
use crate::config::Config;

pub async fn run(command: Mix) -> anyhow::Result<()> {
    match command {
        Mix::Start(arguments) => {
            let (mut api, _) = connect(&arguments.target).await?;
            api.start(&arguments).await?;
            println!(
                "The mix of room {} runs as {}",
                arguments.target.room,
                stream_id(&arguments)
            );
            Ok(())
        }
        Mix::Stop(target) => {
            let (mut api, _) = connect(&target).await?;
            api.stop(&target.room).await?;
            println!("The mix of room {} has ended", target.room);
            Ok(())
        }
    }
}

/// The stream id of the mix: the given one, or `mix-ROOM`.
pub fn stream_id(arguments: &MixStart) -> String {
    match &arguments.stream_id {
        Some(id) => id.to_string(),
        None => format!("mix-{}", arguments.target.room),
    }
}

fn other_room_user((room, user): &(RoomId, UserId)) -> v1::OtherRoomUser {
    use v1::other_room::Room;
    let room = match room {
        RoomId::Number(number) => Room::RoomId(number.get().into()),
        RoomId::Name(name) => Room::StrRoomId(name.to_string()),
    };
    v1::OtherRoomUser {
        user_id: user.to_string(),
        room: Some(v1::OtherRoom { room: Some(room) }),
    }
}

async fn connect(target: &MixTarget) -> anyhow::Result<(Api, Config)> {
    let config = load(&target.file)?;
    let application = local_application(&config)?;
    let url = match &target.url {
        Some(url) => url.clone(),
        None => format!("http://127.0.0.1:{}", config.signaling.api.grpc_port),
    };
    Ok((Api::connect(&url, &application).await?, config))
}

/// A client of the mix service with one application's key.
pub struct Api {
    client: MixServiceClient<Channel>,
    application: Application,
}

impl Api {
    pub async fn connect(url: &str, application: &Application) -> anyhow::Result<Self> {
        let client = MixServiceClient::connect(url.to_owned())
            .await
            .with_context(|| format!("reach the API at {url} (is `rotunda serve` running?)"))?;
        Ok(Self {
            client,
            application: application.clone(),
        })
    }

    pub async fn start(&mut self, arguments: &MixStart) -> anyhow::Result<()> {
        let room = match &arguments.target.room {
            RoomId::Number(number) => v1::start_mcu_mix_transcode_request::Room::RoomId(number.get().into()),
            RoomId::Name(name) => v1::start_mcu_mix_transcode_request::Room::StrRoomId(name.to_string()),
        };
        let template = match arguments.template {
            TemplateName::Float => 0,
            TemplateName::Grid => 1,
            TemplateName::ScreenShare => 2,
            TemplateName::PictureInPicture => 3,
        };
        let request = v1::StartMcuMixTranscodeRequest {
            sdk_app_id: self.application.sdk_app_id.get().into(),
            room: Some(room),
            output_params: Some(v1::OutputParams {
                stream_id: stream_id(arguments),
                record_id: arguments.record_id.as_ref().map(ToString::to_string),
                ..Default::default()
            }),
            encode_params: Some(v1::EncodeParams {
                audio_sample_rate: Some(48_000),
                audio_bitrate: Some(arguments.audio_kbps),
                audio_channels: Some(2),
                video_width: Some(arguments.size.width.into()),
                video_height: Some(arguments.size.height.into()),
                video_bitrate: Some(arguments.video_kbps),
                video_framerate: Some(arguments.fps),
                video_gop: Some(2),
                background_color: Some(0x18_1c_24),
                ..Default::default()
            }),
            layout_params: Some(v1::LayoutParams {
                template: Some(template),
                other_room_users: arguments.also.iter().map(other_room_user).collect(),
                ..Default::default()
            }),
            publish_cdn_params: arguments.push.as_ref().map(|url| v1::PublishCdnParams {
                biz_id: Some(0),
                publish_cdn_urls: vec![url.clone()],
            }),
        };
        let request = self.signed(request)?;
        self.client.start_mcu_mix_transcode(request).await.map_err(said)?;
        Ok(())
    }

    pub async fn stop(&mut self, room: &RoomId) -> anyhow::Result<()> {
        let room = match room {
            RoomId::Number(number) => v1::stop_mcu_mix_transcode_request::Room::RoomId(number.get().into()),
            RoomId::Name(name) => v1::stop_mcu_mix_transcode_request::Room::StrRoomId(name.to_string()),
        };
        let request = v1::StopMcuMixTranscodeRequest {
            sdk_app_id: self.application.sdk_app_id.get().into(),
            room: Some(room),
            stream_id: None,
        };
        let request = self.signed(request)?;
        self.client.stop_mcu_mix_transcode(request).await.map_err(said)?;
        Ok(())
    }

    fn signed<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let Application {
            secret_id, api_secret, ..
        } = &self.application;
        let token = format!("Bearer {secret_id}:{}", api_secret.reveal());
        let token: MetadataValue<_> = match token.parse() {
            Ok(token) => token,
            Err(_) => bail!("the API key has characters that do not fit a header"),
        };
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

/// The API's error, without tonic's wrapping.
fn said(status: tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}
