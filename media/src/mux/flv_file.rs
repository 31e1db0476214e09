//! A finished FLV file: its length, and where each keyframe is, stand in its metadata, so that players can seek.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use shiguredo_mp4::boxes::SampleEntry;

use super::MuxError;
use super::adts::audio_config;
use super::flv::{self, Keyframe, TagKind};
use super::mp4::{Source, Summary};
use super::stored::{SampleReader, StoredSample};
use crate::program::Track;
use crate::time::MediaTime;

/// A sample and its time in the file.
#[derive(Debug, Clone, Copy)]
struct Tag<'a> {
    sample: &'a StoredSample,
    milliseconds: u32,
}

/// Writes `out` and syncs it to the disk.
///
/// Errors: [`MuxError::Empty`] without samples, [`MuxError::Codec`] for other codecs than H.264 and AAC, [`MuxError::Io`].
pub fn write(source: &Source<'_>, out: &Path) -> Result<Summary, MuxError> {
    let tags = tags(source);
    if tags.is_empty() {
        return Err(MuxError::Empty);
    }
    let configs = configs(source)?;
    let has = |track| source.tracks.iter().any(|one| one.track == track);
    let duration = source.end.since(source.start);
    let mut keyframes = Vec::new();
    // The metadata has one size whatever its numbers are, so it is made twice.
    let count = tags.iter().filter(|tag| is_keyframe(tag)).count();
    let placeholder = flv::file_metadata(duration, 0, &vec![Keyframe::default(); count]);
    let head = flv::header(has(Track::Video), has(Track::Audio));
    let mut position = (head.len() + flv::tag(TagKind::Script, 0, &placeholder).len()) as u64;
    position += configs.iter().map(|config| config.len() as u64).sum::<u64>();
    let mut changes = changes(source)?.into_iter().peekable();
    let mut later: Vec<(usize, Bytes)> = Vec::new();
    for (number, tag) in tags.iter().enumerate() {
        let is_reached = |(from, _): &(u32, Bytes)| tag.sample.track == Track::Video && *from <= tag.sample.file;
        while let Some((_, body)) = changes.next_if(is_reached) {
            let config = flv::tag(TagKind::Video, tag.milliseconds, &body);
            position += config.len() as u64;
            later.push((number, config));
        }
        if is_keyframe(tag) {
            keyframes.push(Keyframe {
                seconds: f64::from(tag.milliseconds) / 1000.0,
                position,
            });
        }
        position += (flv::TAG_BYTES + flv::body_head(tag.sample.track, tag.sample.is_key).len()) as u64;
        position += u64::from(tag.sample.size);
    }
    let metadata = flv::file_metadata(duration, position, &keyframes);

    let failed = |error| MuxError::Io("write the FLV file", error);
    let mut output = BufWriter::with_capacity(1 << 18, File::create(out).map_err(failed)?);
    output.write_all(&head).map_err(failed)?;
    output
        .write_all(&flv::tag(TagKind::Script, 0, &metadata))
        .map_err(failed)?;
    for config in &configs {
        output.write_all(config).map_err(failed)?;
    }
    let mut reader = SampleReader::new(source.files);
    let mut body = Vec::new();
    let mut later = later.into_iter().peekable();
    for (number, Tag { sample, milliseconds }) in tags.into_iter().enumerate() {
        while let Some((_, config)) = later.next_if(|(before, _)| *before == number) {
            output.write_all(&config).map_err(failed)?;
        }
        body.clear();
        body.extend_from_slice(flv::body_head(sample.track, sample.is_key));
        body.extend_from_slice(reader.read(sample)?);
        let kind = match sample.track {
            Track::Video => TagKind::Video,
            Track::Audio => TagKind::Audio,
        };
        output.write_all(&flv::tag(kind, milliseconds, &body)).map_err(failed)?;
    }
    let output = output.into_inner().map_err(|error| failed(error.into_error()))?;
    output.sync_all().map_err(failed)?;
    let size_bytes = output.metadata().map_err(failed)?.len();
    if size_bytes != position {
        return Err(MuxError::Verify(format!("{size_bytes} bytes instead of {position}")));
    }
    Ok(Summary {
        duration_ms: duration.as_millis() as u64,
        size_bytes,
    })
}

/// In order of time, as FLV wants it; what only starts a decoder is left out.
fn tags<'a>(source: &Source<'a>) -> Vec<Tag<'a>> {
    let rate = |track| {
        let found = source.tracks.iter().find(|one| one.track == track);
        found.map_or(1, |one| one.timescale.get())
    };
    let (video, audio) = (rate(Track::Video), rate(Track::Audio));
    let mut tags: Vec<Tag<'a>> = source
        .samples
        .iter()
        .filter_map(|sample| {
            let rate = if sample.track == Track::Video { video } else { audio };
            let at = MediaTime::new(sample.decode_time, rate);
            let milliseconds = at.since(source.start).as_millis() as u32;
            (!at.is_before(source.start)).then_some(Tag { sample, milliseconds })
        })
        .collect();
    tags.sort_by_key(|tag| tag.milliseconds);
    tags
}

fn is_keyframe(tag: &Tag<'_>) -> bool {
    tag.sample.track == Track::Video && tag.sample.is_key
}

/// The video's later configurations: the file from which each holds, and a tag's body.
fn changes(source: &Source<'_>) -> Result<Vec<(u32, Bytes)>, MuxError> {
    let mut bodies = Vec::new();
    for change in source.changes {
        for track in &change.tracks {
            if let SampleEntry::Avc1(avc1) = &track.entry {
                let sets = &avc1.avcc_box;
                let (sps, pps) = sets
                    .sps_list
                    .first()
                    .zip(sets.pps_list.first())
                    .ok_or(MuxError::Codec)?;
                bodies.push((change.from_file, flv::avc_config_body(sps, pps)));
            }
        }
    }
    Ok(bodies)
}

/// The codecs' headers as tags.
fn configs(source: &Source<'_>) -> Result<Vec<Bytes>, MuxError> {
    let mut tags = Vec::new();
    for track in source.tracks {
        match (&track.entry, track.track) {
            (SampleEntry::Avc1(avc1), Track::Video) => {
                let (Some(sps), Some(pps)) = (avc1.avcc_box.sps_list.first(), avc1.avcc_box.pps_list.first()) else {
                    return Err(MuxError::Codec);
                };
                tags.push(flv::tag(TagKind::Video, 0, &flv::avc_config_body(sps, pps)));
            }
            (SampleEntry::Mp4a(_), Track::Audio) => {
                let body = flv::aac_config_body(&audio_config(source.tracks)?);
                tags.push(flv::tag(TagKind::Audio, 0, &body));
            }
            _ => return Err(MuxError::Codec),
        }
    }
    Ok(tags)
}
