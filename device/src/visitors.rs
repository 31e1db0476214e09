//! The viewers who have said `hello`: their numbers, and what each of them has running.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rotunda_proto::ids::UserId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::direct;
use crate::download;
use crate::protocol::{Refusal, Request};
use crate::talk::Talk;

/// A request that waits for its turn.
pub struct Asked {
    pub id: u64,
    pub request: Request,
    pub binary: Vec<u8>,
}

/// Requests of one visitor that wait.
pub const MAX_REQUESTS: usize = 32;

/// A viewer who has said `hello`. Dropping it ends the task that serves its requests.
pub struct Visitor {
    user: UserId,
    requests: mpsc::Sender<Asked>,
    task: JoinHandle<()>,
    attention: Attention,
    talk: Option<Talk>,
    downloads: BTreeMap<u64, download::Handle>,
    direct: Option<direct::Handle>,
}

impl Visitor {
    pub fn new(now: Instant, user: UserId, requests: mpsc::Sender<Asked>, task: JoinHandle<()>) -> Self {
        Self {
            user,
            requests,
            task,
            attention: Attention::new(now),
            talk: None,
            downloads: BTreeMap::new(),
            direct: None,
        }
    }

    pub fn user(&self) -> &UserId {
        &self.user
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When a visitor was heard last, and how often it was asked since.
#[derive(Debug)]
struct Attention {
    heard: Instant,
    probes: u8,
}

#[derive(Debug, PartialEq, Eq)]
enum Silence {
    None,
    /// Ask whether the visitor is still there.
    Probe,
    Gone,
}

impl Attention {
    fn new(now: Instant) -> Self {
        Self { heard: now, probes: 0 }
    }

    fn look(&mut self, now: Instant, interval: Duration, most: u8) -> Silence {
        let silent = now.saturating_duration_since(self.heard);
        if silent < interval * (u32::from(self.probes) + 1) {
            return Silence::None;
        }
        if self.probes >= most {
            return Silence::Gone;
        }
        self.probes += 1;
        Silence::Probe
    }
}

/// See the [module](self).
pub struct Visitors {
    most: u32,
    present: BTreeMap<u32, Visitor>,
}

impl Visitors {
    /// `most`: the device's limit.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            present: BTreeMap::new(),
        }
    }

    /// The lowest number that is free.
    pub fn free(&self) -> Result<u32, Refusal> {
        let free = (0..self.most).find(|number| !self.present.contains_key(number));
        free.ok_or_else(|| {
            let message = format!("{} viewers are there already, the most of this device", self.most);
            Refusal::new("too_many_visitors", message)
        })
    }

    pub fn insert(&mut self, number: u32, visitor: Visitor) {
        self.present.insert(number, visitor);
    }

    pub fn remove(&mut self, number: u32) -> Option<Visitor> {
        self.present.remove(&number)
    }

    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.present.keys().copied().collect()
    }

    pub fn number_of(&self, user: &UserId) -> Option<u32> {
        let mut present = self.present.iter();
        present
            .find(|(_, visitor)| visitor.user == *user)
            .map(|(number, _)| *number)
    }

    pub fn user_of(&self, number: u32) -> Option<UserId> {
        self.present.get(&number).map(|visitor| visitor.user.clone())
    }

    /// The visitors who are not among these members of the room.
    pub fn missing_in(&self, members: &[UserId]) -> Vec<u32> {
        let missing = self
            .present
            .iter()
            .filter(|(_, visitor)| !members.contains(&visitor.user));
        missing.map(|(number, _)| *number).collect()
    }

    /// Queues a request for its turn.
    pub fn queue(&self, number: u32, asked: Asked) -> Result<(), Refusal> {
        let Some(visitor) = self.present.get(&number) else {
            return Ok(());
        };
        let queued = visitor.requests.try_send(asked);
        queued.map_err(|_full| Refusal::new("busy", format!("{MAX_REQUESTS} requests wait already")))
    }

    pub fn note_heard(&mut self, now: Instant, user: &UserId) {
        let visitor = self.present.values_mut().find(|visitor| visitor.user == *user);
        if let Some(visitor) = visitor {
            visitor.attention = Attention::new(now);
        }
    }

    /// The visitors to ask whether they are still there, and those who have not answered `most` times.
    pub fn silent(&mut self, now: Instant, interval: Duration, most: u8) -> (Vec<u32>, Vec<u32>) {
        let (mut probe, mut gone) = (Vec::new(), Vec::new());
        for (number, visitor) in &mut self.present {
            match visitor.attention.look(now, interval, most) {
                Silence::None => {}
                Silence::Probe => probe.push(*number),
                Silence::Gone => gone.push(*number),
            }
        }
        (probe, gone)
    }

    pub fn talk(&mut self, number: u32) -> Option<&mut Talk> {
        self.present.get_mut(&number)?.talk.as_mut()
    }

    pub fn set_talk(&mut self, number: u32, talk: Talk) {
        if let Some(visitor) = self.present.get_mut(&number) {
            visitor.talk = Some(talk);
        }
    }

    /// Takes the visitor's talk-back, on this channel or on any.
    pub fn take_talk(&mut self, number: u32, channel: Option<u32>) -> Option<Talk> {
        let visitor = self.present.get_mut(&number)?;
        visitor
            .talk
            .take_if(|talk| channel.is_none_or(|channel| talk.channel() == channel))
    }

    /// Whether the visitor downloads a file of this channel.
    pub fn has_download(&self, number: u32, channel: u32) -> bool {
        let visitor = self.present.get(&number);
        visitor.is_some_and(|visitor| visitor.downloads.values().any(|other| other.channel() == channel))
    }

    pub fn add_download(&mut self, number: u32, id: u64, download: download::Handle) {
        if let Some(visitor) = self.present.get_mut(&number) {
            visitor.downloads.insert(id, download);
        }
    }

    pub fn take_download(&mut self, number: u32, id: u64) -> Option<download::Handle> {
        self.present.get_mut(&number)?.downloads.remove(&id)
    }

    pub fn direct(&self, number: u32) -> Option<&direct::Handle> {
        self.present.get(&number)?.direct.as_ref()
    }

    pub fn direct_mut(&mut self, number: u32) -> Option<&mut direct::Handle> {
        self.present.get_mut(&number)?.direct.as_mut()
    }

    pub fn set_direct(&mut self, number: u32, direct: direct::Handle) {
        if let Some(visitor) = self.present.get_mut(&number) {
            visitor.direct = Some(direct);
        }
    }

    pub fn take_direct(&mut self, number: u32) -> Option<direct::Handle> {
        self.present.get_mut(&number)?.direct.take()
    }

    /// The visitors who have a direct connection, or are making one.
    pub fn with_direct(&self) -> Vec<u32> {
        let with = self.present.iter().filter(|(_, visitor)| visitor.direct.is_some());
        with.map(|(number, _)| *number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;

    #[test]
    fn a_silent_visitor_is_asked_at_each_interval_and_then_gone() {
        let interval = Duration::from_secs(10);
        let (start, mut attention) = (Clock.now(), Attention::new(Clock.now()));
        let looks: Vec<Silence> = [5, 11, 15, 21, 25, 31]
            .map(|seconds| attention.look(start + Duration::from_secs(seconds), interval, 2))
            .into();
        let expected = [
            Silence::None,
            Silence::Probe,
            Silence::None,
            Silence::Probe,
            Silence::None,
            Silence::Gone,
        ];
        assert_eq!(looks, expected);
    }
}
