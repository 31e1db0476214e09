//! The rows that follow from a fact: journal, callbacks and usage. Pure.

use std::time::Duration;

use rotunda_proto::signaling::Role;
use rotunda_store::{Effects, JournalEntry, NewCallback, StreamedEvent, UsageRow};
use time::OffsetDateTime;

use super::fact::{Fact, What};
use crate::applications::Applications;
use crate::callbacks;

/// A body that is no fact leads to nothing: a newer version has written it.
pub fn effects(event: &StreamedEvent, applications: &Applications) -> Effects {
    let Ok(fact) = serde_json::from_str::<Fact>(&event.body) else {
        return Effects {
            sequence: event.sequence,
            ..Effects::default()
        };
    };
    Effects {
        sequence: event.sequence,
        journal: Some(JournalEntry {
            sequence: event.sequence,
            application: fact.room.app,
            room: fact.room.token(),
            kind: fact.what.kind().to_owned(),
            at: Duration::from_millis(fact.at_unix_ms),
            body: event.body.clone(),
        }),
        callbacks: callback(event.sequence, &fact, applications).into_iter().collect(),
        usage: usage(&fact).into_iter().collect(),
    }
}

/// What the application is told, where it wants callbacks.
fn callback(sequence: i64, fact: &Fact, applications: &Applications) -> Option<NewCallback> {
    let url = applications.by_id(fact.room.app)?.callback_url.clone()?;
    let body = match &fact.what {
        What::FileReady { file } => callbacks::file_ready(file),
        What::NotMixable { stream_id, track, .. } => {
            let at = Duration::from_millis(fact.at_unix_ms);
            callbacks::not_mixable(&fact.room, stream_id, track, at)
        }
        What::MixEnded {
            stream_id,
            record_id,
            replaced_by: Some(by),
            started_unix_ms,
            ..
        } => callbacks::replaced(&callbacks::Replaced {
            room: &fact.room,
            stream_id,
            record_id: record_id.as_ref(),
            by,
            started: started_unix_ms.map(Duration::from_millis),
            ended: Duration::from_millis(fact.at_unix_ms),
        }),
        _ => return None,
    };
    Some(NewCallback {
        id: fact.id.clone(),
        application: fact.room.app,
        // Not as it is shown: room 123 and the text room "123" are two.
        room: fact.room.token(),
        sequence,
        url,
        body: body.to_string(),
        created: Duration::from_millis(fact.at_unix_ms),
    })
}

/// Members' time counts on the day on which they leave, a mix's on the day on which it ends.
fn usage(fact: &Fact) -> Option<UsageRow> {
    let (class, ms) = match &fact.what {
        What::Left { role, stayed_ms, .. } => match role {
            Role::Anchor => ("anchor_ms", *stayed_ms),
            Role::Audience => ("audience_ms", *stayed_ms),
        },
        What::MixEnded {
            started_unix_ms: Some(started),
            ..
        } => ("mix_ms", fact.at_unix_ms.saturating_sub(*started)),
        What::FileReady { file } => ("recorded_ms", file.duration_ms),
        _ => return None,
    };
    let amount = i64::try_from(ms).unwrap_or(i64::MAX);
    Some(UsageRow::new(fact.room.app, day(fact.at_unix_ms), class, amount))
}

/// `2026-11-25`, in UTC.
fn day(unix_ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp((unix_ms / 1000) as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.date().to_string()
}
