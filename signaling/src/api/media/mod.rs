//! The media store: recorded files, as version `2018-07-17` of the VOD API names them.

mod info;
mod requests;

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::applications::Scope;
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::recording::{MEDIA_SUBJECT, MediaCommand, MediaReply, Preview, RecordingFile};
use rotunda_store::{MediaFilter, StoreError};

use super::ApiError;
use super::caller::check_scope;
use super::request::required;
use crate::shared::Shared;
use info::MediaInfo;

pub use info::{FoundMedia, MediaInfos};
pub use requests::{DeleteMedia, DescribeMediaInfos, SearchMedia};

type Checked<T> = Result<T, ApiError>;

/// Most files of one `DescribeMediaInfos`.
const MOST_IDS: usize = 20;

pub async fn search(shared: &Shared, caller: &Application, request: SearchMedia) -> Checked<FoundMedia> {
    check_scope(caller, Scope::Recordings)?;
    let search = request.checked(caller)?;
    let page = match search.filter {
        Some(filter) => {
            let found = shared
                .store
                .search_media(caller.sdk_app_id, &filter, search.offset, search.limit);
            found.await.map_err(store)?
        }
        None => return Ok(FoundMedia::default()),
    };
    Ok(FoundMedia {
        total_count: page.total.unsigned_abs().min(requests::MOST_FOUND),
        media_info_set: infos(shared, page.files, &search.sections).await?,
    })
}

pub async fn describe(shared: &Shared, caller: &Application, request: DescribeMediaInfos) -> Checked<MediaInfos> {
    check_scope(caller, Scope::Recordings)?;
    if request.file_ids.is_empty() {
        let message = format!("FileIds is missing: name 1 to {MOST_IDS} files");
        return Err(ApiError::new("InvalidParameterValue.FileIdsEmpty", message));
    }
    if request.file_ids.len() > MOST_IDS {
        let message = format!(
            "FileIds may have at most {MOST_IDS} files, not {}",
            request.file_ids.len()
        );
        return Err(ApiError::new("InvalidParameterValue.FileIdsTooMany", message));
    }
    let filter = MediaFilter {
        file_ids: request.file_ids.clone(),
        ..MediaFilter::default()
    };
    let found = shared
        .store
        .search_media(caller.sdk_app_id, &filter, 0, MOST_IDS as i64);
    let files = found.await.map_err(store)?.files;
    let is_found = |id: &String| files.iter().any(|file| file.file_id == *id);
    let not_exist_file_id_set = request.file_ids.iter().filter(|id| !is_found(id)).cloned().collect();
    let sections = info::Sections::of(&request.filters);
    let mut media_info_set = infos(shared, files, &sections).await?;
    // In the order of the request.
    media_info_set.sort_by_key(|info| request.file_ids.iter().position(|id| *id == info.file_id));
    Ok(MediaInfos {
        media_info_set,
        not_exist_file_id_set,
    })
}

pub async fn delete(shared: &Shared, caller: &Application, request: DeleteMedia) -> Checked<()> {
    check_scope(caller, Scope::Recordings)?;
    let is_meant = request.meant_is_the_file()?;
    let file_id = required(request.file_id, "InvalidParameterValue.FileIds", "FileId")?;
    if !is_meant {
        return Ok(());
    }
    let command = MediaCommand::Delete {
        app: caller.sdk_app_id,
        file_id,
    };
    match ask_recorder(shared, &command).await? {
        MediaReply::Deleted => Ok(()),
        MediaReply::NoSuchFile => Err(ApiError::new("ResourceNotFound", "there is no file of this id")),
        MediaReply::Links { .. } | MediaReply::Running { .. } | MediaReply::Failed => Err(ApiError::new(
            "FailedOperation",
            "the file could not be deleted; try again",
        )),
    }
}

async fn infos(shared: &Shared, files: Vec<RecordingFile>, sections: &info::Sections) -> Checked<Vec<MediaInfo>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let names = files.iter().map(|file| file.name.clone());
    let posters = files.iter().map(|file| Preview::Poster.of(&file.name));
    let names: Vec<String> = names.chain(posters).collect();
    let mut urls = match ask_recorder(shared, &MediaCommand::Links { names }).await? {
        MediaReply::Links { urls } if urls.len() == 2 * files.len() => urls,
        _ => return Err(no_list()),
    };
    let posters = urls.split_off(files.len());
    let applications = shared.applications();
    let kept_days = |file: &RecordingFile| {
        let application = applications.by_id(file.room.app);
        application.map_or(0, |application| application.record_retention_days)
    };
    let described = files.iter().zip(urls.into_iter().zip(posters));
    Ok(described
        .map(|(file, (media, poster))| {
            let cover = file.previews.images.then_some(poster);
            let urls = info::Urls { media, cover };
            info::media_info(file, urls, kept_days(file), sections)
        })
        .collect())
}

/// Whether there is a recorder in the cluster.
pub async fn a_recorder_answers(shared: &Shared) -> Checked<bool> {
    let nothing = MediaCommand::Links { names: Vec::new() };
    match shared.bus.call::<_, MediaReply>(MEDIA_SUBJECT, &nothing).await {
        Ok(_) => Ok(true),
        Err(BusError::NoResponder(_) | BusError::Timeout(_)) => Ok(false),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

/// Any recorder of the cluster answers: it signs addresses, and can delete every file that its disk or the storage has.
async fn ask_recorder(shared: &Shared, command: &MediaCommand) -> Checked<MediaReply> {
    match shared.bus.call::<_, MediaReply>(MEDIA_SUBJECT, command).await {
        Ok(reply) => Ok(reply),
        Err(error @ (BusError::NoResponder(_) | BusError::Timeout(_) | BusError::Away)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "ask a recorder about files");
            Err(no_list())
        }
        Err(error) => Err(ApiError::internal(&error)),
    }
}

fn no_list() -> ApiError {
    ApiError::new("InternalError.GetMediaListError", "no recorder answers; try again")
}

fn store(error: StoreError) -> ApiError {
    tracing::error!(error = &error as &dyn std::error::Error, "search the recorded files");
    ApiError::new("InternalError", "the database does not answer; try again")
}

fn unix_now() -> u64 {
    Clock.unix().as_secs()
}

#[cfg(test)]
mod tests;
