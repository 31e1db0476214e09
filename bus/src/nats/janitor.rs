//! Purges deletions: each is a message that stays in the bucket for its followers, and has no use once they have
//! read it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use rotunda_proto::clock::Clock;
use tracing::{debug, warn};

use super::bucket::Bucket;
use super::copy::Copy;
use crate::{BusError, Revision};

/// The interval of purges; one node at a time does it.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Each node waits for a random part of this time, so that they do not purge at the same time.
const APART_MS: u64 = 10_000;
/// How long deletions stay: nodes that follow the bucket have read them long before, and a key that is soon written
/// again needs no search for its last revision.
const KEEP: Duration = Duration::from_secs(300);
/// The node that writes this key purges; the key is younger than [`PURGE_EVERY`] as long as a node purges.
const KEY: &str = "janitor";

pub(super) async fn purge_deletions(copy: Arc<Copy>, bucket: Bucket) {
    let clock = Clock;
    let mut known = None;
    loop {
        let apart = Duration::from_millis(rand::random_range(0..APART_MS));
        clock.sleep_until(clock.now() + PURGE_EVERY + apart).await;
        if copy.presence().borrow().is_away() {
            continue;
        }
        match purge(&copy, &bucket, &mut known).await {
            Ok(purged) => debug!(purged, "old deletions are purged"),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "old deletions could not be purged"
            ),
        }
    }
}

/// `known`: the revision of the key at the last check. If it has changed since, another node is purging.
async fn purge(copy: &Copy, bucket: &Bucket, known: &mut Option<Revision>) -> Result<usize, BusError> {
    let last = bucket
        .last(KEY)
        .await?
        .map_or(Revision(0), |message| Revision(message.sequence));
    let before = known.replace(last);
    let deletions = copy.old_deletions(Clock.now(), KEEP);
    if before != Some(last) {
        // The other node purges the same deletions; this node drops them much later.
        return Ok(0);
    }
    let Some(claim) = bucket.write(KEY, Bytes::new(), HeaderMap::new(), last).await? else {
        return Ok(0);
    };
    *known = Some(claim);
    for (key, revision) in &deletions {
        bucket.purge(key, *revision).await?;
        copy.forget_deletion(key, *revision);
    }
    Ok(deletions.len())
}
