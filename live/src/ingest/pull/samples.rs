//! Samples of MP4 as tags.

use std::num::NonZeroU32;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::boxes::{AvccBox, SampleEntry};
use shiguredo_mp4::demux::Sample;
use thiserror::Error;

use super::tag::{Kind, Tag};

/// Longest sample, bytes.
pub const MOST_BYTES: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SampleError {
    #[error("the {0}; serve H.264 and AAC")]
    Codec(String),
    #[error("a sample of {0} bytes")]
    Long(usize),
    #[error("a sample is not where the index says")]
    Range,
}

/// A sample without its data.
#[derive(Debug, Clone)]
pub struct Place {
    pub kind: Kind,
    /// The tag of the codec's configuration, where it changes.
    pub config: Option<Tag>,
    pub position: u64,
    pub size: usize,
    is_key: bool,
    timestamp_ms: u32,
    composition_ms: i32,
}

impl Place {
    /// None: the sample's track is neither audio nor video. Errors: [`SampleError`].
    pub fn of(sample: &Sample<'_>) -> Result<Option<Self>, SampleError> {
        let kind = match sample.track.kind {
            TrackKind::Audio => Kind::Audio,
            TrackKind::Video => Kind::Video,
            _ => return Ok(None),
        };
        let scale = sample.track.timescale;
        let decoded = millis(i128::from(sample.timestamp), scale);
        let offset = sample.composition_time_offset.unwrap_or_default();
        let shown = millis(i128::from(sample.timestamp) + i128::from(offset), scale);
        let timestamp_ms = decoded as u32;
        if sample.data_size > MOST_BYTES {
            return Err(SampleError::Long(sample.data_size));
        }
        let config = sample
            .sample_entry
            .map(|entry| config(entry, timestamp_ms))
            .transpose()?;
        Ok(Some(Self {
            kind,
            config,
            position: sample.data_offset,
            size: sample.data_size,
            is_key: sample.keyframe,
            timestamp_ms,
            composition_ms: i32::try_from(shown - decoded).unwrap_or_default(),
        }))
    }

    pub fn is_keyframe(&self) -> bool {
        self.kind == Kind::Video && self.is_key
    }

    pub fn tag(&self, data: &[u8]) -> Tag {
        match self.kind {
            Kind::Video => Tag::avc_frame(self.timestamp_ms, self.composition_ms, self.is_key, data),
            Kind::Audio => Tag::aac_frame(self.timestamp_ms, data),
        }
    }
}

fn millis(ticks: i128, scale: NonZeroU32) -> i128 {
    ticks * 1000 / i128::from(scale.get())
}

fn config(entry: &SampleEntry, timestamp_ms: u32) -> Result<Tag, SampleError> {
    let other = |what: &str| Err(SampleError::Codec(what.to_owned()));
    match entry {
        SampleEntry::Avc1(entry) => Ok(Tag::avc_config(timestamp_ms, &record(&entry.avcc_box))),
        SampleEntry::Mp4a(entry) => {
            let info = entry.esds_box.es.dec_config_descr.dec_specific_info.as_ref();
            match info {
                Some(info) => Ok(Tag::aac_config(timestamp_ms, &info.payload)),
                None => other("audio is MPEG audio without a configuration"),
            }
        }
        SampleEntry::Hev1(_) | SampleEntry::Hvc1(_) => other("video is H.265"),
        SampleEntry::Av01(_) => other("video is AV1"),
        SampleEntry::Vp08(_) => other("video is VP8"),
        SampleEntry::Vp09(_) => other("video is VP9"),
        SampleEntry::Opus(_) => other("audio is Opus"),
        SampleEntry::Flac(_) => other("audio is FLAC"),
        _ => other("codec is not known"),
    }
}

/// AVCDecoderConfigurationRecord, with all parameter sets.
fn record(avcc: &AvccBox) -> Vec<u8> {
    let mut out = vec![
        1,
        avcc.avc_profile_indication,
        avcc.profile_compatibility,
        avcc.avc_level_indication,
        0xfc | avcc.length_size_minus_one.get(),
    ];
    let mut put = |first: u8, sets: &[Vec<u8>]| {
        out.push(first | sets.len().min(31) as u8);
        for set in sets.iter().take(31) {
            out.extend((set.len() as u16).to_be_bytes());
            out.extend(set);
        }
    };
    put(0xe0, &avcc.sps_list);
    put(0, &avcc.pps_list);
    out
}
