//! Rows of the mix tasks: their start and end times, for operators and usage.

use metrics::counter;
use rotunda_bus::{BusError, BusExt, Heard};
use rotunda_events::What;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MixId, RoomKey};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, NotMixable, RunningMix, StopReason, running_key};
use rotunda_proto::mix_task::Origin;
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
        loop {
            let heard = tokio::select! {
                () = shutdown.cancelled() => return,
                heard = events.next() => heard,
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
                    let begun = What::MixBegun { mix, stream_id };
                    shared.facts.tell_as(format!("mix-begun-{mix}"), &room, begun);
                    started(&shared, mix, &room, &origin, started_unix_ms).await
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
                    let NotMixable {
                        user_id,
                        room_id,
                        source,
                        codec,
                    } = &track;
                    let room_of_user = room_id.as_ref().map_or(String::new(), |room| format!("-{room}"));
                    let id = format!("not-mixable-{mix}-{source:?}-{codec}-{user_id}{room_of_user}");
                    let missing = What::NotMixable { mix, stream_id, track };
                    shared.facts.tell_as(id, &room, missing);
                    Ok(())
                }
                Some(Event::Health { .. }) | None => Ok(()),
            };
            if let Err(error) = written {
                error!(error = &error as &dyn std::error::Error, "write a mix task's row");
            }
        }
    }))
}

async fn started(shared: &Shared, mix: MixId, room: &RoomKey, origin: &Origin, unix_ms: u64) -> Result<(), StoreError> {
    let key = running_key(room, origin);
    let running = shared.bus.load::<RunningMix>(&key).await.ok().flatten();
    let Some((RunningMix { spec, .. }, _)) = running else {
        return Ok(());
    };
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
