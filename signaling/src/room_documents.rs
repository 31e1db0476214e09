//! Changes of a room's documents on the bus, each a compare-and-set.

use rotunda_proto::bus::{BusError, BusExt, SharedBus};
use rotunda_proto::ids::{NodeId, RoomKey, TrackSource, UserId};
use rotunda_proto::room::{
    MAX_MEMBERS, MemberCount, RoomInfo, Roster, Seats, TrackState, count_key, info_key, key_prefix, roster_key,
    seats_key,
};
use rotunda_proto::sfu::{NODES_PREFIX, NodeInfo};
use rotunda_proto::signaling::ErrorCode;

use crate::{roster, seats};

/// A room's documents, as one node changes them.
#[derive(Clone)]
pub struct RoomDocuments {
    pub bus: SharedBus,
    pub node: NodeId,
    pub room: RoomKey,
}

impl RoomDocuments {
    /// Adds a member; the first one chooses the SFU node with the fewest sessions.
    pub async fn enter(&self, user: &UserId, unix_ms: u64, members_now: u64) -> Result<(), Refused> {
        if members_now >= MAX_MEMBERS {
            return Err(Refused::Code(ErrorCode::RoomFull));
        }
        let sfu = self.least_loaded_sfu().await?;
        let info = RoomInfo {
            room: self.room.clone(),
            sfu,
            created_unix_ms: unix_ms,
        };
        self.change(&info_key(&self.room), |known: Option<RoomInfo>| {
            Ok((known.or(Some(info.clone())), ()))
        })
        .await?;
        self.change(&count_key(&self.room, &self.node), |count: Option<MemberCount>| {
            Ok((
                Some(MemberCount {
                    members: count.unwrap_or_default().members + 1,
                }),
                (),
            ))
        })
        .await?;
        self.show(user, unix_ms).await
    }

    /// Puts a member into the roster's window, if there is room.
    pub async fn show(&self, user: &UserId, entered_unix_ms: u64) -> Result<(), Refused> {
        self.change(&roster_key(&self.room), |roster: Option<Roster>| {
            let mut roster = roster.unwrap_or_default();
            roster::enter(&mut roster, user, entered_unix_ms);
            Ok((Some(roster), ()))
        })
        .await
    }

    /// Takes a member out; with the last one the room's documents go.
    pub async fn leave(&self, user: &UserId) -> Result<(), Refused> {
        self.change(&seats_key(&self.room), |document: Option<Seats>| {
            let mut document = document.unwrap_or_default();
            seats::leave(&mut document, user);
            Ok(((!document.publishers.is_empty()).then_some(document), ()))
        })
        .await?;
        self.change(&roster_key(&self.room), |document: Option<Roster>| {
            let mut document = document.unwrap_or_default();
            roster::leave(&mut document, user);
            Ok(((!document.members.is_empty()).then_some(document), ()))
        })
        .await?;
        // Known before counting: who enters after this writes the document again, and it is not deleted then.
        let info = self.bus.get(&info_key(&self.room)).await?;
        let left = self
            .change(&count_key(&self.room, &self.node), |count: Option<MemberCount>| {
                let members = count.unwrap_or_default().members.saturating_sub(1);
                Ok(((members > 0).then_some(MemberCount { members }), members))
            })
            .await?;
        if let Some(info) = info.filter(|_| left == 0)
            && !self.has_members().await?
        {
            match self.bus.delete(&info_key(&self.room), Some(info.revision)).await {
                Ok(()) | Err(BusError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub async fn take_seat(&self, user: &UserId, source: TrackSource, state: TrackState) -> Result<(), Refused> {
        self.change_seats(|document| seats::take(document, user, source, state))
            .await
    }

    pub async fn mute(&self, user: &UserId, source: TrackSource, state: TrackState) -> Result<(), Refused> {
        self.change_seats(|document| seats::mute(document, user, source, state))
            .await
    }

    pub async fn give_seat_back(&self, user: &UserId, source: TrackSource) -> Result<(), Refused> {
        self.change_seats(|document| {
            seats::give_back(document, user, source);
            Ok(())
        })
        .await
    }

    /// Whether any node still counts members.
    async fn has_members(&self) -> Result<bool, BusError> {
        let mut documents = self.bus.watch(&format!("{}count.", key_prefix(&self.room))).await?;
        Ok(documents.try_recv().is_ok())
    }

    async fn least_loaded_sfu(&self) -> Result<NodeId, Refused> {
        let mut nodes = self.bus.watch(NODES_PREFIX).await?;
        let nodes = std::iter::from_fn(|| nodes.try_recv().ok()).filter_map(|change| change.parse::<NodeInfo>());
        let least = nodes.min_by_key(|node| node.sessions);
        least.map(|node| node.node).ok_or(Refused::Code(ErrorCode::NoMediaNode))
    }

    async fn change_seats(
        &self,
        mut change: impl FnMut(&mut Seats) -> Result<(), ErrorCode> + Send,
    ) -> Result<(), Refused> {
        self.change(&seats_key(&self.room), |document: Option<Seats>| {
            let mut document = document.unwrap_or_default();
            change(&mut document)?;
            Ok((Some(document), ()))
        })
        .await
    }

    async fn change<T, R>(
        &self,
        key: &str,
        change: impl FnMut(Option<T>) -> Result<(Option<T>, R), ErrorCode> + Send,
    ) -> Result<R, Refused>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Send + Sync,
        R: Send,
    {
        self.bus.update(key, change).await?.map_err(Refused::Code)
    }
}

/// Why a document was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("refused: {0:?}")]
    Code(ErrorCode),
    #[error("change a room document")]
    Bus(#[from] BusError),
}
