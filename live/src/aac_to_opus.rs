//! AAC as Opus of 20 ms. The decoder is written in Rust, because the AAC comes from outside. Of HE-AAC it decodes the lower
//! half of the spectrum.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use rotunda_media::codec::{CodecError, OpusEncoder};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{CODEC_TYPE_AAC, CodecParameters, Decoder, DecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::Packet;
use thiserror::Error;

/// Samples a second of Opus.
const RATE: u32 = 48_000;
/// Samples a channel in 20 ms.
const FRAME: usize = 960;
/// Sample rates of AAC.
const RATES: std::ops::RangeInclusive<u32> = 7350..=96_000;
const STEREO_KBPS: u32 = 128;
const MONO_KBPS: u32 = 64;
/// Samples by which the audio may differ from its timestamps, before it follows them: 100 ms.
const TOLERANCE: u64 = 4800;
/// Damaged frames in a row that are left out.
const MOST_DAMAGE: u32 = 100;

/// Why audio cannot be used.
#[derive(Debug, Error)]
pub enum AudioError {
    #[error("the AAC is not understood; send AAC-LC with one or two channels")]
    Unknown,
    #[error("the audio has {0} channels; send one or two")]
    Channels(usize),
    #[error("the AAC has {0} samples a second; send 7350 to 96000")]
    Rate(u32),
    #[error("the AAC is damaged")]
    Damaged,
    #[error("encode Opus")]
    Encode(#[from] CodecError),
}

/// 20 ms of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet20 {
    /// Media time in samples.
    pub ticks: u64,
    pub data: Bytes,
    /// RFC 6464.
    pub level_dbov: i8,
}

/// One track.
pub struct Transcoder {
    decoder: Box<dyn Decoder>,
    output: Option<Output>,
    damage: u32,
    /// Factor of the samples.
    gain: f32,
}

impl Transcoder {
    /// `config`: AudioSpecificConfig. Errors: [`AudioError::Unknown`].
    pub fn new(config: &[u8]) -> Result<Self, AudioError> {
        let mut parameters = CodecParameters::new();
        parameters
            .for_codec(CODEC_TYPE_AAC)
            .with_extra_data(config.to_vec().into_boxed_slice());
        let make = || symphonia::default::get_codecs().make(&parameters, &DecoderOptions::default());
        let decoder = catch_unwind(AssertUnwindSafe(make)).map_err(|_| AudioError::Unknown)?;
        Ok(Self {
            decoder: decoder.map_err(|_| AudioError::Unknown)?,
            output: None,
            damage: 0,
            gain: 1.0,
        })
    }

    /// From the next frame on. `percent`: 100 leaves the audio as it is.
    pub fn set_volume(&mut self, percent: u32) {
        self.gain = percent as f32 / 100.0;
    }

    /// Appends the packets that a frame completes. `media`: its time. A damaged frame is left out.
    pub fn handle(&mut self, media: Duration, frame: &[u8], out: &mut Vec<Packet20>) -> Result<(), AudioError> {
        let packet = Packet::new_from_slice(0, 0, 0, frame);
        let decoder = &mut self.decoder;
        // A damaged frame that makes the library panic ends the audio: the decoder is not used afterwards.
        let decoded = catch_unwind(AssertUnwindSafe(|| match decoder.decode(&packet) {
            Ok(decoded) => {
                let spec = *decoded.spec();
                let mut samples = SampleBuffer::<f32>::new(decoded.capacity() as u64, spec);
                samples.copy_interleaved_ref(decoded);
                Ok((spec.rate, spec.channels.count(), samples.samples().to_vec()))
            }
            Err(error) => Err(error),
        }));
        let (rate, channels, mut pcm) = match decoded.map_err(|_| AudioError::Damaged)? {
            Ok(decoded) => decoded,
            Err(SymphoniaError::Unsupported(_)) => return Err(AudioError::Unknown),
            Err(_) if self.damage >= MOST_DAMAGE => return Err(AudioError::Damaged),
            Err(_) => {
                self.damage += 1;
                return Ok(());
            }
        };
        self.damage = 0;
        if self.gain != 1.0 {
            for sample in &mut pcm {
                *sample = (*sample * self.gain).clamp(-1.0, 1.0);
            }
        }
        let is_new = self.output.as_ref().is_none_or(|output| !output.takes(rate, channels));
        if is_new {
            self.output = Some(Output::new(rate, channels)?);
        }
        match &mut self.output {
            Some(output) => output.handle(media, &pcm, out),
            None => Ok(()),
        }
    }
}

/// Decoded audio of one rate on its way to Opus.
struct Output {
    rate: u32,
    channels: usize,
    resampler: Option<Resampler>,
    encoder: OpusEncoder,
    /// At 48 kHz, interleaved.
    waiting: Vec<f32>,
    /// Media time of the first waiting sample, in samples.
    begin: Option<u64>,
}

impl Output {
    fn new(rate: u32, channels: usize) -> Result<Self, AudioError> {
        if !RATES.contains(&rate) {
            return Err(AudioError::Rate(rate));
        }
        let encoder = match channels {
            1 => OpusEncoder::music(1, MONO_KBPS)?,
            2 => OpusEncoder::music(2, STEREO_KBPS)?,
            _ => return Err(AudioError::Channels(channels)),
        };
        let resampler = match rate {
            RATE => None,
            _ => Some(Resampler::new(rate, channels)?),
        };
        Ok(Self {
            rate,
            channels,
            resampler,
            encoder,
            waiting: Vec::new(),
            begin: None,
        })
    }

    fn takes(&self, rate: u32, channels: usize) -> bool {
        self.rate == rate && self.channels == channels
    }

    fn handle(&mut self, media: Duration, pcm: &[f32], out: &mut Vec<Packet20>) -> Result<(), AudioError> {
        let inside = self.resampler.as_ref().map_or(0, Resampler::inside);
        let waiting = (self.waiting.len() / self.channels) as u64 + inside;
        let told = (media.as_micros() * u128::from(RATE) / 1_000_000) as u64;
        // The audio is continuous, and follows its timestamps only when they differ much: they are rounded to milliseconds.
        let begin = match self.begin {
            Some(begin) if told.abs_diff(begin + waiting) <= TOLERANCE => begin,
            Some(begin) => begin.max(told.saturating_sub(waiting)),
            None => told,
        };
        match &mut self.resampler {
            Some(resampler) => resampler.run(pcm, &mut self.waiting)?,
            None => self.waiting.extend_from_slice(pcm),
        }
        let (length, mut ticks) = (FRAME * self.channels, begin);
        let mut taken = 0;
        for pcm in self.waiting.chunks_exact(length) {
            out.push(Packet20 {
                ticks,
                data: self.encoder.encode(pcm)?,
                level_dbov: level_dbov(pcm),
            });
            ticks += FRAME as u64;
            taken += length;
        }
        self.waiting.drain(..taken);
        self.begin = Some(ticks);
        Ok(())
    }
}

/// Changes the rate to 48 kHz.
struct Resampler {
    fft: Fft<f32>,
    channels: usize,
    /// Samples a channel of one run.
    chunk: usize,
    waiting: Vec<f32>,
    out: Vec<f32>,
    from: u32,
}

impl Resampler {
    fn new(from: u32, channels: usize) -> Result<Self, AudioError> {
        // 20 ms.
        let chunk = (from as usize / 50).max(1);
        let fft = Fft::new(from as usize, RATE as usize, chunk, channels, FixedSync::Input).map_err(set_up)?;
        let (chunk, out) = (fft.input_frames_next(), vec![0.0; fft.output_frames_max() * channels]);
        Ok(Self {
            fft,
            channels,
            chunk,
            waiting: Vec::new(),
            out,
            from,
        })
    }

    /// Samples at 48 kHz that went in and have not come out.
    fn inside(&self) -> u64 {
        let waiting = (self.waiting.len() / self.channels) as u64 * u64::from(RATE) / u64::from(self.from);
        waiting + self.fft.output_delay() as u64
    }

    fn run(&mut self, pcm: &[f32], to: &mut Vec<f32>) -> Result<(), AudioError> {
        self.waiting.extend_from_slice(pcm);
        let (length, room) = (self.chunk * self.channels, self.out.len() / self.channels);
        let mut taken = 0;
        while self.waiting.len() - taken >= length {
            let chunk = &self.waiting[taken..taken + length];
            let input = InterleavedSlice::new(chunk, self.channels, self.chunk).map_err(set_up)?;
            let mut output = InterleavedSlice::new_mut(&mut self.out, self.channels, room).map_err(set_up)?;
            let (_read, written) = self
                .fft
                .process_into_buffer(&input, &mut output, None)
                .map_err(set_up)?;
            to.extend_from_slice(&self.out[..written * self.channels]);
            taken += length;
        }
        self.waiting.drain(..taken);
        Ok(())
    }
}

fn set_up(error: impl std::fmt::Display) -> AudioError {
    AudioError::Encode(CodecError::SetUp {
        codec: "resampler",
        reason: error.to_string(),
    })
}

/// RFC 6464: 0 is the loudest, -127 is silence.
fn level_dbov(pcm: &[f32]) -> i8 {
    let power = pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len().max(1) as f32;
    (10.0 * power.max(1e-13).log10()).round().clamp(-127.0, 0.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_media::codec::aac::FRAME as AAC_FRAME;
    use rotunda_media::codec::{AacEncoder, OpusDecoder};

    /// A tone of this rate as AAC frames.
    fn tone(rate: u32, channels: u8, seconds: f32) -> (Bytes, Vec<Bytes>) {
        let mut encoder = AacEncoder::new(rate, channels, 96).unwrap();
        let mut frames = Vec::new();
        for frame in 0..(rate as f32 * seconds) as usize / AAC_FRAME {
            let mut pcm = Vec::new();
            for at in frame * AAC_FRAME..(frame + 1) * AAC_FRAME {
                let sample = 0.5 * (std::f32::consts::TAU * 1000.0 * at as f32 / rate as f32).sin();
                pcm.extend(std::iter::repeat_n(sample, channels.into()));
            }
            frames.extend(encoder.encode(&pcm).unwrap());
        }
        (encoder.config(), frames)
    }

    fn time(rate: u32, frame: usize) -> Duration {
        Duration::from_millis((frame * AAC_FRAME) as u64 * 1000 / u64::from(rate))
    }

    /// Crossings from below zero to above, a second.
    fn hertz(packets: &[Packet20]) -> f32 {
        let mut decoder = OpusDecoder::new(2).unwrap();
        let mut pcm = Vec::new();
        for packet in packets {
            decoder.decode(Some(&packet.data), &mut pcm).unwrap();
        }
        let left: Vec<f32> = pcm.chunks_exact(2).map(|pair| pair[0]).collect();
        let crossings = left.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        crossings as f32 / (left.len() as f32 / RATE as f32)
    }

    #[test]
    fn aac_of_every_rate_becomes_continuous_opus_at_its_own_time() {
        for (rate, channels) in [(48_000, 2), (44_100, 2), (22_050, 1)] {
            let (config, frames) = tone(rate, channels, 3.0);
            let mut transcoder = Transcoder::new(&config).unwrap();
            let mut packets = Vec::new();
            for (number, frame) in frames.iter().enumerate() {
                transcoder.handle(time(rate, number), frame, &mut packets).unwrap();
            }
            assert!(packets.len() >= 140, "{rate} Hz: {} packets", packets.len());
            let is_continuous = |pair: &[Packet20]| pair[1].ticks == pair[0].ticks + FRAME as u64;
            assert!(packets.windows(2).all(is_continuous));
            assert!(
                packets[0].ticks < 2 * FRAME as u64,
                "{rate} Hz: begins at {}",
                packets[0].ticks
            );
            // Without the encoder's first, silent frames.
            let hertz = hertz(&packets[10..]);
            assert!((990.0..1010.0).contains(&hertz), "{rate} Hz: {hertz} Hz");
            assert!(
                (-12..-6).contains(&packets[50].level_dbov),
                "{}",
                packets[50].level_dbov
            );
        }
    }

    #[test]
    fn after_a_gap_the_audio_goes_on_at_its_timestamps() {
        let (config, frames) = tone(48_000, 2, 2.0);
        let mut transcoder = Transcoder::new(&config).unwrap();
        let mut packets = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            let gap = Duration::from_secs(if number < 40 { 0 } else { 5 });
            transcoder
                .handle(time(48_000, number) + gap, frame, &mut packets)
                .unwrap();
        }
        let gaps: Vec<u64> = packets.windows(2).map(|pair| pair[1].ticks - pair[0].ticks).collect();
        let long: Vec<&u64> = gaps.iter().filter(|gap| **gap != FRAME as u64).collect();
        assert_eq!(long.len(), 1, "{gaps:?}");
        assert!(long[0].abs_diff(5 * u64::from(RATE)) < 2 * FRAME as u64, "{long:?}");
    }

    #[test]
    fn damage_is_left_out_and_other_aac_is_refused() {
        let (config, frames) = tone(48_000, 2, 1.0);
        let mut transcoder = Transcoder::new(&config).unwrap();
        let mut packets = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            let frame = if number == 5 { &frame[..7] } else { frame };
            transcoder.handle(time(48_000, number), frame, &mut packets).unwrap();
        }
        assert!(packets.len() > 40);
        let mut damaged = Transcoder::new(&config).unwrap();
        let ends = (0..1000).any(|_| damaged.handle(Duration::ZERO, &frames[5][..7], &mut packets).is_err());
        assert!(ends, "a source of nothing but damage is refused");
        // AAC Main, by its audio object type 1.
        let main = Transcoder::new(&[0x0a, 0x10]).err();
        assert!(matches!(main, Some(AudioError::Unknown)), "{main:?}");
        assert!(Transcoder::new(&[]).is_err());
    }
}
