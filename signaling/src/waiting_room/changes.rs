//! Changes of a waiting room by moderators and by the server API, each a compare-and-set.

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::waiting_room::{Answered, EntryAnswer, WaitingRoom, waiting_key};

use super::list;

/// The users who are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Everybody,
    Users(Vec<UserId>),
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBy {
    Moderator(UserId),
    ServerApi,
}

/// What remains of the waiting room when a moderator switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// Everybody may enter, and those who wait are admitted.
    Open,
    /// The application requires it, too, so that they go on waiting.
    Required,
}

pub async fn load(bus: &SharedBus, room: &RoomKey) -> Result<WaitingRoom, BusError> {
    let document = bus.load::<WaitingRoom>(&waiting_key(room)).await?;
    Ok(document.map(|(document, _)| document).unwrap_or_default())
}

/// Answers how many users had been waiting.
pub async fn answer(
    bus: &SharedBus,
    room: &RoomKey,
    whom: &Whom,
    answer: EntryAnswer,
    by: AnswerBy,
) -> Result<u32, BusError> {
    let answered = answered(answer, by);
    let users = match whom {
        Whom::Everybody => None,
        Whom::Users(users) => Some(users.as_slice()),
    };
    let changed = change(bus, room, |document| list::answer(document, users, &answered));
    changed.await
}

/// Switches it on.
pub async fn require(bus: &SharedBus, room: &RoomKey) -> Result<(), BusError> {
    change(bus, room, |document| document.required = true).await
}

/// Switches it off.
pub async fn open(bus: &SharedBus, room: &RoomKey, otherwise: Otherwise, by: AnswerBy) -> Result<(), BusError> {
    let admitted = answered(EntryAnswer::Admitted, by);
    let opened = change(bus, room, |document| {
        document.required = false;
        if otherwise == Otherwise::Open {
            list::answer(document, None, &admitted);
        }
    });
    opened.await
}

/// The application does not require it any more: admits the users, unless a moderator has switched it on.
pub async fn open_by_application(bus: &SharedBus, room: &RoomKey, whom: &Whom) -> Result<(), BusError> {
    let admitted = answered(EntryAnswer::Admitted, AnswerBy::ServerApi);
    let users = match whom {
        Whom::Everybody => None,
        Whom::Users(users) => Some(users.as_slice()),
    };
    let opened = change(bus, room, |document| {
        if !document.required {
            list::answer(document, users, &admitted);
        }
    });
    opened.await
}

/// Users are being removed from the room: passes of their stay do not let them in any more.
pub async fn remove(bus: &SharedBus, room: &RoomKey, users: &[UserId]) -> Result<(), BusError> {
    change(bus, room, |document| list::remove(document, users)).await
}

/// The room has ended.
pub async fn end(bus: &SharedBus, room: &RoomKey) -> Result<(), BusError> {
    change(bus, room, list::end).await
}

fn answered(answer: EntryAnswer, by: AnswerBy) -> Answered {
    let by = match by {
        AnswerBy::Moderator(user) => Some(user),
        AnswerBy::ServerApi => None,
    };
    Answered { answer, by }
}

async fn change<R: Send>(
    bus: &SharedBus,
    room: &RoomKey,
    mut change: impl FnMut(&mut WaitingRoom) -> R + Send,
) -> Result<R, BusError> {
    let key = waiting_key(room);
    let changed = bus.update(&key, |document: Option<WaitingRoom>| {
        let before = document.unwrap_or_default();
        let mut after = before.clone();
        let result = change(&mut after);
        match after == before {
            true => Err(result),
            false => Ok(((!after.is_empty()).then_some(after), result)),
        }
    });
    // Without a change there is nothing to write.
    Ok(changed.await?.unwrap_or_else(|result| result))
}
