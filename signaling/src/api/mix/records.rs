//! Rows of the mix tasks: their start and end times, for operators and usage.

use std::collections::HashMap;
use std::time::Duration;

use metrics::counter;
use rotunda_bus::{BusError, BusExt, Heard};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RecordId, RoomKey, StreamId};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, RunningMix, StopReason, running_key};
use rotunda_store::{MixTaskEnd, MixTaskRow, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::callbacks;
use crate::shared::Shared;

/// The row of a running task, and its start time.
struct Running {
    id: String,
    at: Duration,
}

/// Follows the events of all tasks until shutdown.
pub async fn follow(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut events = shared.bus.subscribe(EVENTS_SUBJECT).await?;
    Ok(tokio::spawn(async move {
        let mut running: HashMap<RoomKey, Running> = HashMap::new();
        loop {
            let event: Heard = tokio::select! {
                () = shutdown.cancelled() => return,
                heard = events.next() => heard,
            };
            let event = match event {
                Heard::Message(message) => message.parse(),
                Heard::Lost => {
                    warn!("events of mixes were lost; their rows may miss an end");
                    None
                }
            };
            let written = match event {
                Some(Event::Started { room, .. }) => {
                    let id = Uuid::new_v4().to_string();
                    let at = Clock.unix();
                    running.insert(room.clone(), Running { id: id.clone(), at });
                    started(&shared, &id, &room, at).await
                }
                Some(Event::Stopped {
                    room,
                    stream_id,
                    reason,
                }) => {
                    let ran = running.remove(&room);
                    if let StopReason::Replaced { record, by } = &reason {
                        let started = ran.as_ref().map(|ran| ran.at);
                        tell_of_replaced(&shared, &room, &stream_id, record.as_ref(), by, started).await;
                    }
                    match ran {
                        Some(Running { id, .. }) => stopped(&shared, &id, &reason).await,
                        None => Ok(()),
                    }
                }
                Some(Event::Health { .. } | Event::NotMixable { .. }) | None => Ok(()),
            };
            if let Err(error) = written {
                error!(error = &error as &dyn std::error::Error, "write a mix task's row");
            }
        }
    }))
}

/// Sends the callbacks of a mix that another one has replaced. If it never had a frame, there is no file.
async fn tell_of_replaced(
    shared: &Shared,
    room: &RoomKey,
    stream_id: &StreamId,
    record_id: Option<&RecordId>,
    by: &StreamId,
    started: Option<Duration>,
) {
    let record = record_id.map(RecordId::as_str);
    warn!(%room, %stream_id, record, %by, "a mix was replaced by another StartMCUMixTranscode; a room has one");
    counter!("rotunda_mixes_replaced_total").increment(1);
    let body = callbacks::replaced(&callbacks::Replaced {
        room,
        stream_id,
        record_id,
        by,
        started,
        ended: Clock.unix(),
    });
    if let Err(error) = callbacks::tell(shared, room, &body).await {
        error!(error = &error as &dyn std::error::Error, "store a callback");
    }
}

async fn started(shared: &Shared, id: &str, room: &RoomKey, at: Duration) -> Result<(), StoreError> {
    let running = shared.bus.load::<RunningMix>(&running_key(room)).await.ok().flatten();
    let Some((RunningMix { spec, .. }, _)) = running else {
        return Ok(());
    };
    let task = MixTaskRow {
        id: id.to_owned(),
        application_id: room.app.get().into(),
        room: room.to_string(),
        stream_id: spec.stream_id.to_string(),
        spec: serde_json::to_string(&spec).unwrap_or_default(),
        origin: "api".to_owned(),
        started_unix_ms: at.as_millis() as i64,
        ended_unix_ms: None,
        end_reason: None,
    };
    shared.store.start_mix_task(&task).await
}

async fn stopped(shared: &Shared, id: &str, reason: &StopReason) -> Result<(), StoreError> {
    let reason = match reason {
        StopReason::Asked => "asked".to_owned(),
        StopReason::Replaced { by, .. } => format!("replaced: {by}"),
        StopReason::RoomEmpty => "room_empty".to_owned(),
        StopReason::Shutdown => "shutdown".to_owned(),
        StopReason::Failed { message } => format!("failed: {message}"),
    };
    let end = MixTaskEnd {
        at: Clock.unix(),
        reason,
    };
    shared.store.end_mix_task(id, &end).await
}
