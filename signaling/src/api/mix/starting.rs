//! The start of a room's mix that is in progress. A room has one mix: if two callers start different ones at the same
//! moment, the second is refused, so that not both get a success.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RecordId, RoomKey, StreamId};
use rotunda_proto::mix::MixSpec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A start that took longer was lost with its node.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(30);

/// The document on the bus while a start is in progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Starting {
    stream_id: StreamId,
    record_id: Option<RecordId>,
    since_unix_ms: u64,
    claim: String,
}

/// A start in progress. Dropping it permits other starts.
pub struct Claim {
    bus: SharedBus,
    key: String,
    claim: String,
}

/// Another mix is being started in the room: that of this stream.
#[derive(Debug, PartialEq, Eq)]
pub struct AnotherStarts(pub StreamId);

/// Answers None if the same mix is being started already, as two equal starts do no harm.
pub async fn claim(bus: &SharedBus, spec: &MixSpec) -> Result<Result<Option<Claim>, AnotherStarts>, BusError> {
    let key = key(&spec.room);
    let now = Clock.unix();
    let mine = Starting {
        stream_id: spec.stream_id.clone(),
        record_id: spec.record.as_ref().map(|record| record.record_id.clone()),
        since_unix_ms: now.as_millis() as u64,
        claim: Uuid::new_v4().to_string(),
    };
    let claimed = bus.update(&key, |before: Option<Starting>| {
        let before = before
            .filter(|before| now.saturating_sub(Duration::from_millis(before.since_unix_ms)) < CARRIED_OUT_WITHIN);
        match before {
            None => Ok((Some(mine.clone()), true)),
            Some(same) if (&same.stream_id, &same.record_id) == (&mine.stream_id, &mine.record_id) => {
                Ok((Some(same), false))
            }
            Some(other) => Err(AnotherStarts(other.stream_id)),
        }
    });
    Ok(claimed.await?.map(|is_mine| {
        is_mine.then(|| Claim {
            bus: bus.clone(),
            key,
            claim: mine.claim,
        })
    }))
}

fn key(room: &RoomKey) -> String {
    format!("mix_starts.{}", room.token())
}

/// This runs also if the caller hangs up before the answer.
impl Drop for Claim {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the bus with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let bus = self.bus.clone();
        let (key, claim) = (std::mem::take(&mut self.key), std::mem::take(&mut self.claim));
        runtime.spawn(async move {
            let released = bus.update(&key, |now: Option<Starting>| {
                let others = now.filter(|now| now.claim != claim);
                Ok::<_, std::convert::Infallible>((others, ()))
            });
            if let Err(error) = released.await {
                tracing::warn!(error = &error as &dyn std::error::Error, "release the start of a mix");
            }
        });
    }
}
