//! Removes what dead signaling nodes have left in the documents of rooms: seats, roster entries, waiting users and counts. Every node cleans up
//! after nodes that it sees die, and after those that died before it started. Compare-and-set makes it happen once.

use std::collections::{BTreeMap, BTreeSet};

use metrics::counter;
use rotunda_bus::lease::{LeaseDocument, Living, Standing, lease_key};
use rotunda_bus::{BusError, BusExt, Incarnation, SharedBus};
use rotunda_events::{Facts, LeftBecause, What};
use rotunda_proto::clock::Clock;
use rotunda_proto::room::{
    MemberCounts, ROOMS_PREFIX, Roster, RosterMember, Seats, info_key_beside, room_of_key, seats_key_beside,
};
use rotunda_proto::waiting_room::{WAITING, WaitingRoom, waiting_key_beside};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::waiting_room::list;
use crate::{roster, seats};

/// A failed cleaning is repeated after this time.
const TRY_AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Cleans up until shutdown.
pub fn clean_up(
    bus: SharedBus,
    facts: Facts,
    mut living: watch::Receiver<Living>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let work = async move {
        let clock = Clock;
        loop {
            let alive = living.borrow_and_update().clone();
            if let Some(alive) = alive
                && let Err(error) = Cleaner::new(&bus, &facts, &alive).clean().await
            {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "clean up after dead nodes; it is tried again"
                );
                clock.sleep_until(clock.now() + TRY_AGAIN).await;
                continue;
            }
            if living.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(async move {
        let _stopped = shutdown.run_until_cancelled(work).await;
    })
}

struct Cleaner<'a> {
    bus: &'a SharedBus,
    facts: &'a Facts,
    alive: &'a BTreeSet<Incarnation>,
    /// Other nodes that were checked, and whether each is dead.
    known: BTreeMap<Incarnation, bool>,
}

impl<'a> Cleaner<'a> {
    fn new(bus: &'a SharedBus, facts: &'a Facts, alive: &'a BTreeSet<Incarnation>) -> Self {
        Self {
            bus,
            facts,
            alive,
            known: BTreeMap::new(),
        }
    }

    async fn clean(mut self) -> Result<(), BusError> {
        for (key, entry) in self.bus.list(ROOMS_PREFIX).await? {
            let value = &entry.value;
            match key.rsplit('.').next() {
                Some("seats") => {
                    let publishers = parsed::<Seats>(value).publishers.into_iter();
                    let holders = publishers.map(|publisher| publisher.holder.node).collect();
                    let dead = self.dead(holders).await?;
                    let free = |seats: &mut Seats| {
                        seats::free_dead(seats, |node| dead.contains(node));
                        seats.is_empty()
                    };
                    self.change(&key, &dead, free).await?;
                }
                Some("roster") => {
                    let members = parsed::<Roster>(value).members;
                    let nodes = members.iter().map(|member| member.holder.node.clone());
                    let dead = self.dead(nodes.collect()).await?;
                    let free = |roster: &mut Roster| {
                        roster::free_dead(roster, |node| dead.contains(node));
                        roster.members.is_empty()
                    };
                    self.change(&key, &dead, free).await?;
                    self.tell_left(&key, members.iter().filter(|member| dead.contains(&member.holder.node)));
                }
                Some(WAITING) => {
                    let waiting = parsed::<WaitingRoom>(value).waiting.into_iter();
                    let dead = self.dead(waiting.map(|user| user.holder.node).collect()).await?;
                    let free = |waiting_room: &mut WaitingRoom| {
                        list::free_dead(waiting_room, |node| dead.contains(node));
                        waiting_room.is_empty()
                    };
                    self.change(&key, &dead, free).await?;
                }
                Some("count") => {
                    let counted = parsed::<MemberCounts>(value).by_node.into_keys();
                    let dead = self.dead(counted.collect()).await?;
                    self.uncount(&key, &dead).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Several nodes may tell it. It counts once.
    fn tell_left<'m>(&self, key: &str, members: impl Iterator<Item = &'m RosterMember>) {
        let Some(room) = room_of_key(key) else { return };
        for member in members {
            let membership = member.holder.membership;
            let entered = std::time::Duration::from_millis(member.entered_unix_ms);
            let left = What::Left {
                user: member.user.clone(),
                membership,
                reason: LeftBecause::NodeDied,
                stayed_ms: Clock.unix().saturating_sub(entered).as_millis() as u64,
            };
            self.facts
                .tell_as(format!("node-died-{:016x}", membership.0), &room, left);
        }
    }

    /// Removes dead nodes from a room's count. If no other member is in it, the room ends.
    async fn uncount(&self, key: &str, dead: &BTreeSet<Incarnation>) -> Result<(), BusError> {
        if dead.is_empty() {
            return Ok(());
        }
        let info_key = info_key_beside(key);
        let opened_at = self.bus.get(&info_key).await?.map(|info| info.revision);
        let free = |counts: &mut MemberCounts| {
            counts.by_node.retain(|node, _| !dead.contains(node));
            counts.total() == 0
        };
        let ended = self.change(key, dead, free).await?;
        let (true, Some(opened_at)) = (ended, opened_at) else {
            return Ok(());
        };
        match self.bus.delete(&info_key, opened_at).await {
            Ok(_) => {
                if let Some(room) = room_of_key(key) {
                    self.facts.tell(&room, What::RoomEnded);
                }
            }
            // It was opened again since.
            Err(BusError::Conflict(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        // No other node is left that would remove the kept cells.
        let forget = |seats: &mut Seats| {
            seats.kept.clear();
            seats.is_empty()
        };
        self.change(&seats_key_beside(key), dead, forget).await?;
        let end = |waiting_room: &mut WaitingRoom| {
            list::end(waiting_room);
            waiting_room.is_empty()
        };
        self.change(&waiting_key_beside(key), dead, end).await?;
        Ok(())
    }

    /// Removes entries of dead nodes from a document. `free` does it, and answers whether the document had any. Answers the same.
    async fn change<T>(
        &self,
        key: &str,
        dead: &BTreeSet<Incarnation>,
        mut free: impl FnMut(&mut T) -> bool + Send,
    ) -> Result<bool, BusError>
    where
        T: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync,
    {
        if dead.is_empty() {
            return Ok(false);
        }
        let changed = self.bus.update(key, |document: Option<T>| {
            let Some(before) = document else { return Err(Unchanged) };
            let mut after = before.clone();
            let is_empty = free(&mut after);
            if after == before {
                return Err(Unchanged);
            }
            Ok(((!is_empty).then_some(after), is_empty))
        });
        let changed = changed.await?;
        if changed.is_ok() {
            counter!("rotunda_signaling_cleaned_up_total").increment(1);
            info!(key, dead = ?dead, "cleaned up after a dead node");
        }
        Ok(changed.unwrap_or(false))
    }

    /// The dead ones of these nodes. A node that has just started may not be listed yet, so its lease decides.
    async fn dead(&mut self, nodes: Vec<Incarnation>) -> Result<BTreeSet<Incarnation>, BusError> {
        let mut dead = BTreeSet::new();
        for node in nodes {
            if self.alive.contains(&node) {
                continue;
            }
            let is_dead = match self.known.get(&node) {
                Some(is_dead) => *is_dead,
                None => {
                    let lease = self.bus.load::<LeaseDocument>(&lease_key(&node)).await?;
                    let is_dead = lease.is_none_or(|(lease, _)| lease.standing == Standing::Dead);
                    self.known.insert(node.clone(), is_dead);
                    is_dead
                }
            };
            if is_dead {
                dead.insert(node);
            }
        }
        Ok(dead)
    }
}

/// The document has no entry of a dead node.
#[derive(Debug)]
struct Unchanged;

fn parsed<T: DeserializeOwned + Default>(value: &[u8]) -> T {
    serde_json::from_slice(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;
