//! Running mixes: their health as the nodes tell it, the facts by which their time is counted, and those of their changes.

use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt, Heard};
use rotunda_events::{MixOutput, What};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MixId, StreamKey};
use rotunda_proto::mix::{EVENTS_SUBJECT, Event, MixSpec};
use rotunda_proto::mix_task::{MixTask, TASKS_PREFIX};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::shared::Shared;

/// Running mixes are counted at multiples of this time of the clock, so that all nodes tell the same facts. Seconds.
const COUNT_EVERY: u64 = 300;

/// Notes the health of mixes and counts the running ones until `shutdown`.
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
            match heard {
                Heard::Message(message) => {
                    if let Some(Event::Health {
                        room,
                        stream_id,
                        health,
                    }) = message.parse()
                    {
                        let (app, id) = (room.app, stream_id);
                        shared.mix_health.note(StreamKey { app, id }, health);
                    }
                }
                // The next report of each mix comes within seconds.
                Heard::Lost => {}
            }
        }
    }))
}

/// Tells that a running mix goes on with another spec.
pub fn tell_change(shared: &Shared, mix: MixId, spec: &MixSpec) {
    let changed = What::MixChanged {
        stream_id: spec.stream_id.clone(),
        mix: Some(mix),
        output: Some(MixOutput::of(spec)),
    };
    shared.facts.tell(&spec.room, changed);
}

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
                    output: MixOutput::of(spec),
                };
                let id = format!("mix-runs-{}-{round}", task.id);
                shared.facts.tell_as(id, &task.room, runs);
            }
        }
        Err(error) => warn!(error = &error as &dyn std::error::Error, "list the running mixes"),
    }
}
