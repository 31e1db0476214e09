//! The time zone of the times in names of recorded files. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The time zone of the times in names: an IANA name, with its summer time, or an offset from UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct NameTimeZone {
    text: String,
    zone: TimeZone,
}

/// The text is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a time zone; write an IANA name such as \"Asia/Shanghai\", or an offset such as \"+05:30\"")]
pub struct TimeZoneError(String);

impl NameTimeZone {
    /// An offset from UTC of at most 23 hours.
    pub fn whole_hours(hours: i8) -> Self {
        Self::offset(i32::from(hours.clamp(-23, 23)) * 60)
    }

    fn offset(minutes: i32) -> Self {
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
        let offset = Offset::from_seconds(minutes * 60).unwrap_or(Offset::UTC);
        Self {
            text: format!("{sign}{hours:02}:{rest:02}"),
            zone: TimeZone::fixed(offset),
        }
    }
}

/// The time zone of the recording contract.
impl Default for NameTimeZone {
    fn default() -> Self {
        Self::whole_hours(8)
    }
}

impl FromStr for NameTimeZone {
    type Err = TimeZoneError;

    fn from_str(text: &str) -> Result<Self, TimeZoneError> {
        if let Some(minutes) = offset_minutes(text) {
            return Ok(Self::offset(minutes));
        }
        // The time zones are compiled in, so the host's database makes no difference.
        let zone = TimeZoneDatabase::bundled().get(text);
        let zone = zone.map_err(|_| TimeZoneError(text.chars().take(64).collect()))?;
        Ok(Self {
            text: text.to_owned(),
            zone,
        })
    }
}

/// Parses `+hh:mm` or `-hh:mm`.
fn offset_minutes(text: &str) -> Option<i32> {
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let number = |digits: &str, most: i32| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<i32>().ok();
        number.filter(|number| is_number && *number <= most)
    };
    Some(sign * (number(hours, 23)? * 60 + number(minutes, 59)?))
}

impl fmt::Display for NameTimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for NameTimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for NameTimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// `YYYY-MM-DD-HH-MM-SS` in a time zone. `unix`: time since 1970.
pub fn stamp(unix: Duration, zone: &NameTimeZone) -> String {
    let seconds = i64::try_from(unix.as_secs()).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    time.to_zoned_datetime(zone.zone.clone())
        .strftime("%Y-%m-%d-%H-%M-%S")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix: u64, zone: &str) -> String {
        stamp(Duration::from_secs(unix), &zone.parse().unwrap())
    }

    #[test]
    fn times_in_names_are_those_of_the_configured_zone() {
        let noon = 1_581_826_332;
        assert_eq!(
            stamp(Duration::from_secs(noon), &NameTimeZone::default()),
            "2020-02-16-12-12-12"
        );
        assert_eq!(at(noon, "+00:00"), "2020-02-16-04-12-12");
        assert_eq!(at(noon, "UTC"), "2020-02-16-04-12-12");
        assert_eq!(at(noon, "+05:30"), "2020-02-16-09-42-12");
        assert_eq!(at(noon, "Asia/Kolkata"), "2020-02-16-09-42-12");
        assert_eq!(at(noon, "Asia/Tehran"), "2020-02-16-07-42-12");
        assert_eq!(at(noon, "-03:30"), "2020-02-16-00-42-12");
    }

    #[test]
    fn summer_time_is_followed() {
        // 2024-03-31T00:59:59Z and a second later.
        assert_eq!(at(1_711_846_799, "Europe/Berlin"), "2024-03-31-01-59-59");
        assert_eq!(at(1_711_846_800, "Europe/Berlin"), "2024-03-31-03-00-00");
    }

    #[test]
    fn an_unknown_time_zone_is_named() {
        for wrong in [
            "",
            "8",
            "+8",
            "+24:00",
            "+05:60",
            "5.5",
            "Asia/Nowhere",
            "+5:30",
            "++5:30",
        ] {
            assert_eq!(wrong.parse::<NameTimeZone>(), Err(TimeZoneError(wrong.to_owned())));
        }
        let zone: NameTimeZone = "Asia/Kolkata".parse().unwrap();
        assert_eq!(serde_json::to_string(&zone).unwrap(), "\"Asia/Kolkata\"");
    }
}
