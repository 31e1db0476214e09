//! Rows of the mix tasks: what ran when, for operators and usage.

use std::collections::HashMap;
use std::time::Duration;

use metrics::counter;
use rotunda_proto::bus::{BusError, BusExt};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RecordId, RoomKey, StreamId};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, NotMixable, RunningMix, StopReason, running_key};
use sqlx::AnyPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

use crate::callbacks;
use crate::service::Shared;

/// A task that runs: its row, and when it began.
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
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            let written = match serde_json::from_slice(&event) {
                Ok(Event::Started { room, .. }) => {
                    let id = Uuid::new_v4().to_string();
                    let at = Clock.unix();
                    running.insert(room.clone(), Running { id: id.clone(), at });
                    started(&shared, &id, &room, at).await
                }
                Ok(Event::Stopped {
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
                        Some(Running { id, .. }) => stopped(&shared.db, &id, &reason).await,
                        None => Ok(()),
                    }
                }
                Ok(Event::NotMixable { room, stream_id, track }) => {
                    tell_of_not_mixable(&shared, &room, &stream_id, &track).await;
                    Ok(())
                }
                Ok(Event::Health { .. }) | Err(_) => Ok(()),
            };
            if let Err(error) = written {
                error!(error = &error as &dyn std::error::Error, "write a mix task's row");
            }
        }
    }))
}

/// Tells the application that a mix has ended for another one. It may never have had a frame, and so no file either.
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

/// Tells the application that a member is missing in its mix.
async fn tell_of_not_mixable(shared: &Shared, room: &RoomKey, stream_id: &StreamId, track: &NotMixable) {
    let body = callbacks::not_mixable(room, stream_id, track, Clock.unix());
    if let Err(error) = callbacks::tell(shared, room, &body).await {
        error!(error = &error as &dyn std::error::Error, "store a callback");
    }
}

async fn started(shared: &Shared, id: &str, room: &RoomKey, at: Duration) -> Result<(), sqlx::Error> {
    let running = shared.bus.load::<RunningMix>(&running_key(room)).await.ok().flatten();
    let Some((RunningMix { spec, .. }, _)) = running else {
        return Ok(());
    };
    let json = serde_json::to_string(&spec).unwrap_or_default();
    sqlx::query("INSERT INTO mix_tasks (id, room, stream_id, spec, started_unix_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(room.to_string())
        .bind(spec.stream_id.to_string())
        .bind(json)
        .bind(at.as_millis() as i64)
        .execute(&shared.db)
        .await?;
    Ok(())
}

async fn stopped(db: &AnyPool, id: &str, reason: &StopReason) -> Result<(), sqlx::Error> {
    let reason = match reason {
        StopReason::Asked => "asked".to_owned(),
        StopReason::Replaced { by, .. } => format!("replaced: {by}"),
        StopReason::RoomEmpty => "room_empty".to_owned(),
        StopReason::Shutdown => "shutdown".to_owned(),
        StopReason::Failed { message } => format!("failed: {message}"),
    };
    sqlx::query("UPDATE mix_tasks SET ended_unix_ms = $1, end_reason = $2 WHERE id = $3")
        .bind(Clock.unix().as_millis() as i64)
        .bind(reason)
        .bind(id)
        .execute(db)
        .await?;
    Ok(())
}
