//! Names of recording files. Pure.

use std::time::Duration;

use time::{OffsetDateTime, UtcOffset};

/// `YYYY-MM-DD-HH-MM-SS` at an offset from UTC.
pub fn stamp(unix: Duration, utc_offset_hours: i8) -> String {
    let time = OffsetDateTime::UNIX_EPOCH + unix;
    let offset = UtcOffset::from_hms(utc_offset_hours, 0, 0).unwrap_or(UtcOffset::UTC);
    let time = time.to_offset(offset);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    format!(
        "{year:04}-{:02}-{day:02}-{hour:02}-{minute:02}-{second:02}",
        u8::from(month)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_names_are_those_of_the_configured_zone() {
        let unix = Duration::from_secs(1_581_826_332);
        assert_eq!(stamp(unix, 8), "2020-02-16-12-12-12");
        assert_eq!(stamp(unix, 0), "2020-02-16-04-12-12");
    }
}
