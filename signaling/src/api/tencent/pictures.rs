//! CreatePicture, DescribePicture, ModifyPicture and DeletePicture.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rotunda_proto::config::Application;
use serde_json::{Value, json};

use super::fields::Fields;
use crate::api::ApiError;
use crate::api::pictures::{MAX_BYTES, PicturePlace, Pictures, place_of};

type Checked<T> = Result<T, ApiError>;

pub async fn create(pictures: &Pictures, caller: &Application, parameters: &Value) -> Checked<Value> {
    let mut fields = own(caller, parameters)?;
    let content = fields.text("Content", "InvalidParameter.CheckContentFailed")?;
    let suffix = fields.text("Suffix", "InvalidParameter.CheckSuffixFailed")?;
    let changes = changes(&mut fields)?;
    fields.finish()?;
    let content = required(content, "Content")?;
    let suffix = required(suffix, "Suffix")?;
    let place = PicturePlace {
        width: required(changes.width, "Width")?,
        height: required(changes.height, "Height")?,
        x: required(changes.x, "XPosition")?,
        y: required(changes.y, "YPosition")?,
    };
    let refused = |reason: &str| ApiError::new("InvalidParameter.CheckContentFailed", reason);
    if content.len() > MAX_BYTES * 4 / 3 + 4 {
        return Err(refused(&format!("Content is larger than {MAX_BYTES} bytes")));
    }
    let file = STANDARD
        .decode(content.as_bytes())
        .map_err(|_| refused("Content must be a picture as Base64"))?;
    let id = pictures.create(caller.sdk_app_id, file, &suffix, place).await?;
    Ok(json!({ "PictureId": id }))
}

pub async fn describe(pictures: &Pictures, caller: &Application, parameters: &Value) -> Checked<Value> {
    let mut fields = own(caller, parameters)?;
    let id = fields.number("PictureId", "InvalidParameter")?;
    let size = fields
        .number("PageSize", "InvalidParameter")?
        .unwrap_or(10)
        .clamp(1, 100);
    let page = fields.number("PageNo", "InvalidParameter")?.unwrap_or(1).max(1);
    fields.finish()?;
    let mut all = pictures.uploaded(caller.sdk_app_id).await?;
    if let Some(id) = id {
        all.retain(|info| u64::try_from(info.id) == Ok(id));
    }
    let total = all.len();
    let skipped = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
    let shown = all.iter().skip(skipped).take(size as usize).map(|info| {
        let PicturePlace { width, height, x, y } = place_of(&info.placement);
        json!({
            "Height": height, "Width": width, "XPosition": x, "YPosition": y,
            "SdkAppId": caller.sdk_app_id.get(), "PictureId": info.id,
        })
    });
    Ok(json!({ "Total": total, "PictureInfo": shown.collect::<Vec<_>>() }))
}

pub async fn modify(pictures: &Pictures, caller: &Application, parameters: &Value) -> Checked<()> {
    let mut fields = own(caller, parameters)?;
    let id = picture_id(&mut fields)?;
    let changes = changes(&mut fields)?;
    fields.finish()?;
    let change = |place: PicturePlace| PicturePlace {
        width: changes.width.unwrap_or(place.width),
        height: changes.height.unwrap_or(place.height),
        x: changes.x.unwrap_or(place.x),
        y: changes.y.unwrap_or(place.y),
    };
    pictures.modify(caller.sdk_app_id, id, change).await
}

pub async fn delete(pictures: &Pictures, caller: &Application, parameters: &Value) -> Checked<()> {
    let mut fields = own(caller, parameters)?;
    let id = picture_id(&mut fields)?;
    fields.finish()?;
    pictures.delete(caller.sdk_app_id, id).await
}

struct Changes {
    width: Option<u64>,
    height: Option<u64>,
    x: Option<u64>,
    y: Option<u64>,
}

fn changes(fields: &mut Fields<'_>) -> Checked<Changes> {
    Ok(Changes {
        width: fields.number("Width", "InvalidParameter")?,
        height: fields.number("Height", "InvalidParameter")?,
        x: fields.number("XPosition", "InvalidParameter")?,
        y: fields.number("YPosition", "InvalidParameter")?,
    })
}

/// The fields of a call for the caller's own application.
fn own<'a>(caller: &Application, parameters: &'a Value) -> Checked<Fields<'a>> {
    let mut fields = Fields::of(parameters);
    let code = "InvalidParameter.SdkAppId";
    let app = required(fields.number("SdkAppId", code)?, "SdkAppId")?;
    match app == u64::from(caller.sdk_app_id.get()) {
        true => Ok(fields),
        false => Err(ApiError::new(code, "the key belongs to another application")),
    }
}

fn picture_id(fields: &mut Fields<'_>) -> Checked<i64> {
    let id = required(fields.number("PictureId", "InvalidParameter")?, "PictureId")?;
    i64::try_from(id).map_err(|_| ApiError::new("InvalidParameter", format!("PictureId must be an id, not {id}")))
}

fn required<T>(value: Option<T>, name: &str) -> Checked<T> {
    value.ok_or_else(|| ApiError::new("MissingParameter", format!("{name} is missing")))
}
