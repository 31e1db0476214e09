//! From a request to a [`MixSpec`]: every documented check with its documented code. Pure.

use rotunda_proto::ids::{RecordId, RoomId, RoomKey, RoomName, RoomNumber, SdkAppId, StreamId, TrackSource, UserId};
use rotunda_proto::mix::{
    AudioEncode, Cell, CellInput, Layout, MAX_INPUTS, MixSpec, PictureRef, RecordSpec, RenderMode, Template,
    VideoEncode,
};

use super::request::{
    EncodeParams, LayoutParams, OutputParams, PresetLayoutConfig, PublishCdnParams, RoomField, SmallVideoLayoutParams,
    StartRequest, StopRequest,
};
use crate::api::ApiError;

type Checked<T> = Result<T, ApiError>;

/// Sound's sample rates, Hz.
const SAMPLE_RATES: [u64; 6] = [48_000, 44_100, 32_000, 24_000, 16_000, 8_000];

pub fn stop(request: StopRequest) -> Checked<RoomKey> {
    room_key(request.sdk_app_id, request.room)
}

pub fn start(request: StartRequest) -> Checked<MixSpec> {
    let StartRequest { sdk_app_id, room, body } = request;
    let room = room_key(sdk_app_id, room)?;
    let output = body
        .output_params
        .ok_or_else(|| missing("MissingParameter.OutputParams", "OutputParams"))?;
    let audio_only = flag(
        output.pure_audio_stream,
        "InvalidParameter.PureAudioStream",
        "PureAudioStream",
    )?;
    let record = record(&output)?;
    let stream_id = stream_id(&output, record.as_ref())?;
    let encode = body
        .encode_params
        .ok_or_else(|| missing("MissingParameter.EncodeParams", "EncodeParams"))?;
    let audio = audio(&encode)?;
    let video = if audio_only { None } else { Some(video(&encode)?) };
    let canvas = video.map_or((0, 0), |video| (u64::from(video.width), u64::from(video.height)));
    let layout = layout(body.layout_params.unwrap_or_default(), canvas)?;
    let push_urls = push_urls(body.publish_cdn_params)?;
    Ok(MixSpec {
        room,
        stream_id,
        audio,
        video,
        layout,
        record,
        push_urls,
    })
}

fn room_key(app: Option<u64>, room: RoomField) -> Checked<RoomKey> {
    let app = app.ok_or_else(|| missing("MissingParameter.SdkAppId", "SdkAppId"))?;
    let app = u32::try_from(app).ok().and_then(|app| SdkAppId::try_from(app).ok());
    let app = app.ok_or_else(|| invalid("InvalidParameter.SdkAppId", "SdkAppId is out of range"))?;
    let room = match room {
        RoomField::Number(None) => return Err(missing("MissingParameter.RoomId", "RoomId")),
        RoomField::Name(None) => return Err(missing("MissingParameter.RoomId", "StrRoomId")),
        RoomField::Number(Some(number)) => RoomNumber::try_from(number)
            .map(RoomId::Number)
            .map_err(|_| invalid("InvalidParameterValue.RoomId", "RoomId must be 1 to 4294967294"))?,
        RoomField::Name(Some(name)) => RoomName::try_from(name)
            .map(RoomId::Name)
            .map_err(|error| invalid("InvalidParameter.StrRoomId", &format!("StrRoomId {error}")))?,
    };
    Ok(RoomKey { app, room })
}

fn record(output: &OutputParams) -> Checked<Option<RecordSpec>> {
    let audio_only = flag(
        output.record_audio_only,
        "InvalidParameter.RecordAudioOnly",
        "RecordAudioOnly",
    )?;
    match output.record_id.as_deref() {
        None | Some("") => Ok(None),
        Some(id) => {
            let record_id: RecordId = id
                .parse()
                .map_err(|error| invalid("InvalidParameter.RecordId", &format!("RecordId {error}")))?;
            Ok(Some(RecordSpec { record_id, audio_only }))
        }
    }
}

/// A request that records without naming a stream is an old habit of clients; the stream is named after the recording.
fn stream_id(output: &OutputParams, record: Option<&RecordSpec>) -> Checked<StreamId> {
    let id = match (output.stream_id.as_deref(), record) {
        (None | Some(""), Some(record)) => record.record_id.as_str(),
        (None | Some(""), None) => return Err(missing("MissingParameter.StreamId", "OutputParams.StreamId")),
        (Some(id), _) => id,
    };
    id.parse()
        .map_err(|error| invalid("InvalidParameter.StreamId", &format!("StreamId {error}")))
}

fn audio(encode: &EncodeParams) -> Checked<AudioEncode> {
    let (Some(rate), Some(bitrate), Some(channels)) =
        (encode.audio_sample_rate, encode.audio_bitrate, encode.audio_channels)
    else {
        return Err(missing(
            "MissingParameter.AudioEncodeParams",
            "AudioSampleRate, AudioBitrate or AudioChannels",
        ));
    };
    if !SAMPLE_RATES.contains(&rate) || !(8..=500).contains(&bitrate) || !(1..=2).contains(&channels) {
        let rule = "AudioSampleRate must be 48000, 44100, 32000, 24000, 16000 or 8000, AudioBitrate 8 to 500, \
                    AudioChannels 1 or 2";
        return Err(invalid("InvalidParameter.AudioEncodeParams", rule));
    }
    Ok(AudioEncode {
        sample_rate: rate as u32,
        bitrate_kbps: bitrate as u32,
        channels: channels as u8,
    })
}

fn video(encode: &EncodeParams) -> Checked<VideoEncode> {
    let (Some(width), Some(height), Some(bitrate), Some(framerate), Some(gop)) = (
        encode.video_width,
        encode.video_height,
        encode.video_bitrate,
        encode.video_framerate,
        encode.video_gop,
    ) else {
        let names = "VideoWidth, VideoHeight, VideoBitrate, VideoFramerate or VideoGop";
        return Err(missing("MissingParameter.VideoEncodeParams", names));
    };
    if !(16..=1920).contains(&width) || !(16..=1080).contains(&height) {
        return Err(invalid(
            "InvalidParameter.VideoResolution",
            "the picture must be 16x16 to 1920x1080",
        ));
    }
    if !(1..=10_000).contains(&bitrate) || !(1..=60).contains(&framerate) || !(1..=5).contains(&gop) {
        let rule = "VideoBitrate must be 1 to 10000, VideoFramerate 1 to 60, VideoGop 1 to 5";
        return Err(invalid("InvalidParameter.EncodeParams", rule));
    }
    let colour = encode.background_color.unwrap_or(0);
    if colour > 0xff_ff_ff {
        return Err(invalid(
            "InvalidParameter.EncodeParams",
            "BackgroundColor must be 0 to 16777215",
        ));
    }
    // Half a pixel of colour cannot be coded: odd sides lose their last line.
    let even = |side: u64| (side & !1) as u16;
    Ok(VideoEncode {
        width: even(width),
        height: even(height),
        bitrate_kbps: bitrate as u32,
        framerate: framerate as u8,
        gop_seconds: gop as u8,
        background_rgb: colour as u32,
    })
}

fn layout(layout: LayoutParams, canvas: (u64, u64)) -> Checked<Layout> {
    let template = match layout.template.unwrap_or(0) {
        0 => Template::Float,
        1 => Template::Grid,
        2 => Template::ScreenShare,
        3 => Template::PictureInPicture,
        4 => Template::Custom,
        _ => return Err(invalid("InvalidParameter", "LayoutParams.Template must be 0 to 4")),
    };
    let main_source = source(layout.main_video_stream_type, "InvalidParameter.MainVideoStreamType")?;
    let main = match layout.main_video_user_id.filter(|id| !id.is_empty()) {
        Some(id) => Some(PictureRef {
            user: user(&id, "InvalidParameter", "MainVideoUserId")?,
            source: main_source,
        }),
        None => None,
    };
    let right = flag(
        layout.main_video_right_align,
        "InvalidParameter.MainVideoRightAlign",
        "MainVideoRightAlign",
    )?;
    let small = layout
        .small_video_layout_params
        .map(|small| small_cell(small, canvas))
        .transpose()?;
    if template == Template::Custom && layout.preset_layout_config.is_empty() {
        return Err(missing("MissingParameter.PresetLayoutConfig", "PresetLayoutConfig"));
    }
    if layout.preset_layout_config.len() > MAX_INPUTS || layout.mix_video_uids.len() > MAX_INPUTS {
        return Err(invalid(
            "InvalidParameter.PresetLayoutConfig",
            "at most 16 cells and 16 MixVideoUids",
        ));
    }
    let cells = layout
        .preset_layout_config
        .into_iter()
        .map(|cell| preset_cell(cell, canvas));
    let only_users = layout
        .mix_video_uids
        .iter()
        .map(|id| user(id, "InvalidParameter", "MixVideoUids"));
    let audio_only_takes_cell = match layout.pure_audio_hold_place_mode.unwrap_or(0) {
        0 => None,
        1 => Some(true),
        2 => Some(false),
        _ => return Err(invalid("InvalidParameter", "PureAudioHoldPlaceMode must be 0, 1 or 2")),
    };
    Ok(Layout {
        template,
        main,
        small,
        main_right: right,
        only_users: only_users.collect::<Checked<_>>()?,
        cells: cells.collect::<Checked<_>>()?,
        render_mode: render_mode(layout.render_mode, "InvalidParameter")?,
        audio_only_takes_cell,
    })
}

fn small_cell(small: SmallVideoLayoutParams, canvas: (u64, u64)) -> Checked<Cell> {
    let code = "InvalidParameter.SmallVideoLayoutParams";
    let id = small
        .user_id
        .ok_or_else(|| invalid(code, "SmallVideoLayoutParams.UserId is missing"))?;
    let source = source(small.stream_type, "InvalidParameter.SmallVideoStreamType")?;
    let picture = PictureRef {
        user: user(&id, code, "SmallVideoLayoutParams.UserId")?,
        source,
    };
    let area = [
        small.location_x,
        small.location_y,
        small.image_width,
        small.image_height,
    ];
    let [x, y, width, height] = rectangle(area, canvas, code)?;
    Ok(Cell {
        picture: Some(picture),
        x,
        y,
        width,
        height,
        z: 1,
        render_mode: None,
        input: CellInput::AudioVideo,
    })
}

fn preset_cell(cell: PresetLayoutConfig, canvas: (u64, u64)) -> Checked<Cell> {
    let code = "InvalidParameter.PresetLayoutConfig";
    let source = source(cell.stream_type, code)?;
    let picture = match cell.user_id.filter(|id| !id.is_empty()) {
        Some(id) => Some(PictureRef {
            user: user(&id, code, "PresetLayoutConfig.UserId")?,
            source,
        }),
        None => None,
    };
    let area = [cell.location_x, cell.location_y, cell.image_width, cell.image_height];
    let [x, y, width, height] = rectangle(area, canvas, code)?;
    let input = match cell.mix_input_type.unwrap_or(0) {
        0 => CellInput::AudioVideo,
        1 => CellInput::VideoOnly,
        2 => CellInput::AudioOnly,
        _ => return Err(invalid(code, "MixInputType must be 0, 1 or 2")),
    };
    let z = cell.z_order.unwrap_or(0);
    let z = u32::try_from(z).map_err(|_| invalid(code, "ZOrder is too large"))?;
    Ok(Cell {
        picture,
        x,
        y,
        width,
        height,
        z,
        render_mode: render_mode(cell.render_mode, code)?,
        input,
    })
}

/// x, y, width, height within the canvas. Sound-only mixes have none, and their cells no size.
fn rectangle(area: [Option<u64>; 4], canvas: (u64, u64), code: &'static str) -> Checked<[u16; 4]> {
    let [x, y, width, height] = area.map(|side| side.unwrap_or(0).min(u64::from(u16::MAX)));
    if canvas != (0, 0) && (x + width > canvas.0 || y + height > canvas.1) {
        return Err(invalid(code, "the cell is not within the picture"));
    }
    Ok([x, y, width, height].map(|side| side as u16))
}

fn push_urls(publish: Option<PublishCdnParams>) -> Checked<Vec<String>> {
    let Some(publish) = publish else { return Ok(Vec::new()) };
    if publish.biz_id.is_none() {
        return Err(missing("MissingParameter.BizId", "PublishCdnParams.BizId"));
    }
    match publish.publish_cdn_urls.as_slice() {
        [] => Err(missing(
            "MissingParameter.PublishCdnUrls",
            "PublishCdnParams.PublishCdnUrls",
        )),
        [url] if url.starts_with("rtmp://") || url.starts_with("rtmps://") => Ok(publish.publish_cdn_urls),
        [_] => Err(invalid(
            "InvalidParameter.PublishCdnUrls",
            "the address must begin with rtmp:// or rtmps://",
        )),
        _ => Err(invalid("InvalidParameter.PublishCdnUrls", "one address at a time")),
    }
}

fn render_mode(mode: Option<u64>, code: &'static str) -> Checked<Option<RenderMode>> {
    Ok(match mode {
        None => None,
        Some(0) => Some(RenderMode::Crop),
        Some(1) => Some(RenderMode::Scale),
        Some(2) => Some(RenderMode::ScaleOnBlack),
        Some(_) => return Err(invalid(code, "RenderMode must be 0, 1 or 2")),
    })
}

fn source(stream_type: Option<u64>, code: &'static str) -> Checked<TrackSource> {
    match stream_type.unwrap_or(0) {
        0 => Ok(TrackSource::Camera),
        1 => Ok(TrackSource::Screen),
        _ => Err(invalid(code, "the stream type must be 0 (camera) or 1 (screen)")),
    }
}

fn user(id: &str, code: &'static str, name: &str) -> Checked<UserId> {
    id.parse().map_err(|error| invalid(code, &format!("{name} {error}")))
}

fn flag(value: Option<u64>, code: &'static str, name: &str) -> Checked<bool> {
    match value.unwrap_or(0) {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid(code, &format!("{name} must be 0 or 1"))),
    }
}

fn missing(code: &'static str, what: &str) -> ApiError {
    ApiError::new(code, format!("{what} is missing"))
}

fn invalid(code: &'static str, message: &str) -> ApiError {
    ApiError::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::super::request::StartBody;
    use super::*;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({
            "OutputParams": { "StreamId": "s1" },
            "EncodeParams": {
                "AudioSampleRate": 48000, "AudioBitrate": 64, "AudioChannels": 2, "VideoWidth": 1280,
                "VideoHeight": 720, "VideoBitrate": 1500, "VideoFramerate": 15, "VideoGop": 3
            },
            "LayoutParams": { "Template": 1 }
        })
    }

    fn check(body: Value) -> Checked<MixSpec> {
        let body: StartBody = serde_json::from_value(body).unwrap();
        start(StartRequest {
            sdk_app_id: Some(1),
            room: RoomField::Number(Some(1001)),
            body,
        })
    }

    #[test]
    fn a_complete_request_becomes_a_spec() {
        let spec = check(good()).unwrap();
        assert_eq!(spec.layout.template, Template::Grid);
        assert_eq!(spec.video.unwrap().width, 1280);
        assert!(spec.record.is_none());
    }

    #[test]
    fn each_mistake_has_its_documented_code() {
        let set = |path: &str, value: Value| {
            let mut body = good();
            *body.pointer_mut(path).unwrap() = value;
            body
        };
        let cell = |cell: Value| set("/LayoutParams", json!({ "Template": 4, "PresetLayoutConfig": [cell] }));
        for (body, code) in [
            (set("/OutputParams", Value::Null), "MissingParameter.OutputParams"),
            (set("/OutputParams", json!({})), "MissingParameter.StreamId"),
            (
                set("/OutputParams", json!({ "StreamId": "a b" })),
                "InvalidParameter.StreamId",
            ),
            (
                set("/OutputParams", json!({ "StreamId": "s", "RecordId": "a/b" })),
                "InvalidParameter.RecordId",
            ),
            (
                set("/OutputParams", json!({ "StreamId": "s", "PureAudioStream": 2 })),
                "InvalidParameter.PureAudioStream",
            ),
            (
                set("/OutputParams", json!({ "StreamId": "s", "RecordAudioOnly": 2 })),
                "InvalidParameter.RecordAudioOnly",
            ),
            (set("/EncodeParams", Value::Null), "MissingParameter.EncodeParams"),
            (
                set("/EncodeParams/AudioBitrate", Value::Null),
                "MissingParameter.AudioEncodeParams",
            ),
            (
                set("/EncodeParams/AudioSampleRate", json!(11025)),
                "InvalidParameter.AudioEncodeParams",
            ),
            (
                set("/EncodeParams/VideoGop", Value::Null),
                "MissingParameter.VideoEncodeParams",
            ),
            (set("/EncodeParams/VideoGop", json!(6)), "InvalidParameter.EncodeParams"),
            (
                set("/EncodeParams/VideoWidth", json!(1922)),
                "InvalidParameter.VideoResolution",
            ),
            (
                set("/LayoutParams", json!({ "Template": 4 })),
                "MissingParameter.PresetLayoutConfig",
            ),
            (
                cell(json!({ "ImageWidth": 1281 })),
                "InvalidParameter.PresetLayoutConfig",
            ),
            (
                cell(json!({ "MixInputType": 3 })),
                "InvalidParameter.PresetLayoutConfig",
            ),
            (
                set("/LayoutParams", json!({ "Template": 3, "SmallVideoLayoutParams": {} })),
                "InvalidParameter.SmallVideoLayoutParams",
            ),
            (
                set("/LayoutParams", json!({ "Template": 2, "MainVideoStreamType": 7 })),
                "InvalidParameter.MainVideoStreamType",
            ),
            (
                set("/LayoutParams", json!({ "Template": 2, "MainVideoRightAlign": 7 })),
                "InvalidParameter.MainVideoRightAlign",
            ),
        ] {
            assert_eq!(
                check(body.clone()).map_err(|error| error.code).unwrap_err(),
                code,
                "{body}"
            );
        }
        let mut push = good();
        for (publish, code) in [
            (json!({ "PublishCdnUrls": ["rtmp://a/b"] }), "MissingParameter.BizId"),
            (json!({ "BizId": 1 }), "MissingParameter.PublishCdnUrls"),
            (
                json!({ "BizId": 1, "PublishCdnUrls": ["http://a"] }),
                "InvalidParameter.PublishCdnUrls",
            ),
        ] {
            push["PublishCdnParams"] = publish;
            assert_eq!(check(push.clone()).unwrap_err().code, code);
        }
    }

    #[test]
    fn rooms_are_checked_by_their_kind() {
        let key = |room| room_key(Some(1), room).map_err(|error| error.code);
        assert_eq!(key(RoomField::Number(None)), Err("MissingParameter.RoomId"));
        assert_eq!(key(RoomField::Number(Some(0))), Err("InvalidParameterValue.RoomId"));
        assert_eq!(
            key(RoomField::Name(Some("\n".into()))),
            Err("InvalidParameter.StrRoomId")
        );
        assert_eq!(
            room_key(None, RoomField::Number(Some(1))).unwrap_err().code,
            "MissingParameter.SdkAppId"
        );
        assert_ne!(
            key(RoomField::Number(Some(123))),
            key(RoomField::Name(Some("123".into())))
        );
    }

    #[test]
    fn a_recording_without_a_stream_is_named_after_itself() {
        let mut body = good();
        body["OutputParams"] = json!({ "RecordId": "film" });
        assert_eq!(check(body).unwrap().stream_id.as_str(), "film");
    }
}
