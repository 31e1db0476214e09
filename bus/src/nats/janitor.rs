//! Purges the deletions: each is a message that stays in the bucket for those who follow it, and is of no use once they have it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use rotunda_proto::clock::Clock;
use tracing::{debug, warn};

use super::bucket::Bucket;
use super::copy::Copy;
use crate::{BusError, Revision};

/// One node purges this often.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Each node looks a random part of this time later, so that they do not meet.
const APART_MS: u64 = 10_000;
/// Deletions stay this long: a node that follows the bucket has them long before, and a key that is soon written
/// anew needs no search for its last revision.
const KEEP: Duration = Duration::from_secs(300);
/// The node that writes this key is the one that purges; the key is younger than [`PURGE_EVERY`] as long as one does.
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
            Err(error) => warn!(error = &error as &dyn std::error::Error, "purge old deletions"),
        }
    }
}

/// `known`: the revision of the key at the last look. If it has changed since, another node is at it.
async fn purge(copy: &Copy, bucket: &Bucket, known: &mut Option<Revision>) -> Result<usize, BusError> {
    let last = bucket
        .last(KEY)
        .await?
        .map_or(Revision(0), |message| Revision(message.sequence));
    let before = known.replace(last);
    let deletions = copy.old_deletions(Clock.now(), KEEP);
    if before != Some(last) {
        // Whoever purges does it with the same deletions; this node forgets them much later.
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
