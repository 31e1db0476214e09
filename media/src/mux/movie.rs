//! The `moov` box, of init segments (without samples) and of whole files alike. Source: ISO/IEC 14496-12 §8.

use std::num::NonZeroU32;
use std::time::Duration;

use shiguredo_mp4::bitstream::aac::{Mp4aSampleEntryConfig, build_mp4a_box, parse_audio_specific_config};
use shiguredo_mp4::bitstream::h264::{H264SampleEntryConfig, LengthSize, build_avc1_box};
use shiguredo_mp4::boxes::{
    Brand, DinfBox, EdtsBox, ElstBox, ElstEntry, FtypBox, HdlrBox, MdhdBox, MdiaBox, MediaHeader, MinfBox, MoovBox,
    MvexBox, MvhdBox, SampleEntry, SmhdBox, StblBox, StcoBox, StscBox, StsdBox, StszBox, SttsBox, TkhdBox, TrakBox,
    TrexBox, VmhdBox,
};
use shiguredo_mp4::{Either, FixedPointNumber, LanguageCode, Mp4FileTime, SampleFlags};

use super::MuxError;
use crate::program::{AudioHeader, ProgramHeader, Track, VideoHeader};
use crate::time::VIDEO_RATE;

/// Ticks a second of the movie's own times.
pub const MOVIE_RATE: u32 = 90_000;

/// A track as containers describe it, without its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackDescription {
    pub track: Track,
    pub timescale: NonZeroU32,
    pub entry: SampleEntry,
    /// Pixels; 0 for audio.
    pub size: (u16, u16),
}

/// The samples of a track in a whole file.
pub struct TrackTables {
    pub stbl: StblBox,
    /// Ticks of the track.
    pub duration: u64,
    pub edits: Vec<Edit>,
}

/// A stretch of a track's presentation (§8.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Ticks of [`MOVIE_RATE`].
    pub duration: u64,
    /// Where it begins, in ticks of the track; None: nothing is presented.
    pub media_time: Option<u64>,
}

/// The number of a track in every file of ours.
pub fn track_id(track: Track) -> u32 {
    match track {
        Track::Video => 1,
        Track::Audio => 2,
    }
}

/// The tracks of a program: video first.
///
/// Errors: [`MuxError::Describe`] where the codec's configuration cannot be read.
pub fn describe(header: &ProgramHeader) -> Result<Vec<TrackDescription>, MuxError> {
    let video = header.video.as_ref().map(video);
    [video, Some(audio(&header.audio))].into_iter().flatten().collect()
}

fn video(header: &VideoHeader) -> Result<TrackDescription, MuxError> {
    let config = H264SampleEntryConfig {
        length_size: LengthSize::FourBytes,
    };
    let avc1 = build_avc1_box(&[header.sps.to_vec()], &[header.pps.to_vec()], &config).map_err(MuxError::Describe)?;
    Ok(TrackDescription {
        track: Track::Video,
        timescale: rate(VIDEO_RATE),
        entry: SampleEntry::Avc1(avc1),
        size: (header.width, header.height),
    })
}

fn audio(header: &AudioHeader) -> Result<TrackDescription, MuxError> {
    let config = parse_audio_specific_config(&header.config).map_err(MuxError::Describe)?;
    let bitrate = header.bitrate_kbps * 1000;
    let entry = Mp4aSampleEntryConfig {
        es_id: 1,
        buffer_size_db: 0,
        max_bitrate: bitrate,
        avg_bitrate: bitrate,
    };
    let mp4a = build_mp4a_box(&config, &entry).map_err(MuxError::Describe)?;
    Ok(TrackDescription {
        track: Track::Audio,
        timescale: rate(header.sample_rate),
        entry: SampleEntry::Mp4a(mp4a),
        size: (0, 0),
    })
}

fn rate(ticks: u32) -> NonZeroU32 {
    NonZeroU32::new(ticks).unwrap_or(NonZeroU32::MIN)
}

/// `ftyp`. `fragmented`: of an init segment.
pub fn file_type(fragmented: bool) -> FtypBox {
    let mut compatible_brands = match fragmented {
        true => vec![
            Brand::ISOM,
            Brand::new(*b"iso5"),
            Brand::new(*b"iso6"),
            Brand::new(*b"cmfc"),
        ],
        false => vec![Brand::ISOM, Brand::new(*b"iso2")],
    };
    compatible_brands.extend([Brand::AVC1, Brand::new(*b"mp41")]);
    FtypBox {
        major_brand: Brand::new(if fragmented { *b"iso5" } else { *b"isom" }),
        minor_version: 0,
        compatible_brands,
    }
}

/// `moov`. `created`: since 1970; `tables`: None for an init segment.
pub fn movie(tracks: Vec<(&TrackDescription, Option<TrackTables>)>, created: Duration) -> MoovBox {
    let created = Mp4FileTime::from_unix_time(created);
    let fragmented = tracks.iter().any(|(_, tables)| tables.is_none());
    let mvex_box = fragmented.then(|| MvexBox {
        mehd_box: None,
        trex_boxes: tracks.iter().map(|(track, _)| trex(track)).collect(),
        unknown_boxes: Vec::new(),
    });
    let next_track_id = tracks.iter().map(|(track, _)| track_id(track.track)).max().unwrap_or(0) + 1;
    let trak_boxes: Vec<TrakBox> = tracks
        .into_iter()
        .map(|(track, tables)| trak(track, tables, created))
        .collect();
    MoovBox {
        mvhd_box: MvhdBox {
            creation_time: created,
            modification_time: created,
            timescale: rate(MOVIE_RATE),
            duration: trak_boxes.iter().map(|trak| trak.tkhd_box.duration).max().unwrap_or(0),
            rate: MvhdBox::DEFAULT_RATE,
            volume: MvhdBox::DEFAULT_VOLUME,
            matrix: MvhdBox::DEFAULT_MATRIX,
            next_track_id,
        },
        trak_boxes,
        mvex_box,
        unknown_boxes: Vec::new(),
    }
}

fn trex(track: &TrackDescription) -> TrexBox {
    TrexBox {
        track_id: track_id(track.track),
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: SampleFlags::new(0),
    }
}

fn trak(track: &TrackDescription, tables: Option<TrackTables>, created: Mp4FileTime) -> TrakBox {
    let TrackTables { stbl, duration, edits } = tables.unwrap_or_else(|| TrackTables {
        stbl: no_samples(track),
        duration: 0,
        edits: Vec::new(),
    });
    let is_video = track.track == Track::Video;
    let side = |pixels: u16| FixedPointNumber::new(i16::try_from(pixels).unwrap_or(i16::MAX), 0);
    let (handler_type, name, media_header) = match is_video {
        true => (
            HdlrBox::HANDLER_TYPE_VIDE,
            "video",
            MediaHeader::Vmhd(VmhdBox::default()),
        ),
        false => (
            HdlrBox::HANDLER_TYPE_SOUN,
            "audio",
            MediaHeader::Smhd(SmhdBox::default()),
        ),
    };
    TrakBox {
        tkhd_box: TkhdBox {
            flag_track_enabled: true,
            flag_track_in_movie: true,
            flag_track_in_preview: false,
            flag_track_size_is_aspect_ratio: false,
            creation_time: created,
            modification_time: created,
            track_id: track_id(track.track),
            duration: edits.iter().map(|edit| edit.duration).sum(),
            layer: TkhdBox::DEFAULT_LAYER,
            alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
            volume: match is_video {
                true => TkhdBox::DEFAULT_VIDEO_VOLUME,
                false => TkhdBox::DEFAULT_AUDIO_VOLUME,
            },
            matrix: TkhdBox::DEFAULT_MATRIX,
            width: side(track.size.0),
            height: side(track.size.1),
        },
        edts_box: (!edits.is_empty()).then(|| edit_list(&edits)),
        mdia_box: MdiaBox {
            mdhd_box: MdhdBox {
                creation_time: created,
                modification_time: created,
                timescale: track.timescale,
                duration,
                language: LanguageCode::UNDEFINED,
            },
            hdlr_box: HdlrBox {
                handler_type,
                name: [name.as_bytes(), &[0]].concat(),
            },
            minf_box: MinfBox {
                media_header: Some(media_header),
                dinf_box: DinfBox::LOCAL_FILE,
                stbl_box: stbl,
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    }
}

fn edit_list(edits: &[Edit]) -> EdtsBox {
    let entry = |edit: &Edit| ElstEntry {
        edit_duration: edit.duration,
        media_time: edit.media_time.map_or(-1, |time| time as i64),
        media_rate: FixedPointNumber::new(1, 0),
    };
    EdtsBox {
        elst_box: Some(ElstBox {
            entries: edits.iter().map(entry).collect(),
        }),
        unknown_boxes: Vec::new(),
    }
}

fn no_samples(track: &TrackDescription) -> StblBox {
    StblBox {
        stsd_box: StsdBox {
            entries: vec![track.entry.clone()],
        },
        stts_box: SttsBox { entries: Vec::new() },
        ctts_box: None,
        cslg_box: None,
        stsc_box: StscBox { entries: Vec::new() },
        stsz_box: StszBox::Variable {
            entry_sizes: Vec::new(),
        },
        stco_or_co64_box: Either::A(StcoBox {
            chunk_offsets: Vec::new(),
        }),
        stss_box: None,
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    }
}
