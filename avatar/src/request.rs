//! What clients ask, checked. Pure.

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use thiserror::Error;

use crate::sentences::sentences;
use crate::session::MAX_WAITING;

/// Longest text that is spoken or asked, characters.
const LONGEST_TEXT: usize = 20_000;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    #[error("the body is no JSON object of this request: {0}")]
    Json(String),
    #[error("text: there is nothing in it that can be spoken")]
    NoText,
    #[error("text: at most {LONGEST_TEXT} characters are taken")]
    LongText,
    #[error("text: at most {MAX_WAITING} sentences are taken")]
    ManySentences,
}

/// A session's id, as a number or as text, as clients send both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId(pub i64);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Offer {
    pub sdp: String,
    #[serde(rename = "type")]
    pub kind: OfferKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfferKind {
    Offer,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Human {
    pub sessionid: SessionId,
    #[serde(rename = "type")]
    pub kind: HumanKind,
    pub text: String,
    #[serde(default, deserialize_with = "or_false")]
    pub interrupt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HumanKind {
    /// The text itself is spoken.
    Echo,
    /// A language model's answer is.
    Chat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct OfSession {
    pub sessionid: SessionId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct AudioType {
    pub sessionid: SessionId,
    pub audiotype: u32,
    #[serde(default, deserialize_with = "or_false")]
    pub reinit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Record {
    pub sessionid: SessionId,
    #[serde(rename = "type")]
    pub kind: RecordKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    StartRecord,
    EndRecord,
}

/// Reads a body.
pub fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, RequestError> {
    serde_json::from_slice(body).map_err(|error| RequestError::Json(error.to_string()))
}

impl Human {
    /// What is spoken of the text, sentence by sentence.
    pub fn sentences(&self) -> Result<Vec<String>, RequestError> {
        let text = self.checked()?;
        let sentences = sentences(text);
        match sentences.len() {
            0 => Err(RequestError::NoText),
            1..=MAX_WAITING => Ok(sentences),
            _ => Err(RequestError::ManySentences),
        }
    }

    /// What is asked.
    pub fn question(&self) -> Result<String, RequestError> {
        let text = self.checked()?.trim();
        match text.is_empty() {
            true => Err(RequestError::NoText),
            false => Ok(text.to_owned()),
        }
    }

    fn checked(&self) -> Result<&str, RequestError> {
        match self.text.chars().nth(LONGEST_TEXT) {
            Some(_) => Err(RequestError::LongText),
            None => Ok(&self.text),
        }
    }
}

impl<'a> Deserialize<'a> for SessionId {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl Visitor<'_> for Numbers {
            type Value = SessionId;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("sessionid as a whole number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<SessionId, E> {
                Ok(SessionId(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<SessionId, E> {
                i64::try_from(number)
                    .map(SessionId)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SessionId, E> {
                text.trim()
                    .parse()
                    .map(SessionId)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Numbers)
    }
}

/// Clients send `null` for what they leave out.
fn or_false<'a, D: Deserializer<'a>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_a_number_or_its_digits() {
        for body in [
            "{\"sessionid\":123456}",
            "{\"sessionid\":\"123456\"}",
            "{\"sessionid\":123456,\"x\":1}",
        ] {
            assert_eq!(
                read::<OfSession>(body.as_bytes()).unwrap().sessionid,
                SessionId(123_456)
            );
        }
        for body in [
            "{}",
            "{\"sessionid\":1.5}",
            "{\"sessionid\":\"x\"}",
            "{\"sessionid\":null}",
            "[]",
            "",
            "{",
        ] {
            assert!(read::<OfSession>(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn human_speaks_or_answers() {
        let body = br#"{"sessionid":1,"type":"echo","text":"Hello there. How are you?","interrupt":null}"#;
        let human: Human = read(body).unwrap();
        assert_eq!((human.kind, human.interrupt), (HumanKind::Echo, false));
        assert_eq!(human.sentences().unwrap(), ["Hello there.", "How are you?"]);
        let error = read::<Human>(br#"{"sessionid":1,"type":"sing","text":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("expected `echo` or `chat`"), "{error}");
        let error = read::<Human>(br#"{"sessionid":1,"type":"echo"}"#).unwrap_err();
        assert!(error.to_string().contains("missing field `text`"), "{error}");
    }

    #[test]
    fn texts_have_bounds() {
        let human = |text: String| Human {
            sessionid: SessionId(1),
            kind: HumanKind::Echo,
            text,
            interrupt: false,
        };
        assert_eq!(human(" .. ".to_owned()).sentences(), Err(RequestError::NoText));
        assert_eq!(human(" ".to_owned()).question(), Err(RequestError::NoText));
        assert_eq!(
            human("x".repeat(LONGEST_TEXT + 1)).question(),
            Err(RequestError::LongText)
        );
        assert_eq!(
            human("Hi. ".repeat(MAX_WAITING + 1)).sentences(),
            Err(RequestError::ManySentences)
        );
    }
}
