//! Rows of the mix tasks: what ran when, for operators and usage.

use std::collections::HashMap;

use rotunda_proto::bus::{BusError, BusExt};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::RoomKey;
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, RunningMix, StopReason, running_key};
use sqlx::AnyPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use crate::service::Shared;

/// Follows the events of all tasks until shutdown.
pub async fn follow(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut events = shared.bus.subscribe(EVENTS_SUBJECT).await?;
    Ok(tokio::spawn(async move {
        let mut running: HashMap<RoomKey, String> = HashMap::new();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            let written = match serde_json::from_slice(&event) {
                Ok(Event::Started { room, .. }) => {
                    let id = Uuid::new_v4().to_string();
                    running.insert(room.clone(), id.clone());
                    started(&shared, &id, &room).await
                }
                Ok(Event::Stopped { room, reason, .. }) => match running.remove(&room) {
                    Some(id) => stopped(&shared.db, &id, &reason).await,
                    None => Ok(()),
                },
                Ok(Event::Health { .. } | Event::NotMixable { .. }) | Err(_) => Ok(()),
            };
            if let Err(error) = written {
                error!(error = &error as &dyn std::error::Error, "write a mix task's row");
            }
        }
    }))
}

async fn started(shared: &Shared, id: &str, room: &RoomKey) -> Result<(), sqlx::Error> {
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
        .bind(Clock.unix().as_millis() as i64)
        .execute(&shared.db)
        .await?;
    Ok(())
}

async fn stopped(db: &AnyPool, id: &str, reason: &StopReason) -> Result<(), sqlx::Error> {
    let reason = match reason {
        StopReason::Asked => "asked".to_owned(),
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
