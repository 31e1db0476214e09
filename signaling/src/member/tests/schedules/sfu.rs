//! An SFU that confirms and keeps every command that it answers.

use std::sync::Mutex;

use rotunda_proto::ids::SessionId;
use rotunda_proto::sfu::{self, Command, ControlError, SlotMap, control_subject};

use super::*;

/// The last commands for a session.
#[derive(Debug, Default)]
pub struct Told {
    pub ingress: BTreeSet<TrackSource>,
    pub slots: SlotMap,
}

/// The messages between signaling and the SFU that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    Nothing,
    Commands,
    Answers,
}

#[derive(Clone)]
pub struct Way(Arc<Mutex<Lost>>);

impl Way {
    pub fn lose(&self, lost: Lost) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    fn lost(&self) -> Lost {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub type Sessions = Arc<Mutex<BTreeMap<SessionId, (UserId, Told)>>>;

fn answer(sessions: &mut BTreeMap<SessionId, (UserId, Told)>, command: Command) -> sfu::Reply {
    let mut change = |session, change: &dyn Fn(&mut Told)| match sessions.get_mut(&session) {
        Some((_, told)) => {
            change(told);
            sfu::Reply::Done
        }
        None => sfu::Reply::Refused {
            error: ControlError::NoSuchSession,
        },
    };
    match command {
        Command::SetIngress { session, sources } => change(session, &|told| told.ingress = sources.clone()),
        Command::SetSlots { session, slots } => change(session, &|told| told.slots = slots.clone()),
        Command::Open { session, identity, .. } => {
            let sfu::Identity::Member { user, .. } = identity else {
                panic!("no member")
            };
            sessions.insert(session, (user, Told::default()));
            let answer = "v=0".to_owned();
            sfu::Reply::Opened { answer }
        }
        Command::Close { session, .. } => {
            sessions.remove(&session);
            sfu::Reply::Done
        }
        other => panic!("not asked for here: {other:?}"),
    }
}

pub async fn play(bus: &SharedBus) -> (Sessions, Way) {
    let (sessions, way) = (Sessions::default(), Way(Arc::new(Mutex::new(Lost::Nothing))));
    let mut commands = bus.serve(&control_subject(&"node-1".parse().unwrap())).await.unwrap();
    let (kept, road) = (sessions.clone(), way.clone());
    tokio::spawn(async move {
        loop {
            let request = commands.next().await;
            let lost = road.lost();
            if lost == Lost::Commands {
                continue;
            }
            let reply = {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                answer(&mut kept, request.parse().unwrap())
            };
            if lost == Lost::Nothing {
                request.answer(&reply);
            }
        }
    });
    (sessions, way)
}
