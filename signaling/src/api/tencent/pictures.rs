//! CreatePicture, DescribePicture, ModifyPicture and DeletePicture.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rotunda_proto::config::Application;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::ApiError;
use crate::api::pictures::{MAX_BYTES, PicturePlace, Pictures, place_of};
use crate::api::request::request;

type Checked<T> = Result<T, ApiError>;

request! {
    /// Uploads a picture for backgrounds, watermarks and placeholders.
    CreatePicture {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// PNG, JPEG or BMP as Base64, at most 2 MB.
        content: Option<String> = "Content" ! "InvalidParameter.CheckContentFailed",
        /// `png`, `jpg`, `jpeg` or `bmp`.
        suffix: Option<String> = "Suffix" ! "InvalidParameter.CheckSuffixFailed",
        /// Pixels; kept and given back.
        height: Option<u64> = "Height" ! "InvalidParameter",
        /// Pixels; kept and given back.
        width: Option<u64> = "Width" ! "InvalidParameter",
        /// Kept and given back.
        x_position: Option<u64> = "XPosition" ! "InvalidParameter",
        /// Kept and given back.
        y_position: Option<u64> = "YPosition" ! "InvalidParameter",
    }
}

request! {
    /// Lists the application's pictures.
    DescribePicture {
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// Only this picture; absent: all.
        picture_id: Option<u64> = "PictureId" ? "InvalidParameter",
        /// 1 to 100, default 10.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter",
        /// From 1 on, default 1.
        page_no: Option<u64> = "PageNo" ? "InvalidParameter",
    }
}

request! {
    /// Changes position and size that are kept with a picture.
    ModifyPicture {
        /// The picture.
        picture_id: Option<u64> = "PictureId" ! "InvalidParameter",
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
        /// Pixels; absent: as before.
        height: Option<u64> = "Height" ? "InvalidParameter",
        /// Pixels; absent: as before.
        width: Option<u64> = "Width" ? "InvalidParameter",
        /// Absent: as before.
        x_position: Option<u64> = "XPosition" ? "InvalidParameter",
        /// Absent: as before.
        y_position: Option<u64> = "YPosition" ? "InvalidParameter",
    }
}

request! {
    /// Deletes a picture.
    DeletePicture {
        /// The picture.
        picture_id: Option<u64> = "PictureId" ! "InvalidParameter",
        /// The application.
        sdk_app_id: Option<u64> = "SdkAppId" ! "InvalidParameter.SdkAppId",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PictureCreated {
    pub picture_id: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PictureList {
    /// Pictures of all pages.
    pub total: u64,
    pub picture_info: Vec<PictureInfo>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PictureInfo {
    pub height: u64,
    pub width: u64,
    pub x_position: u64,
    pub y_position: u64,
    pub sdk_app_id: u64,
    pub picture_id: i64,
}

pub async fn create(pictures: &Pictures, caller: &Application, request: CreatePicture) -> Checked<PictureCreated> {
    own(caller, request.sdk_app_id)?;
    let content = required(request.content, "Content")?;
    let suffix = required(request.suffix, "Suffix")?;
    let place = PicturePlace {
        width: required(request.width, "Width")?,
        height: required(request.height, "Height")?,
        x: required(request.x_position, "XPosition")?,
        y: required(request.y_position, "YPosition")?,
    };
    let refused = |reason: &str| ApiError::new("InvalidParameter.CheckContentFailed", reason);
    if content.len() > MAX_BYTES * 4 / 3 + 4 {
        return Err(refused(&format!("Content is larger than {MAX_BYTES} bytes")));
    }
    let file = STANDARD
        .decode(content.as_bytes())
        .map_err(|_| refused("Content must be a picture as Base64"))?;
    let picture_id = pictures.create(caller.sdk_app_id, file, &suffix, place).await?;
    Ok(PictureCreated { picture_id })
}

pub async fn describe(pictures: &Pictures, caller: &Application, request: DescribePicture) -> Checked<PictureList> {
    own(caller, request.sdk_app_id)?;
    let size = request.page_size.unwrap_or(10).clamp(1, 100);
    let page = request.page_no.unwrap_or(1).max(1);
    let mut all = pictures.uploaded(caller.sdk_app_id).await?;
    if let Some(id) = request.picture_id {
        all.retain(|info| u64::try_from(info.id) == Ok(id));
    }
    let total = all.len() as u64;
    let skipped = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let shown = all.iter().skip(skipped).take(size as usize).map(|info| {
        let PicturePlace { width, height, x, y } = place_of(&info.placement);
        PictureInfo {
            height,
            width,
            x_position: x,
            y_position: y,
            sdk_app_id: caller.sdk_app_id.get().into(),
            picture_id: info.id,
        }
    });
    Ok(PictureList {
        total,
        picture_info: shown.collect(),
    })
}

pub async fn modify(pictures: &Pictures, caller: &Application, request: ModifyPicture) -> Checked<()> {
    own(caller, request.sdk_app_id)?;
    let id = picture_id(request.picture_id)?;
    let change = |place: PicturePlace| PicturePlace {
        width: request.width.unwrap_or(place.width),
        height: request.height.unwrap_or(place.height),
        x: request.x_position.unwrap_or(place.x),
        y: request.y_position.unwrap_or(place.y),
    };
    pictures.modify(caller.sdk_app_id, id, change).await
}

pub async fn delete(pictures: &Pictures, caller: &Application, request: DeletePicture) -> Checked<()> {
    own(caller, request.sdk_app_id)?;
    let id = picture_id(request.picture_id)?;
    pictures.delete(caller.sdk_app_id, id).await
}

/// Errors: the key belongs to another application.
fn own(caller: &Application, app: Option<u64>) -> Checked<()> {
    let app = required(app, "SdkAppId")?;
    match app == u64::from(caller.sdk_app_id.get()) {
        true => Ok(()),
        false => Err(ApiError::new(
            "InvalidParameter.SdkAppId",
            "the key belongs to another application",
        )),
    }
}

fn picture_id(id: Option<u64>) -> Checked<i64> {
    let id = required(id, "PictureId")?;
    i64::try_from(id).map_err(|_| ApiError::new("InvalidParameter", format!("PictureId must be an id, not {id}")))
}

fn required<T>(value: Option<T>, name: &str) -> Checked<T> {
    value.ok_or_else(|| ApiError::new("MissingParameter", format!("{name} is missing")))
}
