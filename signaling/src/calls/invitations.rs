//! Limits how many users one user may invite.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rotunda_proto::ids::{SdkAppId, UserId};

/// Users whose invitations are counted at one time. Beyond it, those who could invite fully are forgotten.
const COUNTED: usize = 10_000;

/// The invitations of this node's users. A user may use a minute's number at once.
#[derive(Debug, Default)]
pub struct Invitations(Mutex<HashMap<(SdkAppId, UserId), Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Invitations {
    /// Whether the user may invite so many now.
    pub fn take(&self, now: Instant, app: SdkAppId, user: &UserId, count: usize, per_minute: u32) -> bool {
        let most = f64::from(per_minute);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refill = |bucket: &Bucket| {
            let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + seconds * most / 60.0).min(most)
        };
        if buckets.len() >= COUNTED {
            buckets.retain(|_, bucket| refill(bucket) < most);
        }
        let bucket = buckets
            .entry((app, user.clone()))
            .or_insert(Bucket { left: most, at: now });
        let left = refill(bucket) - count as f64;
        if left < 0.0 {
            return false;
        }
        *bucket = Bucket { left, at: now };
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn a_user_invites_as_many_as_are_permitted_in_a_minute() {
        let invitations = Invitations::default();
        let (now, app) = (Clock.now(), SdkAppId::try_from(1).unwrap());
        let take = |after: u64, name: &str, count| {
            let user = name.parse().unwrap();
            invitations.take(now + Duration::from_secs(after), app, &user, count, 60)
        };
        assert!(take(0, "ann", 50));
        assert!(!take(0, "ann", 11));
        assert!(take(0, "ann", 10), "a refused request takes nothing");
        assert!(take(0, "bob", 60), "each user has a number of their own");
        assert!(!take(9, "ann", 10));
        assert!(take(10, "ann", 10));
    }
}
