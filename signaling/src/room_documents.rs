//! Changes of a room's documents on the bus, each a compare-and-set.

use std::collections::BTreeSet;
use std::convert::Infallible;

use rotunda_bus::{BusError, BusExt, ClusterNode, Revision, SharedBus};
use rotunda_events::{Facts, What};
use rotunda_proto::config::PublishLimits;
use rotunda_proto::ids::{MembershipId, NodeId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{
    Holder, KeptCell, MAX_MEMBERS, MemberCounts, OwnNames, RoomInfo, Roster, RosterMember, Seats, TrackState,
    count_key, info_key, roster_key, seats_key,
};
use rotunda_proto::sfu::{NODES_PREFIX, NodeInfo};
use rotunda_proto::signaling::ErrorCode;
use rotunda_proto::waiting_room::{WaitingRoom, waiting_key};

use crate::media_nodes::{Refusals, Reservations};
use crate::{roster, seats, waiting_room};

/// A room's documents, as one node changes them.
#[derive(Clone)]
pub struct RoomDocuments {
    pub bus: SharedBus,
    pub cluster: ClusterNode,
    pub room: RoomKey,
    /// Of the room's application.
    pub limits: PublishLimits,
    pub facts: Facts,
    pub reservations: Reservations,
    /// Of SFU nodes, to members of the room.
    pub refusals: Refusals,
}

/// The outcome of counting members in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub admitted: u64,
    /// In the room now, on all nodes.
    pub total: u64,
    pub revision: Option<Revision>,
}

impl RoomDocuments {
    /// Writes that this node has `present` members, and as many of the `entering` as the room has capacity for.
    pub async fn count(&self, present: u64, entering: u64) -> Result<Counted, BusError> {
        let node = self.cluster.incarnation();
        let counted = self
            .bus
            .update_at(&count_key(&self.room), |counts: Option<MemberCounts>| {
                let mut counts = counts.unwrap_or_default();
                counts.set(&node, present);
                let admitted = entering.min(MAX_MEMBERS.saturating_sub(counts.total()));
                counts.set(&node, present + admitted);
                let counted = Counted {
                    admitted,
                    total: counts.total(),
                    revision: None,
                };
                Ok::<_, Infallible>(((counted.total > 0).then_some(counts), counted))
            })
            .await?;
        let Ok(written) = counted;
        Ok(Counted {
            revision: written.revision,
            ..written.result
        })
    }

    /// Makes sure that the room has an SFU node. The first member chooses a node with little load. Call after
    /// counting, so that a node whose last member leaves at the same time does not close the room.
    pub async fn open(&self, unix_ms: u64, first: &UserId) -> Result<Option<Revision>, Refused> {
        // An open room stays on its node.
        let known = self.bus.load::<RoomInfo>(&info_key(&self.room)).await?;
        let sfu = match known {
            Some((info, _)) => info.sfu,
            None => self.assign_sfu(&self.listed_sfu().await?)?,
        };
        let info = RoomInfo {
            room: self.room.clone(),
            sfu,
            more_sfu: Vec::new(),
            created_unix_ms: unix_ms,
        };
        let written = self
            .bus
            .update_at(&info_key(&self.room), |known: Option<RoomInfo>| {
                let is_new = known.is_none();
                Ok::<_, Infallible>((Some(known.unwrap_or_else(|| info.clone())), is_new))
            })
            .await?;
        let Ok(written) = written;
        if written.result {
            let user = Some(first.clone());
            self.facts.tell(&self.room, What::RoomMade { user });
        }
        Ok(written.revision)
    }

    /// Makes sure that the room is on an SFU node that has not been tried: without one it goes on at another node. Nodes that are silent
    /// and do not announce themselves any more are dead, and the room leaves them. Answers its nodes.
    pub async fn spread(&self, full: &BTreeSet<NodeId>, silent: &BTreeSet<NodeId>) -> Result<Vec<NodeId>, Refused> {
        let listed = self.listed_sfu().await?;
        let is_dead = |node: &NodeId| silent.contains(node) && !listed.iter().any(|info| info.node == *node);
        let is_tried = |node: &NodeId| full.contains(node) || silent.contains(node);
        self.bus
            .update(&info_key(&self.room), |known: Option<RoomInfo>| {
                let mut info = known.ok_or(Refused::Code(ErrorCode::Internal))?;
                let mut nodes: Vec<NodeId> = info.sfu_nodes().filter(|node| !is_dead(node)).cloned().collect();
                if nodes.iter().all(&is_tried) {
                    let others = listed.iter().filter(|other| !nodes.contains(&other.node));
                    let others: Vec<NodeInfo> = others.filter(|other| !is_tried(&other.node)).cloned().collect();
                    nodes.push(self.assign_sfu(&others)?);
                }
                let mut in_order = nodes.iter().cloned();
                info.sfu = in_order.next().ok_or(Refused::Code(ErrorCode::NoMediaNode))?;
                info.more_sfu = in_order.collect();
                Ok::<_, Refused>((Some(info), nodes))
            })
            .await?
    }

    /// The revision for [`close`](Self::close). Read it before the last member is counted out.
    pub async fn opened_at(&self) -> Result<Option<Revision>, BusError> {
        let info = self.bus.get(&info_key(&self.room)).await?;
        Ok(info.map(|info| info.revision))
    }

    /// Ends the room, unless it was opened again since.
    pub async fn close(&self, opened_at: Revision) -> Result<(), BusError> {
        match self.bus.delete(&info_key(&self.room), opened_at).await {
            Ok(_) => {
                self.facts.tell(&self.room, What::RoomEnded);
                waiting_room::changes::end(&self.bus, &self.room).await
            }
            Err(BusError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Updates the waiting room with the users of this node. Answers the document and its revision.
    pub async fn list_waiting(
        &self,
        mut merge: impl FnMut(&WaitingRoom) -> WaitingRoom + Send,
    ) -> Result<(WaitingRoom, Option<Revision>), BusError> {
        let listed = self
            .bus
            .update_at(&waiting_key(&self.room), |document: Option<WaitingRoom>| {
                let before = document.unwrap_or_default();
                let after = merge(&before);
                if after == before {
                    return Err(after);
                }
                Ok(((!after.is_empty()).then(|| after.clone()), after))
            })
            .await?;
        Ok(match listed {
            Ok(written) => (written.result, written.revision),
            Err(unchanged) => (unchanged, None),
        })
    }

    /// Updates the roster's window with the members who are present on this node and those who have left it.
    pub async fn show(&self, present: &[RosterMember], left: &[MembershipId]) -> Result<Option<Revision>, BusError> {
        let shown = self
            .bus
            .update_at(&roster_key(&self.room), |document: Option<Roster>| {
                let before = document.unwrap_or_default();
                let after = roster::merged(&roster::without(&before, left), present.iter().cloned());
                if after == before {
                    return Err(Unchanged);
                }
                Ok(((!after.members.is_empty()).then_some(after), ()))
            })
            .await?;
        Ok(shown.ok().and_then(|written| written.revision))
    }

    pub async fn take_seat(
        &self,
        member: &RosterMember,
        names: &OwnNames,
        source: TrackSource,
        state: TrackState,
    ) -> Result<(), Refused> {
        let user = &member.user;
        let holder = Holder {
            membership: member.holder.membership,
            // It may differ from the incarnation under which the member entered.
            node: self.cluster.incarnation(),
        };
        self.change_seats(|document| {
            seats::take(document, self.limits, user, &holder, source, state)?;
            seats::name(document, user, names);
            Ok(())
        })
        .await
    }

    pub async fn mute(&self, membership: MembershipId, source: TrackSource, state: TrackState) -> Result<(), Refused> {
        self.change_seats(|document| seats::mute(document, membership, source, state))
            .await
    }

    pub async fn release_seat(&self, member: &RosterMember, source: TrackSource) -> Result<(), Refused> {
        self.change_seats(|document| {
            seats::release(document, &member.user, member.holder.membership, source);
            Ok(())
        })
        .await
    }

    pub async fn release_all_seats(&self, member: &RosterMember) -> Result<(), Refused> {
        self.change_seats(|document| {
            seats::release_all(document, &member.user, member.holder.membership);
            Ok(())
        })
        .await
    }

    /// As [`release_all_seats`](Self::release_all_seats), but mixes keep the member's cells until a time.
    pub async fn keep_cells(&self, member: &RosterMember, until_unix_ms: u64) -> Result<(), Refused> {
        self.change_seats(|document| {
            let RosterMember {
                user,
                entered_unix_ms,
                holder,
            } = member;
            seats::cut_off(document, user, holder.membership, *entered_unix_ms, until_unix_ms);
            Ok(())
        })
        .await
    }

    pub async fn drop_expired_cells(&self, unix_ms: u64) -> Result<(), Refused> {
        self.change_seats(|document| {
            seats::drop_expired(document, unix_ms);
            Ok(())
        })
        .await
    }

    /// Cells of publishers who may come back.
    pub async fn kept_cells(&self) -> Result<Vec<KeptCell>, BusError> {
        let seats = self.bus.load::<Seats>(&seats_key(&self.room)).await?;
        Ok(seats.map(|(seats, _)| seats.kept).unwrap_or_default())
    }

    async fn listed_sfu(&self) -> Result<Vec<NodeInfo>, BusError> {
        self.bus.documents::<NodeInfo>(NODES_PREFIX).await
    }

    fn assign_sfu(&self, nodes: &[NodeInfo]) -> Result<NodeId, Refused> {
        match self.reservations.assign(nodes) {
            Some(node) => Ok(node),
            None if nodes.is_empty() => Err(Refused::Code(ErrorCode::NoMediaNode)),
            None => Err(Refused::Code(ErrorCode::NodeFull)),
        }
    }

    async fn change_seats(
        &self,
        mut change: impl FnMut(&mut Seats) -> Result<(), ErrorCode> + Send,
    ) -> Result<(), Refused> {
        let key = seats_key(&self.room);
        let changed = self.bus.update(&key, |document: Option<Seats>| {
            let mut document = document.unwrap_or_default();
            change(&mut document)?;
            Ok(((!document.is_empty()).then_some(document), ()))
        });
        changed.await?.map_err(Refused::Code)
    }
}

/// The document needs no change.
struct Unchanged;

/// Why a document was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("refused: {0:?}")]
    Code(ErrorCode),
    #[error("change a room document")]
    Bus(#[from] BusError),
}
