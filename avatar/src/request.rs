//! Reads and checks the requests of clients. Pure.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::sentences::sentences;
use crate::session::MAX_WAITING;

/// Longest text that is spoken or asked, characters.
const LONGEST_TEXT: usize = 20_000;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    #[error("the body is no JSON object: {0}")]
    Json(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{field}: write {expected}")]
    Wrong {
        field: &'static str,
        expected: &'static str,
    },
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub sdp: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Human {
    pub session: SessionId,
    pub kind: HumanKind,
    pub text: String,
    pub interrupt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HumanKind {
    /// The text itself is spoken.
    Echo,
    /// A language model's answer is.
    Chat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfSession {
    pub session: SessionId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioType {
    pub session: SessionId,
    pub audiotype: u32,
    pub reinit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub session: SessionId,
    pub kind: RecordKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    Start,
    End,
}

/// The fields of a body.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, RequestError> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| RequestError::Json(error.to_string()))
    }

    fn get(&self, field: &'static str) -> Result<&Value, RequestError> {
        self.0.get(field).ok_or(RequestError::Missing(field))
    }

    fn text(&self, field: &'static str) -> Result<&str, RequestError> {
        let expected = "a text";
        self.get(field)?.as_str().ok_or(RequestError::Wrong { field, expected })
    }

    fn session(&self) -> Result<SessionId, RequestError> {
        let field = "sessionid";
        let id = match self.get(field)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let expected = "a whole number";
        id.map(SessionId).ok_or(RequestError::Wrong { field, expected })
    }

    /// False also where it is left out or `null`, as clients send it.
    fn flag(&self, field: &'static str) -> Result<bool, RequestError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(RequestError::Wrong {
                field,
                expected: "true or false",
            }),
        }
    }

    /// `type`, by its names.
    fn kind<T: Copy>(&self, names: &[(&str, T)], expected: &'static str) -> Result<T, RequestError> {
        let field = "type";
        let text = self.text(field)?;
        let known = names.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, kind)| *kind)
            .ok_or(RequestError::Wrong { field, expected })
    }
}

impl Offer {
    pub fn read(body: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::read(body)?;
        fields.kind(&[("offer", ())], "\"offer\"")?;
        Ok(Self {
            sdp: fields.text("sdp")?.to_owned(),
        })
    }
}

impl OfSession {
    pub fn read(body: &[u8]) -> Result<Self, RequestError> {
        Ok(Self {
            session: Fields::read(body)?.session()?,
        })
    }
}

impl AudioType {
    pub fn read(body: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::read(body)?;
        let field = "audiotype";
        let expected = "a whole number from 0 on";
        let number = fields
            .get(field)?
            .as_u64()
            .and_then(|number| u32::try_from(number).ok());
        Ok(Self {
            session: fields.session()?,
            audiotype: number.ok_or(RequestError::Wrong { field, expected })?,
            reinit: fields.flag("reinit")?,
        })
    }
}

impl Record {
    pub fn read(body: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::read(body)?;
        let kinds = [("start_record", RecordKind::Start), ("end_record", RecordKind::End)];
        Ok(Self {
            session: fields.session()?,
            kind: fields.kind(&kinds, "\"start_record\" or \"end_record\"")?,
        })
    }
}

impl Human {
    pub fn read(body: &[u8]) -> Result<Self, RequestError> {
        let fields = Fields::read(body)?;
        let kinds = [("echo", HumanKind::Echo), ("chat", HumanKind::Chat)];
        Ok(Self {
            session: fields.session()?,
            kind: fields.kind(&kinds, "\"echo\" or \"chat\"")?,
            text: fields.text("text")?.to_owned(),
            interrupt: fields.flag("interrupt")?,
        })
    }

    /// The sentences of the text, in the order in which they are spoken.
    pub fn sentences(&self) -> Result<Vec<String>, RequestError> {
        let text = self.checked()?;
        let sentences = sentences(text);
        match sentences.len() {
            0 => Err(RequestError::NoText),
            1..=MAX_WAITING => Ok(sentences),
            _ => Err(RequestError::ManySentences),
        }
    }

    /// The question.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told<T: std::fmt::Debug>(read: Result<T, RequestError>) -> String {
        read.unwrap_err().to_string()
    }

    #[test]
    fn a_session_id_is_a_number_or_its_digits() {
        for body in [
            "{\"sessionid\":123456}",
            "{\"sessionid\":\"123456\"}",
            "{\"sessionid\":123456,\"x\":1}",
        ] {
            assert_eq!(OfSession::read(body.as_bytes()).unwrap().session, SessionId(123_456));
        }
        for id in ["1.5", "\"x\"", "null", "99999999999999999999", "[]"] {
            let body = format!("{{\"sessionid\":{id}}}");
            assert_eq!(
                told(OfSession::read(body.as_bytes())),
                "sessionid: write a whole number",
                "{id}"
            );
        }
        assert_eq!(told(OfSession::read(b"{}")), "sessionid is missing");
        for body in ["[]", "", "{", "1"] {
            assert!(
                told(OfSession::read(body.as_bytes())).starts_with("the body is no JSON object"),
                "{body}"
            );
        }
    }

    #[test]
    fn human_speaks_or_answers() {
        let body = br#"{"sessionid":1,"type":"echo","text":"Hello there. How are you?","interrupt":null}"#;
        let human = Human::read(body).unwrap();
        assert_eq!((human.kind, human.interrupt), (HumanKind::Echo, false));
        assert_eq!(human.sentences().unwrap(), ["Hello there.", "How are you?"]);
        for (body, message) in [
            (
                r#"{"sessionid":1,"type":"sing","text":"x"}"#,
                "type: write \"echo\" or \"chat\"",
            ),
            (r#"{"sessionid":1,"type":"echo"}"#, "text is missing"),
            (r#"{"sessionid":1,"type":"echo","text":5}"#, "text: write a text"),
            (
                r#"{"sessionid":1,"type":"echo","text":"x","interrupt":1}"#,
                "interrupt: write true or false",
            ),
        ] {
            assert_eq!(told(Human::read(body.as_bytes())), message);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = |body: &str| told(AudioType::read(body.as_bytes()));
        assert_eq!(
            wrong(r#"{"sessionid":1,"audiotype":-1}"#),
            "audiotype: write a whole number from 0 on"
        );
        assert_eq!(wrong(r#"{"sessionid":1}"#), "audiotype is missing");
        let wrong = |body: &str| told(Record::read(body.as_bytes()));
        assert_eq!(
            wrong(r#"{"sessionid":1,"type":"pause"}"#),
            "type: write \"start_record\" or \"end_record\""
        );
        let wrong = |body: &str| told(Offer::read(body.as_bytes()));
        assert_eq!(wrong(r#"{"sdp":1,"type":"offer"}"#), "sdp: write a text");
        assert_eq!(wrong(r#"{"sdp":"v=0","type":"answer"}"#), "type: write \"offer\"");
    }

    #[test]
    fn texts_have_bounds() {
        let human = |text: String| Human {
            session: SessionId(1),
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
