//! The control task and the other nodes of its rooms: carries out what [`Peers`](crate::node::peers::Peers) finds to do.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rotunda_bus::{BusExt, Request};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, RoomKey};
use rotunda_proto::sfu::{Command, ControlError, LinkEnd, Reply, control_subject};
use tracing::{info, warn};

use super::{Control, Handle};
use crate::link::crypto::{LinkError, OwnKey, Side};
use crate::link::{Link, MOST_ADDRESSES};
use crate::node::net::local_addresses;
use crate::node::peers::{Far, Gateway, Meeting, Wanted};
use crate::node::placement::RoomWorkers;
use crate::node::worker_message::WorkerMessage;
use crate::slab::{Index, WorkerIndex};
use crate::worker::LinkEvent;
use crate::worker::relay::Neighbours;

/// What another node has answered.
pub enum Answered {
    Met {
        meeting: Meeting,
        /// None: the room is not there, or there was no answer.
        there: Option<Gateway>,
    },
    Linked {
        wanted: Wanted,
        /// How this end calls the link, and the link; None: there is none.
        link: Option<(u32, Box<Link>)>,
    },
}

impl Control {
    /// Sends what is due to other nodes. The answers come back by [`handle_answered`](Self::handle_answered).
    pub(super) fn ask_nodes(&mut self, now: Instant) {
        for meeting in self.peers.due_meetings(now) {
            self.meet(meeting);
        }
        for wanted in self.peers.wanted_links() {
            self.ask_for_link(wanted);
        }
    }

    fn meet(&self, meeting: Meeting) {
        let (bus, answers) = (self.node.bus().clone(), self.answers.0.clone());
        let command = Command::Meet {
            room: meeting.room.clone(),
            node: self.peers.own().clone(),
            worker: meeting.worker,
            location: Some(self.peers.location().clone()),
        };
        let subject = control_subject(&meeting.node);
        tokio::spawn(async move {
            let there = match bus.call::<_, Reply>(&subject, &command).await {
                Ok(Reply::Met { worker, location }) => worker.map(|worker| Gateway { worker, location }),
                // It is asked again.
                Ok(_) | Err(_) => None,
            };
            let _ended = answers.send(Answered::Met { meeting, there }).await;
        });
    }

    fn ask_for_link(&self, wanted: Wanted) {
        let Some(handle) = self.workers.get(wanted.worker.position()) else {
            return;
        };
        let (bus, answers, secret) = (self.node.bus().clone(), self.answers.0.clone(), self.secret.clone());
        let prepared = self.link_end(wanted.worker, handle);
        tokio::spawn(async move {
            let opened = async {
                let (key, own) = prepared.ok()?;
                let command = Command::Link {
                    end: own.clone(),
                    worker: wanted.there,
                };
                let subject = control_subject(&wanted.node);
                let end = match bus.call::<_, Reply>(&subject, &command).await {
                    Ok(Reply::Linked { end }) if end.node == wanted.node => end,
                    Ok(_) | Err(_) => return None,
                };
                let keys = key.agree(Side::Asking, &own, &end, &secret).ok()?;
                let link = Link::new(Clock.now(), end.link, keys, &reachable(&own, &end));
                Some((own.link, Box::new(link)))
            };
            let link = opened.await;
            let _ended = answers.send(Answered::Linked { wanted, link }).await;
        });
    }

    /// This end of a new link, and its key.
    fn link_end(&self, worker: WorkerIndex, handle: &Handle) -> Result<(OwnKey, LinkEnd), LinkError> {
        let key = OwnKey::generate()?;
        let advertised = handle.advertised.borrow();
        // Behind NAT a node is reached by the others at the addresses of its interfaces.
        let told = &advertised.addresses;
        let is_bound = |ip: &IpAddr| told.iter().any(|told| told.is_ipv4() == ip.is_ipv4());
        let local = local_addresses().iter().filter(|ip| !ip.is_loopback() && is_bound(ip));
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for ip in told.iter().chain(local) {
            let address = SocketAddr::new(*ip, handle.port);
            if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
                addresses.push(address);
            }
        }
        let end = LinkEnd {
            node: self.peers.own().clone(),
            worker: u16::try_from(worker.position()).unwrap_or(u16::MAX),
            link: rand::random(),
            key: key.public().to_vec(),
            addresses,
        };
        Ok((key, end))
    }

    pub(super) async fn handle_answered(&mut self, answered: Answered) {
        let now = Clock.now();
        match answered {
            Answered::Met { meeting, there } => {
                self.peers
                    .handle_met(&meeting.room, &meeting.node, meeting.worker, there);
                // The link to its gateway may be open for another room.
                self.tell_room(&meeting.room, None).await;
            }
            Answered::Linked { wanted, link: None } => {
                warn!(node = %wanted.node, "no link to another node; it is tried again");
                self.peers.handle_lost(now, wanted.worker, wanted.peer);
            }
            Answered::Linked {
                wanted,
                link: Some((number, link)),
            } => {
                self.open_link(wanted.worker, wanted.peer, &wanted.node, number, link)
                    .await;
            }
        }
        self.ask_nodes(now);
    }

    /// Another node has a room, too, or has it no more.
    pub(super) async fn handle_meeting(
        &mut self,
        room: RoomKey,
        node: NodeId,
        there: Option<Gateway>,
        request: Request,
    ) {
        let worker = self.peers.handle_meeting(&room, &node, there);
        self.tell_room(&room, None).await;
        let location = Some(self.peers.location().clone());
        request.answer(&Reply::Met { worker, location });
        self.ask_nodes(Clock.now());
    }

    /// Another node asks for a link.
    pub(super) async fn handle_link(&mut self, end: LinkEnd, worker: u16, request: Request) {
        match self.accept_link(&end, worker) {
            Ok((worker, own, link)) => {
                let peer = self.peers.index(&end.node, end.worker);
                self.open_link(worker, peer, &end.node, own.link, Box::new(link)).await;
                request.answer(&Reply::Linked { end: own });
            }
            Err(error) => {
                warn!(%error, node = %end.node, "a link was refused");
                let error = ControlError::BadLink;
                request.answer(&Reply::Refused { error });
            }
        }
    }

    fn accept_link(&self, end: &LinkEnd, worker: u16) -> Result<(WorkerIndex, LinkEnd, Link), LinkError> {
        let worker = WorkerIndex::at(worker.into());
        let handle = self.workers.get(worker.position());
        let is_other = end.node != *self.peers.own();
        let handle = handle.filter(|_| is_other).ok_or(LinkError::Malformed)?;
        let (key, own) = self.link_end(worker, handle)?;
        let keys = key.agree(Side::Asked, end, &own, &self.secret)?;
        let link = Link::new(Clock.now(), end.link, keys, &reachable(&own, end));
        Ok((worker, own, link))
    }

    async fn open_link(&mut self, worker: WorkerIndex, peer: WorkerIndex, node: &NodeId, number: u32, link: Box<Link>) {
        // What is known by a link before is forgotten first.
        self.peers.handle_opening(worker, peer);
        self.tell_rooms_of(worker).await;
        let Some(handle) = self.workers.get(worker.position()) else {
            return;
        };
        info!(%node, worker = worker.position(), "a link to another node");
        let message = WorkerMessage::Link {
            peer,
            number,
            node: node.clone(),
            link,
        };
        // It fails when the worker has ended, and with it the node.
        let _ended = handle.inbox.send(message).await;
        self.peers.handle_open(worker, peer);
        self.tell_rooms_of(worker).await;
    }

    pub(super) async fn handle_link_event(&mut self, worker: WorkerIndex, event: LinkEvent) {
        let now = Clock.now();
        match event {
            LinkEvent::Heard(peer) => self.peers.handle_heard(worker, peer, true),
            LinkEvent::Silent(peer) => self.peers.handle_heard(worker, peer, false),
            LinkEvent::Lost(peer) => self.peers.handle_lost(now, worker, peer),
            LinkEvent::Overdue { room, origin, parent } => {
                self.peers.handle_overdue(now, &room, &origin, parent);
                return self.tell_room(&room, None).await;
            }
        }
        self.tell_rooms_of(worker).await;
        self.ask_nodes(now);
    }

    async fn tell_rooms_of(&mut self, worker: WorkerIndex) {
        for room in self.peers.rooms_of(worker) {
            self.tell_room(&room, None).await;
        }
    }

    /// A session has come to a room, or left it. `nodes`: where the room is by signaling; empty: as before.
    pub(super) async fn follow_room(&mut self, room: &RoomKey, nodes: &[NodeId], changed: Option<RoomWorkers>) {
        let now = Clock.now();
        let workers: Vec<WorkerIndex> = self.placement.workers_of(room).collect();
        for meeting in self.peers.handle_room(now, room, &workers, nodes) {
            self.meet(meeting);
        }
        self.tell_room(room, changed).await;
        self.ask_nodes(now);
    }

    /// Tells a room's workers of each other, and the gateway of those of other nodes, if that has changed. `changed`: the room is on
    /// other workers of this node than before.
    async fn tell_room(&mut self, room: &RoomKey, changed: Option<RoomWorkers>) {
        let far = self.peers.far(room);
        // A worker that is alone with its room on the only node needs to know nothing.
        let is_alone = |far: &Far| far.peers.is_empty() && far.tells_speakers;
        let before = self.told.get(room).cloned();
        let now = far.filter(|far| !is_alone(far));
        if now == before && changed.is_none() {
            return;
        }
        let workers: Vec<WorkerIndex> = self.placement.workers_of(room).collect();
        let mut concerned = changed.map(|changed| changed.concerned).unwrap_or_default();
        if now != before {
            let gateways = before.iter().chain(&now).map(|far| far.gateway);
            for worker in gateways.chain(workers.iter().copied()) {
                if !concerned.contains(&worker) {
                    concerned.push(worker);
                }
            }
        }
        for worker in concerned {
            let is_there = workers.contains(&worker);
            let near = workers.iter().copied().filter(|other| is_there && *other != worker);
            let far = now.iter().filter(|far| is_there && far.gateway == worker);
            let neighbours = Neighbours {
                workers: near
                    .chain(far.clone().flat_map(|far| far.peers.iter().copied()))
                    .collect(),
                parents: far.flat_map(|far| far.parents.iter().cloned()).collect(),
                tells_speakers: now.as_ref().is_none_or(|far| far.tells_speakers),
            };
            let room = room.clone();
            let message = WorkerMessage::Neighbours { room, neighbours };
            if let Some(handle) = self.workers.get(worker.position()) {
                // It fails when the worker has ended, and with it the node.
                let _ended = handle.inbox.send(message).await;
            }
        }
        match now {
            Some(now) => self.told.insert(room.clone(), now),
            None => self.told.remove(room),
        };
    }
}

/// The addresses of the other end that this end's socket can send to.
fn reachable(own: &LinkEnd, other: &LinkEnd) -> Vec<SocketAddr> {
    let is_ours = |address: &&SocketAddr| own.addresses.iter().any(|own| own.is_ipv4() == address.is_ipv4());
    other.addresses.iter().filter(is_ours).copied().collect()
}
