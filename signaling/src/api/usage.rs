//! Usage: the time of recording and mixing, by day or by five minutes, from the totals and from what runs.

use std::collections::BTreeMap;

use rotunda_bus::BusExt;
use rotunda_proto::config::Application;
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::mix_task::{MixTask, TASKS_PREFIX};
use rotunda_store::{POINT_MS, StoreError, UsageSpan, day_of};
use schemars::JsonSchema;
use serde::Serialize;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use super::ApiError;
use super::request::{request, required};
use crate::shared::Shared;
use crate::usage::{Class, Measure, Recorded, billed_minutes};

type Checked<T> = Result<T, ApiError>;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
/// Most days of a query.
const MOST_DAYS: i64 = 31;
const DAY_MS: u64 = 86_400_000;

request! {
    /// Seconds of recorded media by frame size. A query of one day has a row for every five minutes, a longer one for every day (UTC).
    DescribeRecordStatistic {
        /// The first day: `YYYY-MM-DD`.
        start_time: Option<String> = "StartTime" ! "InvalidParameter",
        /// The last day, at most 31 days in all.
        end_time: Option<String> = "EndTime" ! "InvalidParameter",
        /// The application; absent: that of the key.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
    }
}

request! {
    /// Seconds of mixes by the frame size of their output. A query of one day has a row for every five minutes, a longer one for
    /// every day (UTC).
    DescribeTrtcMcuTranscodeTime {
        /// The first day: `YYYY-MM-DD`.
        start_time: Option<String> = "StartTime" ! "InvalidParameter",
        /// The last day, at most 31 days in all.
        end_time: Option<String> = "EndTime" ! "InvalidParameter",
        /// The application; absent: that of the key, named `total`.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
    }
}

request! {
    /// Minutes of mixes by the frame size of their output.
    DescribeMixTranscodingUsage {
        /// The first day: `YYYY-MM-DD`.
        start_time: Option<String> = "StartTime" ! "InvalidParameter.QueryScaleOversize",
        /// The last day, at most 31 days in all.
        end_time: Option<String> = "EndTime" ! "InvalidParameter.QueryScaleOversize",
        /// The application; absent: that of the key.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
    }
}

request! {
    /// Minutes of recorded media by frame size.
    DescribeRecordingUsage {
        /// The first day: `YYYY-MM-DD`.
        start_time: Option<String> = "StartTime" ! "InvalidParameter.QueryScaleOversize",
        /// The last day, at most 31 days in all.
        end_time: Option<String> = "EndTime" ! "InvalidParameter.QueryScaleOversize",
        /// `single`: recordings of one publisher; `multi`: recordings of mixes.
        mix_type: Option<String> = "MixType" ! "InvalidParameter",
        /// The application; absent: that of the key.
        sdk_app_id: Option<u64> = "SdkAppId" ? "InvalidParameter.SdkAppId",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecordStatistic {
    pub sdk_app_id_usages: Vec<SdkAppIdRecordUsage>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SdkAppIdRecordUsage {
    pub sdk_app_id: String,
    pub usages: Vec<RecordUsage>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecordUsage {
    /// `2026-11-25`, or `2026-11-25 00:05:00`.
    pub time_key: String,
    /// Seconds up to 640x480.
    pub class1_video_time: u64,
    /// Seconds up to 1280x720.
    pub class2_video_time: u64,
    /// Seconds of larger frames.
    pub class3_video_time: u64,
    /// Seconds without video.
    pub audio_time: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TranscodeTime {
    pub usages: Vec<OneSdkAppIdTranscodeTimeUsagesInfo>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct OneSdkAppIdTranscodeTimeUsagesInfo {
    pub sdk_app_id_transcode_time_usages: Vec<TranscodeTimeUsage>,
    pub total_num: u64,
    /// The application, or `total`.
    pub sdk_app_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TranscodeTimeUsage {
    /// `2026-11-25`, or `2026-11-25 00:05:00`.
    pub time_key: String,
    /// Seconds without video.
    pub audio_time: u64,
    /// Seconds up to 640x480.
    pub video_time_sd: u64,
    /// Seconds up to 1280x720.
    pub video_time_hd: u64,
    /// Seconds of larger frames.
    pub video_time_fhd: u64,
    /// Always 0: the bandwidth of outputs is not measured.
    pub flux: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UsageTable {
    /// The columns of `UsageValue`.
    pub usage_key: Vec<&'static str>,
    pub usage_list: Vec<TrtcUsage>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TrtcUsage {
    /// `2026-11-25 00:05:00`, in UTC.
    pub time_key: String,
    /// Unix seconds.
    pub time_stamp_key: u64,
    /// Minutes; one that was begun is a whole one.
    pub usage_value: Vec<f64>,
}

/// The days of a query, in Unix milliseconds: the last one is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    pub from: u64,
    pub end: u64,
}

impl Days {
    /// A reversed span is turned round: the samples of the contract have such.
    pub fn read(start: Option<&str>, end: Option<&str>, wrong: &'static str, too_long: &'static str) -> Checked<Self> {
        let start = date("StartTime", start, wrong)?;
        let end = date("EndTime", end, wrong)?;
        let (first, last) = (start.min(end), start.max(end));
        if (last - first).whole_days() >= MOST_DAYS {
            let message = format!("StartTime to EndTime may have at most {MOST_DAYS} days");
            return Err(ApiError::new(too_long, message));
        }
        let midnight = |date: Date| date.midnight().assume_offset(UtcOffset::UTC).unix_timestamp() as u64 * 1000;
        Ok(Self {
            from: midnight(first),
            end: midnight(last) + DAY_MS,
        })
    }

    fn is_one(self) -> bool {
        self.end - self.from == DAY_MS
    }

    /// Milliseconds of a row.
    fn step(self) -> u64 {
        if self.is_one() { POINT_MS } else { DAY_MS }
    }
}

fn date(name: &str, text: Option<&str>, code: &'static str) -> Checked<Date> {
    let text = required(text, "MissingParameter", name)?;
    let date = Date::parse(text, DATE).ok().filter(|date| date.year() >= 1970);
    date.ok_or_else(|| {
        let shown = rotunda_proto::ids::shortened(text);
        ApiError::new(code, format!("{name} must be a day as in 2026-11-25, not {shown}"))
    })
}

/// Milliseconds by measure, for each row of a query.
pub struct Series {
    days: Days,
    rows: BTreeMap<u64, Vec<(Measure, u64)>>,
}

impl Series {
    fn new(days: Days, now_ms: u64) -> Self {
        let step = days.step();
        let end = days.end.min(now_ms);
        let starts = (days.from / step..end.div_ceil(step)).map(|row| (row * step, Vec::new()));
        Self {
            days,
            rows: starts.collect(),
        }
    }

    fn add(&mut self, at: u64, class: &str, amount: u64) {
        let Ok(measure) = class.parse::<Measure>() else {
            return;
        };
        if let Some(row) = self.rows.get_mut(&at) {
            match row.iter_mut().find(|(known, _)| *known == measure) {
                Some((_, sum)) => *sum += amount,
                None => row.push((measure, amount)),
            }
        }
    }

    fn add_span(&mut self, span: &UsageSpan) {
        let step = self.days.step();
        for (row, amount) in span.steps(step) {
            self.add(row * step, &span.class, amount);
        }
    }

    /// Each row: its start, and the sum of the measures that `is_meant` picks, in milliseconds.
    pub fn rows<const N: usize>(
        &self,
        is_meant: impl Fn(usize, Measure) -> bool,
    ) -> impl Iterator<Item = (u64, [u64; N])> {
        self.rows.iter().map(move |(start, measures)| {
            let sums = std::array::from_fn(|column| {
                let meant = measures.iter().filter(|(measure, _)| is_meant(column, *measure));
                meant.map(|(_, amount)| amount).sum()
            });
            (*start, sums)
        })
    }

    /// `2026-11-25`, with the time in rows of five minutes.
    fn time_key(&self, at: u64) -> String {
        match self.days.is_one() {
            true => full_time_key(at),
            false => day_of(at),
        }
    }
}

fn full_time_key(at: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp((at / 1000) as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = time.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", day_of(at))
}

/// What was counted, and the mixes that run at this moment.
pub async fn series(shared: &Shared, app: SdkAppId, days: Days, now_ms: u64) -> Checked<Series> {
    let mut series = Series::new(days, now_ms);
    if days.is_one() {
        let point = |at: u64| (at / POINT_MS) as i64;
        let points = shared.store.usage_points(app, point(days.from), point(days.end));
        for counted in points.await.map_err(store)? {
            let at = counted.point.unsigned_abs() * POINT_MS;
            series.add(at, &counted.class, counted.amount.unsigned_abs());
        }
    } else {
        let (first, last) = (day_of(days.from), day_of(days.end - 1));
        for row in shared.store.usage(app, &first, &last).await.map_err(store)? {
            let Ok(day) = Date::parse(&row.day, DATE) else { continue };
            let at = day.midnight().assume_offset(UtcOffset::UTC).unix_timestamp() as u64 * 1000;
            series.add(at, &row.class, row.amount.unsigned_abs());
        }
    }
    for span in running(shared, app, now_ms).await? {
        series.add_span(&span);
    }
    Ok(series)
}

/// The time of running mixes that is not in the totals yet. A mix that ended with the whole cluster does not count on.
async fn running(shared: &Shared, app: SdkAppId, now_ms: u64) -> Checked<Vec<UsageSpan>> {
    let meters = shared.store.running_meters(app).await.map_err(store)?;
    if meters.is_empty() {
        return Ok(Vec::new());
    }
    let tasks = shared.bus.documents::<MixTask>(&format!("{TASKS_PREFIX}{app}.")).await;
    let tasks = tasks.map_err(|error| ApiError::internal(&error))?;
    let runs: Vec<String> = tasks.iter().map(|task| format!("mix-{}", task.id)).collect();
    let running = meters.into_iter().filter(|meter| runs.contains(&meter.subject));
    let span = running.map(|meter| UsageSpan {
        application: app,
        class: meter.class,
        from_unix_ms: meter.since_unix_ms.unsigned_abs(),
        to_unix_ms: now_ms,
    });
    Ok(span.collect())
}

pub async fn describe_record_statistic(
    shared: &Shared,
    caller: &Application,
    request: DescribeRecordStatistic,
    now_ms: u64,
) -> Checked<RecordStatistic> {
    own(caller, request.sdk_app_id)?;
    let (wrong, start, end) = ("InvalidParameter", request.start_time, request.end_time);
    let days = Days::read(start.as_deref(), end.as_deref(), wrong, wrong)?;
    let series = series(shared, caller.sdk_app_id, days, now_ms).await?;
    let columns = |column, measure| match measure {
        Measure::Recorded(_, class) => column == old_column(class),
        Measure::Mixed(_) => false,
    };
    let usages = series.rows(columns).map(|(at, [audio, sd, hd, larger])| RecordUsage {
        time_key: series.time_key(at),
        class1_video_time: seconds(sd),
        class2_video_time: seconds(hd),
        class3_video_time: seconds(larger),
        audio_time: seconds(audio),
    });
    Ok(RecordStatistic {
        sdk_app_id_usages: vec![SdkAppIdRecordUsage {
            sdk_app_id: caller.sdk_app_id.to_string(),
            usages: usages.collect(),
        }],
    })
}

pub async fn describe_transcode_time(
    shared: &Shared,
    caller: &Application,
    request: DescribeTrtcMcuTranscodeTime,
    now_ms: u64,
) -> Checked<TranscodeTime> {
    own(caller, request.sdk_app_id)?;
    let (wrong, start, end) = ("InvalidParameter", request.start_time, request.end_time);
    let days = Days::read(start.as_deref(), end.as_deref(), wrong, wrong)?;
    let series = series(shared, caller.sdk_app_id, days, now_ms).await?;
    let columns = |column, measure| match measure {
        Measure::Mixed(class) => column == old_column(class),
        Measure::Recorded(..) => false,
    };
    let usages: Vec<_> = series
        .rows(columns)
        .map(|(at, [audio, sd, hd, larger])| TranscodeTimeUsage {
            time_key: series.time_key(at),
            audio_time: seconds(audio),
            video_time_sd: seconds(sd),
            video_time_hd: seconds(hd),
            video_time_fhd: seconds(larger),
            flux: 0.0,
        })
        .collect();
    Ok(TranscodeTime {
        usages: vec![OneSdkAppIdTranscodeTimeUsagesInfo {
            total_num: usages.len() as u64,
            sdk_app_id_transcode_time_usages: usages,
            sdk_app_id: match request.sdk_app_id {
                Some(_) => caller.sdk_app_id.to_string(),
                None => "total".to_owned(),
            },
        }],
    })
}

pub async fn describe_mix_usage(
    shared: &Shared,
    caller: &Application,
    request: DescribeMixTranscodingUsage,
    now_ms: u64,
) -> Checked<UsageTable> {
    own(caller, request.sdk_app_id)?;
    let (wrong, start, end) = (
        "InvalidParameter.QueryScaleOversize",
        request.start_time,
        request.end_time,
    );
    let days = Days::read(start.as_deref(), end.as_deref(), wrong, wrong)?;
    let series = series(shared, caller.sdk_app_id, days, now_ms).await?;
    let classes = Class::ALL;
    let columns = |column: usize, measure| {
        classes
            .get(column)
            .is_some_and(|class| measure == Measure::Mixed(*class))
    };
    let usage_key = vec![
        "Audio",
        "SDH264",
        "HDH264",
        "FullHDH264",
        "2KH264",
        "4KH264",
        "SDH265",
        "HDH265",
        "FullHDH265",
        "2KH265",
        "4KH265",
    ];
    Ok(table(usage_key, series.rows::<11>(columns)))
}

pub async fn describe_recording_usage(
    shared: &Shared,
    caller: &Application,
    request: DescribeRecordingUsage,
    now_ms: u64,
) -> Checked<UsageTable> {
    own(caller, request.sdk_app_id)?;
    let kind = match required(request.mix_type.as_deref(), "MissingParameter", "MixType")? {
        "single" => Recorded::Single,
        "multi" => Recorded::Mixed,
        other => {
            let other = rotunda_proto::ids::shortened(other);
            let message = format!("MixType must be single or multi, not {other}");
            return Err(ApiError::new("InvalidParameter", message));
        }
    };
    let (wrong, start, end) = (
        "InvalidParameter.QueryScaleOversize",
        request.start_time,
        request.end_time,
    );
    let days = Days::read(start.as_deref(), end.as_deref(), wrong, wrong)?;
    let series = series(shared, caller.sdk_app_id, days, now_ms).await?;
    let columns = |column: usize, measure| {
        Class::ALL
            .get(column)
            .is_some_and(|class| measure == Measure::Recorded(kind, *class))
    };
    let usage_key = vec!["Audio", "SD", "HD", "FullHD", "2K", "4K"];
    Ok(table(usage_key, series.rows::<6>(columns)))
}

fn table<const N: usize>(usage_key: Vec<&'static str>, rows: impl Iterator<Item = (u64, [u64; N])>) -> UsageTable {
    let usage = rows.map(|(at, amounts)| TrtcUsage {
        time_key: full_time_key(at),
        time_stamp_key: at / 1000,
        usage_value: amounts.iter().map(|amount| billed_minutes(*amount) as f64).collect(),
    });
    UsageTable {
        usage_key,
        usage_list: usage.collect(),
    }
}

/// The columns of the older actions: audio, SD, HD, and all that is larger.
fn old_column(class: Class) -> usize {
    match class {
        Class::Audio => 0,
        Class::Sd => 1,
        Class::Hd => 2,
        Class::FullHd | Class::TwoK | Class::FourK => 3,
    }
}

/// A second that was begun is a whole one.
fn seconds(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1000)
}

fn own(caller: &Application, app: Option<u64>) -> Checked<()> {
    match app.is_none_or(|app| app == u64::from(caller.sdk_app_id.get())) {
        true => Ok(()),
        false => Err(ApiError::new(
            "InvalidParameter.SdkAppId",
            "SdkAppId must be the application of the key",
        )),
    }
}

fn store(error: StoreError) -> ApiError {
    tracing::error!(error = &error as &dyn std::error::Error, "read the usage");
    ApiError::new("InternalError.DBError", "the database does not answer; try again")
}

#[cfg(test)]
mod tests;
