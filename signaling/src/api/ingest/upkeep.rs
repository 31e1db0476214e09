//! Ends tasks that no live process does any more. Every node does it; a task ends once.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt};
use rotunda_events::What;
use rotunda_proto::ids::StreamId;
use rotunda_proto::stream_ingest::{CLAIMS_PREFIX, INGESTS_PREFIX, StreamIngest};

use crate::shared::Shared;

/// `unclaimed`: since when no live process has a task, as this node has seen it. Without one no media comes, so it is idle.
pub async fn round(shared: &Shared, unclaimed: &mut HashMap<StreamId, Instant>, now: Instant) -> Result<(), BusError> {
    let tasks = shared.bus.documents::<StreamIngest>(INGESTS_PREFIX).await?;
    if tasks.is_empty() {
        unclaimed.clear();
        return Ok(());
    }
    let claims = shared.bus.list(CLAIMS_PREFIX).await?;
    let claims: BTreeSet<String> = claims.into_iter().map(|(key, _)| key).collect();
    unclaimed.retain(|id, _| {
        tasks
            .iter()
            .any(|task| task.id == *id && !claims.contains(&task.claim_key()))
    });
    for task in tasks.iter().filter(|task| !claims.contains(&task.claim_key())) {
        let since = *unclaimed.entry(task.id.clone()).or_insert(now);
        if now.saturating_duration_since(since) >= Duration::from_secs(task.idle_seconds) {
            end(shared, task).await?;
        }
    }
    Ok(())
}

async fn end(shared: &Shared, task: &StreamIngest) -> Result<(), BusError> {
    if !super::delete(shared, task).await? {
        return Ok(());
    }
    let message = format!("no live process has done the task for {} s", task.idle_seconds);
    tracing::warn!(task = %task.id, room = %task.room, user = %task.user, reason = message, "a pull has ended");
    let what = What::IngestEnded {
        task: task.id.clone(),
        user: task.user.clone(),
        reason: "no_process".to_owned(),
        message,
    };
    // As a live process names it.
    shared
        .facts
        .tell_as(format!("ingest-ended-{}", task.stream()), &task.room, what);
    Ok(())
}
