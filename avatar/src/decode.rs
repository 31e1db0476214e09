//! Uploaded audio files: WAV, MP3, Ogg, FLAC, AAC, MP4 and WebM to 16 kHz mono. Blocking.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rotunda_media::codec::{CodecError, OpusDecoder};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{CODEC_TYPE_NULL, CODEC_TYPE_OPUS, CodecParameters, Decoder, DecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::FormatOptions;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::{Limit, MetadataOptions};
use symphonia::core::probe::Hint;
use thiserror::Error;

use crate::audio::{RATE, Resampler, to_i16};

/// Damaged packets that are left out before a file is given up.
const MOST_DAMAGE: u32 = 100;
const OPUS_RATE: u32 = 48_000;

/// Why a file is not played.
#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the file is empty")]
    Empty,
    #[error("the file is no audio that is understood; send WAV, MP3, Ogg (Vorbis, Opus), FLAC, AAC, MP4 or WebM")]
    Unknown,
    #[error("the file's audio codec is not understood; send PCM, MP3, Vorbis, Opus, FLAC or AAC")]
    Codec,
    #[error("the file is damaged")]
    Damaged,
    #[error("the file has no audio in it")]
    Silent,
    #[error("the audio is longer than {0} s (avatar.max_audio_seconds)")]
    TooLong(usize),
    #[error("the audio cannot be resampled: {0}")]
    Resample(String),
}

/// Decodes the first audio track of a file. `max_samples`: at 16 kHz.
pub fn decode(file: Bytes, max_samples: usize) -> Result<Vec<i16>, DecodeError> {
    if file.is_empty() {
        return Err(DecodeError::Empty);
    }
    // A damaged file that makes the library panic is a damaged file: nothing of the decoder is used afterwards.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_track(file, max_samples)));
    decoded.unwrap_or(Err(DecodeError::Damaged))
}

fn decode_track(file: Bytes, max_samples: usize) -> Result<Vec<i16>, DecodeError> {
    let source = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
    let small = MetadataOptions {
        limit_metadata_bytes: Limit::Maximum(1 << 20),
        limit_visual_bytes: Limit::Maximum(0),
    };
    let probed = symphonia::default::get_probe()
        .format(&Hint::new(), source, &FormatOptions::default(), &small)
        .map_err(|_| DecodeError::Unknown)?;
    let mut format = probed.format;
    let track = format
        .tracks()
        .iter()
        .find(|track| track.codec_params.codec != CODEC_TYPE_NULL && track.codec_params.sample_rate.is_some())
        .ok_or(DecodeError::Codec)?;
    let (id, parameters) = (track.id, track.codec_params.clone());
    let mut decoder = PacketDecoder::new(&parameters)?;
    let mut sink = Sink::new(max_samples);
    let mut damage = 0;
    // An error is the end, or a file that is cut off: what came before is played.
    while let Ok(packet) = format.next_packet() {
        if packet.track_id() != id {
            continue;
        }
        match decoder.decode(&packet)? {
            Some((rate, mono)) => sink.handle(rate, &mono)?,
            None => {
                damage += 1;
                if damage > MOST_DAMAGE {
                    return Err(DecodeError::Damaged);
                }
            }
        }
    }
    sink.finish()
}

enum PacketDecoder {
    Other(Box<dyn Decoder>),
    Opus(OpusDecoder),
}

impl PacketDecoder {
    fn new(parameters: &CodecParameters) -> Result<Self, DecodeError> {
        if parameters.codec == CODEC_TYPE_OPUS {
            return Ok(Self::Opus(OpusDecoder::new(1).map_err(|_| DecodeError::Codec)?));
        }
        symphonia::default::get_codecs()
            .make(parameters, &DecoderOptions::default())
            .map(Self::Other)
            .map_err(|_| DecodeError::Codec)
    }

    /// The packet's rate and mono samples; None: it is damaged.
    fn decode(&mut self, packet: &symphonia::core::formats::Packet) -> Result<Option<(u32, Vec<f32>)>, DecodeError> {
        match self {
            Self::Opus(decoder) => {
                let mut mono = Vec::new();
                Ok(match decoder.decode(Some(packet.buf()), &mut mono) {
                    Ok(_) => Some((OPUS_RATE, mono)),
                    Err(_) => None,
                })
            }
            Self::Other(decoder) => match decoder.decode(packet) {
                Ok(decoded) => {
                    let spec = *decoded.spec();
                    let mut samples = SampleBuffer::<f32>::new(decoded.capacity() as u64, spec);
                    samples.copy_interleaved_ref(decoded);
                    Ok(Some((spec.rate, mono(samples.samples(), spec.channels.count()))))
                }
                Err(SymphoniaError::DecodeError(_) | SymphoniaError::IoError(_)) => Ok(None),
                Err(_) => Err(DecodeError::Damaged),
            },
        }
    }
}

fn mono(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let channels = channels.max(1);
    interleaved
        .chunks_exact(channels)
        .map(|samples| samples.iter().sum::<f32>() / channels as f32)
        .collect()
}

/// Resamples what was decoded, whatever rate each packet has.
struct Sink {
    resampler: Option<(u32, Resampler)>,
    out: Vec<f32>,
    max_samples: usize,
}

impl Sink {
    fn new(max_samples: usize) -> Self {
        Self {
            resampler: None,
            out: Vec::new(),
            max_samples,
        }
    }

    fn handle(&mut self, rate: u32, mono: &[f32]) -> Result<(), DecodeError> {
        let failed = |error: CodecError| DecodeError::Resample(error.to_string());
        let resampler = match &mut self.resampler {
            Some((current, resampler)) if *current == rate => resampler,
            other => {
                if let Some((_, before)) = other {
                    before.finish(&mut self.out).map_err(failed)?;
                }
                &mut other.insert((rate, Resampler::new(rate, RATE).map_err(failed)?)).1
            }
        };
        resampler.run(mono, &mut self.out).map_err(failed)?;
        match self.out.len() > self.max_samples {
            true => Err(DecodeError::TooLong(self.max_samples / RATE as usize)),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Vec<i16>, DecodeError> {
        let failed = |error: CodecError| DecodeError::Resample(error.to_string());
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.finish(&mut self.out).map_err(failed)?;
        }
        match self.out.is_empty() {
            true => Err(DecodeError::Silent),
            false => Ok(to_i16(&self.out).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate: u32, seconds: f32) -> Vec<u8> {
        let samples: Vec<u8> = (0..(rate as f32 * seconds) as u32)
            .map(|at| (std::f32::consts::TAU * 440.0 * at as f32 / rate as f32).sin())
            .flat_map(|sample| ((sample * 20_000.0) as i16).to_le_bytes())
            .collect();
        let mut file = b"RIFF".to_vec();
        file.extend((36 + samples.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        file.extend(rate.to_le_bytes());
        file.extend((2 * rate).to_le_bytes());
        file.extend(b"\x02\0\x10\0data");
        file.extend((samples.len() as u32).to_le_bytes());
        file.extend(samples);
        file
    }

    #[test]
    fn a_wav_file_becomes_16_khz() {
        let pcm = decode(wav(44_100, 0.5).into(), 1 << 20).unwrap();
        assert!(pcm.len().abs_diff(8000) <= 1, "{}", pcm.len());
        let loud = pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(loud.abs_diff(20_000) < 1000, "{loud}");
    }

    #[test]
    fn each_refusal_says_why() {
        let refused = |file: &[u8], max| decode(Bytes::copy_from_slice(file), max).unwrap_err().to_string();
        assert_eq!(refused(b"", 1), "the file is empty");
        assert!(refused(b"this is a text and no audio at all", 1).contains("send WAV"));
        assert!(refused(&wav(16_000, 1.0), 8000).contains("max_audio_seconds"));
        assert_eq!(refused(&wav(16_000, 0.0), 8000), "the file has no audio in it");
    }

    /// The seeds are small files of each kind, with a few bytes changed or the end cut off.
    #[test]
    fn damaged_files_are_played_or_refused() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("uploads");
        let mut chance = 0x2545_f491_4f6c_dd1d_u64;
        let mut roll = |sides: usize| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            (chance % sides.max(1) as u64) as usize
        };
        for seed in std::fs::read_dir(seeds).unwrap() {
            let seed = std::fs::read(seed.unwrap().path()).unwrap();
            for _ in 0..200 {
                let mut file = seed.clone();
                for _ in 0..=roll(4) {
                    let at = roll(file.len());
                    if let Some(byte) = file.get_mut(at) {
                        *byte = roll(256) as u8;
                    }
                }
                if roll(4) == 0 {
                    file.truncate(roll(file.len()));
                }
                if let Ok(pcm) = decode(file.into(), 32_000) {
                    assert!(!pcm.is_empty() && pcm.len() < 64_000);
                }
            }
        }
    }
}
