//! The consumer of the stream of facts on this node.

mod effects;
mod pushes;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;
use rotunda_events::{Consumer, StreamError, Table};
use rotunda_proto::clock::Clock;
use rotunda_store::{POINT_MS, Store, StoreError, StreamedEvent};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::shared::Shared;
pub use effects::effects;
#[cfg(test)]
pub use pushes::Told;

/// The least time between two rounds: under load, many facts share one transaction.
const GATHER: Duration = Duration::from_millis(50);
/// Other nodes append facts, too.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Consumed facts stay in the stream for this time, so that a database can be restored from a backup of that age.
const KEEP_CONSUMED: Duration = Duration::from_secs(3600);
/// A node tells its attendance at the latest after this time. A minute's members are summed until then.
const KEEP_MINUTES: Duration = Duration::from_secs(2 * 3600);
/// The queries of a day's usage reach back for this time.
const KEEP_POINTS: Duration = Duration::from_secs(40 * 86_400);
/// A mix is counted every five minutes. One that is not for this time is gone.
const METER_SILENT: Duration = Duration::from_secs(3600);
const CONSUMER: &str = "signaling";

/// Consumes until shutdown, and then what is in the stream by then.
pub fn consume(shared: Shared, shutdown: CancellationToken) -> JoinHandle<()> {
    let stream = shared.facts.stream().clone();
    let former = (!stream.is_in_store()).then(|| Table::new(shared.store.clone()).shared());
    let streams = std::iter::once(stream).chain(former);
    let mut consumer = Consumer::new(shared.store.clone(), CONSUMER, streams, KEEP_CONSUMED);
    tokio::spawn(async move {
        let (mut prune_at, mut fails) = (Clock.now(), false);
        loop {
            let next_at = Clock.now() + GATHER;
            let is_full = match consume_some(&shared, &mut consumer).await {
                Ok(is_full) => {
                    if std::mem::take(&mut fails) {
                        info!("the stream of events is consumed again");
                    }
                    is_full
                }
                Err(error) => {
                    counter!("rotunda_events_consume_failures_total").increment(1);
                    // Once for an outage, however long it is.
                    if !std::mem::replace(&mut fails, true) {
                        error!(
                            error = &error as &dyn std::error::Error,
                            "consume the stream of events; it is tried again every second"
                        );
                    }
                    false
                }
            };
            prune_at = prune(&shared, prune_at).await;
            if is_full {
                continue;
            }
            if shutdown.is_cancelled() {
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = shared.facts.appended() => {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = Clock.sleep_until(next_at) => {}
                    }
                }
                () = Clock.sleep_until(Clock.now() + LOOK_EVERY) => {}
            }
        }
    })
}

/// Answers whether there may be more.
async fn consume_some(shared: &Shared, consumer: &mut Consumer) -> Result<bool, StreamError> {
    let applications = shared.applications();
    let told = Mutex::new(Vec::new());
    let consumed = |event: &StreamedEvent| {
        told.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(pushes::Told::of(event));
        effects(event, &applications)
    };
    let round = consumer.round(consumed).await?;
    if round.has_callbacks {
        shared.outbox.notify();
    }
    for told in told.into_inner().unwrap_or_else(PoisonError::into_inner) {
        // The next state of the push makes up for it.
        if let Err(error) = told.note(&shared.bus).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "a member is not told the state of a push"
            );
        }
    }
    Ok(round.is_full)
}

/// Answers when it is due again.
async fn prune(shared: &Shared, due_at: Instant) -> Instant {
    if Clock.now() < due_at {
        return due_at;
    }
    let journal = Duration::from_secs(u64::from(shared.config.journal_days) * 86_400);
    if let Err(error) = prune_rows(&shared.store, Clock.unix(), journal).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "remove old journal entries and callbacks"
        );
    }
    Clock.now() + PRUNE_EVERY
}

async fn prune_rows(store: &Store, unix: Duration, journal: Duration) -> Result<(), StoreError> {
    let before = unix.saturating_sub(journal);
    store.prune_journal(before).await?;
    store.prune_callbacks(before).await?;
    store.prune_calls(before).await?;
    let minute = unix.saturating_sub(KEEP_MINUTES).as_secs() / 60;
    store.prune_present_members(minute as i64).await?;
    let points = unix.saturating_sub(KEEP_POINTS).as_millis() as u64 / POINT_MS;
    store.prune_usage_points(points as i64).await?;
    store.prune_meters(unix.saturating_sub(METER_SILENT)).await?;
    Ok(())
}
