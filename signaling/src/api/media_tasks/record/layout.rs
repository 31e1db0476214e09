//! The layout of a mix that is recorded, and its pictures. Pure.

use rotunda_proto::ids::{RoomUser, Source};
use rotunda_proto::mix::{Cell, CellInput, Layout, MAX_INPUTS, MixSpec, RenderMode, Template, Watermark};

use super::WRONG;
use super::check::wrong;
use super::request::{MixLayout, MixLayoutParams, WaterMark};
use crate::api::ApiError;
use crate::api::media_tasks::Checked;
use crate::api::media_tasks::values::{Fetch, NOT_FETCHED, Place, colour, only, picture};
use crate::api::mix::check::{flag, rectangle, source, text_id, within};

const NAME: &str = "MixLayoutParams";

/// Sets the whole layout, and answers the pictures to fetch.
pub fn set_layout(spec: &mut MixSpec, params: MixLayoutParams) -> Checked<Vec<Fetch>> {
    let template = match params
        .mix_layout_mode
        .ok_or_else(|| wrong("MixLayoutParams.MixLayoutMode is missing"))?
    {
        1 => Template::Float,
        2 => Template::ScreenShare,
        3 => Template::Grid,
        4 => Template::Custom,
        other => return Err(wrong(&format!("{NAME}.MixLayoutMode must be 1 to 4, not {other}"))),
    };
    let cells = &params.mix_layout_list;
    if template == Template::Custom && cells.is_empty() {
        return Err(wrong("MixLayoutParams.MixLayoutList is missing, which mode 4 needs"));
    }
    if cells.len() > MAX_INPUTS {
        let message = format!(
            "{NAME}.MixLayoutList must have at most {MAX_INPUTS} cells, not {}",
            cells.len()
        );
        return Err(wrong(&message));
    }
    let canvas = spec
        .video
        .map_or((0, 0), |video| (u64::from(video.width), u64::from(video.height)));
    let mut fetches = Vec::new();
    let background = picture(
        Place::Background,
        params.background_image_url.as_deref(),
        WRONG,
        "MixLayoutParams.BackgroundImageUrl",
    )?;
    fetches.extend(background);
    only(
        params.background_image_render_mode,
        1,
        "MixLayoutParams.BackgroundImageRenderMode",
    )?;
    let placeholders = flag(params.place_holder_mode, WRONG, "MixLayoutParams.PlaceHolderMode")?;
    let mut laid_out = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let name = format!("{NAME}.MixLayoutList.{index}");
        laid_out.push(self::cell(spec, cell, canvas, &name)?);
        let own = cell.sub_background_image.as_deref().filter(|url| !url.is_empty());
        let url = own.or(params.default_sub_background_image.as_deref());
        let fetch = picture(
            Place::Placeholder(index),
            url,
            WRONG,
            &format!("{name}.SubBackgroundImage"),
        )?;
        fetches.extend(fetch.filter(|_| placeholders));
    }
    let watermark = match params.water_mark_list.as_slice() {
        [] => None,
        [one] => {
            let (watermark, fetch) = self::watermark(one, canvas)?;
            fetches.push(fetch);
            Some(watermark)
        }
        _ => {
            let message = "MixLayoutParams.WaterMarkList with more than one watermark is not served here; write one";
            return Err(ApiError::new("UnsupportedOperation", message));
        }
    };
    let main_track = source(params.media_id, WRONG, "MixLayoutParams.MediaId")?;
    let main = match params.max_resolution_user_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(Source {
            room: spec.room.clone(),
            user: text_id(id, WRONG, "MixLayoutParams.MaxResolutionUserId")?,
            track: main_track,
        }),
        None => None,
    };
    if let Some(video) = &mut spec.video {
        let text = params.back_ground_color.as_deref();
        video.background_rgb = colour(text, "#", WRONG, "MixLayoutParams.BackGroundColor")?;
    }
    spec.layout = Layout {
        template,
        main,
        main_right: flag(
            params.max_resolution_user_align,
            WRONG,
            "MixLayoutParams.MaxResolutionUserAlign",
        )?,
        cells: laid_out,
        render_mode: render_mode(params.render_mode, "MixLayoutParams.RenderMode")?,
        audio_only_takes_cell: params.pure_audio_disable_layout.map(|disabled| !disabled),
        watermark,
        placeholders,
        hears_all: true,
        selection: spec.layout.selection.clone(),
        ..Layout::default()
    };
    Ok(fetches)
}

fn cell(spec: &MixSpec, cell: &MixLayout, canvas: (u64, u64), name: &str) -> Checked<Cell> {
    for (value, field) in [
        (cell.top, "Top"),
        (cell.left, "Left"),
        (cell.width, "Width"),
        (cell.height, "Height"),
    ] {
        let value = value.ok_or_else(|| wrong(&format!("{name}.{field} is missing")))?;
        within(value, 0..=1920, WRONG, &format!("{name}.{field}"))?;
    }
    only(cell.alpha, 0, &format!("{name}.Alpha"))?;
    let track = source(cell.media_id, WRONG, &format!("{name}.MediaId"))?;
    let video = match cell.user_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => {
            let user = RoomUser {
                room: spec.room.clone(),
                user: text_id(id, WRONG, &format!("{name}.UserId"))?,
            };
            Some(user.track(track))
        }
        None => None,
    };
    let area = [cell.left, cell.top, cell.width, cell.height];
    let [x, y, width, height] = rectangle(area, canvas, WRONG, name)?;
    Ok(Cell {
        video,
        room: None,
        x,
        y,
        width,
        height,
        z: cell.image_layer.unwrap_or(0).min(u64::from(u32::MAX)) as u32,
        render_mode: render_mode(cell.render_mode, &format!("{name}.RenderMode"))?,
        input: CellInput::AudioVideo,
        placeholder: None,
    })
}

fn render_mode(mode: Option<u64>, name: &str) -> Checked<Option<RenderMode>> {
    match mode {
        None => Ok(None),
        Some(1) => Ok(Some(RenderMode::Crop)),
        Some(2) => Ok(Some(RenderMode::ScaleOnBlack)),
        Some(mode @ (0 | 3)) => Err(ApiError::new(
            "UnsupportedOperation",
            format!("{name} {mode} is not served here; write 1 (crop) or 2 (scale on black)"),
        )),
        Some(other) => Err(wrong(&format!("{name} must be 0 to 3, not {other}"))),
    }
}

fn watermark(watermark: &WaterMark, canvas: (u64, u64)) -> Checked<(Watermark, Fetch)> {
    let name = "MixLayoutParams.WaterMarkList.0";
    only(watermark.water_mark_type, 0, &format!("{name}.WaterMarkType"))?;
    let name = format!("{name}.WaterMarkImage");
    let image = watermark.water_mark_image.as_ref();
    let image = image.ok_or_else(|| wrong(&format!("{name} is missing")))?;
    let url = format!("{name}.WaterMarkUrl");
    let fetch = picture(Place::Watermark, image.water_mark_url.as_deref(), WRONG, &url)?;
    let fetch = fetch.ok_or_else(|| wrong(&format!("{url} is missing")))?;
    let area = [image.left, image.top, image.width, image.height];
    let [x, y, width, height] = rectangle(area, canvas, WRONG, &name)?;
    if width < 2 || height < 2 {
        return Err(wrong(&format!(
            "{name}: Width and Height must be at least 2, not {width}x{height}"
        )));
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
