//! Speech by HTTP: an endpoint like OpenAI's `/v1/audio/speech`, or the generic form of `docs/avatar.md`.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use tokio::time::timeout;

use super::{Converter, Sink, Speech, SpeechError};
use crate::audio::RATE;
use crate::config::{self, SpeechEngine};

/// An endpoint that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Characters of a refusal that are told.
const MOST_SAID: usize = 200;

/// See the [module](self).
pub struct Endpoint {
    config: config::Speech,
    http: reqwest::Client,
}

impl Endpoint {
    pub fn new(config: config::Speech) -> Self {
        Self {
            config,
            http: reqwest::Client::new(),
        }
    }

    fn request(&self, text: &str) -> reqwest::RequestBuilder {
        let config = &self.config;
        let body = match config.engine {
            SpeechEngine::Http => json!({ "text": text, "voice": config.voice, "sample_rate": RATE }),
            _ => {
                let voice = if config.voice.is_empty() {
                    "alloy"
                } else {
                    &config.voice
                };
                json!({ "model": config.model, "input": text, "voice": voice, "response_format": "pcm" })
            }
        };
        let request = self.http.post(&config.url).json(&body);
        match config.key.reveal() {
            "" => request,
            key => request.bearer_auth(key),
        }
    }

    /// Of PCM without a header.
    fn rate(&self) -> u32 {
        match self.config.engine {
            SpeechEngine::Http => RATE,
            _ => self.config.sample_rate,
        }
    }
}

#[async_trait]
impl Speech for Endpoint {
    async fn speak(&self, text: &str, sink: &mut Sink<'_>) -> Result<(), SpeechError> {
        let slow = |_| SpeechError::Slow(PATIENCE.as_secs());
        let response = timeout(PATIENCE, self.request(text).send()).await.map_err(slow)?;
        let response = response.map_err(|error| SpeechError::Http(error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(SpeechError::Refused {
                status: status.as_u16(),
                body: refusal(response).await,
            });
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        if ["mpeg", "mp3", "ogg", "opus", "aac", "flac", "json", "text/"]
            .iter()
            .any(|other| kind.contains(other))
        {
            return Err(SpeechError::Format(kind));
        }
        let mut converter = Converter::new(self.rate());
        let mut body = response.bytes_stream();
        while let Some(bytes) = timeout(PATIENCE, body.next()).await.map_err(slow)? {
            if !converter.handle_bytes(&bytes.map_err(|error| SpeechError::Http(error.without_url()))?, sink)? {
                return Ok(());
            }
        }
        converter.finish(sink)
    }
}

/// The reason that an endpoint gives for a refusal.
pub async fn refusal(response: reqwest::Response) -> String {
    let mut said = Vec::new();
    let mut body = response.bytes_stream();
    while let Ok(Some(Ok(bytes))) = timeout(PATIENCE, body.next()).await {
        said.extend_from_slice(&bytes);
        if said.len() > 4 * MOST_SAID {
            break;
        }
    }
    String::from_utf8_lossy(&said).trim().chars().take(MOST_SAID).collect()
}
