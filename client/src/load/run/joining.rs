//! Members join, at the plan's rate.

use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;

use super::error::LoadError;
use super::live_table::Second;
use super::progress::Progress;
use super::{Over, Run};
use crate::load::plan::Member;
use crate::load::rtp_session::Part;
use crate::load::shard::Order;

/// Time limit for a member's media to flow, after the last member began to join.
pub const JOIN_WITHIN: Duration = Duration::from_secs(20);

impl<F: FnMut(&Second)> Run<F> {
    /// Lets members join and waits until their media flows or they have failed.
    pub(super) async fn let_join(&mut self, part: Part, members: &[Member]) -> Result<(), LoadError> {
        let order = |member, ticket| Order::Join { part, member, ticket };
        self.order_all(members, order).await?;
        let all = members.len() as u64;
        let over = self.wait_for_all(members, |progress| progress.up(part)).await?;
        match (over, part) {
            (Over::Stopped, _) => Err(LoadError::Stopped),
            (_, Part::Publisher) if self.progress.publishers < all => Err(match self.progress.first_failure.take() {
                Some((user, source)) => LoadError::Publisher { user, source },
                None => LoadError::NoPublishers,
            }),
            (_, Part::Viewer) if self.progress.viewers == 0 && all > 0 => {
                Err(LoadError::NoViewers(self.progress.first_failure()))
            }
            _ => Ok(()),
        }
    }

    /// Lets the audience join and waits until all have entered or failed.
    pub(super) async fn let_attend(&mut self, members: &[Member]) -> Result<(), LoadError> {
        self.progress.audience.server_bytes_before = self.server.bytes()?;
        let began = self
            .order_all(members, |member, ticket| Order::Attend { member, ticket })
            .await?;
        let over = self.wait_for_all(members, |progress| progress.audience.members).await?;
        let audience = &mut self.progress.audience;
        audience.took = audience
            .last_at
            .map(|last| last.saturating_duration_since(began))
            .unwrap_or_default();
        match over {
            Over::Stopped => Err(LoadError::Stopped),
            _ if audience.members == 0 && !members.is_empty() => {
                Err(LoadError::NoAudience(self.progress.first_failure()))
            }
            _ => Ok(()),
        }
    }

    /// Sends each member's order to its thread when it is due; returns when the first one was due.
    async fn order_all(
        &mut self,
        members: &[Member],
        order: impl Fn(Member, String) -> Order,
    ) -> Result<Instant, LoadError> {
        let began = Clock.now();
        let interval = Duration::from_secs_f64(1.0 / self.plan.join_rate);
        self.progress.failed_before = self.progress.failed.len() as u64;
        for (index, member) in members.iter().enumerate() {
            let due = began + interval.mul_f64(index as f64);
            if self.wait(due, |_| false).await? == Over::Stopped {
                return Err(LoadError::Stopped);
            }
            let ticket = (self.access.sign)(&member.user);
            let thread = index % self.orders.len();
            self.order(thread, order(member.clone(), ticket)).await?;
        }
        Ok(began)
    }

    async fn wait_for_all(&mut self, members: &[Member], up: impl Fn(&Progress) -> u64) -> Result<Over, LoadError> {
        let all = members.len() as u64;
        let settled = |progress: &Progress| up(progress) + progress.failed_now() >= all;
        self.wait(Clock.now() + JOIN_WITHIN, settled).await
    }
}
