//! The requests of the media store, and their checks. Pure but for the time of the call.

use rotunda_proto::config::Application;
use rotunda_proto::ids::shortened;
use rotunda_store::MediaFilter;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::info::Sections;
use super::{Checked, unix_now};
use crate::api::ApiError;
use crate::api::request::request;

/// Most files that a search pages through.
pub const MOST_FOUND: u64 = 5000;
/// Files of a page without `Limit`.
const LIMIT: u64 = 10;
/// Most values of a list.
const MOST_VALUES: usize = 10;

request! {
    /// An order of files.
    SortBy {
        /// `CreateTime`
        field: Option<String> = "Field" ! "InvalidParameterValue.Sort",
        /// `Asc` or `Desc`.
        order: Option<String> = "Order" ! "InvalidParameterValue.Sort",
    }
}

request! {
    /// A span of time, both ends included, as `2026-11-25T07:25:52Z`.
    TimeRange {
        after: Option<String> = "After" ? "InvalidParameterValue.StartTime",
        before: Option<String> = "Before" ? "InvalidParameterValue.EndTime",
    }
}

request! {
    /// Finds recorded files. Fields combine with AND, the values of one list with OR; without any field every file is found.
    SearchMedia {
        /// A stream, exactly.
        stream_id: Option<String> = "StreamId" ? "InvalidParameterValue.StreamIds",
        /// A part of the name, at most 64 characters.
        text: Option<String> = "Text" ? "InvalidParameterValue.Text",
        /// Newest first without it. No effect with `Text` or `Names`: a part of a name matches or does not.
        sort: Option<SortBy> = "Sort" ? "InvalidParameterValue.Sort",
        /// Files to leave out, default 0. `Offset` and `Limit` together are at most 5000.
        offset: Option<u64> = "Offset" ? "InvalidParameterValue.Offset",
        /// Most files, default 10. With 0 only the total is answered.
        limit: Option<u64> = "Limit" ? "InvalidParameterValue.Limit",
        /// Streams, exactly; at most 10.
        stream_ids: Vec<String> = "StreamIds" ? "InvalidParameterValue.StreamIds",
        /// Parts of names, at most 10 of at most 100 characters.
        names: Vec<String> = "Names" ? "InvalidParameterValue.Names",
        /// The beginnings of names, at most 10 of at most 100 characters.
        name_prefixes: Vec<String> = "NamePrefixes" ? "InvalidParameterValue.NamePrefixes",
        /// At most 10 of at most 40 characters.
        file_ids: Vec<String> = "FileIds" ? "InvalidParameterValue.FileIds",
        /// The time of the end of the recording.
        create_time: Option<TimeRange> = "CreateTime" ? "InvalidParameterValue.StartTime",
        /// As `CreateTime.After`, which wins.
        start_time: Option<String> = "StartTime" ? "InvalidParameterValue.StartTime",
        /// As `CreateTime.Before`, but not included; `CreateTime` wins.
        end_time: Option<String> = "EndTime" ? "InvalidParameterValue.EndTime",
        /// Recorded files have `Record`; with other values nothing is found.
        source_types: Vec<String> = "SourceTypes" ? "InvalidParameterValue.SourceTypes",
        /// As `SourceTypes`, with one value.
        source_type: Option<String> = "SourceType" ? "InvalidParameterValue.SourceType",
        /// `Video`, `Audio`, `Image`.
        categories: Vec<String> = "Categories" ? "InvalidParameterValue.Categories",
        /// Containers: `mp4`, `m3u8`, `flv`, `aac`, `mp3`.
        media_types: Vec<String> = "MediaTypes" ? "InvalidParameterValue.Types",
        /// Applications; with others than that of the key nothing is found.
        trtc_sdk_app_ids: Vec<u64> = "TrtcSdkAppIds" ? "InvalidParameterValue.SubAppId",
        /// Rooms, at most 10; a number finds the numeric room and the text room of that name.
        trtc_room_ids: Vec<String> = "TrtcRoomIds" ? "InvalidParameterValue.Names",
        /// Sections to answer: `basicInfo`, `metaData`; none: all. Other names have no effect.
        filters: Vec<String> = "Filters" ? "InvalidParameterValue.Names",
        /// No effect: an application has one store.
        sub_app_id: Option<u64> = "SubAppId" ? "InvalidParameterValue.SubAppId",
        /// No effect.
        expire_time: Option<TimeRange> = "ExpireTime" ? "InvalidParameterValue.EndTime",
        /// Recorded files have no description: nothing is found.
        descriptions: Vec<String> = "Descriptions" ? "InvalidParameterValue.Names",
        /// Recorded files have no tags: nothing is found.
        tags: Vec<String> = "Tags" ? "InvalidParameterValue.Tags",
        /// Recorded files are of class 0.
        class_ids: Vec<u64> = "ClassIds" ? "InvalidParameterValue.ClassIds",
        /// No effect.
        storage_regions: Vec<String> = "StorageRegions" ? "InvalidParameterValue.StorageRegions",
        /// No effect.
        storage_classes: Vec<String> = "StorageClasses" ? "InvalidParameterValue.Types",
        /// Recorded files are `Normal`; without it among the values nothing is found.
        status: Vec<String> = "Status" ? "InvalidParameterValue.Types",
        /// No effect.
        review_results: Vec<String> = "ReviewResults" ? "InvalidParameterValue.Types",
        /// No effect.
        stream_domains: Vec<String> = "StreamDomains" ? "InvalidParameterValue.StreamIds",
        /// No effect.
        stream_paths: Vec<String> = "StreamPaths" ? "InvalidParameterValue.StreamIds",
        /// No effect.
        knowledge_bases: Vec<String> = "KnowledgeBases" ? "InvalidParameterValue.Types",
        /// No effect.
        vid: Option<String> = "Vid" ? "InvalidParameterValue.Vids",
        /// No effect.
        vids: Vec<String> = "Vids" ? "InvalidParameterValue.Vids",
    }
}

request! {
    /// Answers what is known of recorded files. Unknown ids are no error.
    DescribeMediaInfos {
        /// 1 to 20.
        file_ids: Vec<String> = "FileIds" ! "InvalidParameterValue.FileIds",
        /// No effect: an application has one store.
        sub_app_id: Option<u64> = "SubAppId" ? "InvalidParameterValue.SubAppId",
        /// Sections to answer: `basicInfo`, `metaData`; none: all. Other names have no effect.
        filters: Vec<String> = "Filters" ? "InvalidParameterValue.FileIds",
    }
}

request! {
    /// A part of a file.
    MediaDeleteItem {
        /// `OriginalFiles`, `TranscodeFiles` ...
        r#type: Option<String> = "Type" ! "InvalidParameterValue",
        /// No effect.
        definition: Option<u64> = "Definition" ? "InvalidParameterValue",
    }
}

request! {
    /// Deletes a recorded file. Its address stops working.
    DeleteMedia {
        file_id: Option<String> = "FileId" ! "InvalidParameterValue.FileIds",
        /// No effect: an application has one store.
        sub_app_id: Option<u64> = "SubAppId" ? "InvalidParameterValue.SubAppId",
        /// Recorded files have no parts but `OriginalFiles`; absent: everything.
        delete_parts: Vec<MediaDeleteItem> = "DeleteParts" ? "InvalidParameterValue",
    }
}

/// A checked search.
#[derive(Debug)]
pub struct Search {
    /// None: no recorded file can be what is searched for.
    pub filter: Option<MediaFilter>,
    pub sections: Sections,
    pub offset: i64,
    pub limit: i64,
}

impl DeleteMedia {
    /// Whether the file itself is to be deleted, and not only parts that recorded files do not have.
    pub fn meant_is_the_file(&self) -> Checked<bool> {
        if self.delete_parts.is_empty() {
            return Ok(true);
        }
        let mut is_meant = false;
        for part in &self.delete_parts {
            match part.r#type.as_deref() {
                Some("OriginalFiles") => is_meant = true,
                Some(_) => {}
                None => return Err(ApiError::new("MissingParameter", "DeleteParts.Type is missing")),
            }
        }
        Ok(is_meant)
    }
}

impl SearchMedia {
    pub fn checked(mut self, caller: &Application) -> Checked<Search> {
        let (offset, limit) = (self.offset.unwrap_or(0), self.limit.unwrap_or(LIMIT));
        if offset.saturating_add(limit) > MOST_FOUND {
            let message = format!("Offset and Limit together may be at most {MOST_FOUND}, not {offset} + {limit}");
            return Err(ApiError::new("InvalidParameterValue.Offset", message));
        }
        self.stream_ids.extend(self.stream_id.take());
        self.source_types.extend(self.source_type.take());
        check_list(
            "StreamIds",
            &self.stream_ids,
            MOST_VALUES,
            64,
            "InvalidParameterValue.StreamIds",
        )?;
        check_list("Names", &self.names, MOST_VALUES, 100, "InvalidParameterValue.Names")?;
        let prefixes = "InvalidParameterValue.NamePrefixes";
        check_list("NamePrefixes", &self.name_prefixes, MOST_VALUES, 100, prefixes)?;
        check_list(
            "FileIds",
            &self.file_ids,
            MOST_VALUES,
            40,
            "InvalidParameterValue.FileIds",
        )?;
        check_list(
            "TrtcRoomIds",
            &self.trtc_room_ids,
            MOST_VALUES,
            64,
            "InvalidParameterValue.Names",
        )?;
        check_list("Tags", &self.tags, 16, 32, "InvalidParameterValue.Tags")?;
        let text = self.text.take().into_iter().collect::<Vec<_>>();
        check_list("Text", &text, 1, 64, "InvalidParameterValue.Text")?;
        let oldest_first = self.is_oldest_first(text.is_empty())?;
        let (ended_from_unix_ms, ended_to_unix_ms) = self.times()?;
        let permits = |values: &[String], own: &str| values.is_empty() || values.iter().any(|value| value == own);
        let is_among = |numbers: &[u64], own: u64| numbers.is_empty() || numbers.contains(&own);
        let may_be_found = permits(&self.source_types, "Record")
            && is_among(&self.trtc_sdk_app_ids, caller.sdk_app_id.get().into())
            && permits(&self.status, "Normal")
            && is_among(&self.class_ids, 0)
            && self.tags.is_empty()
            && self.descriptions.is_empty();
        // Two conditions about the same column: a name must satisfy both.
        let names = if text.is_empty() {
            std::mem::take(&mut self.names)
        } else {
            text
        };
        let filter = self.formats()?.filter(|_| may_be_found).map(|formats| MediaFilter {
            file_ids: self.file_ids,
            stream_ids: self.stream_ids,
            names,
            also_names: self.names,
            name_prefixes: self.name_prefixes,
            formats,
            rooms: self.trtc_room_ids,
            ended_from_unix_ms,
            ended_to_unix_ms,
            oldest_first,
        });
        Ok(Search {
            filter,
            sections: Sections::of(&self.filters),
            offset: offset as i64,
            limit: limit as i64,
        })
    }

    fn is_oldest_first(&self, has_no_text: bool) -> Checked<bool> {
        let Some(SortBy { field, order }) = &self.sort else {
            return Ok(false);
        };
        let wrong = |name: &str, allowed: &str| {
            let message = format!("Sort.{name} must be {allowed}");
            ApiError::new("InvalidParameterValue.Sort", message)
        };
        if field.as_deref() != Some("CreateTime") {
            return Err(wrong("Field", "CreateTime"));
        }
        match order.as_deref() {
            Some("Asc") => Ok(has_no_text && self.names.is_empty()),
            Some("Desc") => Ok(false),
            _ => Err(wrong("Order", "Asc or Desc")),
        }
    }

    /// The wanted times of the ends of recordings, both included, in Unix milliseconds.
    fn times(&self) -> Checked<(Option<i64>, Option<i64>)> {
        let after = moment(
            "StartTime",
            self.start_time.as_deref(),
            "InvalidParameterValue.StartTime",
        )?;
        let before = moment("EndTime", self.end_time.as_deref(), "InvalidParameterValue.EndTime")?;
        let Some(range) = &self.create_time else {
            return Ok((after, before.map(|before| before - 1)));
        };
        let after = moment(
            "CreateTime.After",
            range.after.as_deref(),
            "InvalidParameterValue.StartTime",
        )?;
        let before = moment(
            "CreateTime.Before",
            range.before.as_deref(),
            "InvalidParameterValue.EndTime",
        )?;
        // Times have whole seconds here: the last one counts to its end.
        Ok((after, before.map(|before| before + 999)))
    }

    /// The formats that are wanted, empty for all. None: recorded files have none of them.
    fn formats(&self) -> Checked<Option<Vec<String>>> {
        const VIDEO: [&str; 3] = ["mp4", "hls", "flv"];
        const AUDIO: [&str; 2] = ["aac", "mp3"];
        let mut formats: Vec<&str> = Vec::new();
        for category in &self.categories {
            match category.as_str() {
                "Video" => formats.extend(VIDEO),
                "Audio" => formats.extend(AUDIO),
                "Image" => {}
                other => {
                    let message = format!("Categories must be of Video, Audio and Image, not {}", shortened(other));
                    return Err(ApiError::new("InvalidParameterValue.Categories", message));
                }
            }
        }
        if !self.media_types.is_empty() {
            let wanted = self.media_types.iter().map(|name| name.to_ascii_lowercase());
            let wanted: Vec<String> = wanted
                .map(|name| if name == "m3u8" { "hls".to_owned() } else { name })
                .collect();
            if self.categories.is_empty() {
                formats.extend(VIDEO.iter().chain(&AUDIO));
            }
            formats.retain(|format| wanted.iter().any(|wanted| wanted == format));
        }
        let is_free = self.categories.is_empty() && self.media_types.is_empty();
        let formats: Vec<String> = formats.into_iter().map(str::to_owned).collect();
        Ok((is_free || !formats.is_empty()).then_some(formats))
    }
}

fn check_list(name: &str, values: &[String], most: usize, longest: usize, code: &'static str) -> Checked<()> {
    if values.len() > most {
        let message = format!("{name} may have at most {most} values, not {}", values.len());
        return Err(ApiError::new(code, message));
    }
    match values.iter().find(|value| value.chars().count() > longest) {
        None => Ok(()),
        Some(value) => {
            let message = format!("{name} may have at most {longest} characters, not {}", shortened(value));
            Err(ApiError::new(code, message))
        }
    }
}

fn moment(name: &str, text: Option<&str>, code: &'static str) -> Checked<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let time = OffsetDateTime::parse(text, &Iso8601::DEFAULT).map_err(|_| {
        let now = super::info::iso(unix_now());
        let message = format!("{name} must be a time as in {now}, not {}", shortened(text));
        ApiError::new(code, message)
    })?;
    Ok(Some(time.unix_timestamp().saturating_mul(1000)))
}
