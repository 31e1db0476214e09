//! The pictures of applications: uploaded ones by id, and those that mix requests name by URL, which are fetched once and kept.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use image::{ImageFormat, ImageReader};
use reqwest::{Url, redirect};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::mix::{MixSpec, PictureId};
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_store::{NewPicture, PictureInfo, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ApiError;
use super::mix::check::PictureUrls;
use crate::callbacks::sender::CheckedResolver;
use crate::shared::Shared;

/// Largest file, bytes.
pub const MAX_BYTES: usize = 2 << 20;
/// Largest side, pixels: what the mixer shows.
const MAX_SIDE: u32 = 4096;
/// Pictures of one application: uploaded, and fetched. The oldest fetched ones are deleted.
const MAX_UPLOADED: usize = 1000;
const MAX_FETCHED: usize = 200;
const FETCH_WITHIN: Duration = Duration::from_secs(5);
const UPLOADED: &str = "uploaded";
const FETCHED: &str = "fetched";

/// See the [module](self).
pub struct Pictures {
    store: Store,
    client: reqwest::Client,
    allowed: AllowedNetworks,
}

/// Position and size that the caller has given. They are kept and given back; mix requests have their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicturePlace {
    pub width: u64,
    pub height: u64,
    pub x: u64,
    pub y: u64,
}

impl Pictures {
    /// Errors: those of the HTTP client's setup.
    pub fn new(shared: &Shared) -> Result<Self, reqwest::Error> {
        let allowed = shared.config.process.outbound.clone();
        let client = reqwest::Client::builder()
            .timeout(FETCH_WITHIN)
            // A redirect could lead into the operator's network.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(CheckedResolver(allowed.clone())))
            .build()?;
        Ok(Self {
            store: shared.store.clone(),
            client,
            allowed,
        })
    }

    /// Keeps an uploaded picture; answers its id.
    pub async fn create(
        &self,
        app: SdkAppId,
        file: Vec<u8>,
        suffix: &str,
        place: PicturePlace,
    ) -> Result<u64, ApiError> {
        let content = "InvalidParameter.CheckContentFailed";
        let wrong_suffix = |reason: String| ApiError::new("InvalidParameter.CheckSuffixFailed", reason);
        let suffix = suffix.trim_start_matches('.').to_ascii_lowercase();
        let claimed = match suffix.as_str() {
            "png" => ImageFormat::Png,
            "jpg" | "jpeg" => ImageFormat::Jpeg,
            "bmp" => ImageFormat::Bmp,
            _ => return Err(wrong_suffix("Suffix must be png, jpg, jpeg or bmp".to_owned())),
        };
        let format = check(&file).map_err(|reason| ApiError::new(content, format!("Content {reason}")))?;
        if format != claimed {
            return Err(wrong_suffix(format!(
                "Suffix is {suffix}, but Content is a {format:?} picture"
            )));
        }
        let known = self.list(app).await?;
        if known.iter().filter(|info| info.kind == UPLOADED).count() >= MAX_UPLOADED {
            let message = format!("the application has {MAX_UPLOADED} pictures; delete some (DeletePicture)");
            return Err(ApiError::new("FailedOperation", message));
        }
        let mut id = new_id();
        while known.iter().any(|info| info.id == id) {
            id = new_id();
        }
        self.put(app, id, UPLOADED, &suffix, place, file).await?;
        Ok(id as u64)
    }

    /// The uploaded pictures, by id.
    pub async fn uploaded(&self, app: SdkAppId) -> Result<Vec<PictureInfo>, ApiError> {
        let mut pictures = self.list(app).await?;
        pictures.retain(|picture| picture.kind == UPLOADED);
        Ok(pictures)
    }

    /// Errors: `InvalidParameter.PictureNotFound`.
    pub async fn modify(
        &self,
        app: SdkAppId,
        id: i64,
        change: impl FnOnce(PicturePlace) -> PicturePlace,
    ) -> Result<(), ApiError> {
        let known = self.uploaded(app).await?.into_iter().find(|info| info.id == id);
        let picture = self.store.picture(app, id).await.map_err(|error| internal(&error))?;
        let (Some(_), Some(picture)) = (known, picture) else {
            return Err(not_found(id));
        };
        let place = place_of(&picture.placement);
        self.put(app, id, UPLOADED, &picture.suffix, change(place), picture.content)
            .await
    }

    /// Errors: `InvalidParameter.PictureNotFound`.
    pub async fn delete(&self, app: SdkAppId, id: i64) -> Result<(), ApiError> {
        match self.store.delete_picture(app, id).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_found(id)),
            Err(error) => Err(internal(&error)),
        }
    }

    /// Fetches the pictures that a request names by URL, and checks that those exist that it names by id.
    ///
    /// Errors: `InvalidParameter.BackgroundImageUrl`, `InvalidParameter` for the watermark, `ResourceNotFound`.
    pub async fn settle(&self, spec: &mut MixSpec, urls: PictureUrls) -> Result<(), ApiError> {
        let app = spec.room.app;
        if let Some(url) = urls.background {
            let (code, name) = ("InvalidParameter.BackgroundImageUrl", "EncodeParams.BackgroundImageUrl");
            spec.layout.background = Some(self.fetched(app, url, code, name).await?);
        }
        if let (Some(url), Some(watermark)) = (urls.watermark, &mut spec.layout.watermark) {
            let name = "LayoutParams.WaterMarkParams.WaterMarkUrl";
            watermark.picture = self.fetched(app, url, "InvalidParameter", name).await?;
        }
        must_exist(&self.store, spec).await
    }

    /// The picture of an address in the field `name`, which is fetched and kept. `code`: of a picture that cannot be had.
    pub async fn fetched(
        &self,
        app: SdkAppId,
        url: Url,
        code: &'static str,
        name: &str,
    ) -> Result<PictureId, ApiError> {
        let fetched = self.fetch(app, url).await;
        fetched.map_err(|reason| ApiError::new(code, format!("{name} {reason}")))?
    }

    /// Outer errors: what is wrong with the address or its picture, to be put behind the field's name.
    async fn fetch(&self, app: SdkAppId, url: Url) -> Result<Result<PictureId, ApiError>, String> {
        let file = self.download(url).await?;
        check(&file)?;
        let id = id_of(&file);
        Ok(self.keep_fetched(app, id, file).await)
    }

    async fn download(&self, url: Url) -> Result<Vec<u8>, String> {
        let host = url.host().ok_or("has no host")?;
        self.allowed.check_host(&host).map_err(|refused| refused.to_string())?;
        // The address may hold a secret.
        let failed = |error: reqwest::Error| format!("cannot be fetched: {}", with_sources(&error.without_url()));
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("cannot be fetched: its server answers {status}"));
        }
        let mut file = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if file.len() + chunk.len() > MAX_BYTES {
                return Err(too_large());
            }
            file.extend_from_slice(&chunk);
        }
        Ok(file)
    }

    async fn keep_fetched(&self, app: SdkAppId, id: PictureId, file: Vec<u8>) -> Result<PictureId, ApiError> {
        let mut fetched = self.list(app).await?;
        fetched.retain(|info| info.kind == FETCHED);
        if fetched.iter().any(|info| info.id == id.get()) {
            return Ok(id);
        }
        fetched.sort_by_key(|info| info.created_unix_ms);
        for info in fetched.iter().take((fetched.len() + 1).saturating_sub(MAX_FETCHED)) {
            let deleted = self.store.delete_picture(app, info.id).await;
            deleted.map_err(|error| internal(&error))?;
        }
        self.put(app, id.get(), FETCHED, "", PicturePlace::default(), file)
            .await?;
        Ok(id)
    }

    async fn list(&self, app: SdkAppId) -> Result<Vec<PictureInfo>, ApiError> {
        self.store.pictures(app).await.map_err(|error| internal(&error))
    }

    async fn put(
        &self,
        application: SdkAppId,
        id: i64,
        kind: &str,
        suffix: &str,
        place: PicturePlace,
        content: Vec<u8>,
    ) -> Result<(), ApiError> {
        let picture = NewPicture {
            application,
            id,
            name: String::new(),
            kind: kind.to_owned(),
            suffix: suffix.to_owned(),
            placement: serde_json::to_string(&place).map_err(|error| ApiError::internal(&error))?,
            content,
            created: Clock.unix(),
        };
        self.store.put_picture(&picture).await.map_err(|error| internal(&error))
    }
}

/// Checks that the application has the pictures that a mix shows.
///
/// Errors: `ResourceNotFound`.
pub async fn must_exist(store: &Store, spec: &MixSpec) -> Result<(), ApiError> {
    if spec.layout.pictures().next().is_none() {
        return Ok(());
    }
    let known = store.pictures(spec.room.app).await.map_err(|error| internal(&error))?;
    let missing = spec
        .layout
        .pictures()
        .find(|id| !known.iter().any(|info| info.id == id.get()));
    match missing {
        None => Ok(()),
        Some(id) => Err(ApiError::new(
            "ResourceNotFound",
            format!(
                "the application has no picture {}; upload it with CreatePicture",
                id.get()
            ),
        )),
    }
}

/// As it was given; zeros where it cannot be read.
pub fn place_of(placement: &str) -> PicturePlace {
    serde_json::from_str(placement).unwrap_or_default()
}

/// Errors: what is wrong, to be put behind the field's name.
fn check(file: &[u8]) -> Result<ImageFormat, String> {
    if file.len() > MAX_BYTES {
        return Err(too_large());
    }
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp];
    let format = image::guess_format(file).ok().filter(|format| formats.contains(format));
    let format = format.ok_or("is not a PNG, JPEG or BMP picture")?;
    let size = ImageReader::with_format(Cursor::new(file), format).into_dimensions();
    let (width, height) = size.map_err(|error| format!("is a damaged picture: {error}"))?;
    let sides = 2..=MAX_SIDE;
    match sides.contains(&width) && sides.contains(&height) {
        true => Ok(format),
        false => Err(format!(
            "is a picture of {width}x{height}; it must be 2x2 to {MAX_SIDE}x{MAX_SIDE}"
        )),
    }
}

fn too_large() -> String {
    format!("is larger than {MAX_BYTES} bytes")
}

fn new_id() -> i64 {
    i64::from(rand::random::<u32>()) + 1
}

/// Equal pictures have equal ids, which no uploaded one has.
fn id_of(file: &[u8]) -> PictureId {
    let hash = Sha256::digest(file);
    let number = hash
        .iter()
        .take(8)
        .fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    PictureId::new(number | i64::MIN)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn not_found(id: i64) -> ApiError {
    ApiError::new(
        "InvalidParameter.PictureNotFound",
        format!("the application has no picture {id}"),
    )
}

fn internal(error: &rotunda_store::StoreError) -> ApiError {
    ApiError::internal(error)
}

#[cfg(test)]
mod tests;
