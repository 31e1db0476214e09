//! Writes what is wanted of a room's mixes into their tasks, and waits until an MCU node has carried it out.

use std::convert::Infallible;
use std::time::Duration;

use rotunda_bus::{BusError, BusExt, Revision, SharedBus, Watch, WatchEvent};
use rotunda_proto::ids::{MixId, RoomKey};
use rotunda_proto::mix::{MixNode, MixSpec, NODES_PREFIX, Refusal};
use rotunda_proto::mix_cost::Cost;
use rotunda_proto::mix_task::{
    Desired, MixTask, NoMix, Origin, TASKS_PREFIX, Wish, room_tasks_prefix, started, stopped, task_key,
};
use thiserror::Error;

/// A caller does not wait longer than this for an MCU node.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(5);

/// Why a start was not carried out.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("another call replaced or stopped this mix before it was carried out")]
    Replaced,
    #[error("the mix has just ended: it was stopped, or its room is empty")]
    Ended,
    #[error("the room has another mix already, and signaling.api.mixes_per_room permits no more; stop it first")]
    Full,
    #[error(
        "members of the room have {0} mixes already, and signaling.member_mixes_per_room permits no more; one of them must end first"
    )]
    MembersFull(usize),
    #[error(
        "the application has {0} mixes already, as many as its setting max_mixes permits; one of them must end first"
    )]
    ApplicationFull(u32),
    #[error("the mixing server did not answer within 5 s; the mix may still begin")]
    Late,
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// Why a stop was not carried out.
#[derive(Debug, Error)]
pub enum StopError {
    #[error("no mix runs in the room")]
    NoMix,
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// The outcome of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Begun,
    /// This mix ran before and goes on.
    Changed(MixId),
}

/// The change that a caller waits for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    id: MixId,
    revision: u64,
}

/// How many mixes a room may have when another one begins.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Mixes of any origin.
    All(usize),
    /// Mixes of members.
    Members(usize),
    /// Any number: those of tasks, which are counted as tasks.
    None,
}

impl Limit {
    fn check<'a>(self, in_room: impl Iterator<Item = &'a MixTask>) -> Result<(), StartError> {
        let counts = |task: &&MixTask| match self {
            Self::All(_) => task.spec().is_some() && !matches!(task.origin, Origin::Task(_)),
            Self::Members(_) => task.spec().is_some() && matches!(task.origin, Origin::Client(_)),
            Self::None => false,
        };
        let count = in_room.filter(counts).count();
        match self {
            Self::All(most) if count >= most => Err(StartError::Full),
            Self::Members(most) if count >= most => Err(StartError::MembersFull(count)),
            Self::All(_) | Self::Members(_) | Self::None => Ok(()),
        }
    }
}

/// Starts or changes the mix of the wish's origin, and waits until it is so. `max_mixes`: of the application; 0: no limit.
pub async fn start(bus: &SharedBus, wish: &Wish, limit: Limit, max_mixes: u32) -> Result<Done, StartError> {
    let key = task_key(&wish.spec.room, &wish.origin);
    let in_room = in_room(bus, &wish.spec.room).await?;
    let mut others = in_room.iter().filter(|(other, _)| *other != key);
    let has_stream = |task: &MixTask| task.spec().is_some_and(|spec| spec.stream_id == wish.spec.stream_id);
    if others.any(|(_, task)| has_stream(task)) {
        return Err(Refusal::StreamIdInUse.into());
    }
    let is_new = in_room
        .iter()
        .all(|(other, task)| *other != key || task.spec().is_none());
    if is_new {
        // By contract a mix of the server API and one of a member exclude each other, too.
        limit.check(in_room.iter().map(|(_, task)| task))?;
        check_application(bus, &wish.spec.room, max_mixes).await?;
        check_capacity(bus, &wish.spec).await?;
    }

    // Watched from before the change on, so that no answer is missed.
    let mut watch = bus.watch(&key).await?;
    let written = bus.update_at(&key, |before: Option<MixTask>| {
        let after = started(before, wish);
        let (id, revision) = (after.id, after.revision);
        Ok::<_, Infallible>((Some(after), Asked { id, revision }))
    });
    let Ok(written) = written.await?;
    let asked = written.result;
    let waiting = carried_out(&mut watch, asked, written.revision);
    match tokio::time::timeout(CARRIED_OUT_WITHIN, waiting).await {
        Ok(Err(StartError::Refused(refusal))) => {
            withdraw(bus, &key, |task| task.id == asked.id && task.spec().is_none()).await?;
            Err(refusal.into())
        }
        Ok(result) => result.map(|()| match asked.id == wish.id {
            true => Done::Begun,
            false => Done::Changed(asked.id),
        }),
        Err(_late) => {
            let is_unclaimed = |task: &MixTask| task.id == asked.id && task.owner.is_none();
            match withdraw(bus, &key, is_unclaimed).await? {
                true => Err(Refusal::NoCapacity.into()),
                false => Err(StartError::Late),
            }
        }
    }
}

/// Stops the mixes of a room that `is_meant` picks. Waits until they have ended, for some seconds; after that the node that does them
/// ends them as soon as it can.
pub async fn stop(bus: &SharedBus, room: &RoomKey, is_meant: impl Fn(&MixTask) -> bool) -> Result<(), StopError> {
    let mut meant = in_room(bus, room).await?;
    meant.retain(|(_, task)| is_meant(task));
    let mut stopping = Vec::new();
    for (key, _) in meant {
        let watch = bus.watch(&key).await?;
        let written = bus.update_at(&key, |before: Option<MixTask>| {
            let id = before.as_ref().map(|task| task.id);
            Ok::<_, NoMix>((stopped(before)?, id))
        });
        if let Ok(written) = written.await? {
            stopping.push((watch, written.result, written.revision));
        }
    }
    if stopping.is_empty() {
        return Err(StopError::NoMix);
    }
    let all = stopping
        .iter_mut()
        .map(|(watch, id, revision)| ended(watch, *id, *revision));
    let _ended_or_late = tokio::time::timeout(CARRIED_OUT_WITHIN, futures::future::join_all(all)).await;
    Ok(())
}

async fn in_room(bus: &SharedBus, room: &RoomKey) -> Result<Vec<(String, MixTask)>, BusError> {
    let entries = bus.list(&room_tasks_prefix(room)).await?.into_iter();
    let tasks = entries.filter_map(|(key, entry)| Some((key, serde_json::from_slice(&entry.value).ok()?)));
    Ok(tasks.collect())
}

/// Two starts at one time may both find the last place free.
async fn check_application(bus: &SharedBus, room: &RoomKey, max_mixes: u32) -> Result<(), StartError> {
    if max_mixes == 0 {
        return Ok(());
    }
    let tasks = bus
        .documents::<MixTask>(&format!("{TASKS_PREFIX}{}.", room.app))
        .await?;
    let running = tasks.iter().filter(|task| task.spec().is_some()).count();
    match running >= max_mixes as usize {
        true => Err(StartError::ApplicationFull(max_mixes)),
        false => Ok(()),
    }
}

async fn check_capacity(bus: &SharedBus, spec: &MixSpec) -> Result<(), StartError> {
    let millicores = Cost::of(spec).millicores();
    let nodes = bus.documents::<MixNode>(NODES_PREFIX).await?;
    match nodes.iter().any(|node| node.can_take(millicores)) {
        true => Ok(()),
        false => Err(Refusal::NoCapacity.into()),
    }
}

/// Deletes a task of which `is_so`; answers whether it did.
async fn withdraw(
    bus: &SharedBus,
    key: &str,
    is_so: impl Fn(&MixTask) -> bool + Send + Sync,
) -> Result<bool, BusError> {
    let deleted = bus.update(key, |task: Option<MixTask>| {
        Ok::<_, Infallible>(match task {
            Some(task) if is_so(&task) => (None, true),
            other => (other, false),
        })
    });
    let Ok(deleted) = deleted.await?;
    Ok(deleted)
}

/// Waits until a node has carried out the change, which was written as `since`.
async fn carried_out(watch: &mut Watch, asked: Asked, since: Option<Revision>) -> Result<(), StartError> {
    loop {
        let WatchEvent::Change(change) = watch.next().await else {
            continue;
        };
        if Some(change.revision) < since {
            continue;
        }
        let Some(task) = change.parse::<MixTask>() else {
            return Err(StartError::Ended);
        };
        if task.id != asked.id {
            return Err(StartError::Replaced);
        }
        match task.refused {
            Some(refused) if refused.revision == asked.revision => return Err(refused.error.into()),
            _ if task.reached >= asked.revision => return Ok(()),
            _ if task.desired == Desired::Stop => return Err(StartError::Replaced),
            _ => {}
        }
    }
}

/// Waits until the task is gone, or another mix is in its place.
async fn ended(watch: &mut Watch, id: Option<MixId>, since: Option<Revision>) {
    // It was deleted already.
    if since.is_none() {
        return;
    }
    loop {
        if let WatchEvent::Change(change) = watch.next().await
            && Some(change.revision) >= since
            && change.parse::<MixTask>().is_none_or(|task| Some(task.id) != id)
        {
            return;
        }
    }
}
