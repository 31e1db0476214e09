//! Events 1 and 0: a stream has started or stopped. Pure.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rotunda_events::{Fact, MixOutput, SingleRun, What};
use rotunda_proto::ids::{MixId, RecordId, RoomKey, StreamId};
use serde_json::{Value, json};

/// `event_type`.
const STOPPED: u32 = 0;
const STARTED: u32 = 1;

/// `errcode` of a start.
const OK: u32 = 0;
/// `errcode` of a stop: the publisher or the backend asked for it, or the room has ended.
const ENDED: u32 = 1;
/// Another mix has replaced it.
const REPLACED: u32 = 2;
/// It failed. A mix that failed before its first frame has an event 0 alone.
const FAILED: u32 = 4;

/// The body of a fact's callback, without its signature. None: the fact is not about the start or stop of a stream.
pub fn body(fact: &Fact) -> Option<Value> {
    match &fact.what {
        What::MixBegun {
            mix,
            stream_id,
            output,
            spec,
            ..
        } => {
            let record_id = spec.as_ref().and_then(|spec| spec.record.as_ref());
            let stream = Stream::of_mix(&fact.room, *mix, stream_id, record_id.map(|record| &record.record_id));
            let mut body = stream.body(fact, STARTED, OK, "ok");
            if let Some(MixOutput::Video { width, height }) = output {
                body["width"] = (*width).into();
                body["height"] = (*height).into();
            }
            Some(body)
        }
        What::MixEnded {
            mix,
            stream_id,
            record_id,
            replaced_by,
            started_unix_ms,
            reason,
        } => {
            let (errcode, errmsg) = match (replaced_by, reason.strip_prefix("failed: ")) {
                (Some(by), _) => (
                    REPLACED,
                    format!(
                        "replaced: another StartMCUMixTranscode of this room has started stream {by}; a room has one mix"
                    ),
                ),
                (None, Some(_)) => (FAILED, reason.clone()),
                // It was stopped before its first frame: its start was not told.
                (None, None) if started_unix_ms.is_none() => return None,
                (None, None) => (ENDED, reason.clone()),
            };
            let stream = Stream::of_mix(&fact.room, *mix, stream_id, record_id.as_ref());
            Some(stream.stopped(fact, *started_unix_ms, errcode, &errmsg))
        }
        What::LiveBegun {
            stream_id,
            single: Some(single),
        } => Some(Stream::of_publisher(&fact.room, stream_id, single).body(fact, STARTED, OK, "ok")),
        What::LiveEnded {
            stream_id,
            single: Some(single),
        } => {
            let stream = Stream::of_publisher(&fact.room, stream_id, single);
            Some(stream.stopped(fact, Some(single.started_unix_ms), ENDED, "the publisher has stopped"))
        }
        _ => None,
    }
}

/// One run of a stream: between its start and its stop.
struct Stream<'a> {
    room: &'a RoomKey,
    stream_id: &'a StreamId,
    /// The same in the start and the stop.
    sequence: u64,
    stream_param: String,
}

impl<'a> Stream<'a> {
    fn of_mix(room: &'a RoomKey, mix: MixId, stream_id: &'a StreamId, record_id: Option<&RecordId>) -> Self {
        let mut pairs = origin(room);
        pairs.extend(record_id.map(|id| format!("userdefinerecordid={id}")));
        pairs.push("useMixPlayer=1".to_owned());
        Self {
            room,
            stream_id,
            sequence: mix.0,
            stream_param: pairs.join("&"),
        }
    }

    fn of_publisher(room: &'a RoomKey, stream_id: &'a StreamId, single: &SingleRun) -> Self {
        let mut pairs = origin(room);
        pairs.push(format!("userid={}", STANDARD.encode(single.user.as_str())));
        pairs.push(format!("ts={:x}", single.started_unix_ms / 1000));
        Self {
            room,
            stream_id,
            sequence: single.started_unix_ms,
            stream_param: pairs.join("&"),
        }
    }

    fn body(&self, fact: &Fact, event_type: u32, errcode: u32, errmsg: &str) -> Value {
        let app = self.room.app;
        json!({
            "event_type": event_type,
            "app": "rotunda",
            "appid": app,
            "appname": format!("trtc_{app}"),
            "stream_id": self.stream_id,
            "channel_id": self.stream_id,
            "stream_param": self.stream_param,
            "event_time": fact.at_unix_ms / 1000,
            "sequence": self.sequence.to_string(),
            "errcode": errcode,
            "errmsg": errmsg,
        })
    }

    fn stopped(&self, fact: &Fact, started_unix_ms: Option<u64>, errcode: u32, errmsg: &str) -> Value {
        let run = started_unix_ms.map_or(0, |started| fact.at_unix_ms.saturating_sub(started));
        let mut body = self.body(fact, STOPPED, errcode, errmsg);
        body["push_duration"] = Duration::from_millis(run).as_millis().to_string().into();
        body
    }
}

/// The pairs of `stream_param` that every stream has.
fn origin(room: &RoomKey) -> Vec<String> {
    vec![
        "from=interactive".to_owned(),
        format!("sdkappid={}", room.app),
        format!("groupid={}", room.room.bare()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED_AT: u64 = 1_763_950_000_000;

    fn told(what: What, at_unix_ms: u64) -> Option<Value> {
        let room = RoomKey {
            app: 7.try_into().unwrap(),
            room: "1001".parse().unwrap(),
        };
        let id = "id".to_owned();
        body(&Fact {
            id,
            room,
            at_unix_ms,
            what,
        })
    }

    fn ended(replaced_by: Option<&str>, started_unix_ms: Option<u64>, reason: &str) -> What {
        What::MixEnded {
            mix: MixId(5),
            stream_id: "film".parse().unwrap(),
            record_id: Some("lesson".parse().unwrap()),
            replaced_by: replaced_by.map(|by| by.parse().unwrap()),
            started_unix_ms,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn the_start_and_the_stop_of_a_mix_have_one_sequence() {
        let begun = What::MixBegun {
            mix: MixId(5),
            stream_id: "film".parse().unwrap(),
            started_unix_ms: Some(STARTED_AT),
            output: Some(MixOutput::Video {
                width: 1280,
                height: 720,
            }),
            origin: Default::default(),
            spec: None,
        };
        let start = told(begun, STARTED_AT).unwrap();
        assert_eq!(
            start,
            json!({
                "event_type": 1, "app": "rotunda", "appid": 7, "appname": "trtc_7", "stream_id": "film", "channel_id": "film",
                "stream_param": "from=interactive&sdkappid=7&groupid=1001&useMixPlayer=1", "event_time": STARTED_AT / 1000,
                "sequence": "5", "errcode": 0, "errmsg": "ok", "width": 1280, "height": 720,
            })
        );
        let stop = told(ended(None, Some(STARTED_AT), "asked"), STARTED_AT + 2500).unwrap();
        assert_eq!(
            (
                &stop["event_type"],
                &stop["sequence"],
                &stop["push_duration"],
                &stop["errcode"],
                &stop["errmsg"]
            ),
            (&json!(0), &json!("5"), &json!("2500"), &json!(1), &json!("asked"))
        );
        assert_eq!(
            stop["stream_param"],
            "from=interactive&sdkappid=7&groupid=1001&userdefinerecordid=lesson&useMixPlayer=1"
        );
    }

    #[test]
    fn a_mix_that_failed_or_was_replaced_before_its_first_frame_is_told_and_one_that_was_stopped_is_not() {
        let failed = told(ended(None, None, "failed: no encoder"), STARTED_AT).unwrap();
        assert_eq!(
            (
                &failed["event_type"],
                &failed["errcode"],
                &failed["errmsg"],
                &failed["push_duration"]
            ),
            (&json!(0), &json!(4), &json!("failed: no encoder"), &json!("0"))
        );
        let replaced = told(ended(Some("next"), None, "replaced: next"), STARTED_AT).unwrap();
        assert_eq!((&replaced["event_type"], &replaced["errcode"]), (&json!(0), &json!(2)));
        assert!(replaced["errmsg"].as_str().unwrap().contains("stream next"));
        assert_eq!(told(ended(None, None, "asked"), STARTED_AT), None);
    }

    #[test]
    fn the_stream_of_a_publisher_names_the_publisher() {
        let single = SingleRun {
            user: "ann".parse().unwrap(),
            started_unix_ms: STARTED_AT,
        };
        let (stream_id, single) = ("s".parse::<StreamId>().unwrap(), Some(single));
        let begun = What::LiveBegun {
            stream_id: stream_id.clone(),
            single: single.clone(),
        };
        let start = told(begun, STARTED_AT).unwrap();
        assert_eq!(
            (&start["event_type"], &start["stream_param"]),
            (
                &json!(1),
                &json!("from=interactive&sdkappid=7&groupid=1001&userid=YW5u&ts=6923bdb0")
            )
        );
        let stop = told(What::LiveEnded { stream_id, single }, STARTED_AT + 1000).unwrap();
        assert_eq!(
            (&stop["event_type"], &stop["sequence"]),
            (&json!(0), &start["sequence"])
        );
        assert_eq!(stop["push_duration"], "1000");
    }

    #[test]
    fn the_live_stream_of_a_mix_is_told_by_the_facts_of_the_mix() {
        let stream_id = "film".parse().unwrap();
        assert_eq!(
            told(
                What::LiveBegun {
                    stream_id,
                    single: None
                },
                STARTED_AT
            ),
            None
        );
    }
}
