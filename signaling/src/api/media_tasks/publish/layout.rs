//! The video of a mix that is published: its encoding, its layout and its pictures. Pure.

use rotunda_proto::ids::{RoomKey, RoomUser, Source, TextId, UserId};
use rotunda_proto::mix::{Cell, CellInput, Layout, MAX_INPUTS, MixSpec, Template, VideoEncode, Watermark};

use super::check::room_type;
use super::request::{
    self, McuLayout, McuLayoutParams, McuVideoParams, McuWaterMarkParams, MixUserInfo, UserMediaStream,
};
use super::{MISSING, WRONG, wrong};
use crate::api::media_tasks::Checked;
use crate::api::media_tasks::values::{Fetch, NOT_FETCHED, Place, colour, only, picture, room};
use crate::api::mix::check::{flag, missing, rectangle, render_mode, source, text_id, within};

/// Sets the fields that are there, and answers the pictures to fetch.
pub fn set_video(spec: &mut MixSpec, video: McuVideoParams) -> Checked<Vec<Fetch>> {
    let mut fetches = Vec::new();
    let mut encode = match (&video.video_encode, spec.video) {
        (Some(encode), before) => self::encode(encode, before)?,
        (None, Some(before)) => before,
        (None, None) => return Err(missing(MISSING, "VideoParams.VideoEncode")),
    };
    if video.back_ground_color.is_some() {
        encode.background_rgb = colour(
            video.back_ground_color.as_deref(),
            "0x",
            WRONG,
            "VideoParams.BackGroundColor",
        )?;
    }
    spec.video = Some(encode);
    let canvas = (u64::from(encode.width), u64::from(encode.height));
    if let Some(layout) = video.layout_params {
        let (changed, placeholders) = self::layout(&spec.room, layout, canvas)?;
        fetches.extend(placeholders);
        let before = std::mem::replace(&mut spec.layout, changed);
        spec.layout.selection = before.selection;
        spec.layout.background = before.background;
        spec.layout.watermark = before.watermark;
    }
    only(video.background_render_mode, 0, "VideoParams.BackgroundRenderMode")?;
    let url = video.background_image_url.as_deref();
    fetches.extend(picture(
        Place::Background,
        url,
        WRONG,
        "VideoParams.BackgroundImageUrl",
    )?);
    if let Some(watermark) = one_watermark(video.water_mark_list)? {
        let (watermark, fetch) = self::watermark(&watermark, canvas)?;
        spec.layout.watermark = Some(watermark);
        fetches.push(fetch);
    }
    Ok(fetches)
}

fn encode(encode: &request::VideoEncode, before: Option<VideoEncode>) -> Checked<VideoEncode> {
    let field = |value: Option<u64>, range, name: &str| -> Checked<u64> {
        let name = format!("VideoParams.VideoEncode.{name}");
        let value = value.ok_or_else(|| missing(MISSING, &name))?;
        within(value, range, WRONG, &name)?;
        Ok(value)
    };
    Ok(VideoEncode {
        width: field(encode.width, 16..=1920, "Width")? as u16,
        height: field(encode.height, 16..=1920, "Height")? as u16,
        bitrate_kbps: field(encode.bit_rate, 1..=10_000, "BitRate")? as u32,
        framerate: field(encode.fps, 1..=60, "Fps")? as u8,
        gop_seconds: field(encode.gop, 1..=5, "Gop")? as u8,
        background_rgb: before.map_or(0, |before| before.background_rgb),
    })
}

fn layout(own: &RoomKey, params: McuLayoutParams, canvas: (u64, u64)) -> Checked<(Layout, Vec<Fetch>)> {
    let name = "VideoParams.LayoutParams";
    let template = match params.mix_layout_mode.unwrap_or(1) {
        1 => Template::Float,
        2 => Template::ScreenShare,
        3 => Template::Grid,
        4 => Template::Custom,
        other => return Err(wrong(&format!("{name}.MixLayoutMode must be 1 to 4, not {other}"))),
    };
    no_sei(params.enable_stream_sei, name)?;
    if template == Template::Custom && params.mix_layout_list.is_empty() {
        return Err(missing(MISSING, &format!("{name}.MixLayoutList")));
    }
    if params.mix_layout_list.len() > MAX_INPUTS {
        let message = format!(
            "{name}.MixLayoutList must have at most {MAX_INPUTS} cells, not {}",
            params.mix_layout_list.len()
        );
        return Err(wrong(&message));
    }
    let main = match params.max_video_user {
        Some(main) => Some(video_of(
            own,
            main.user_media_stream.as_ref(),
            &format!("{name}.MaxVideoUser"),
        )?),
        None => None,
    };
    let mut cells = Vec::new();
    let mut fetches = Vec::new();
    for (index, cell) in params.mix_layout_list.into_iter().enumerate() {
        let name = format!("{name}.MixLayoutList.{index}");
        let url = cell.background_image_url.as_deref();
        fetches.extend(picture(
            Place::Placeholder(index),
            url,
            WRONG,
            &format!("{name}.BackgroundImageUrl"),
        )?);
        cells.push(self::cell(own, &cell, canvas, &name)?);
    }
    let holds_place = flag(
        params.pure_audio_hold_place_mode,
        WRONG,
        &format!("{name}.PureAudioHoldPlaceMode"),
    )?;
    let layout = Layout {
        template,
        main,
        placeholders: !fetches.is_empty(),
        cells,
        render_mode: render_mode(params.render_mode, WRONG, &format!("{name}.RenderMode"))?,
        audio_only_takes_cell: match template {
            Template::Custom => None,
            _ => Some(holds_place),
        },
        hears_all: true,
        ..Layout::default()
    };
    Ok((layout, fetches))
}

fn cell(own: &RoomKey, cell: &McuLayout, canvas: (u64, u64), name: &str) -> Checked<Cell> {
    no_sei(cell.enable_stream_sei, name)?;
    let video = match &cell.user_media_stream {
        Some(stream) => Some(video_of(own, Some(stream), name)?),
        None => None,
    };
    let area = [cell.location_x, cell.location_y, cell.image_width, cell.image_height];
    let [x, y, width, height] = rectangle(area, canvas, WRONG, name)?;
    Ok(Cell {
        video,
        room: None,
        x,
        y,
        width,
        height,
        z: cell.z_order.unwrap_or(0).min(u64::from(u32::MAX)) as u32,
        render_mode: render_mode(cell.render_mode, WRONG, &format!("{name}.RenderMode"))?,
        input: CellInput::AudioVideo,
        placeholder: None,
    })
}

/// The field is read for its range: the mixer makes frames of its own, so that SEI of its inputs has no place in them.
fn no_sei(value: Option<u64>, name: &str) -> Checked<()> {
    flag(value, WRONG, &format!("{name}.EnableStreamSEI")).map(|_| ())
}

fn one_watermark(mut list: Vec<McuWaterMarkParams>) -> Checked<Option<McuWaterMarkParams>> {
    let first = list.pop();
    match list.is_empty() {
        true => Ok(first),
        false => Err(crate::api::ApiError::new(
            "UnsupportedOperation",
            "VideoParams.WaterMarkList with more than one watermark is not served here; write one",
        )),
    }
}

fn watermark(watermark: &McuWaterMarkParams, canvas: (u64, u64)) -> Checked<(Watermark, Fetch)> {
    let name = "VideoParams.WaterMarkList.0";
    only(watermark.water_mark_type, 0, &format!("{name}.WaterMarkType"))?;
    let name = format!("{name}.WaterMarkImage");
    let image = watermark
        .water_mark_image
        .as_ref()
        .ok_or_else(|| missing(MISSING, &name))?;
    only(image.dynamic_pos_type, 0, &format!("{name}.DynamicPosType"))?;
    let url = format!("{name}.WaterMarkUrl");
    let fetch = picture(Place::Watermark, image.water_mark_url.as_deref(), WRONG, &url)?;
    let fetch = fetch.ok_or_else(|| missing(MISSING, &url))?;
    let area = [
        image.location_x,
        image.location_y,
        image.water_mark_width,
        image.water_mark_height,
    ];
    let [x, y, width, height] = rectangle(area, canvas, WRONG, &name)?;
    if width < 2 || height < 2 {
        let rule = "WaterMarkWidth and WaterMarkHeight must be at least 2";
        return Err(wrong(&format!("{name}: {rule}, not {width}x{height}")));
    }
    let watermark = Watermark {
        picture: NOT_FETCHED,
        x,
        y,
        width,
        height,
    };
    Ok((watermark, fetch))
}

fn video_of(own: &RoomKey, stream: Option<&UserMediaStream>, name: &str) -> Checked<Source> {
    let name = format!("{name}.UserMediaStream");
    let stream = stream.ok_or_else(|| missing(MISSING, &name))?;
    let user = user_in(own, stream.user_info.as_ref(), &name)?;
    Ok(user.track(source(stream.stream_type, WRONG, &format!("{name}.StreamType"))?))
}

/// A user of the room that they name, or of the task's.
pub fn user_in(own: &RoomKey, user: Option<&MixUserInfo>, name: &str) -> Checked<RoomUser> {
    let name = format!("{name}.UserInfo");
    let user = user.ok_or_else(|| missing(MISSING, &name))?;
    let id = user.user_id.as_deref().filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| missing(MISSING, &format!("{name}.UserId ({})", UserId::RULE)))?;
    let room = match user.room_id.as_deref().filter(|room| !room.is_empty()) {
        Some(text) => room(
            own.app,
            text,
            room_type(user.room_id_type)?,
            WRONG,
            &format!("{name}.RoomId"),
        )?,
        None => own.clone(),
    };
    Ok(RoomUser {
        room,
        user: text_id(id, WRONG, &format!("{name}.UserId"))?,
    })
}
