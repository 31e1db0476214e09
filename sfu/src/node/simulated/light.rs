//! Sessions without media: opened and counted by their node, and answered for here.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rotunda_proto::ids::{RoomKey, SessionId, UserId};
use rotunda_proto::sfu::{ControlError, Event, Reply};

use super::Light;
use crate::node::driver::Driver;
use crate::node::worker_message::{Command, Task, WorkerMessage};
use crate::worker::RoomEvent;

/// An event for which there is no place is offered again after so long.
const OFFER_AGAIN: Duration = Duration::from_millis(10);

pub(super) struct LightSessions {
    light: Light,
    sessions: HashMap<SessionId, (RoomKey, UserId)>,
    /// In the order of the times at which they are connected.
    connecting: VecDeque<(Instant, SessionId)>,
}

impl LightSessions {
    pub(super) fn new(light: Light) -> Self {
        Self {
            light,
            sessions: HashMap::new(),
            connecting: VecDeque::new(),
        }
    }

    /// Carries out a command for a light session. Answers any other message.
    pub(super) fn take(&mut self, now: Instant, message: WorkerMessage) -> Option<WorkerMessage> {
        let WorkerMessage::Command(Command { task, reply }) = message else {
            return Some(message);
        };
        match self.carry_out(now, task) {
            Ok(done) => {
                let _caller_gave_up = reply.send(done);
                None
            }
            Err(task) => Some(WorkerMessage::Command(Command { task, reply })),
        }
    }

    fn carry_out(&mut self, now: Instant, task: Task) -> Result<Reply, Task> {
        match task {
            Task::Adopt { session, answer } => match session.user() {
                Some(user) if (self.light.is_light)(user) => {
                    let id = session.id();
                    self.sessions.insert(id, (session.room().clone(), user.clone()));
                    self.connecting.push_back((now + self.light.handshake, id));
                    Ok(Reply::Opened { answer })
                }
                _ => Err(Task::Adopt { session, answer }),
            },
            Task::SetIngress { session, .. } | Task::SetSlots { session, .. }
                if self.sessions.contains_key(&session) =>
            {
                Ok(Reply::Done)
            }
            Task::Restart { session, .. } if self.sessions.contains_key(&session) => Ok(Reply::Refused {
                error: ControlError::NoSuchSession,
            }),
            Task::Close { session } if self.sessions.remove(&session).is_some() => Ok(Reply::Done),
            other => Err(other),
        }
    }

    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let (at, _) = self.connecting.front()?;
        // The event of a session whose time is over has found no place, and is offered again.
        Some(if *at <= now { now + OFFER_AGAIN } else { *at })
    }

    /// Tells which sessions are connected by now.
    pub(super) fn tell_connected(&mut self, now: Instant, driver: &Driver) {
        while let Some((_, session)) = self.connecting.front().filter(|(at, _)| *at <= now).copied() {
            let known = self.sessions.get(&session);
            let told = known.is_none_or(|(room, user)| {
                driver.tell(|| RoomEvent {
                    room: room.clone(),
                    event: Event::Connected {
                        session,
                        user: Some(user.clone()),
                    },
                })
            });
            if !told {
                return;
            }
            self.connecting.pop_front();
        }
    }
}
