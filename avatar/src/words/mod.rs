//! The words: a language model's answer, streamed, sentence by sentence.

mod conversation;
pub mod event_stream;

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::json;
use thiserror::Error;
use tokio::time::timeout;

use crate::config;
use crate::speech::refusal;
pub use conversation::{Conversation, Message, QuestionsFull};
use event_stream::{EventStream, EventStreamError};

/// An endpoint that is silent for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one answer, at most.
const MOST_ANSWER: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum WordsError {
    #[error("no language model is configured; set avatar.chat.url to an endpoint like OpenAI's /v1/chat/completions")]
    NotConfigured,
    #[error("reach the chat endpoint")]
    Http(#[source] reqwest::Error),
    #[error("the chat endpoint answered {status}: {body}")]
    Refused { status: u16, body: String },
    #[error("understand the chat endpoint")]
    Stream(#[from] EventStreamError),
    #[error("the chat endpoint said nothing for {0} s")]
    Slow(u64),
}

/// Is called when an answer begins.
pub type Accepted<'a> = dyn FnMut() + Send + 'a;
/// Takes an answer's text as it comes.
pub type Text<'a> = dyn FnMut(&str) + Send + 'a;

/// A language model.
#[async_trait]
pub trait Words: Send + Sync {
    /// Whether it can be asked at all; the error says what to do.
    fn check(&self) -> Result<(), WordsError> {
        Ok(())
    }

    /// Answers the last message: calls `accepted` when the answer begins, then gives the answer's text as it comes. Dropping the
    /// future ends it.
    async fn answer(
        &self,
        messages: &[Message],
        accepted: &mut Accepted<'_>,
        text: &mut Text<'_>,
    ) -> Result<(), WordsError>;
}

/// An endpoint like OpenAI's `/v1/chat/completions`.
pub struct ChatEndpoint {
    config: config::Chat,
    http: reqwest::Client,
}

impl ChatEndpoint {
    pub fn new(config: config::Chat) -> Self {
        Self {
            config,
            http: reqwest::Client::new(),
        }
    }
}

#[async_trait]
impl Words for ChatEndpoint {
    fn check(&self) -> Result<(), WordsError> {
        match self.config.url.is_empty() {
            true => Err(WordsError::NotConfigured),
            false => Ok(()),
        }
    }

    async fn answer(
        &self,
        messages: &[Message],
        accepted: &mut Accepted<'_>,
        text: &mut Text<'_>,
    ) -> Result<(), WordsError> {
        self.check()?;
        let slow = |_| WordsError::Slow(PATIENCE.as_secs());
        let body = json!({ "model": self.config.model, "messages": messages, "stream": true });
        let mut request = self.http.post(&self.config.url).json(&body);
        if !self.config.key.reveal().is_empty() {
            request = request.bearer_auth(self.config.key.reveal());
        }
        let response = timeout(PATIENCE, request.send()).await.map_err(slow)?;
        let response = response.map_err(|error| WordsError::Http(error.without_url()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(WordsError::Refused {
                status: status.as_u16(),
                body: refusal(response).await,
            });
        }
        accepted();
        let mut events = EventStream::default();
        let mut body = response.bytes_stream();
        let mut length = 0;
        while let Some(bytes) = timeout(PATIENCE, body.next()).await.map_err(slow)? {
            events.handle_bytes(&bytes.map_err(|error| WordsError::Http(error.without_url()))?)?;
            while let Some(words) = events.poll_text()? {
                length += words.len();
                text(&words);
            }
            if events.is_done() || length > MOST_ANSWER {
                break;
            }
        }
        Ok(())
    }
}
