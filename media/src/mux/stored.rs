//! Reads CMAF segments back from the disk: where each sample lies. A segment that was being written when the process ended is
//! read up to its last whole chunk.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use shiguredo_mp4::Decode;
use shiguredo_mp4::boxes::{MoofBox, MoovBox, SampleEntry, TrafBox};

use super::MuxError;
use super::movie::{TrackDescription, track_id};
use crate::program::Track;

/// A `moof` of ours has a second of samples; more than this is damage.
const MOST_MOOF: u64 = 4 << 20;
const BOX_HEADER: u64 = 8;

/// Where a sample lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSample {
    pub track: Track,
    /// Ticks of the track since the stream's zero.
    pub decode_time: u64,
    pub duration: u32,
    pub is_key: bool,
    /// Which file, by its place in the caller's list.
    pub file: u32,
    pub offset: u64,
    pub size: u32,
}

/// Reads samples one by one.
pub struct SampleReader<'a> {
    files: &'a [PathBuf],
    open: Option<(u32, BufReader<File>)>,
    position: u64,
    data: Vec<u8>,
}

impl<'a> SampleReader<'a> {
    pub fn new(files: &'a [PathBuf]) -> Self {
        Self {
            files,
            open: None,
            position: 0,
            data: Vec::new(),
        }
    }

    /// A sample's bytes.
    ///
    /// Errors: [`MuxError::Io`].
    pub fn read(&mut self, sample: &StoredSample) -> Result<&[u8], MuxError> {
        let failed = |error| MuxError::Io("read a sample", error);
        if self.open.as_ref().is_none_or(|(number, _)| *number != sample.file) {
            let path = self.files.get(sample.file as usize).ok_or(MuxError::Empty)?;
            let file = File::open(path).map_err(failed)?;
            self.open = Some((sample.file, BufReader::with_capacity(1 << 16, file)));
            self.position = 0;
        }
        let Some((_, file)) = &mut self.open else {
            return Err(MuxError::Empty);
        };
        // Relative, so that what is read ahead stays.
        let distance = sample.offset as i64 - self.position as i64;
        file.seek_relative(distance).map_err(failed)?;
        self.data.resize(sample.size as usize, 0);
        file.read_exact(&mut self.data).map_err(failed)?;
        self.position = sample.offset + u64::from(sample.size);
        Ok(&self.data)
    }
}

/// Appends the samples of a segment; answers how many of its bytes are whole.
///
/// Errors: [`MuxError::Io`], and [`MuxError::Box`] where a whole box is damaged.
pub fn scan(segment: &Path, file: u32, samples: &mut Vec<StoredSample>) -> Result<u64, MuxError> {
    let read = |error| MuxError::Io("read a segment", error);
    let mut input = File::open(segment).map_err(read)?;
    let size = input.metadata().map_err(read)?.len();
    let (mut position, mut whole) = (0, 0);
    let mut moof: Option<(u64, MoofBox)> = None;
    while let Some((kind, length)) = box_at(&mut input, position, size).map_err(read)? {
        match &kind {
            b"moof" if length <= MOST_MOOF => {
                let bytes = bytes_at(&mut input, position, length).map_err(read)?;
                let (parsed, _) = MoofBox::decode(&bytes).map_err(MuxError::Box)?;
                moof = Some((position, parsed));
            }
            b"mdat" => {
                if let Some((start, moof)) = moof.take() {
                    for traf in &moof.traf_boxes {
                        place(traf, start, file, position + length, samples);
                    }
                }
                whole = position + length;
            }
            _ => {}
        }
        position += length;
    }
    Ok(whole)
}

/// The tracks that an init segment describes.
///
/// Errors: [`MuxError`] where it is damaged.
pub fn read_init(init: &Path) -> Result<Vec<TrackDescription>, MuxError> {
    let read = |error| MuxError::Io("read an init segment", error);
    let mut input = File::open(init).map_err(read)?;
    let size = input.metadata().map_err(read)?.len();
    let mut position = 0;
    while let Some((kind, length)) = box_at(&mut input, position, size).map_err(read)? {
        if &kind == b"moov" && length <= MOST_MOOF {
            let bytes = bytes_at(&mut input, position, length).map_err(read)?;
            let (moov, _) = MoovBox::decode(&bytes).map_err(MuxError::Box)?;
            return Ok(describe(moov));
        }
        position += length;
    }
    Err(MuxError::Empty)
}

/// Kind and length of the box at `position`; None at the end, or where it is not whole.
fn box_at(input: &mut File, position: u64, size: u64) -> std::io::Result<Option<([u8; 4], u64)>> {
    if position + BOX_HEADER > size {
        return Ok(None);
    }
    let header = bytes_at(input, position, BOX_HEADER)?;
    let [a, b, c, d, kind @ ..] = header.as_slice() else {
        return Ok(None);
    };
    let length = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
    let is_whole = length >= BOX_HEADER && position + length <= size;
    Ok(kind.try_into().ok().filter(|_| is_whole).map(|kind| (kind, length)))
}

fn bytes_at(input: &mut File, position: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    input.seek(SeekFrom::Start(position))?;
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The samples of one track's fragment, as far as they lie before `end`.
fn place(traf: &TrafBox, moof: u64, file: u32, end: u64, samples: &mut Vec<StoredSample>) {
    let Some(track) = track_of(traf.tfhd_box.track_id) else {
        return;
    };
    let mut decode_time = traf.tfdt_box.as_ref().map_or(0, |tfdt| tfdt.base_media_decode_time);
    for trun in &traf.trun_boxes {
        let mut offset = moof.saturating_add_signed(trun.data_offset.unwrap_or_default().into());
        for sample in &trun.samples {
            let (size, duration) = (sample.size.unwrap_or_default(), sample.duration.unwrap_or_default());
            // §8.8.3.1: bit 16 is "no sync sample".
            let is_key = sample.flags.is_none_or(|flags| flags.get() & 0x0001_0000 == 0);
            if offset + u64::from(size) <= end {
                samples.push(StoredSample {
                    track,
                    decode_time,
                    duration,
                    is_key,
                    file,
                    offset,
                    size,
                });
            }
            offset += u64::from(size);
            decode_time += u64::from(duration);
        }
    }
}

fn track_of(id: u32) -> Option<Track> {
    [Track::Video, Track::Audio]
        .into_iter()
        .find(|track| track_id(*track) == id)
}

fn describe(moov: MoovBox) -> Vec<TrackDescription> {
    let mut tracks: Vec<TrackDescription> = Vec::new();
    for trak in moov.trak_boxes {
        let (id, mdia) = (trak.tkhd_box.track_id, trak.mdia_box);
        let entry: Option<SampleEntry> = mdia.minf_box.stbl_box.stsd_box.entries.into_iter().next();
        if let (Some(track), Some(entry)) = (track_of(id), entry) {
            let side = |side: i16| u16::try_from(side).unwrap_or_default();
            tracks.push(TrackDescription {
                track,
                timescale: mdia.mdhd_box.timescale,
                entry,
                size: (side(trak.tkhd_box.width.integer), side(trak.tkhd_box.height.integer)),
            });
        }
    }
    tracks
}
