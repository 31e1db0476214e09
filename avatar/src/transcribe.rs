//! Speech to text, by an endpoint like OpenAI's `/v1/audio/transcriptions`.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use thiserror::Error;

use crate::audio::RATE;
use crate::config;
use crate::speech::refusal;

const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no text.
#[derive(Debug, Error)]
pub enum TranscribeError {
    #[error("reach the transcription endpoint")]
    Http(#[source] reqwest::Error),
    #[error("the transcription endpoint answered {status}: {body}")]
    Refused { status: u16, body: String },
}

/// An engine.
#[async_trait]
pub trait Transcribe: Send + Sync {
    /// The words of 16 kHz mono; empty where there are none.
    async fn transcribe(&self, pcm: &[i16]) -> Result<String, TranscribeError>;
}

/// See the [module](self).
pub struct Endpoint {
    config: config::Hearing,
    http: reqwest::Client,
}

impl Endpoint {
    pub fn new(config: config::Hearing) -> Self {
        Self {
            config,
            http: reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

#[async_trait]
impl Transcribe for Endpoint {
    async fn transcribe(&self, pcm: &[i16]) -> Result<String, TranscribeError> {
        let boundary = format!("rotunda-{:032x}", rand::random::<u128>());
        let mut request = self
            .http
            .post(&self.config.url)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
            .body(form(&boundary, &self.config, pcm));
        if !self.config.key.reveal().is_empty() {
            request = request.bearer_auth(self.config.key.reveal());
        }
        let response = request
            .send()
            .await
            .map_err(|error| TranscribeError::Http(error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(TranscribeError::Refused {
                status: status.as_u16(),
                body: refusal(response).await,
            });
        }
        let answer: Answer = response
            .json()
            .await
            .map_err(|error| TranscribeError::Http(error.without_url()))?;
        Ok(answer.text.trim().to_owned())
    }
}

/// RFC 7578. The boundary is random, so no audio has it inside.
fn form(boundary: &str, config: &config::Hearing, pcm: &[i16]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut fields = vec![("model", config.model.as_str()), ("response_format", "json")];
    if !config.language.is_empty() {
        fields.push(("language", &config.language));
    }
    for (name, value) in fields {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    );
    body.extend(head.into_bytes());
    body.extend(wav(pcm));
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    body
}

/// A WAV file of 16 kHz mono.
pub fn wav(pcm: &[i16]) -> Vec<u8> {
    let length = u32::try_from(2 * pcm.len()).unwrap_or(u32::MAX - 36);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((2 * RATE).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audio_goes_as_a_wav_file_in_a_form() {
        let pcm: Vec<i16> = (0..3200).map(|at| at % 100 * 100).collect();
        let decoded = crate::decode::decode(wav(&pcm).into(), 1 << 20).unwrap();
        assert!(decoded.len() == pcm.len() && decoded.iter().zip(&pcm).all(|(a, b)| a.abs_diff(*b) <= 1));
        let config = config::Hearing {
            language: "de".to_owned(),
            ..config::Hearing::default()
        };
        let body = String::from_utf8_lossy(&form("b", &config, &pcm)).into_owned();
        for part in [
            "name=\"model\"\r\n\r\nwhisper-1",
            "name=\"language\"\r\n\r\nde",
            "name=\"file\"",
            "\r\n--b--\r\n",
        ] {
            assert!(body.contains(part), "{part}");
        }
    }
}
