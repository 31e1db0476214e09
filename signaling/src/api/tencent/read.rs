//! The typed requests of a call's parameters: which fields there are, and the code of a value of the wrong type. Pure.

mod rooms;

use serde_json::Value;

use super::fields::{Fields, shown, whole};
use crate::api::ApiError;
use crate::api::mix::request::{
    EncodeParams, LayoutParams, LayoutStyle, OtherRoom, OtherRoomUser, OutputParams, PresetLayoutConfig,
    PublishCdnParams, RoomField, SmallVideoLayoutParams, StartBody, StartRequest, StopRequest, WaterMarkParams,
};

pub use rooms::{dismiss, remove};

type Checked<T> = Result<T, ApiError>;

/// How an action names its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomKind {
    Number,
    Name,
}

pub fn start(parameters: &Value, kind: RoomKind) -> Checked<StartRequest> {
    let mut fields = Fields::of(parameters);
    let (sdk_app_id, room) = room(&mut fields, kind)?;
    let body = StartBody {
        output_params: fields
            .object("OutputParams", "InvalidParameter.OutputParams")?
            .map(output)
            .transpose()?,
        encode_params: fields
            .object("EncodeParams", "InvalidParameter.EncodeParams")?
            .map(encode)
            .transpose()?,
        layout_params: fields
            .object("LayoutParams", "InvalidParameter")?
            .map(layout)
            .transpose()?,
        publish_cdn_params: fields
            .object("PublishCdnParams", "InvalidParameter")?
            .map(publish)
            .transpose()?,
    };
    fields.finish()?;
    Ok(StartRequest { sdk_app_id, room, body })
}

pub fn stop(parameters: &Value, kind: RoomKind) -> Checked<StopRequest> {
    let mut fields = Fields::of(parameters);
    let (sdk_app_id, room) = room(&mut fields, kind)?;
    fields.finish()?;
    let stream_id = None;
    Ok(StopRequest {
        sdk_app_id,
        room,
        stream_id,
    })
}

fn room(fields: &mut Fields<'_>, kind: RoomKind) -> Checked<(Option<u64>, RoomField)> {
    let app = fields.number("SdkAppId", "InvalidParameter.SdkAppId")?;
    let room = match kind {
        RoomKind::Number => RoomField::Number(match fields.any("RoomId") {
            None => None,
            Some(value) => Some(room_number(value)?),
        }),
        RoomKind::Name => RoomField::Name(fields.text("StrRoomId", "InvalidParameter.StrRoomId")?),
    };
    Ok((app, room))
}

fn room_number(value: &Value) -> Checked<u64> {
    if let Some(number) = whole(value) {
        return Ok(number);
    }
    let is_negative = value.as_f64().is_some_and(|number| number < 0.0)
        || value
            .as_str()
            .and_then(|text| text.parse::<f64>().ok())
            .is_some_and(|number| number < 0.0);
    let (code, hint) = match is_negative {
        true => ("InvalidParameterValue.RoomId", ""),
        false => (
            "InvalidParameter.RoomId",
            "; for text rooms there are the actions ...ByStrRoomId",
        ),
    };
    let message = format!(
        "RoomId must be a number from 1 to 4294967294, not {}{hint}",
        shown(value)
    );
    Err(ApiError::new(code, message))
}

fn output(mut fields: Fields<'_>) -> Checked<OutputParams> {
    let output = OutputParams {
        stream_id: fields.text("StreamId", "InvalidParameter.StreamId")?,
        pure_audio_stream: fields.number("PureAudioStream", "InvalidParameter.PureAudioStream")?,
        record_id: fields.text("RecordId", "InvalidParameter.RecordId")?,
        record_audio_only: fields.number("RecordAudioOnly", "InvalidParameter.RecordAudioOnly")?,
    };
    fields.finish()?;
    Ok(output)
}

fn encode(mut fields: Fields<'_>) -> Checked<EncodeParams> {
    let audio = "InvalidParameter.AudioEncodeParams";
    let size = "InvalidParameter.VideoResolution";
    let other = "InvalidParameter.EncodeParams";
    let encode = EncodeParams {
        audio_sample_rate: fields.number("AudioSampleRate", audio)?,
        audio_bitrate: fields.number("AudioBitrate", audio)?,
        audio_channels: fields.number("AudioChannels", audio)?,
        video_width: fields.number("VideoWidth", size)?,
        video_height: fields.number("VideoHeight", size)?,
        video_bitrate: fields.number("VideoBitrate", other)?,
        video_framerate: fields.number("VideoFramerate", other)?,
        video_gop: fields.number("VideoGop", other)?,
        background_color: fields.number("BackgroundColor", other)?,
        background_image_id: fields.number("BackgroundImageId", other)?,
        background_image_url: fields.text("BackgroundImageUrl", "InvalidParameter.BackgroundImageUrl")?,
        audio_codec: fields.number("AudioCodec", audio)?,
    };
    fields.finish()?;
    Ok(encode)
}

fn layout(mut fields: Fields<'_>) -> Checked<LayoutParams> {
    let other = "InvalidParameter";
    let small = fields.object("SmallVideoLayoutParams", "InvalidParameter.SmallVideoLayoutParams")?;
    let cells = fields.objects("PresetLayoutConfig", "InvalidParameter.PresetLayoutConfig")?;
    let users = fields.objects("OtherRoomUsers", other)?;
    let layout = LayoutParams {
        template: fields.number("Template", other)?,
        main_video_user_id: fields.text("MainVideoUserId", other)?,
        main_video_room: OtherRoom {
            number: fields.number("MainVideoRoomId", other)?,
            name: fields.text("MainVideoStrRoomId", other)?,
        },
        main_video_stream_type: fields.number("MainVideoStreamType", "InvalidParameter.MainVideoStreamType")?,
        small_video_layout_params: small.map(small_picture).transpose()?,
        main_video_right_align: fields.number("MainVideoRightAlign", "InvalidParameter.MainVideoRightAlign")?,
        mix_video_uids: fields.texts("MixVideoUids", other)?,
        other_room_users: users.into_iter().map(other_room_user).collect::<Checked<_>>()?,
        preset_layout_config: cells.into_iter().map(cell).collect::<Checked<_>>()?,
        pure_audio_hold_place_mode: fields.number("PureAudioHoldPlaceMode", other)?,
        render_mode: fields.number("RenderMode", other)?,
        place_holder_mode: fields.number("PlaceHolderMode", other)?,
        water_mark_params: fields.object("WaterMarkParams", other)?.map(watermark).transpose()?,
        style: fields.object("Style", other)?.map(style).transpose()?,
    };
    fields.finish()?;
    Ok(layout)
}

fn other_room_user(mut fields: Fields<'_>) -> Checked<OtherRoomUser> {
    let code = "InvalidParameter";
    let user = OtherRoomUser {
        user_id: fields.text("UserId", code)?,
        room: other_room(&mut fields, code)?,
    };
    fields.finish()?;
    Ok(user)
}

fn other_room(fields: &mut Fields<'_>, code: &'static str) -> Checked<OtherRoom> {
    Ok(OtherRoom {
        number: fields.number("RoomId", code)?,
        name: fields.text("StrRoomId", code)?,
    })
}

fn small_picture(mut fields: Fields<'_>) -> Checked<SmallVideoLayoutParams> {
    let code = "InvalidParameter.SmallVideoLayoutParams";
    let small = SmallVideoLayoutParams {
        user_id: fields.text("UserId", code)?,
        room: other_room(&mut fields, code)?,
        stream_type: fields.number("StreamType", "InvalidParameter.SmallVideoStreamType")?,
        image_width: fields.number("ImageWidth", code)?,
        image_height: fields.number("ImageHeight", code)?,
        location_x: fields.number("LocationX", code)?,
        location_y: fields.number("LocationY", code)?,
    };
    fields.finish()?;
    Ok(small)
}

fn cell(mut fields: Fields<'_>) -> Checked<PresetLayoutConfig> {
    let code = "InvalidParameter.PresetLayoutConfig";
    let cell = PresetLayoutConfig {
        user_id: fields.text("UserId", code)?,
        room: other_room(&mut fields, code)?,
        stream_type: fields.number("StreamType", code)?,
        image_width: fields.number("ImageWidth", code)?,
        image_height: fields.number("ImageHeight", code)?,
        location_x: fields.number("LocationX", code)?,
        location_y: fields.number("LocationY", code)?,
        z_order: fields.number("ZOrder", code)?,
        render_mode: fields.number("RenderMode", code)?,
        mix_input_type: fields.number("MixInputType", code)?,
        place_image_id: fields.number("PlaceImageId", code)?,
    };
    fields.finish()?;
    Ok(cell)
}

fn watermark(mut fields: Fields<'_>) -> Checked<WaterMarkParams> {
    let code = "InvalidParameter";
    let watermark = WaterMarkParams {
        water_mark_id: fields.number("WaterMarkId", code)?,
        water_mark_width: fields.number("WaterMarkWidth", code)?,
        water_mark_height: fields.number("WaterMarkHeight", code)?,
        location_x: fields.number("LocationX", code)?,
        location_y: fields.number("LocationY", code)?,
        water_mark_url: fields.text("WaterMarkUrl", code)?,
    };
    fields.finish()?;
    Ok(watermark)
}

fn style(mut fields: Fields<'_>) -> Checked<LayoutStyle> {
    let code = "InvalidParameter";
    let style = LayoutStyle {
        show_names: fields.number("ShowNames", code)?,
        margin: fields.number("Margin", code)?,
        corner_radius: fields.number("CornerRadius", code)?,
        speaking_color: fields.number("SpeakingColor", code)?,
        loudest_as_main: fields.number("LoudestAsMain", code)?,
        loudest_dwell: fields.number("LoudestDwell", code)?,
        animated: fields.number("Animated", code)?,
        layout_sei: fields.number("LayoutSei", code)?,
    };
    fields.finish()?;
    Ok(style)
}

fn publish(mut fields: Fields<'_>) -> Checked<PublishCdnParams> {
    let publish = PublishCdnParams {
        biz_id: fields.number("BizId", "InvalidParameter")?,
        publish_cdn_urls: fields.texts("PublishCdnUrls", "InvalidParameter.PublishCdnUrls")?,
    };
    fields.finish()?;
    Ok(publish)
}

#[cfg(test)]
mod tests;
