//! Rows of the mix tasks: their start and end times, for operators and usage.

use metrics::counter;
use rotunda_bus::{BusError, BusExt, Heard};
use std::time::{Duration, Instant};

use rotunda_events::{MixOutput, What};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MixId, RoomKey, StreamKey};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, MixSpec, NotMixable, RunningMix, StopReason, running_key};
use rotunda_proto::mix_task::{MixTask, Origin, TASKS_PREFIX};
use rotunda_store::{MixTaskEnd, MixTaskRow, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::shared::Shared;

/// Follows the events of all tasks until shutdown. Every signaling node does; rows and callbacks have ids that follow from the mix's,
/// so they are written once.
pub async fn follow(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut events = shared.bus.subscribe(EVENTS_SUBJECT).await?;
    Ok(tokio::spawn(async move {
        let mut count_at = next_count();
        loop {
            let heard = tokio::select! {
                () = shutdown.cancelled() => return,
                heard = events.next() => heard,
                () = Clock.sleep_until(count_at) => {
                    count_running(&shared).await;
                    count_at = next_count();
                    continue;
                }
            };
            let event = match heard {
                Heard::Message(message) => message.parse(),
                Heard::Lost => {
                    warn!("events of mixes were lost; their rows may miss an end");
                    None
                }
            };
            let written = match event {
                Some(Event::Started {
                    mix,
                    room,
                    origin,
                    stream_id,
                    started_unix_ms,
                }) => {
                    let spec = running_spec(&shared, &room, &origin).await;
                    let begun = What::MixBegun {
                        mix,
                        stream_id,
                        started_unix_ms: Some(started_unix_ms),
                        output: spec.as_ref().map(output),
                    };
                    shared.facts.tell_as(format!("mix-begun-{mix}"), &room, begun);
                    started(&shared, mix, spec, &origin, started_unix_ms).await
                }
                Some(Event::Stopped {
                    mix,
                    room,
                    stream_id,
                    started_unix_ms,
                    reason,
                }) => {
                    if let StopReason::Replaced { by, .. } = &reason {
                        warn!(%room, %stream_id, %by, "a mix was replaced by another StartMCUMixTranscode; a room has one");
                        counter!("rotunda_mixes_replaced_total").increment(1);
                    }
                    let (record_id, replaced_by) = match &reason {
                        StopReason::Replaced { record, by } => (record.clone(), Some(by.clone())),
                        _ => (None, None),
                    };
                    let ended = What::MixEnded {
                        mix,
                        stream_id,
                        record_id,
                        replaced_by,
                        started_unix_ms,
                        reason: in_words(&reason),
                    };
                    shared.facts.tell_as(format!("mix-ended-{mix}"), &room, ended);
                    stopped(&shared, mix, &reason).await
                }
                Some(Event::NotMixable {
                    mix,
                    room,
                    stream_id,
                    track,
                }) => {
                    let NotMixable { user_id, source, codec } = &track;
                    let id = format!("not-mixable-{mix}-{source:?}-{codec}-{user_id}");
                    let missing = What::NotMixable { mix, stream_id, track };
                    shared.facts.tell_as(id, &room, missing);
                    Ok(())
                }
                Some(Event::Health {
                    room,
                    stream_id,
                    health,
                }) => {
                    let (app, id) = (room.app, stream_id);
                    shared.mix_health.note(StreamKey { app, id }, health);
                    Ok(())
                }
                None => Ok(()),
            };
            if let Err(error) = written {
                error!(error = &error as &dyn std::error::Error, "write a mix task's row");
            }
        }
    }))
}

/// Tells that a running mix goes on with another spec.
pub fn tell_change(shared: &Shared, mix: MixId, spec: &MixSpec) {
    let changed = What::MixChanged {
        stream_id: spec.stream_id.clone(),
        mix: Some(mix),
        output: Some(output(spec)),
    };
    shared.facts.tell(&spec.room, changed);
}

fn output(spec: &MixSpec) -> MixOutput {
    match spec.video {
        None => MixOutput::Audio,
        Some(video) => MixOutput::Video {
            width: video.width,
            height: video.height,
        },
    }
}

/// The running mixes are counted at multiples of this time of the clock, so that all nodes tell the same facts.
const COUNT_EVERY: u64 = 300;

fn next_count() -> Instant {
    let into = Clock.unix().as_millis() as u64 % (COUNT_EVERY * 1000);
    Clock.now() + Duration::from_millis(COUNT_EVERY * 1000 - into)
}

async fn count_running(shared: &Shared) {
    let round = Clock.unix().as_secs() / COUNT_EVERY;
    match shared.bus.documents::<MixTask>(TASKS_PREFIX).await {
        Ok(tasks) => {
            for task in tasks {
                let Some(spec) = task.spec().filter(|_| task.reached > 0) else {
                    continue;
                };
                let runs = What::MixRuns {
                    mix: task.id,
                    output: output(spec),
                };
                let id = format!("mix-runs-{}-{round}", task.id);
                shared.facts.tell_as(id, &task.room, runs);
            }
        }
        Err(error) => warn!(error = &error as &dyn std::error::Error, "list the running mixes"),
    }
}

async fn running_spec(shared: &Shared, room: &RoomKey, origin: &Origin) -> Option<MixSpec> {
    let running = shared.bus.load::<RunningMix>(&running_key(room, origin)).await;
    running.ok().flatten().map(|(running, _)| running.spec)
}

async fn started(
    shared: &Shared,
    mix: MixId,
    spec: Option<MixSpec>,
    origin: &Origin,
    unix_ms: u64,
) -> Result<(), StoreError> {
    let Some(spec) = spec else { return Ok(()) };
    let room = &spec.room;
    let task = MixTaskRow {
        id: mix.to_string(),
        application_id: room.app.get().into(),
        room: room.to_string(),
        stream_id: spec.stream_id.to_string(),
        spec: serde_json::to_string(&spec).unwrap_or_default(),
        origin: if origin.is_api() { "api" } else { "client" }.to_owned(),
        started_unix_ms: unix_ms as i64,
        ended_unix_ms: None,
        end_reason: None,
    };
    shared.store.start_mix_task(&task).await
}

async fn stopped(shared: &Shared, mix: MixId, reason: &StopReason) -> Result<(), StoreError> {
    let end = MixTaskEnd {
        at: Clock.unix(),
        reason: in_words(reason),
    };
    shared.store.end_mix_task(&mix.to_string(), &end).await
}

fn in_words(reason: &StopReason) -> String {
    match reason {
        StopReason::Asked => "asked".to_owned(),
        StopReason::Replaced { by, .. } => format!("replaced: {by}"),
        StopReason::RoomEmpty => "room_empty".to_owned(),
        StopReason::Shutdown => "shutdown".to_owned(),
        StopReason::Failed { message } => format!("failed: {message}"),
    }
}
