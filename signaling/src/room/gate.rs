//! Whether a user may enter a room at once. Pure.

use rotunda_proto::ids::UserId;
use rotunda_proto::room::RoomInfo;
use rotunda_proto::waiting_room::WaitingRoom;

/// What lets a user past the waiting room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passes {
    /// Nothing.
    #[default]
    Never,
    /// They have been in the room that was made at this time.
    IfRoomIsOf { created_unix_ms: u64 },
    /// They were admitted, moderate the room, or are in the call that it belongs to.
    Always,
}

/// Whether the server API requires the waiting room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Demand {
    #[default]
    None,
    ByApplication,
}

/// How a user comes to the room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    pub passes: Passes,
    pub demand: Demand,
}

/// What the user finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// They need admission.
    Closed,
}

impl Way {
    /// `info`: of the room, if it exists.
    pub fn gate(self, user: &UserId, waiting_room: &WaitingRoom, info: Option<&RoomInfo>) -> Gate {
        // What moderators require ends with the room, also if the node that ended it died before it wrote that.
        if self.demand == Demand::None && !(waiting_room.required && info.is_some()) {
            return Gate::Open;
        }
        let passes = match self.passes {
            Passes::Never => false,
            Passes::IfRoomIsOf { created_unix_ms } => {
                info.is_some_and(|info| info.created_unix_ms == created_unix_ms) && !waiting_room.removed.contains(user)
            }
            Passes::Always => true,
        };
        if passes { Gate::Open } else { Gate::Closed }
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::RoomKey;

    use super::*;

    #[test]
    fn a_user_needs_admission_where_it_is_required_unless_they_were_admitted_or_were_here() {
        let info = RoomInfo {
            room: RoomKey {
                app: 1.try_into().unwrap(),
                room: "1".parse().unwrap(),
            },
            sfu: "sfu-1".parse().unwrap(),
            more_sfu: Vec::new(),
            created_unix_ms: 7,
        };
        let on = WaitingRoom {
            required: true,
            ..WaitingRoom::default()
        };
        let off = WaitingRoom::default();
        let ann: UserId = "ann".parse().unwrap();
        let removed = WaitingRoom {
            removed: vec![ann.clone()],
            ..on.clone()
        };
        let was_here = |created_unix_ms| Passes::IfRoomIsOf { created_unix_ms };
        let gate = |passes, demand, document: &WaitingRoom, info| Way { passes, demand }.gate(&ann, document, info);
        assert_eq!(gate(Passes::Never, Demand::None, &off, Some(&info)), Gate::Open);
        for (demand, document) in [(Demand::None, &on), (Demand::ByApplication, &off)] {
            assert_eq!(gate(Passes::Never, demand, document, Some(&info)), Gate::Closed);
            assert_eq!(gate(Passes::Always, demand, document, None), Gate::Open);
            assert_eq!(gate(was_here(7), demand, document, Some(&info)), Gate::Open);
            assert_eq!(
                gate(was_here(6), demand, document, Some(&info)),
                Gate::Closed,
                "an earlier room of that name"
            );
        }
        assert_eq!(gate(was_here(7), Demand::None, &removed, Some(&info)), Gate::Closed);
        assert_eq!(gate(Passes::Always, Demand::None, &removed, Some(&info)), Gate::Open);
        let ended = |demand, document| gate(was_here(7), demand, document, None);
        assert_eq!(ended(Demand::ByApplication, &off), Gate::Closed);
        assert_eq!(
            ended(Demand::None, &on),
            Gate::Open,
            "nobody is there who could admit them"
        );
    }
}
