//! The rows that follow from a fact: journal, callbacks, usage and mix tasks. Pure.

use std::time::Duration;

use rotunda_events::{Fact, MixOutput, What};
use rotunda_proto::mix_task::Origin;
use rotunda_store::{
    Effects, EndedCall, MeterChange, MeterStep, MixTaskChange, MixTaskEnd, MixTaskRow, NewCallback, NewEntry,
    PresentMembers, StreamedEvent, UsageRow, UsageSpan, day_of,
};

use crate::applications::Applications;
use crate::callbacks::{self, task_events::TaskEvent};
use crate::usage::{Class, Measure, Recorded};

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
        callbacks: callback(event.sequence, &fact, applications)
            .into_iter()
            .chain(room_event(event.sequence, &fact, applications))
            .chain(push(event.sequence, &fact, applications))
            .chain(task_events(event.sequence, &fact, applications))
            .collect(),
        usage: usage(&fact),
        spans: spans(&fact),
        meters: meter(&fact).into_iter().collect(),
        presence: presence(&fact).into_iter().collect(),
        mix: mix(&fact),
        call: call(&fact),
        entry: Some(NewEntry {
            application: fact.room.app,
            room: fact.room.token(),
            kind: fact.what.kind().to_owned(),
            at: Duration::from_millis(fact.at_unix_ms),
            body: journal_body(event, &fact),
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
        _ => callbacks::stream_events::body(fact)?,
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

/// The event of a fact, if the application has a URL for events. Its receiver delays no callback of the room's recordings.
fn room_event(sequence: i64, fact: &Fact, applications: &Applications) -> Option<NewCallback> {
    let url = applications.by_id(fact.room.app)?.event_callback_url.clone()?;
    let body = callbacks::room_events::body(fact)?;
    Some(NewCallback {
        id: format!("event-{}", fact.id),
        application: fact.room.app,
        room: format!("{}{}", callbacks::EVENTS_OF, fact.room.token()),
        sequence,
        url,
        body: body.to_string(),
        created: Duration::from_millis(fact.at_unix_ms),
    })
}

/// The events of a task of the server API. Each task has a queue of its own, so that its pushes delay no event of the room.
fn task_events(sequence: i64, fact: &Fact, applications: &Applications) -> Vec<NewCallback> {
    let url = applications
        .by_id(fact.room.app)
        .and_then(|of| of.event_callback_url.clone());
    let Some(url) = url else {
        return Vec::new();
    };
    let callback = |event: TaskEvent| NewCallback {
        id: format!("event-{}-{}", fact.id, event.number),
        application: fact.room.app,
        room: format!("{}{}/{}", callbacks::TASKS_OF, event.task, fact.room.token()),
        sequence,
        url: url.clone(),
        body: event.body.to_string(),
        created: Duration::from_millis(fact.at_unix_ms),
    };
    callbacks::task_events::events(fact).into_iter().map(callback).collect()
}

/// The journal is read by more people than the callbacks' receiver.
fn journal_body(event: &StreamedEvent, fact: &Fact) -> String {
    let without_secrets = fact.without_secrets();
    let body = without_secrets.and_then(|fact| serde_json::to_string(&fact).ok());
    body.unwrap_or_else(|| event.body.clone())
}

/// The push request of an invitee without a device, if the application has a URL for it. Each has a queue of its own, so that no
/// receiver delays another one's ringing.
fn push(sequence: i64, fact: &Fact, applications: &Applications) -> Option<NewCallback> {
    let url = applications.by_id(fact.room.app)?.call_push_url.clone()?;
    let What::CallPush { user, .. } = &fact.what else {
        return None;
    };
    let body = callbacks::call_events::push(fact)?;
    Some(NewCallback {
        id: format!("push-{}", fact.id),
        application: fact.room.app,
        room: format!("{}{user}/{}", callbacks::PUSHES_OF, fact.room.token()),
        sequence,
        url,
        body: body.to_string(),
        created: Duration::from_millis(fact.at_unix_ms),
    })
}

/// The rows of an ended call.
fn call(fact: &Fact) -> Option<EndedCall> {
    let What::CallEnded { record } = &fact.what else {
        return None;
    };
    Some(EndedCall::new(fact.room.app, record))
}

/// The row of a mix that has begun or ended.
fn mix(fact: &Fact) -> Option<MixTaskChange> {
    match &fact.what {
        What::MixBegun {
            mix,
            stream_id,
            origin,
            spec: Some(spec),
            ..
        } => Some(MixTaskChange::Begun(Box::new(MixTaskRow {
            id: mix.to_string(),
            application_id: fact.room.app.get().into(),
            room: fact.room.to_string(),
            stream_id: stream_id.to_string(),
            spec: serde_json::to_string(spec).unwrap_or_default(),
            origin: match origin {
                Origin::Client(_) => "client",
                Origin::Task(_) => "task",
                Origin::Api | Origin::ApiStream(_) => "api",
            }
            .to_owned(),
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
        UsageRow::new(fact.room.app, day_of(fact.at_unix_ms), *class, amount)
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
        day: day_of(within),
        minute: (within / 60_000) as i64,
        class: "members_peak".to_owned(),
        place: format!("{}/{node}", fact.room.token()),
        members: i64::try_from(*peak).unwrap_or(i64::MAX),
    })
}

/// The time in a recorded file, without its gaps. Every file counts, also when several are of one recording.
fn spans(fact: &Fact) -> Vec<UsageSpan> {
    let What::FileReady { file } = &fact.what else {
        return Vec::new();
    };
    let kind = match file.user {
        Some(_) => Recorded::Single,
        None => Recorded::Mixed,
    };
    let class = Measure::Recorded(kind, Class::of(file.resolution)).to_string();
    let mut left = file.duration_ms;
    let mut from = file.started_unix_us / 1000;
    let mut spans = Vec::new();
    let gaps = file.gaps.iter().map(|gap| (gap.from_unix_ms, gap.to_unix_ms));
    for (gap_from, gap_to) in gaps.chain([(u64::MAX, u64::MAX)]) {
        let length = gap_from.saturating_sub(from).min(left);
        spans.push(UsageSpan {
            application: fact.room.app,
            class: class.clone(),
            from_unix_ms: from,
            to_unix_ms: from.saturating_add(length),
        });
        left -= length;
        from = from.max(gap_to);
    }
    spans.retain(|span| span.from_unix_ms < span.to_unix_ms);
    spans
}

/// The time of a mix, by its output.
fn meter(fact: &Fact) -> Option<MeterStep> {
    let class = |output: &MixOutput| Measure::Mixed(Class::of_mix(*output)).to_string();
    let at = fact.at_unix_ms;
    let (mix, at_unix_ms, what) = match &fact.what {
        What::MixBegun {
            mix,
            started_unix_ms,
            output: Some(output),
            ..
        } => {
            let class = class(output);
            (mix, started_unix_ms.unwrap_or(at), MeterChange::Begin { class })
        }
        What::MixChanged {
            mix: Some(mix),
            output: Some(output),
            ..
        }
        | What::MixRuns { mix, output } => (mix, at, MeterChange::Count { class: class(output) }),
        What::MixEnded { mix, .. } => (mix, at, MeterChange::End),
        _ => return None,
    };
    Some(MeterStep {
        subject: format!("mix-{mix}"),
        application: fact.room.app,
        at_unix_ms,
        what,
    })
}

#[cfg(test)]
mod tests;
