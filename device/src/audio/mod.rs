//! Audio at the library's edge: a camera speaks AAC, G.711, PCM or Opus, the network Opus.

mod g711;
mod receive;
mod send;

pub use receive::FromOpus;
pub use send::ToOpus;

use rotunda_media::codec::CodecError;
use thiserror::Error;

use crate::abi::{self, AvDataInfo};
use g711::Law;

/// Why audio is not sent or received.
#[derive(Debug, Error)]
pub enum AudioError {
    #[error("audio of codec {0} cannot be sent: PCM, G.711, AAC and Opus can")]
    Codec(abi::Enum),
    #[error("a sample rate of {0} Hz is none of 8000 to 96000")]
    Rate(abi::Enum),
    #[error("PCM of bit width {0} cannot be sent: 16 bit (1) can")]
    BitWidth(abi::Enum),
    #[error("convert audio")]
    Convert(#[from] CodecError),
}

/// The checked format of a camera's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub codec: Codec,
    /// Hz.
    pub rate: u32,
    pub channels: u8,
    /// Samples a channel in a frame; 20 ms (AAC: 1024) where the program does not say.
    pub frame: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Pcm,
    G711A,
    G711U,
    Aac,
    Opus,
}

impl Codec {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcm => "pcm",
            Self::G711A => "pcma",
            Self::G711U => "pcmu",
            Self::Aac => "aac",
            Self::Opus => "opus",
        }
    }

    fn law(self) -> Option<Law> {
        match self {
            Self::G711A => Some(Law::A),
            Self::G711U => Some(Law::Mu),
            _ => None,
        }
    }
}

const RATES: [u32; 11] = [
    8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 96_000,
];

impl Format {
    pub fn of(info: &AvDataInfo) -> Result<Self, AudioError> {
        let codec = match info.audio_type {
            abi::AENC_PCM if info.bit_width != abi::BIT_WIDTH_16 => return Err(AudioError::BitWidth(info.bit_width)),
            abi::AENC_PCM => Codec::Pcm,
            abi::AENC_G711A => Codec::G711A,
            abi::AENC_G711U => Codec::G711U,
            abi::AENC_AAC => Codec::Aac,
            abi::AENC_OPUS => Codec::Opus,
            other => return Err(AudioError::Codec(other)),
        };
        let rate = u32::try_from(info.sample_rate).unwrap_or_default();
        if !RATES.contains(&rate) {
            return Err(AudioError::Rate(info.sample_rate));
        }
        let usual = if codec == Codec::Aac { 1024 } else { rate as usize / 50 };
        let given = info.samples_per_frame as usize;
        // From 2.5 ms to 200 ms; AAC has no choice.
        let fits = codec != Codec::Aac && (rate as usize / 400..=rate as usize / 5).contains(&given);
        Ok(Self {
            codec,
            rate,
            channels: if info.audio_mode == abi::MODE_STEREO { 2 } else { 1 },
            frame: if fits { given } else { usual },
        })
    }

    /// As the program is told it.
    pub fn info(&self) -> AvDataInfo {
        AvDataInfo {
            audio_type: match self.codec {
                Codec::Pcm => abi::AENC_PCM,
                Codec::G711A => abi::AENC_G711A,
                Codec::G711U => abi::AENC_G711U,
                Codec::Aac => abi::AENC_AAC,
                Codec::Opus => abi::AENC_OPUS,
            },
            aac_type: if self.codec == Codec::Aac { abi::AAC_LC } else { 0 },
            audio_mode: abi::Enum::from(self.channels == 2),
            bit_width: abi::BIT_WIDTH_16,
            sample_rate: self.rate as abi::Enum,
            samples_per_frame: self.frame as u32,
            ..AvDataInfo::default()
        }
    }
}

/// Opus takes and gives these rates as they are.
fn is_opus_rate(rate: u32) -> bool {
    [8000, 12_000, 16_000, 24_000, 48_000].contains(&rate)
}

fn opus_channels(channels: u8) -> opus::Channels {
    if channels == 2 {
        opus::Channels::Stereo
    } else {
        opus::Channels::Mono
    }
}

fn set_up(error: impl std::fmt::Display) -> CodecError {
    CodecError::SetUp {
        codec: "Opus",
        reason: error.to_string(),
    }
}

/// Changes the rate of interleaved audio.
struct Resampler {
    fft: rubato::Fft<f32>,
    channels: usize,
    chunk: usize,
    waiting: Vec<f32>,
    out: Vec<f32>,
}

impl Resampler {
    fn new(from: u32, to: u32, channels: u8) -> Result<Self, CodecError> {
        // 40 ms: a whole number of samples of every rate.
        let chunk = from as usize / 25;
        let channels = usize::from(channels);
        let fft =
            rubato::Fft::new(from as usize, to as usize, chunk, channels, rubato::FixedSync::Input).map_err(set_up)?;
        let out = vec![0.0; rubato::Resampler::output_frames_max(&fft) * channels];
        Ok(Self {
            fft,
            channels,
            chunk,
            waiting: Vec::new(),
            out,
        })
    }

    fn run(&mut self, pcm: &[f32], to: &mut Vec<f32>) -> Result<(), CodecError> {
        use rubato::Resampler as _;
        use rubato::audioadapter_buffers::direct::InterleavedSlice;
        self.waiting.extend_from_slice(pcm);
        let room = self.out.len() / self.channels;
        let chunk = self.chunk * self.channels;
        while self.waiting.len() >= chunk {
            let input = InterleavedSlice::new(&self.waiting[..chunk], self.channels, self.chunk).map_err(set_up)?;
            let mut output = InterleavedSlice::new_mut(&mut self.out, self.channels, room).map_err(set_up)?;
            let (_read, written) = self
                .fft
                .process_into_buffer(&input, &mut output, None)
                .map_err(set_up)?;
            to.extend_from_slice(&self.out[..written * self.channels]);
            self.waiting.drain(..chunk);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
