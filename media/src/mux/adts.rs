//! AAC as a file of its own: ADTS frames. Source: ISO/IEC 13818-7 §6.2.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use shiguredo_mp4::bitstream::aac::{
    AdtsEncodeConfig, AdtsMpegVersion, parse_audio_specific_config, wrap_raw_aac_in_adts,
};
use shiguredo_mp4::boxes::SampleEntry;

use super::MuxError;
use super::movie::TrackDescription;
use super::mp4::{Source, Summary};
use super::stored::{SampleReader, StoredSample};
use crate::program::Track;

/// Writes the audio of `source` to `out` and syncs it to the disk.
///
/// Errors: [`MuxError::Empty`] without audio, [`MuxError::Codec`] where it is not AAC, [`MuxError::Io`].
pub fn write(source: &Source<'_>, out: &Path) -> Result<Summary, MuxError> {
    let config = audio_config(source.tracks)?;
    let config = parse_audio_specific_config(&config).map_err(MuxError::Describe)?;
    let header = AdtsEncodeConfig {
        mpeg_version: AdtsMpegVersion::Mpeg4,
        original_copy: false,
        home: false,
    };
    let failed = |error| MuxError::Io("write the AAC file", error);
    let mut output = BufWriter::new(File::create(out).map_err(failed)?);
    let mut reader = SampleReader::new(source.files);
    let mut samples = 0_u64;
    for sample in presented_audio(source) {
        let frame = wrap_raw_aac_in_adts(reader.read(sample)?, &config, &header).map_err(MuxError::Describe)?;
        output.write_all(&frame).map_err(failed)?;
        samples += 1;
    }
    if samples == 0 {
        return Err(MuxError::Empty);
    }
    let output = output.into_inner().map_err(|error| failed(error.into_error()))?;
    output.sync_all().map_err(failed)?;
    Ok(Summary {
        duration_ms: source.end.since(source.start).as_millis() as u64,
        size_bytes: output.metadata().map_err(failed)?.len(),
    })
}

/// AudioSpecificConfig of the audio track.
///
/// Errors: [`MuxError::Empty`] without one, [`MuxError::Codec`] where it is not AAC.
pub fn audio_config(tracks: &[TrackDescription]) -> Result<Vec<u8>, MuxError> {
    let audio = tracks.iter().find(|track| track.track == Track::Audio);
    match audio.map(|audio| &audio.entry) {
        None => Err(MuxError::Empty),
        Some(SampleEntry::Mp4a(mp4a)) => {
            let info = mp4a.esds_box.es.dec_config_descr.dec_specific_info.as_ref();
            Ok(info.ok_or(MuxError::Codec)?.payload.clone())
        }
        Some(_) => Err(MuxError::Codec),
    }
}

/// The audio samples that are heard, without those that only start the decoder.
pub fn presented_audio<'a>(source: &Source<'a>) -> impl Iterator<Item = &'a StoredSample> {
    let audio = source.tracks.iter().find(|track| track.track == Track::Audio);
    let start = audio.map_or(0, |audio| source.start.rescale(audio.timescale.get()).ticks());
    source
        .samples
        .iter()
        .filter(move |sample| sample.track == Track::Audio && sample.decode_time + u64::from(sample.duration) > start)
}
