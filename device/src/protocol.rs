//! The JSON of messages: what viewers ask, and how they are answered. `docs/device.md` has the tables.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::abi::{self, Enum};
use crate::message::Message;

/// A refusal as the viewer gets it; the codes are in `docs/device.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The library is exiting.
    pub fn exiting() -> Self {
        Self::new("internal", "the device is shutting down")
    }

    /// A callback's answer other than `IV_ERR_NONE`.
    pub fn by_program(code: std::ffi::c_int) -> Self {
        Self::new("refused", format!("the device's program refused it with {code}"))
    }
}

/// A request of a viewer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    Hello {},
    Bye {},
    Ping {},
    Play {
        channel: u32,
        quality: Quality,
        /// H.264 alone, without.
        #[serde(default)]
        codecs: Vec<String>,
        #[serde(flatten)]
        time: TimeSpan,
    },
    Stop {
        channel: u32,
        quality: Quality,
    },
    Talk {
        channel: u32,
    },
    TalkEnd {
        channel: u32,
    },
    Command {
        channel: u32,
    },
    Keyframe {
        channel: u32,
        quality: Quality,
    },
    Month {
        channel: u32,
        year: u32,
        month: u32,
        #[serde(default, rename = "type")]
        kind: u32,
    },
    Day {
        channel: u32,
        #[serde(flatten)]
        time: TimeSpan,
    },
    Files {
        channel: u32,
        #[serde(flatten)]
        time: TimeSpan,
    },
    Pause {
        channel: u32,
    },
    Resume {
        channel: u32,
    },
    Seek {
        channel: u32,
        time: u64,
    },
    Forward {
        channel: u32,
        speed: u32,
    },
    Speed {
        channel: u32,
        interval: u32,
    },
    Rewind {
        channel: u32,
        begin: u64,
        end: u64,
    },
    Download {
        channel: u32,
        name: String,
        #[serde(default)]
        offset: u64,
    },
    DownloadEnd {
        download: u64,
    },
    Direct {
        offer: String,
    },
}

/// Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeSpan {
    #[serde(rename = "type")]
    pub kind: u32,
    pub begin: u64,
    pub end: u64,
}

impl From<TimeSpan> for abi::TimeFragment {
    fn from(time: TimeSpan) -> Self {
        Self {
            kind: time.kind,
            begin: time.begin,
            end: time.end,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    Fl,
    Sd,
    Hd,
    Pb,
}

impl Quality {
    pub fn number(self) -> Enum {
        self as Enum
    }

    pub fn name_of(number: Enum) -> &'static str {
        match number {
            0 => "fl",
            1 => "sd",
            2 => "hd",
            _ => "pb",
        }
    }
}

/// The kind of a message.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    Request {
        id: u64,
        request: Result<Request, Refusal>,
    },
    Reply {
        id: u64,
        refused: Option<String>,
    },
    /// Viewers tell nothing that a device needs to know.
    Event,
}

/// None: no message of this protocol.
pub fn read(json: &Value) -> Option<Incoming> {
    let id = json.get("id").and_then(Value::as_u64);
    if json.get("op").is_some() {
        let request = Request::deserialize(json).map_err(|error| Refusal::new("bad_request", error.to_string()));
        return Some(Incoming::Request { id: id?, request });
    }
    if json.get("event").is_some() {
        return Some(Incoming::Event);
    }
    let refused = json.get("error").map(|error| {
        let text = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("{} ({})", text("message"), text("code"))
    });
    Some(Incoming::Reply { id: id?, refused })
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub fields: Value,
    pub binary: Vec<u8>,
}

impl Answer {
    pub fn done() -> Self {
        Self::of(json!({}))
    }

    pub fn of(fields: Value) -> Self {
        Self {
            fields,
            binary: Vec::new(),
        }
    }
}

pub fn write_reply(id: u64, answered: Result<Answer, Refusal>) -> Message {
    match answered {
        Ok(Answer { mut fields, binary }) => {
            fields["id"] = id.into();
            fields["ok"] = true.into();
            Message { json: fields, binary }
        }
        Err(Refusal { code, message }) => Message::new(json!({"id": id, "error": {"code": code, "message": message}})),
    }
}

/// A recording or a file list's entry, as the viewer gets it.
pub fn fragment_json(fragment: &abi::TimeFragment) -> Value {
    json!({"type": fragment.kind, "begin": fragment.begin, "end": fragment.end})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_mistakes_are_named() {
        let play = json!({"id": 3, "op": "play", "channel": 0, "quality": "pb", "begin": 5, "end": 9});
        let Some(Incoming::Request {
            id: 3,
            request: Ok(request),
        }) = read(&play)
        else {
            panic!("{:?}", read(&play));
        };
        let expected = Request::Play {
            channel: 0,
            quality: Quality::Pb,
            codecs: Vec::new(),
            time: TimeSpan {
                kind: 0,
                begin: 5,
                end: 9,
            },
        };
        assert_eq!(request, expected);
        let wrong = json!({"id": 3, "op": "play", "channel": 0, "quality": "4k"});
        let Some(Incoming::Request {
            request: Err(refusal), ..
        }) = read(&wrong)
        else {
            panic!("{:?}", read(&wrong));
        };
        assert_eq!(refusal.code, "bad_request");
        assert!(refusal.message.contains("4k"), "{}", refusal.message);
    }

    #[test]
    fn replies_have_the_id_of_their_request() {
        let reply = write_reply(7, Ok(Answer::of(json!({"days": 3}))));
        assert_eq!(reply.json, json!({"id": 7, "ok": true, "days": 3}));
        assert_eq!(read(&reply.json), Some(Incoming::Reply { id: 7, refused: None }));
        let refused = write_reply(8, Err(Refusal::new("busy", "later")));
        assert_eq!(
            read(&refused.json),
            Some(Incoming::Reply {
                id: 8,
                refused: Some("later (busy)".to_owned())
            })
        );
    }

    #[test]
    fn what_has_neither_id_nor_event_is_nothing() {
        for json in [
            json!(null),
            json!(3),
            json!({}),
            json!({"op": "play"}),
            json!({"ok": true}),
        ] {
            assert_eq!(read(&json), None);
        }
    }
}
