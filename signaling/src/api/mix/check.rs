//! Checks a request and makes a [`MixSpec`] of it: every documented check with its documented code. Pure.

mod decoration;

use std::ops::RangeInclusive;

use rotunda_proto::ids::{
    OwnStreamId, RecordId, RoomId, RoomKey, RoomName, RoomNumber, RoomUser, SdkAppId, Source, StreamId, TextId,
    TrackSource, shortened,
};
use rotunda_proto::mix::{
    AudioEncode, Cell, CellInput, Layout, MAX_INPUTS, MixSpec, RecordSpec, RenderMode, Template, VideoEncode,
};
use rotunda_proto::push_address::PushAddress;
use rotunda_proto::recording::FileWishes;

use super::request::{
    EncodeParams, LayoutParams, OtherRoom, OtherRoomUser, OutputParams, PresetLayoutConfig, PublishCdnParams,
    RoomField, SmallVideoLayoutParams, StartRequest, StopRequest,
};
use crate::api::ApiError;

pub use decoration::{PictureUrls, picture_urls};

type Checked<T> = Result<T, ApiError>;

/// Sample rates of audio, Hz.
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
        "OutputParams.PureAudioStream",
    )?;
    let record = record(&output)?;
    let stream_id = stream_id(&output, record.as_ref())?;
    let encode = body
        .encode_params
        .ok_or_else(|| missing("MissingParameter.EncodeParams", "EncodeParams"))?;
    let audio = audio(&encode)?;
    let video = if audio_only { None } else { Some(video(&encode)?) };
    let canvas = video.map_or((0, 0), |video| (u64::from(video.width), u64::from(video.height)));
    let mut layout = layout(&room, body.layout_params.unwrap_or_default(), canvas)?;
    layout.background = decoration::background(&encode)?;
    let push_urls = push_urls(body.publish_cdn_params)?;
    Ok(MixSpec {
        room,
        stream_id,
        audio,
        video,
        layout,
        record,
        push_urls,
        task: None,
    })
}

fn room_key(app: Option<u64>, room: RoomField) -> Checked<RoomKey> {
    let app = application(app)?;
    let room = match room {
        RoomField::Number(None) => return Err(missing("MissingParameter.RoomId", "RoomId")),
        RoomField::Name(None) => return Err(missing("MissingParameter.RoomId", "StrRoomId")),
        RoomField::Number(Some(number)) => RoomId::Number(room_number(number)?),
        RoomField::Name(Some(name)) => {
            RoomId::Name(text_id::<RoomName>(&name, "InvalidParameter.StrRoomId", "StrRoomId")?)
        }
    };
    Ok(RoomKey { app, room })
}

pub fn application(number: Option<u64>) -> Checked<SdkAppId> {
    let number = number.ok_or_else(|| missing("MissingParameter.SdkAppId", "SdkAppId"))?;
    let app = u32::try_from(number).ok().and_then(|app| SdkAppId::try_from(app).ok());
    app.ok_or_else(|| {
        let message = format!("SdkAppId must be 1 to 4294967295, not {number}");
        invalid("InvalidParameter.SdkAppId", &message)
    })
}

pub fn room_number(number: u64) -> Checked<RoomNumber> {
    RoomNumber::try_from(number).map_err(|_| {
        let message = format!("RoomId must be a number from 1 to 4294967294, not {number}");
        invalid("InvalidParameterValue.RoomId", &message)
    })
}

fn record(output: &OutputParams) -> Checked<Option<RecordSpec>> {
    let audio_only = flag(
        output.record_audio_only,
        "InvalidParameter.RecordAudioOnly",
        "OutputParams.RecordAudioOnly",
    )?;
    match output.record_id.as_deref() {
        None | Some("") => Ok(None),
        Some(id) => {
            let record_id: RecordId = text_id(id, "InvalidParameter.RecordId", "OutputParams.RecordId")?;
            let files = FileWishes::default();
            Ok(Some(RecordSpec {
                record_id,
                audio_only,
                files,
            }))
        }
    }
}

/// Older clients record without naming a stream; the stream then has the name of the recording.
fn stream_id(output: &OutputParams, record: Option<&RecordSpec>) -> Checked<StreamId> {
    let id = match (output.stream_id.as_deref(), record) {
        (None | Some(""), Some(record)) => record.record_id.as_str(),
        (None | Some(""), None) => return Err(missing("MissingParameter.StreamId", "OutputParams.StreamId")),
        (Some(id), _) => id,
    };
    text_id::<OwnStreamId>(id, "InvalidParameter.StreamId", "OutputParams.StreamId").map(StreamId::from)
}

fn audio(encode: &EncodeParams) -> Checked<AudioEncode> {
    let needed = |value: Option<u64>, name: &str| {
        value.ok_or_else(|| missing("MissingParameter.AudioEncodeParams", &format!("EncodeParams.{name}")))
    };
    let rate = needed(encode.audio_sample_rate, "AudioSampleRate")?;
    let bitrate = needed(encode.audio_bitrate, "AudioBitrate")?;
    let channels = needed(encode.audio_channels, "AudioChannels")?;
    let code = "InvalidParameter.AudioEncodeParams";
    if !SAMPLE_RATES.contains(&rate) {
        let rule = "EncodeParams.AudioSampleRate must be 48000, 44100, 32000, 24000, 16000 or 8000";
        return Err(invalid(code, &format!("{rule}, not {rate}")));
    }
    within(bitrate, 8..=500, code, "EncodeParams.AudioBitrate")?;
    within(channels, 1..=2, code, "EncodeParams.AudioChannels")?;
    let codec = encode.audio_codec.unwrap_or(0);
    within(codec, 0..=2, code, "EncodeParams.AudioCodec")?;
    if codec == 2 && channels != 2 {
        let message = "EncodeParams.AudioCodec 2 (HE-AACv2) needs AudioChannels 2";
        return Err(invalid(code, message));
    }
    if codec > 0 && rate == 8_000 {
        let message = format!("EncodeParams.AudioCodec {codec} does not go with AudioSampleRate 8000");
        return Err(invalid(code, &message));
    }
    Ok(AudioEncode {
        sample_rate: rate as u32,
        bitrate_kbps: bitrate as u32,
        channels: channels as u8,
    })
}

fn video(encode: &EncodeParams) -> Checked<VideoEncode> {
    let needed = |value: Option<u64>, name: &str| {
        value.ok_or_else(|| missing("MissingParameter.VideoEncodeParams", &format!("EncodeParams.{name}")))
    };
    let width = needed(encode.video_width, "VideoWidth")?;
    let height = needed(encode.video_height, "VideoHeight")?;
    let bitrate = needed(encode.video_bitrate, "VideoBitrate")?;
    let framerate = needed(encode.video_framerate, "VideoFramerate")?;
    let gop = needed(encode.video_gop, "VideoGop")?;
    let size = "InvalidParameter.VideoResolution";
    within(width, 16..=1920, size, "EncodeParams.VideoWidth")?;
    within(height, 16..=1080, size, "EncodeParams.VideoHeight")?;
    let code = "InvalidParameter.EncodeParams";
    within(bitrate, 1..=10_000, code, "EncodeParams.VideoBitrate")?;
    within(framerate, 1..=60, code, "EncodeParams.VideoFramerate")?;
    within(gop, 1..=5, code, "EncodeParams.VideoGop")?;
    let colour = encode.background_color.unwrap_or(0);
    within(colour, 0..=0xff_ff_ff, code, "EncodeParams.BackgroundColor")?;
    Ok(VideoEncode {
        width: width as u16,
        height: height as u16,
        bitrate_kbps: bitrate as u32,
        framerate: framerate as u8,
        gop_seconds: gop as u8,
        background_rgb: colour as u32,
    })
}

fn layout(own: &RoomKey, layout: LayoutParams, canvas: (u64, u64)) -> Checked<Layout> {
    let template = match layout.template.unwrap_or(0) {
        0 => Template::Float,
        1 => Template::Grid,
        2 => Template::ScreenShare,
        3 => Template::PictureInPicture,
        4 => Template::Custom,
        other => {
            let message = format!("LayoutParams.Template must be 0 to 4, not {other}");
            return Err(invalid("InvalidParameter", &message));
        }
    };
    let main_source = source(
        layout.main_video_stream_type,
        "InvalidParameter.MainVideoStreamType",
        "LayoutParams.MainVideoStreamType",
    )?;
    let main = match layout.main_video_user_id.filter(|id| !id.is_empty()) {
        Some(id) => Some(Source {
            room: room_of(
                own,
                &layout.main_video_room,
                "InvalidParameter",
                "LayoutParams.MainVideo",
            )?
            .unwrap_or_else(|| own.clone()),
            user: text_id(&id, "InvalidParameter", "LayoutParams.MainVideoUserId")?,
            track: main_source,
        }),
        None => None,
    };
    let right = flag(
        layout.main_video_right_align,
        "InvalidParameter.MainVideoRightAlign",
        "LayoutParams.MainVideoRightAlign",
    )?;
    let small = match layout.small_video_layout_params {
        // Clients send it with empty values for the other templates, which do not use it.
        Some(small) if template == Template::PictureInPicture => Some(small_cell(own, small, canvas)?),
        _ => None,
    };
    if template == Template::Custom && layout.preset_layout_config.is_empty() {
        return Err(missing("MissingParameter.PresetLayoutConfig", "PresetLayoutConfig"));
    }
    let (cells, users) = (layout.preset_layout_config.len(), layout.mix_video_uids.len());
    if cells > MAX_INPUTS {
        let message = format!("LayoutParams.PresetLayoutConfig must have at most {MAX_INPUTS} cells, not {cells}");
        return Err(invalid("InvalidParameter.PresetLayoutConfig", &message));
    }
    if users > MAX_INPUTS {
        let message = format!("LayoutParams.MixVideoUids must have at most {MAX_INPUTS} users, not {users}");
        return Err(invalid("InvalidParameter", &message));
    }
    let cells = layout.preset_layout_config.into_iter().enumerate();
    let cells = cells.map(|(index, cell)| preset_cell(own, cell, canvas, index));
    let only_users = layout.mix_video_uids.iter().enumerate();
    let only_users = only_users.map(|(index, id)| -> Checked<RoomUser> {
        Ok(RoomUser {
            room: own.clone(),
            user: text_id(id, "InvalidParameter", &format!("LayoutParams.MixVideoUids.{index}"))?,
        })
    });
    let guests = guests(own, layout.other_room_users)?;
    let audio_only_takes_cell = match layout.pure_audio_hold_place_mode.unwrap_or(0) {
        0 => None,
        1 => Some(true),
        2 => Some(false),
        other => {
            let message = format!("LayoutParams.PureAudioHoldPlaceMode must be 0, 1 or 2, not {other}");
            return Err(invalid("InvalidParameter", &message));
        }
    };
    Ok(Layout {
        template,
        main,
        small,
        main_right: right,
        only_users: only_users.collect::<Checked<_>>()?,
        guests,
        cells: cells.collect::<Checked<_>>()?,
        render_mode: render_mode(layout.render_mode, "InvalidParameter", "LayoutParams.RenderMode")?,
        audio_only_takes_cell,
        watermark: layout
            .water_mark_params
            .map(|watermark| decoration::watermark(&watermark, canvas))
            .transpose()?,
        style: layout
            .style
            .map(|style| decoration::style(&style))
            .transpose()?
            .unwrap_or_default(),
        placeholders: flag(
            layout.place_holder_mode,
            "InvalidParameter",
            "LayoutParams.PlaceHolderMode",
        )?,
        ..Layout::default()
    })
}

/// Members of other rooms who take part.
fn guests(own: &RoomKey, users: Vec<OtherRoomUser>) -> Checked<Vec<RoomUser>> {
    let code = "InvalidParameter";
    if users.len() > MAX_INPUTS {
        let message = format!(
            "LayoutParams.OtherRoomUsers must have at most {MAX_INPUTS} users, not {}",
            users.len()
        );
        return Err(invalid(code, &message));
    }
    let mut guests = Vec::new();
    for (index, user) in users.into_iter().enumerate() {
        let name = format!("LayoutParams.OtherRoomUsers.{index}");
        let id = user.user_id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| missing(code, &format!("{name}.UserId")))?;
        let room = room_of(own, &user.room, code, &format!("{name}."))?;
        let room = room.filter(|room| room != own).ok_or_else(|| {
            invalid(code, &format!("{name} needs RoomId or StrRoomId of another room than the mix's; its own members take part in any case"))
        })?;
        let guest = RoomUser {
            room,
            user: text_id(&id, code, &format!("{name}.UserId"))?,
        };
        if guests.contains(&guest) {
            return Err(invalid(code, &format!("{name} is in the list twice")));
        }
        guests.push(guest);
    }
    Ok(guests)
}

/// The room that a user or a cell names, if any. `prefix`: of the names of the two fields.
fn room_of(own: &RoomKey, room: &OtherRoom, code: &'static str, prefix: &str) -> Checked<Option<RoomKey>> {
    // Clients send the field that they do not use with 0 or an empty text.
    let number = room.number.filter(|number| *number != 0);
    let name = room.name.as_deref().filter(|name| !name.is_empty());
    let room = match (number, name) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let message = format!("write either {prefix}RoomId or {prefix}StrRoomId, not both");
            return Err(invalid(code, &message));
        }
        (Some(number), None) => RoomId::Number(RoomNumber::try_from(number).map_err(|_| {
            let message = format!("{prefix}RoomId must be a number from 1 to 4294967294, not {number}");
            invalid(code, &message)
        })?),
        (None, Some(name)) => RoomId::Name(text_id::<RoomName>(name, code, &format!("{prefix}StrRoomId"))?),
    };
    Ok(Some(RoomKey { app: own.app, room }))
}

fn small_cell(own: &RoomKey, small: SmallVideoLayoutParams, canvas: (u64, u64)) -> Checked<Cell> {
    let code = "InvalidParameter.SmallVideoLayoutParams";
    let name = "LayoutParams.SmallVideoLayoutParams";
    let id = small.user_id.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| missing(code, &format!("{name}.UserId")))?;
    let source = source(
        small.stream_type,
        "InvalidParameter.SmallVideoStreamType",
        &format!("{name}.StreamType"),
    )?;
    let video = Source {
        room: room_of(own, &small.room, code, &format!("{name}."))?.unwrap_or_else(|| own.clone()),
        user: text_id(&id, code, &format!("{name}.UserId"))?,
        track: source,
    };
    let area = [
        small.location_x,
        small.location_y,
        small.image_width,
        small.image_height,
    ];
    let [x, y, width, height] = rectangle(area, canvas, code, name)?;
    Ok(Cell {
        video: Some(video),
        room: None,
        x,
        y,
        width,
        height,
        z: 1,
        render_mode: None,
        input: CellInput::AudioVideo,
        placeholder: None,
    })
}

fn preset_cell(own: &RoomKey, cell: PresetLayoutConfig, canvas: (u64, u64), index: usize) -> Checked<Cell> {
    let code = "InvalidParameter.PresetLayoutConfig";
    let name = format!("LayoutParams.PresetLayoutConfig.{index}");
    let source = source(cell.stream_type, code, &format!("{name}.StreamType"))?;
    let room = room_of(own, &cell.room, code, &format!("{name}."))?;
    let video = match cell.user_id.filter(|id| !id.is_empty()) {
        Some(id) => Some(Source {
            room: room.clone().unwrap_or_else(|| own.clone()),
            user: text_id(&id, code, &format!("{name}.UserId"))?,
            track: source,
        }),
        None => None,
    };
    let area = [cell.location_x, cell.location_y, cell.image_width, cell.image_height];
    let [x, y, width, height] = rectangle(area, canvas, code, &name)?;
    let input = match cell.mix_input_type.unwrap_or(0) {
        0 => CellInput::AudioVideo,
        1 => CellInput::VideoOnly,
        2 => CellInput::AudioOnly,
        other => {
            let message = format!("{name}.MixInputType must be 0, 1 or 2, not {other}");
            return Err(invalid(code, &message));
        }
    };
    let z = cell.z_order.unwrap_or(0);
    within(z, 0..=u32::MAX.into(), code, &format!("{name}.ZOrder"))?;
    Ok(Cell {
        room: room.filter(|_| video.is_none()),
        video,
        x,
        y,
        width,
        height,
        z: z as u32,
        render_mode: render_mode(cell.render_mode, code, &format!("{name}.RenderMode"))?,
        input,
        placeholder: decoration::picture_id(cell.place_image_id, code, &format!("{name}.PlaceImageId"))?,
    })
}

/// x, y, width and height within the canvas. An audio-only mix has no canvas, and its cells have no size.
pub fn rectangle(area: [Option<u64>; 4], canvas: (u64, u64), code: &'static str, name: &str) -> Checked<[u16; 4]> {
    let [x, y, width, height] = area.map(|side| side.unwrap_or(0).min(u64::from(u16::MAX)));
    if canvas != (0, 0) && (x + width > canvas.0 || y + height > canvas.1) {
        let message = format!(
            "{name}: {width}x{height} at {x},{y} is not within the canvas of {}x{}",
            canvas.0, canvas.1
        );
        return Err(invalid(code, &message));
    }
    Ok([x, y, width, height].map(|side| side as u16))
}

/// The addresses are secret: an error does not repeat them.
fn push_urls(publish: Option<PublishCdnParams>) -> Checked<Vec<String>> {
    let Some(publish) = publish else { return Ok(Vec::new()) };
    let urls = publish.publish_cdn_urls;
    let code = "InvalidParameter.PublishCdnUrls";
    match (publish.biz_id, urls.as_slice()) {
        // All values are zero or absent: the client sent the object without using it.
        (None | Some(0), []) => Ok(Vec::new()),
        (None, _) => Err(missing("MissingParameter.BizId", "PublishCdnParams.BizId")),
        (Some(_), []) => Err(missing(
            "MissingParameter.PublishCdnUrls",
            "PublishCdnParams.PublishCdnUrls",
        )),
        (Some(_), [url]) => match url.parse::<PushAddress>() {
            Ok(_) => Ok(urls),
            Err(error) => Err(invalid(code, &format!("PublishCdnParams.PublishCdnUrls.0 {error}"))),
        },
        (Some(_), _) => {
            let message = format!(
                "PublishCdnParams.PublishCdnUrls must have one address, not {}",
                urls.len()
            );
            Err(invalid(code, &message))
        }
    }
}

pub fn render_mode(mode: Option<u64>, code: &'static str, name: &str) -> Checked<Option<RenderMode>> {
    Ok(match mode {
        None => None,
        Some(0) => Some(RenderMode::Crop),
        Some(1) => Some(RenderMode::Scale),
        Some(2) => Some(RenderMode::ScaleOnBlack),
        Some(other) => return Err(invalid(code, &format!("{name} must be 0, 1 or 2, not {other}"))),
    })
}

pub fn source(stream_type: Option<u64>, code: &'static str, name: &str) -> Checked<TrackSource> {
    match stream_type.unwrap_or(0) {
        0 => Ok(TrackSource::Camera),
        1 => Ok(TrackSource::Screen),
        other => Err(invalid(
            code,
            &format!("{name} must be 0 (camera) or 1 (screen), not {other}"),
        )),
    }
}

pub fn text_id<T: TextId>(text: &str, code: &'static str, name: &str) -> Checked<T> {
    let refused = |_| invalid(code, &format!("{name} must be {}, not {}", T::RULE, shortened(text)));
    text.parse().map_err(refused)
}

pub fn within(value: u64, range: RangeInclusive<u64>, code: &'static str, name: &str) -> Checked<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(invalid(code, &format!("{name} must be {least} to {most}, not {value}")))
}

pub fn flag(value: Option<u64>, code: &'static str, name: &str) -> Checked<bool> {
    match value.unwrap_or(0) {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(invalid(code, &format!("{name} must be 0 or 1, not {other}"))),
    }
}

pub fn missing(code: &'static str, what: &str) -> ApiError {
    ApiError::new(code, format!("{what} is missing"))
}

pub fn invalid(code: &'static str, message: &str) -> ApiError {
    ApiError::new(code, message)
}

#[cfg(test)]
mod tests;
