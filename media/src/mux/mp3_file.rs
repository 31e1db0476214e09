//! A finished MP3 file of a recording's audio.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use shiguredo_mp4::boxes::SampleEntry;

use super::MuxError;
use super::adts::audio_config;
use super::mp4::{Source, Summary};
use super::stored::SampleReader;
use crate::codec::AacDecoder;
use crate::codec::mp3::Mp3Encoder;
use crate::program::Track;

/// Bitrate where the recording does not say, and bounds of the format, kbit/s.
const USUAL: u32 = 64;
const BITRATES: std::ops::RangeInclusive<u32> = 32..=320;

/// Writes the audio of `source` to `out` and syncs it to the disk.
///
/// Errors: [`MuxError::Empty`] without audio, [`MuxError::Codec`] where it is not AAC, [`MuxError::Encode`] also where LAME is
/// not installed, [`MuxError::Io`].
pub fn write(source: &Source<'_>, out: &Path) -> Result<Summary, MuxError> {
    let config = audio_config(source.tracks)?;
    let track = source
        .tracks
        .iter()
        .find(|track| track.track == Track::Audio)
        .ok_or(MuxError::Empty)?;
    let SampleEntry::Mp4a(mp4a) = &track.entry else {
        return Err(MuxError::Codec);
    };
    let asked = mp4a.esds_box.es.dec_config_descr.avg_bitrate / 1000;
    let bitrate = if asked == 0 { USUAL } else { asked }.clamp(*BITRATES.start(), *BITRATES.end());
    let (rate, channels) = (track.timescale.get(), usize::from(mp4a.audio.channelcount).clamp(1, 2));
    let mut decoder = AacDecoder::new(&config).map_err(MuxError::Encode)?;
    let mut encoder = Mp3Encoder::new(rate, channels, bitrate).map_err(MuxError::Encode)?;
    let failed = |error| MuxError::Io("write the MP3 file", error);
    let mut output = BufWriter::new(File::create(out).map_err(failed)?);
    let mut reader = SampleReader::new(source.files);
    let (start, end) = (source.start.rescale(rate).ticks(), source.end.rescale(rate).ticks());
    let mut pcm = Vec::new();
    let mut written = 0;
    let audio = source.samples.iter().filter(|sample| sample.track == Track::Audio);
    for sample in audio {
        pcm.clear();
        let length = decoder
            .decode(reader.read(sample)?, &mut pcm)
            .map_err(MuxError::Encode)? as u64;
        // Only what is of this file: the first frames may only start the decoder, the last one may reach into the next file.
        let from = start.saturating_sub(sample.decode_time).min(length) as usize;
        let to = end.saturating_sub(sample.decode_time).min(length) as usize;
        if let Some(heard) = pcm.get(from * channels..to.max(from) * channels) {
            written += heard.len() as u64;
            output
                .write_all(encoder.encode(heard).map_err(MuxError::Encode)?)
                .map_err(failed)?;
        }
    }
    if written == 0 {
        return Err(MuxError::Empty);
    }
    output
        .write_all(encoder.finish().map_err(MuxError::Encode)?)
        .map_err(failed)?;
    output.seek(SeekFrom::Start(0)).map_err(failed)?;
    output.write_all(encoder.info_frame()).map_err(failed)?;
    let output = output.into_inner().map_err(|error| failed(error.into_error()))?;
    output.sync_all().map_err(failed)?;
    Ok(Summary {
        duration_ms: written / channels as u64 * 1000 / u64::from(rate),
        size_bytes: output.metadata().map_err(failed)?.len(),
    })
}
