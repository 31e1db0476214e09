//! The rows that follow from a fact: journal, callbacks, usage and mix tasks. Pure.

use std::time::Duration;

use rotunda_events::{Fact, What};
use rotunda_store::{
    Effects, MixTaskChange, MixTaskEnd, MixTaskRow, NewCallback, NewEntry, PresentMembers, StreamedEvent, UsageRow,
};
use time::OffsetDateTime;

use crate::applications::Applications;
use crate::callbacks;

/// A body that is no fact has no effects: a newer version has written it.
pub fn effects(event: &StreamedEvent, applications: &Applications) -> Effects {
    let Ok(fact) = serde_json::from_str::<Fact>(&event.body) else {
        return Effects {
            sequence: event.sequence,
            ..Effects::default()
        };
    };
    Effects {
        sequence: event.sequence,
        callbacks: callback(event.sequence, &fact, applications).into_iter().collect(),
        usage: usage(&fact),
        presence: presence(&fact).into_iter().collect(),
        mix: mix(&fact),
        entry: Some(NewEntry {
            application: fact.room.app,
            room: fact.room.token(),
            kind: fact.what.kind().to_owned(),
            at: Duration::from_millis(fact.at_unix_ms),
            body: event.body.clone(),
            event: fact.id,
        }),
    }
}

/// The callback of a fact, if the application has a callback URL.
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
        // This is not the displayed form, as room 123 and the text room "123" differ.
        room: fact.room.token(),
        sequence,
        url,
        body: body.to_string(),
        created: Duration::from_millis(fact.at_unix_ms),
    })
}

/// The row of a mix that has begun or ended.
fn mix(fact: &Fact) -> Option<MixTaskChange> {
    match &fact.what {
        What::MixBegun {
            mix,
            stream_id,
            origin,
            spec: Some(spec),
        } => Some(MixTaskChange::Begun(Box::new(MixTaskRow {
            id: mix.to_string(),
            application_id: fact.room.app.get().into(),
            room: fact.room.to_string(),
            stream_id: stream_id.to_string(),
            spec: serde_json::to_string(spec).unwrap_or_default(),
            origin: if origin.is_api() { "api" } else { "client" }.to_owned(),
            started_unix_ms: fact.at_unix_ms as i64,
            ended_unix_ms: None,
            end_reason: None,
        }))),
        What::MixEnded { mix, reason, .. } => Some(MixTaskChange::Ended {
            id: mix.to_string(),
            end: MixTaskEnd {
                at: Duration::from_millis(fact.at_unix_ms),
                reason: reason.clone(),
            },
        }),
        _ => None,
    }
}

/// Time counts on the day on which it ends.
fn usage(fact: &Fact) -> Vec<UsageRow> {
    let amounts: &[(&str, u64)] = match &fact.what {
        What::Attendance {
            anchor_ms, audience_ms, ..
        } => &[("anchor_ms", *anchor_ms), ("audience_ms", *audience_ms)],
        What::MixEnded {
            started_unix_ms: Some(started),
            ..
        } => &[("mix_ms", fact.at_unix_ms.saturating_sub(*started))],
        What::FileReady { file } => &[("recorded_ms", file.duration_ms)],
        _ => &[],
    };
    let rows = amounts.iter().filter(|(_, amount)| *amount > 0).map(|(class, amount)| {
        let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
        UsageRow::new(fact.room.app, day(fact.at_unix_ms), *class, amount)
    });
    rows.collect()
}

/// The members of the minute that has just ended.
fn presence(fact: &Fact) -> Option<PresentMembers> {
    let What::Attendance { node, peak, .. } = &fact.what else {
        return None;
    };
    // It is told at the end of the minute, or a moment after it.
    let within = fact.at_unix_ms.saturating_sub(30_000);
    Some(PresentMembers {
        application: fact.room.app,
        day: day(within),
        minute: (within / 60_000) as i64,
        class: "members_peak".to_owned(),
        place: format!("{}/{node}", fact.room.token()),
        members: i64::try_from(*peak).unwrap_or(i64::MAX),
    })
}

/// `2026-11-25`, in UTC.
fn day(unix_ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp((unix_ms / 1000) as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.date().to_string()
}

#[cfg(test)]
mod tests;
