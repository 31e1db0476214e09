//! Answers as CSV (RFC 4180): usage, for spreadsheets. Pure.

use serde_json::Value;

use crate::api::action::Action;

pub const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

const USAGE: [&str; 3] = ["Day", "Measure", "Amount"];
const RECORDED: [&str; 5] = [
    "TimeKey",
    "Class1VideoTime",
    "Class2VideoTime",
    "Class3VideoTime",
    "AudioTime",
];
const MIXED: [&str; 5] = ["TimeKey", "AudioTime", "VideoTimeSd", "VideoTimeHd", "VideoTimeFhd"];

/// Whether an action has its answer as CSV, too.
pub fn has(action: Action) -> bool {
    matches!(
        action,
        Action::DescribeUsage
            | Action::DescribeRecordStatistic
            | Action::DescribeTrtcMcuTranscodeTime
            | Action::DescribeMixTranscodingUsage
            | Action::DescribeRecordingUsage
    )
}

/// The rows of an answer, under the names of their columns. Empty for an action that has none.
pub fn of(action: Action, answer: &Value) -> String {
    let mut text = String::new();
    match action {
        Action::DescribeUsage => {
            line(&mut text, USAGE.map(str::to_owned));
            for row in list(&answer["Rows"]) {
                line(&mut text, USAGE.map(|column| shown(&row[column])));
            }
        }
        Action::DescribeRecordStatistic => {
            by_application(&mut text, &answer["SdkAppIdUsages"], "Usages", RECORDED);
        }
        Action::DescribeTrtcMcuTranscodeTime => {
            by_application(&mut text, &answer["Usages"], "SdkAppIdTranscodeTimeUsages", MIXED);
        }
        Action::DescribeMixTranscodingUsage | Action::DescribeRecordingUsage => {
            let keys = list(&answer["UsageKey"]).iter().map(shown);
            line(&mut text, std::iter::once("TimeKey".to_owned()).chain(keys));
            for row in list(&answer["UsageList"]) {
                let values = list(&row["UsageValue"]).iter().map(shown);
                line(&mut text, std::iter::once(shown(&row["TimeKey"])).chain(values));
            }
        }
        _ => {}
    }
    text
}

fn by_application<const N: usize>(text: &mut String, applications: &Value, rows: &str, columns: [&str; N]) {
    let names = columns.iter().map(|column| (*column).to_owned());
    line(text, std::iter::once("SdkAppId".to_owned()).chain(names));
    for application in list(applications) {
        for row in list(&application[rows]) {
            let values = columns.iter().map(|column| shown(&row[*column]));
            line(text, std::iter::once(shown(&application["SdkAppId"])).chain(values));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn line(text: &mut String, values: impl IntoIterator<Item = String>) {
    let quoted: Vec<String> = values
        .into_iter()
        .map(|value| match value.contains([',', '"', '\r', '\n']) {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value,
        })
        .collect();
    text.push_str(&quoted.join(","));
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_row_is_a_line_under_the_names_of_the_columns() {
        let usage = json!({ "Rows": [{ "Day": "2026-11-25", "Measure": "room_ms", "Amount": 5 }] });
        assert_eq!(
            of(Action::DescribeUsage, &usage),
            "Day,Measure,Amount\r\n2026-11-25,room_ms,5\r\n"
        );
        let table = json!({
            "UsageKey": ["Audio", "SD, all"],
            "UsageList": [{ "TimeKey": "2026-11-25 00:05:00", "TimeStampKey": 1, "UsageValue": [1.0, 2.5] }],
        });
        assert_eq!(
            of(Action::DescribeRecordingUsage, &table),
            "TimeKey,Audio,\"SD, all\"\r\n2026-11-25 00:05:00,1.0,2.5\r\n"
        );
    }

    #[test]
    fn rows_of_applications_name_theirs() {
        let row = json!({ "TimeKey": "2026-11-25", "Class1VideoTime": 1, "Class2VideoTime": 2, "Class3VideoTime": 3, "AudioTime": 4 });
        let answer = json!({ "SdkAppIdUsages": [{ "SdkAppId": "7", "Usages": [row] }] });
        assert_eq!(
            of(Action::DescribeRecordStatistic, &answer),
            "SdkAppId,TimeKey,Class1VideoTime,Class2VideoTime,Class3VideoTime,AudioTime\r\n7,2026-11-25,1,2,3,4\r\n"
        );
        let row = json!({ "TimeKey": "2026-11-25", "AudioTime": 1, "VideoTimeSd": 2, "VideoTimeHd": 3, "VideoTimeFhd": 4, "Flux": 0.0 });
        let answer =
            json!({ "Usages": [{ "SdkAppId": "total", "TotalNum": 1, "SdkAppIdTranscodeTimeUsages": [row] }] });
        assert!(of(Action::DescribeTrtcMcuTranscodeTime, &answer).ends_with("total,2026-11-25,1,2,3,4\r\n"));
    }
}
