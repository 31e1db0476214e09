//! The pictures of a request (background, watermark and placeholders, by id or by URL) and the style of its cells.

use rotunda_proto::mix::{PictureId, Style, Watermark};
use url::Url;

use super::{Checked, flag, invalid, rectangle, within};
use crate::api::mix::request::{EncodeParams, LayoutStyle, StartBody, WaterMarkParams};

/// Longest address, bytes.
const MAX_URL: usize = 512;
/// In the place of an id until the picture of a URL has been fetched.
const NOT_FETCHED: PictureId = PictureId::new(0);

/// The pictures of a request that are to be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PictureUrls {
    pub background: Option<Url>,
    pub watermark: Option<Url>,
}

/// Errors: `InvalidParameter.BackgroundImageUrl`, and `InvalidParameter` for the watermark's.
pub fn picture_urls(body: &StartBody) -> Checked<PictureUrls> {
    let background = body
        .encode_params
        .as_ref()
        .and_then(|it| it.background_image_url.as_deref());
    let layout = body.layout_params.as_ref();
    let watermark = layout.and_then(|layout| layout.water_mark_params.as_ref()?.water_mark_url.as_deref());
    Ok(PictureUrls {
        background: url(
            background,
            "InvalidParameter.BackgroundImageUrl",
            "EncodeParams.BackgroundImageUrl",
        )?,
        watermark: url(
            watermark,
            "InvalidParameter",
            "LayoutParams.WaterMarkParams.WaterMarkUrl",
        )?,
    })
}

pub fn background(encode: &EncodeParams) -> Checked<Option<PictureId>> {
    if is_given(encode.background_image_url.as_deref()) {
        return Ok(Some(NOT_FETCHED));
    }
    let name = "EncodeParams.BackgroundImageId";
    picture_id(encode.background_image_id, "InvalidParameter.EncodeParams", name)
}

pub fn watermark(watermark: &WaterMarkParams, canvas: (u64, u64)) -> Checked<Watermark> {
    let (code, name) = ("InvalidParameter", "LayoutParams.WaterMarkParams");
    let picture = match is_given(watermark.water_mark_url.as_deref()) {
        true => Some(NOT_FETCHED),
        false => picture_id(watermark.water_mark_id, code, &format!("{name}.WaterMarkId"))?,
    };
    let picture = picture.ok_or_else(|| invalid(code, &format!("{name} needs WaterMarkId or WaterMarkUrl")))?;
    let area = [
        watermark.location_x,
        watermark.location_y,
        watermark.water_mark_width,
        watermark.water_mark_height,
    ];
    let [x, y, width, height] = rectangle(area, canvas, code, name)?;
    if width < 2 || height < 2 {
        let message = format!("{name}: WaterMarkWidth and WaterMarkHeight must be at least 2, not {width}x{height}");
        return Err(invalid(code, &message));
    }
    Ok(Watermark {
        picture,
        x,
        y,
        width,
        height,
    })
}

/// Seconds for which the loudest speaker stays the main video, unless the request says.
const LOUDEST_DWELL: u64 = 3;

pub fn style(style: &LayoutStyle) -> Checked<Style> {
    let (code, name) = ("InvalidParameter", |field: &str| format!("LayoutParams.Style.{field}"));
    let (margin, radius) = (style.margin.unwrap_or(0), style.corner_radius.unwrap_or(0));
    within(margin, 0..=200, code, &name("Margin"))?;
    within(radius, 0..=200, code, &name("CornerRadius"))?;
    if let Some(colour) = style.speaking_color {
        within(colour, 0..=0xff_ff_ff, code, &name("SpeakingColor"))?;
    }
    let dwell = style.loudest_dwell.unwrap_or(LOUDEST_DWELL);
    within(dwell, 1..=60, code, &name("LoudestDwell"))?;
    let is_loudest_main = flag(style.loudest_as_main, code, &name("LoudestAsMain"))?;
    Ok(Style {
        names: flag(style.show_names, code, &name("ShowNames"))?,
        margin: margin as u16,
        corner_radius: radius as u16,
        speaking_rgb: style.speaking_color.map(|colour| colour as u32),
        loudest_dwell: is_loudest_main.then_some(dwell as u8),
        animated: flag(style.animated, code, &name("Animated"))?,
        sei: flag(style.layout_sei, code, &name("LayoutSei"))?,
    })
}

/// Absent and 0: no picture.
pub fn picture_id(id: Option<u64>, code: &'static str, name: &str) -> Checked<Option<PictureId>> {
    match id.unwrap_or(0) {
        0 => Ok(None),
        id => match i64::try_from(id) {
            Ok(id) => Ok(Some(PictureId::new(id))),
            Err(_) => Err(invalid(code, &format!("{name} must be the id of a picture, not {id}"))),
        },
    }
}

fn is_given(url: Option<&str>) -> bool {
    url.is_some_and(|url| !url.is_empty())
}

fn url(text: Option<&str>, code: &'static str, name: &str) -> Checked<Option<Url>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > MAX_URL {
        let message = format!("{name} must have at most {MAX_URL} bytes, not {}", text.len());
        return Err(invalid(code, &message));
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
        // The address may hold a secret.
        _ => Err(invalid(code, &format!("{name} must be an http or https address"))),
    }
}
