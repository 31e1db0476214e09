//! The stream of a chat completion: server-sent events with JSON, as OpenAI's API and its relatives send it. Sans-IO.
//!
//! Source: HTML Living Standard §9.2.6 (lines, `data:`), OpenAI API reference "chat completion chunk".

use serde::Deserialize;
use thiserror::Error;

/// Longest line.
const LONGEST: usize = 256 * 1024;

/// Why the stream is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EventStreamError {
    #[error("a line of the answer is longer than {LONGEST} bytes")]
    TooLong,
    #[error("an event of the answer is no chat completion chunk: {0}")]
    Json(String),
    #[error("the model failed: {0}")]
    Failed(String),
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// Of a stream.
    #[serde(default)]
    delta: Option<Content>,
    /// Of an endpoint that does not stream.
    #[serde(default)]
    message: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: Option<String>,
}

/// See the [module](self).
#[derive(Default)]
pub struct EventStream {
    bytes: Vec<u8>,
    /// Bytes that are looked through already.
    position: usize,
    is_done: bool,
}

impl EventStream {
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), EventStreamError> {
        self.bytes.drain(..self.position);
        self.position = 0;
        self.bytes.extend_from_slice(bytes);
        let unfinished = self.bytes.iter().rev().position(|byte| *byte == b'\n');
        match unfinished.unwrap_or(self.bytes.len()) > LONGEST {
            true => Err(EventStreamError::TooLong),
            false => Ok(()),
        }
    }

    /// The next piece of the answer.
    pub fn poll_text(&mut self) -> Result<Option<String>, EventStreamError> {
        while !self.is_done {
            let rest = &self.bytes[self.position..];
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                break;
            };
            let line = String::from_utf8_lossy(&rest[..length]).trim_end().to_owned();
            self.position += length + 1;
            let Some(data) = line.strip_prefix("data:").map(str::trim) else {
                continue;
            };
            if data == "[DONE]" {
                self.is_done = true;
                break;
            }
            if let Some(text) = text_of(data)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    pub fn is_done(&self) -> bool {
        self.is_done
    }
}

fn text_of(data: &str) -> Result<Option<String>, EventStreamError> {
    let chunk: Chunk = serde_json::from_str(data).map_err(|error| EventStreamError::Json(error.to_string()))?;
    if let Some(error) = chunk.error {
        let said = error.get("message").and_then(|message| message.as_str());
        let said = said.map_or_else(|| error.to_string(), str::to_owned);
        return Err(EventStreamError::Failed(said.chars().take(200).collect()));
    }
    let text = chunk.choices.into_iter().next();
    let text = text.and_then(|choice| choice.delta.or(choice.message)?.content);
    Ok(text.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = ": comment\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Héllo\"}}]}\n\ndata:{\"choices\":[{\"delta\":{\"content\":\" you.\"}}]}\n\n\
        data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";

    fn read(parts: &[&[u8]]) -> Result<String, EventStreamError> {
        let mut stream = EventStream::default();
        let mut text = String::new();
        for part in parts {
            stream.handle_bytes(part)?;
            while let Some(piece) = stream.poll_text()? {
                text.push_str(&piece);
            }
        }
        assert!(stream.is_done());
        Ok(text)
    }

    #[test]
    fn the_stream_may_be_cut_anywhere_also_inside_a_letter() {
        let bytes = ANSWER.as_bytes();
        for cut in 0..bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(read(&[start, end]).as_deref(), Ok("Héllo you."), "cut at {cut}");
        }
    }

    #[test]
    fn errors_are_told_in_the_models_words() {
        let refused = |text: &str| read(&[text.as_bytes()]).unwrap_err();
        assert_eq!(
            refused("data: {\"error\":{\"message\":\"no such model\"}}\n"),
            EventStreamError::Failed("no such model".to_owned())
        );
        assert!(matches!(refused("data: {\n"), EventStreamError::Json(_)));
        assert_eq!(refused(&"x".repeat(LONGEST + 1)), EventStreamError::TooLong);
    }
}
