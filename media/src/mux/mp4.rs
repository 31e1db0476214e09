//! An ordinary MP4 with its index in front ("fast-start"), from the samples of CMAF segments.
//!
//! Edit lists put every track where it belongs: one that begins later begins later, and what is there only for the decoder to
//! start with is not presented.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shiguredo_mp4::boxes::{
    Co64Box, SampleEntry, StblBox, StcoBox, StscBox, StscEntry, StsdBox, StssBox, StszBox, SttsBox,
};
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};
use shiguredo_mp4::{Either, Encode};

use super::MuxError;
use super::movie::{Edit, MOVIE_RATE, TrackDescription, TrackTables, file_type, movie};
use super::stored::StoredSample;
use crate::program::Track;
use crate::time::MediaTime;

/// The content of a file, where it lies, and which part of it is presented.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub tracks: &'a [TrackDescription],
    /// Later configurations, in order.
    pub changes: &'a [Change],
    /// The files that samples lie in.
    pub files: &'a [PathBuf],
    /// In the order of the files; those of one track in order of time.
    pub samples: &'a [StoredSample],
    pub start: MediaTime,
    pub end: MediaTime,
}

/// Samples have another decoder configuration from a file on, as when the video changes its size.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub from_file: u32,
    pub tracks: Vec<TrackDescription>,
}

/// The content of a finished file, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub duration_ms: u64,
    pub size_bytes: u64,
}

/// Samples of one track that lie one behind the other.
struct Run {
    track: Track,
    samples: u32,
    file: u32,
    offset: u64,
    size: u64,
}

/// Writes `out`, syncs it to the disk, and reads it again to see that all is in it. `created`: since 1970.
///
/// Errors: [`MuxError::Empty`] without samples, [`MuxError::Io`], [`MuxError::Verify`].
pub fn write(source: &Source<'_>, created: Duration, out: &Path) -> Result<Summary, MuxError> {
    let runs = runs(source.samples);
    if runs.is_empty() {
        return Err(MuxError::Empty);
    }
    let payload: u64 = runs.iter().map(|run| run.size).sum();
    let large = payload > LARGE;
    // The index has one size wherever the samples are, so it is made twice.
    let head_size = head(source, &runs, created, large, 0)?.len() as u64;
    let mdat_header = if large { 16 } else { 8 };
    let head = head(source, &runs, created, large, head_size + mdat_header)?;
    let failed = |error| MuxError::Io("write the MP4 file", error);
    let mut output = BufWriter::with_capacity(BUFFER, File::create(out).map_err(failed)?);
    output.write_all(&head).map_err(failed)?;
    output.write_all(&mdat(payload, large)).map_err(failed)?;
    copy(source.files, &runs, &mut output)?;
    let output = output.into_inner().map_err(|error| failed(error.into_error()))?;
    output.sync_all().map_err(failed)?;
    let size_bytes = output.metadata().map_err(failed)?.len();
    drop(output);
    verify(out, source.samples)?;
    Ok(Summary {
        duration_ms: source.end.since(source.start).as_millis() as u64,
        size_bytes,
    })
}

fn runs(samples: &[StoredSample]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for sample in samples {
        let goes_on = |run: &&mut Run| {
            run.track == sample.track
                && run.file == sample.file
                && run.offset + run.size == sample.offset
                && run.size < LONGEST_RUN
        };
        match runs.last_mut().filter(goes_on) {
            Some(run) => {
                run.samples += 1;
                run.size += u64::from(sample.size);
            }
            None => runs.push(Run {
                track: sample.track,
                samples: 1,
                file: sample.file,
                offset: sample.offset,
                size: sample.size.into(),
            }),
        }
    }
    runs
}

/// `ftyp` and `moov`; the first run's data is at `first`.
fn head(source: &Source<'_>, runs: &[Run], created: Duration, large: bool, first: u64) -> Result<Vec<u8>, MuxError> {
    let tracks = source.tracks.iter().map(|track| {
        let tables = tables(source, track, runs, large, first)?;
        Ok(tables.map(|tables| (track, Some(tables))))
    });
    let tracks: Vec<_> = tracks.filter_map(Result::transpose).collect::<Result<_, MuxError>>()?;
    let mut bytes = file_type(false).encode_to_vec().map_err(MuxError::Box)?;
    bytes.extend(movie(tracks, created).encode_to_vec().map_err(MuxError::Box)?);
    Ok(bytes)
}

/// None for a track without samples.
fn tables(
    source: &Source<'_>,
    track: &TrackDescription,
    runs: &[Run],
    large: bool,
    first: u64,
) -> Result<Option<TrackTables>, MuxError> {
    let samples: Vec<&StoredSample> = source
        .samples
        .iter()
        .filter(|sample| sample.track == track.track)
        .collect();
    let (Some(head), Some(last)) = (samples.first(), samples.last()) else {
        return Ok(None);
    };
    // To the next sample, so that a gap lasts as long as it did.
    let mut deltas: Vec<u32> = samples
        .windows(2)
        .map(|pair| u32::try_from(pair[1].decode_time.saturating_sub(pair[0].decode_time)).unwrap_or(u32::MAX))
        .collect();
    deltas.push(last.duration);
    let duration: u64 = deltas.iter().map(|delta| u64::from(*delta)).sum();
    let (entries, starts) = entries(source, track);
    let mut position = first;
    let mut offsets = Vec::new();
    let mut chunks = Vec::new();
    for run in runs {
        if run.track == track.track {
            offsets.push(position);
            let entry = starts.iter().filter(|from| **from <= run.file).count() as u32;
            chunks.push((run.samples, NonZeroU32::MIN.saturating_add(entry)));
        }
        position += run.size;
    }
    let keys: Vec<NonZeroU32> = (1..)
        .zip(&samples)
        .filter(|(_, sample)| sample.is_key)
        .filter_map(|(number, _)| NonZeroU32::new(number))
        .collect();
    let stbl = StblBox {
        stsd_box: StsdBox { entries },
        stts_box: SttsBox::from_sample_deltas(deltas).map_err(MuxError::Box)?,
        ctts_box: None,
        cslg_box: None,
        stsc_box: sample_to_chunk(&chunks),
        stsz_box: StszBox::Variable {
            entry_sizes: samples.iter().map(|sample| sample.size).collect(),
        },
        stco_or_co64_box: match large {
            true => Either::B(Co64Box { chunk_offsets: offsets }),
            false => Either::A(StcoBox {
                chunk_offsets: offsets.iter().map(|offset| *offset as u32).collect(),
            }),
        },
        // §8.6.2.1: without it every sample is a sync sample.
        stss_box: (keys.len() < samples.len()).then_some(StssBox { sample_numbers: keys }),
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    };
    Ok(Some(TrackTables {
        stbl,
        duration,
        edits: edits(
            source,
            track.timescale.get(),
            head.decode_time,
            head.decode_time + duration,
        ),
    }))
}

/// `first` and `end` of the track's samples, in its ticks.
fn edits(source: &Source<'_>, rate: u32, first: u64, end: u64) -> Vec<Edit> {
    let start = source.start.rescale(rate).ticks();
    let end = end.min(source.end.rescale(rate).ticks());
    let movie = |ticks: u64| (u128::from(ticks) * u128::from(MOVIE_RATE)).div_ceil(rate.into()) as u64;
    let mut edits = Vec::new();
    if first > start {
        edits.push(Edit {
            duration: movie(first - start),
            media_time: None,
        });
    }
    edits.push(Edit {
        duration: movie(end.saturating_sub(start.max(first))),
        media_time: Some(start.saturating_sub(first)),
    });
    edits
}

/// `chunks`: the samples of each, and the number of their sample entry.
fn sample_to_chunk(chunks: &[(u32, NonZeroU32)]) -> StscBox {
    let mut entries: Vec<StscEntry> = Vec::new();
    for (number, (count, description)) in (1..).zip(chunks) {
        let is_same =
            |entry: &StscEntry| entry.sample_per_chunk == *count && entry.sample_description_index == *description;
        let same = entries.last().is_some_and(is_same);
        if let Some(first_chunk) = NonZeroU32::new(number).filter(|_| !same) {
            entries.push(StscEntry {
                first_chunk,
                sample_per_chunk: *count,
                sample_description_index: *description,
            });
        }
    }
    StscBox { entries }
}

/// A track's sample entries, and the files that all but the first begin with.
fn entries(source: &Source<'_>, track: &TrackDescription) -> (Vec<SampleEntry>, Vec<u32>) {
    let (mut entries, mut starts) = (vec![track.entry.clone()], Vec::new());
    for change in source.changes {
        let found = change.tracks.iter().find(|other| other.track == track.track);
        if let Some(found) = found.filter(|found| entries.last() != Some(&found.entry)) {
            entries.push(found.entry.clone());
            starts.push(change.from_file);
        }
    }
    (entries, starts)
}

fn mdat(payload: u64, large: bool) -> Vec<u8> {
    match large {
        true => [&[0, 0, 0, 1], b"mdat".as_slice(), &(payload + 16).to_be_bytes()].concat(),
        false => [&((payload + 8) as u32).to_be_bytes(), b"mdat".as_slice()].concat(),
    }
}

fn copy(files: &[PathBuf], runs: &[Run], output: &mut impl Write) -> Result<(), MuxError> {
    let read = |error| MuxError::Io("read a segment", error);
    let mut open: Option<(u32, File)> = None;
    let mut data = Vec::new();
    for run in runs {
        let file = match &mut open {
            Some((number, file)) if *number == run.file => file,
            open => {
                let path = files.get(run.file as usize).ok_or(MuxError::Empty)?;
                &mut open.insert((run.file, File::open(path).map_err(read)?)).1
            }
        };
        data.resize(run.size as usize, 0);
        file.seek(SeekFrom::Start(run.offset)).map_err(read)?;
        file.read_exact(&mut data).map_err(read)?;
        output
            .write_all(&data)
            .map_err(|error| MuxError::Io("write the file", error))?;
    }
    Ok(())
}

/// Reads the file by another way than it was written: samples and bytes of each track.
fn verify(out: &Path, samples: &[StoredSample]) -> Result<(), MuxError> {
    let mut expected: HashMap<bool, (u64, u64)> = HashMap::new();
    for sample in samples {
        let sum = expected.entry(sample.track == Track::Video).or_default();
        *sum = (sum.0 + 1, sum.1 + u64::from(sample.size));
    }
    let read = |error| MuxError::Io("read the finished file", error);
    let wrong = |error: shiguredo_mp4::demux::DemuxError| MuxError::Verify(error.to_string());
    let mut input = File::open(out).map_err(read)?;
    let size = input.metadata().map_err(read)?.len();
    let mut demuxer = Mp4FileDemuxer::new();
    while let Some(required) = demuxer.required_input() {
        let left = size.saturating_sub(required.position);
        let wanted = required.size.map_or(left, |wanted| wanted as u64).min(left);
        let mut data = vec![0; wanted as usize];
        input.seek(SeekFrom::Start(required.position)).map_err(read)?;
        input.read_exact(&mut data).map_err(read)?;
        demuxer.handle_input(Input {
            position: required.position,
            data: &data,
        });
    }
    let mut found: HashMap<bool, (u64, u64)> = HashMap::new();
    while let Some(sample) = demuxer.next_sample().map_err(wrong)? {
        if sample.data_offset + sample.data_size as u64 > size {
            return Err(MuxError::Verify("a sample lies behind the end".to_owned()));
        }
        let sum = found
            .entry(sample.track.kind == shiguredo_mp4::TrackKind::Video)
            .or_default();
        *sum = (sum.0 + 1, sum.1 + sample.data_size as u64);
    }
    match found == expected {
        true => Ok(()),
        false => Err(MuxError::Verify(format!("{found:?} instead of {expected:?}"))),
    }
}

/// From here on offsets may need 64 bits.
const LARGE: u64 = u32::MAX as u64 - (64 << 20);
const BUFFER: usize = 1 << 20;
/// Bytes of one chunk at most: it is read at once.
const LONGEST_RUN: u64 = 4 << 20;
