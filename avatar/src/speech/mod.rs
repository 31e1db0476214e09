//! The voice: text to PCM, by an engine outside this process.

mod alignment;
mod endpoint;
mod espeak;
pub mod pcm_stream;

use std::sync::Arc;

use async_trait::async_trait;
use rotunda_media::codec::CodecError;
use thiserror::Error;

use crate::audio::{RATE, Resampler, to_i16};
use crate::config::{self, SpeechEngine};
use endpoint::Endpoint;
pub use endpoint::refusal;
pub use espeak::Espeak;
use pcm_stream::{PcmError, PcmStream};

use crate::viseme::Viseme;

/// Why a sentence is not spoken.
#[derive(Debug, Error)]
pub enum SpeechError {
    #[error(
        "the speech engine espeak-ng is not installed; install it with `apt-get install espeak-ng`, or set avatar.speech.engine \
         to an endpoint"
    )]
    NotInstalled,
    #[error("run espeak-ng")]
    Process(#[source] std::io::Error),
    #[error("espeak-ng failed: {0}")]
    Espeak(String),
    #[error("reach the speech endpoint")]
    Http(#[source] reqwest::Error),
    #[error("the speech endpoint answered {status}: {body}")]
    Refused { status: u16, body: String },
    #[error("the speech endpoint answered {0}, not PCM or WAV; set its response format to pcm or wav")]
    Format(String),
    #[error("understand the audio of the speech engine")]
    Pcm(#[from] PcmError),
    #[error("resample the audio of the speech engine")]
    Resample(#[from] CodecError),
    #[error("the speech engine said nothing for {0} s")]
    Slow(u64),
    #[error("the speech engine answered without audio")]
    Silent,
}

/// Takes PCM as it comes: 16 kHz mono, and the form of the mouth with it where the engine knows it. Answers whether more is wanted.
pub type Sink<'a> = dyn FnMut(&[i16], Option<Viseme>) -> bool + Send + 'a;

/// An engine.
#[async_trait]
pub trait Speech: Send + Sync {
    /// Whether it can be asked at all; the error says what to do.
    async fn check(&self) -> Result<(), SpeechError> {
        Ok(())
    }

    /// Speaks a sentence into `sink`, as soon as there is audio. Dropping the future ends it.
    async fn speak(&self, text: &str, sink: &mut Sink<'_>) -> Result<(), SpeechError>;
}

/// The engine of the settings.
pub fn engine(config: &config::Speech) -> Arc<dyn Speech> {
    match config.engine {
        SpeechEngine::Espeak => Arc::new(Espeak::new(config.voice.clone())),
        SpeechEngine::OpenAi | SpeechEngine::Http => Arc::new(Endpoint::new(config.clone())),
    }
}

/// From an engine's bytes to pieces of 16 kHz.
struct Converter {
    stream: PcmStream,
    resampler: Option<Resampler>,
    pcm: Vec<f32>,
    has_audio: bool,
}

impl Converter {
    /// `rate`: of PCM without a header.
    fn new(rate: u32) -> Self {
        Self {
            stream: PcmStream::new(rate),
            resampler: None,
            pcm: Vec::new(),
            has_audio: false,
        }
    }

    /// Answers whether more is wanted.
    fn handle_bytes(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<bool, SpeechError> {
        let mut samples = Vec::new();
        self.stream.handle_bytes(bytes, &mut samples)?;
        if samples.is_empty() {
            return Ok(true);
        }
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::new(self.stream.rate(), RATE)?),
        };
        resampler.run(&samples, &mut self.pcm)?;
        Ok(self.give(sink))
    }

    fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), SpeechError> {
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut self.pcm)?;
        }
        self.give(sink);
        match self.has_audio {
            true => Ok(()),
            false => Err(SpeechError::Silent),
        }
    }

    fn give(&mut self, sink: &mut Sink<'_>) -> bool {
        if self.pcm.is_empty() {
            return true;
        }
        self.has_audio = true;
        let pcm: Vec<i16> = to_i16(&self.pcm).collect();
        self.pcm.clear();
        sink(&pcm, None)
    }
}
