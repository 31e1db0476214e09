//! From a fragmented file to an ordinary MP4 with its index in front ("fast-start").

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::demux::{Fmp4FileDemuxer, Input};
use shiguredo_mp4::mux::{Mp4FileMuxer, Mp4FileMuxerOptions, Sample, estimate_maximum_moov_box_size};

use super::MuxError;

/// What a finished file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp4Summary {
    pub duration_ms: u64,
    pub size_bytes: u64,
    pub video_samples: usize,
    pub audio_samples: usize,
}

/// Where a sample lies in the fragmented file.
struct Found {
    sample: Sample,
    from: u64,
}

/// Writes `out` from the whole fragments of `fragmented`, a cut one at the end is left out, and syncs it to the disk.
///
/// Errors: [`MuxError::Empty`] for a file without a whole fragment.
pub fn finish(fragmented: &Path, out: &Path) -> Result<Mp4Summary, MuxError> {
    let mut input = File::open(fragmented).map_err(|error| MuxError::Io("open the fragmented file", error))?;
    let samples = find_samples(&mut input)?;
    let count = |kind| samples.iter().filter(|found| found.sample.track_kind == kind).count();
    let (video_samples, audio_samples) = (count(TrackKind::Video), count(TrackKind::Audio));
    let options = Mp4FileMuxerOptions {
        reserved_moov_box_size: estimate_maximum_moov_box_size(&[video_samples, audio_samples]),
        ..Mp4FileMuxerOptions::default()
    };
    let mut muxer = Mp4FileMuxer::with_options(options).map_err(MuxError::Boxes)?;
    let write = |error| MuxError::Io("write the MP4 file", error);
    let mut output = File::create(out).map_err(write)?;
    output.write_all(muxer.initial_boxes_bytes()).map_err(write)?;
    let mut position = muxer.initial_boxes_bytes().len() as u64;
    let mut lengths_us = [0_u64; 2];
    let mut data = Vec::new();
    for Found { sample, from } in samples {
        data.resize(sample.data_size, 0);
        input
            .seek(SeekFrom::Start(from))
            .and_then(|_| input.read_exact(&mut data))
            .map_err(|error| MuxError::Io("read a sample", error))?;
        output.write_all(&data).map_err(write)?;
        let track = usize::from(sample.track_kind == TrackKind::Audio);
        lengths_us[track] += u64::from(sample.duration) * 1_000_000 / u64::from(sample.timescale.get());
        muxer
            .append_sample(&Sample {
                data_offset: position,
                ..sample
            })
            .map_err(MuxError::Boxes)?;
        position += data.len() as u64;
    }
    let boxes = muxer.finalize().map_err(MuxError::Boxes)?;
    for (offset, bytes) in boxes.offset_and_bytes_pairs() {
        output
            .seek(SeekFrom::Start(offset))
            .and_then(|_| output.write_all(bytes))
            .map_err(write)?;
    }
    output.sync_all().map_err(write)?;
    let size_bytes = output.metadata().map_err(write)?.len();
    let [video_us, audio_us] = lengths_us;
    Ok(Mp4Summary {
        duration_ms: video_us.max(audio_us) / 1000,
        size_bytes,
        video_samples,
        audio_samples,
    })
}

fn find_samples(input: &mut File) -> Result<Vec<Found>, MuxError> {
    let broken = |error: shiguredo_mp4::demux::DemuxError| MuxError::Fragments(error.to_string());
    let size = input
        .metadata()
        .map_err(|error| MuxError::Io("read the fragmented file", error))?
        .len();
    let mut demuxer = Fmp4FileDemuxer::new();
    let mut found: Vec<Found> = Vec::new();
    let mut entries = [None, None];
    loop {
        let mut cut = false;
        while let Some(required) = demuxer.required_input() {
            let left = size.saturating_sub(required.position);
            let wanted = required.size.map_or(left, |wanted| wanted as u64);
            cut |= wanted > left || left == 0;
            let mut data = vec![0; usize::try_from(wanted.min(left)).unwrap_or(0)];
            input
                .seek(SeekFrom::Start(required.position))
                .and_then(|_| input.read_exact(&mut data))
                .map_err(|error| MuxError::Io("read the fragmented file", error))?;
            demuxer.handle_input(Input {
                position: required.position,
                data: &data,
            });
            if cut {
                break;
            }
        }
        match demuxer.next_sample() {
            Ok(Some(sample)) => {
                let end = sample.data_offset + sample.data_size as u64;
                if end > size {
                    break;
                }
                let track = usize::from(sample.track.kind == TrackKind::Audio);
                if let Some(entry) = sample.sample_entry {
                    entries[track] = Some(entry.clone());
                }
                found.push(Found {
                    from: sample.data_offset,
                    sample: Sample {
                        track_kind: sample.track.kind,
                        sample_entry: entries[track].clone(),
                        keyframe: sample.keyframe,
                        timescale: sample.track.timescale,
                        duration: sample.duration,
                        composition_time_offset: sample.composition_time_offset,
                        data_offset: 0,
                        data_size: sample.data_size,
                    },
                });
            }
            Ok(None) => break,
            Err(error) if found.is_empty() => return Err(broken(error)),
            // The rest is a fragment that was being written when the process ended.
            Err(_) => break,
        }
        if cut && demuxer.required_input().is_some() {
            break;
        }
    }
    if found.is_empty() {
        Err(MuxError::Empty)
    } else {
        Ok(found)
    }
}
