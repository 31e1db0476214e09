//! The measures of usage: what is counted, and the classes by which it is billed. Pure.

use std::fmt;
use std::str::FromStr;

use rotunda_events::MixOutput;

/// A frame size, as it is billed: by its pixels, so that upright videos count like lying ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Audio,
    /// Up to 640x480.
    Sd,
    /// Up to 1280x720.
    Hd,
    /// Up to 1920x1080.
    FullHd,
    /// Up to 2560x1440.
    TwoK,
    FourK,
}

/// Whose media is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Single,
    Mixed,
}

/// What is counted, in milliseconds. Its text is the class of the rows in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    Mixed(Class),
    Recorded(Recorded, Class),
}

impl Class {
    pub const ALL: [Self; 6] = [Self::Audio, Self::Sd, Self::Hd, Self::FullHd, Self::TwoK, Self::FourK];

    /// None: audio only.
    pub fn of(resolution: Option<(u16, u16)>) -> Self {
        let Some((width, height)) = resolution else {
            return Self::Audio;
        };
        match u32::from(width) * u32::from(height) {
            0..=307_200 => Self::Sd,
            307_201..=921_600 => Self::Hd,
            921_601..=2_073_600 => Self::FullHd,
            2_073_601..=3_686_400 => Self::TwoK,
            _ => Self::FourK,
        }
    }

    pub fn of_mix(output: MixOutput) -> Self {
        match output {
            MixOutput::Audio => Self::Audio,
            MixOutput::Video { width, height } => Self::of(Some((width, height))),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Sd => "sd",
            Self::Hd => "hd",
            Self::FullHd => "fhd",
            Self::TwoK => "2k",
            Self::FourK => "4k",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mixed(class) => write!(f, "mix_{}_ms", class.as_str()),
            Self::Recorded(Recorded::Single, class) => write!(f, "record_single_{}_ms", class.as_str()),
            Self::Recorded(Recorded::Mixed, class) => write!(f, "record_mixed_{}_ms", class.as_str()),
        }
    }
}

impl FromStr for Measure {
    /// The text names another measure, which has no class.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = text.strip_suffix("_ms").ok_or(())?;
        let (kind, class) = named.rsplit_once('_').ok_or(())?;
        let class = Class::ALL.into_iter().find(|known| known.as_str() == class).ok_or(())?;
        match kind {
            "mix" => Ok(Self::Mixed(class)),
            "record_single" => Ok(Self::Recorded(Recorded::Single, class)),
            "record_mixed" => Ok(Self::Recorded(Recorded::Mixed, class)),
            _ => Err(()),
        }
    }
}

/// A day is billed in minutes: its time in seconds, and a minute that was begun is a whole one.
pub fn billed_minutes(milliseconds: u64) -> u64 {
    milliseconds.div_ceil(1000).div_ceil(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_belongs_to_the_class_of_its_pixels() {
        assert_eq!(Class::of(None), Class::Audio);
        assert_eq!(Class::of(Some((640, 480))), Class::Sd);
        assert_eq!(Class::of(Some((642, 480))), Class::Hd);
        assert_eq!(Class::of(Some((360, 1280))), Class::Hd, "460800 pixels");
        assert_eq!(Class::of(Some((1280, 720))), Class::Hd);
        assert_eq!(Class::of(Some((1920, 1080))), Class::FullHd);
        assert_eq!(Class::of(Some((2560, 1440))), Class::TwoK);
        assert_eq!(Class::of(Some((3840, 2160))), Class::FourK);
    }

    #[test]
    fn a_measure_is_read_back_from_its_text() {
        for class in Class::ALL {
            for measure in [
                Measure::Mixed(class),
                Measure::Recorded(Recorded::Single, class),
                Measure::Recorded(Recorded::Mixed, class),
            ] {
                assert_eq!(measure.to_string().parse(), Ok(measure));
            }
        }
        for other in ["mix_ms", "recorded_ms", "anchor_ms", "members_peak", ""] {
            assert_eq!(other.parse::<Measure>(), Err(()), "{other}");
        }
    }

    #[test]
    fn a_minute_that_was_begun_is_a_whole_one() {
        assert_eq!(billed_minutes(0), 0);
        assert_eq!(billed_minutes(1), 1);
        assert_eq!(billed_minutes(60_000), 1);
        assert_eq!(billed_minutes(60_001), 2);
    }
}
