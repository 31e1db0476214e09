//! The links to workers of other nodes: what is relayed to these workers goes over them, and what comes over them is relayed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use foldhash::HashMap;
use metrics::counter;
use rotunda_proto::ids::{NodeId, RoomKey};
use str0m::net::Protocol;
use tracing::{debug, info};

use super::demux::Arrival;
use super::relay::{RelayMessage, wire};
use super::{Datagram, Worker, drop_datagram};
use crate::ingress::packet::StreamId;
use crate::link::datagram::Header;
use crate::link::limit::{Change, Flow, LinkLimit};
use crate::link::{Link, Received};
use crate::slab::WorkerIndex;

/// News of the other nodes, for the control task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Something comes over the link to this worker, for the first time or again.
    Heard(WorkerIndex),
    /// Nothing comes over it.
    Silent(WorkerIndex),
    /// It has ended.
    Lost(WorkerIndex),
    /// A room's parent for an origin does not have the origin's members.
    Overdue {
        room: RoomKey,
        origin: NodeId,
        parent: WorkerIndex,
    },
}

/// Packets of streams that are not announced yet; of ended streams they wait here until newer ones come.
const MOST_EARLY: usize = 128;

#[derive(Default)]
pub(super) struct Links {
    /// By the worker at the other end.
    links: HashMap<WorkerIndex, Named>,
    /// The worker at the other end, by the number of the link here.
    numbers: HashMap<u32, WorkerIndex>,
    events: VecDeque<LinkEvent>,
}

struct Named {
    link: Link,
    /// How this end calls it.
    number: u32,
    /// The other node.
    node: NodeId,
    /// As it was told last.
    is_heard: bool,
    limit: LinkLimit,
    /// Packets that have overtaken the message that announces their stream.
    early: VecDeque<Vec<u8>>,
    #[cfg(test)]
    carried: crate::link::Carried,
}

impl Links {
    fn remove(&mut self, peer: WorkerIndex) {
        if let Some(removed) = self.links.remove(&peer) {
            self.numbers.remove(&removed.number);
        }
    }

    /// The node of a worker at the other end.
    pub fn node(&self, peer: WorkerIndex) -> Option<&NodeId> {
        self.links.get(&peer).map(|named| &named.node)
    }

    /// The workers at the other end of links that carry too little, or lately did.
    pub fn limited(&self, now: Instant) -> Vec<WorkerIndex> {
        let is_limited = |named: &Named| named.link.limit(now).is_some() || named.limit.has_barred();
        let limited = self.links.iter().filter(|(_, named)| is_limited(named));
        limited.map(|(peer, _)| *peer).collect()
    }

    /// As [`LinkLimit::barred_inside`].
    pub fn barred_inside(&self, peer: WorkerIndex, stream: StreamId) -> Option<u8> {
        self.links.get(&peer)?.limit.barred_inside(stream)
    }

    /// The layers of a link that are barred from now on, or not any more.
    pub fn update_limit(&mut self, now: Instant, peer: WorkerIndex, flows: &[Flow]) -> Vec<Change> {
        let Some(Named { link, limit, node, .. }) = self.links.get_mut(&peer) else {
            return Vec::new();
        };
        let changes = limit.update(now, link.limit(now), flows);
        for change in &changes {
            let to = if change.is_barred { "off" } else { "on" };
            counter!("rotunda_sfu_link_layers_switched_total", "peer" => node.to_string(), "to" => to).increment(1);
        }
        changes
    }

    pub fn tell_overdue(&mut self, room: &RoomKey, origin: NodeId, parent: WorkerIndex) {
        let room = room.clone();
        self.events.push_back(LinkEvent::Overdue { room, origin, parent });
    }

    pub fn due(&self) -> Option<Instant> {
        self.links.values().map(|named| named.link.due()).min()
    }

    /// Takes what the links have carried into the metrics.
    pub fn count(&mut self) {
        for named in self.links.values_mut() {
            let carried = named.link.take_carried();
            let label = || named.node.to_string();
            if carried.packets > 0 {
                counter!("rotunda_sfu_link_packets_total", "peer" => label()).increment(carried.packets);
                counter!("rotunda_sfu_link_bytes_total", "peer" => label()).increment(carried.bytes);
            }
            if carried.retransmitted > 0 {
                counter!("rotunda_sfu_link_retransmitted_total", "peer" => label()).increment(carried.retransmitted);
            }
            if carried.lost > 0 {
                counter!("rotunda_sfu_link_lost_total", "peer" => label()).increment(carried.lost);
            }
            #[cfg(test)]
            named.carried.add(carried);
        }
    }
}

#[cfg(test)]
impl Worker {
    /// What the link to a worker has carried, since the last call.
    pub(super) fn carried_to(&mut self, peer: WorkerIndex) -> crate::link::Carried {
        self.links.count();
        let named = self.links.links.get_mut(&peer);
        named
            .map(|named| std::mem::take(&mut named.carried))
            .unwrap_or_default()
    }
}

impl Worker {
    /// A link to a worker of another node, in place of the one before. `number`: how this end calls it. `node`: the other one. The rooms
    /// that this worker relays there have been without it as a neighbour since the link before was lost.
    pub fn open_link(&mut self, peer: WorkerIndex, number: u32, node: NodeId, link: Link) {
        self.links.remove(peer);
        // What is told of the link of before is not true of this one.
        self.links.events.retain(|event| match event {
            LinkEvent::Heard(of) | LinkEvent::Silent(of) | LinkEvent::Lost(of) => *of != peer,
            LinkEvent::Overdue { .. } => true,
        });
        // What waits was for the other end of before.
        drop(self.relay.take(peer));
        self.links.numbers.insert(number, peer);
        let named = Named {
            link,
            number,
            node,
            is_heard: false,
            limit: LinkLimit::default(),
            early: VecDeque::new(),
            #[cfg(test)]
            carried: crate::link::Carried::default(),
        };
        self.links.links.insert(peer, named);
    }

    pub fn poll_link_event(&mut self) -> Option<LinkEvent> {
        self.links.events.pop_front()
    }

    /// There is another one for [`poll_link_event`](Self::poll_link_event).
    pub fn has_link_events(&self) -> bool {
        !self.links.events.is_empty()
    }

    pub(super) fn handle_link_datagram(&mut self, now: Instant, arrival: Arrival<'_>) {
        let number = Header::read(arrival.bytes).map(|header| header.link);
        let peer = number.and_then(|number| self.links.numbers.get(&number).copied());
        let named = peer.and_then(|peer| self.links.links.get_mut(&peer));
        let (Some(peer), Some(Named { link, .. }), Protocol::Udp) = (peer, named, arrival.proto) else {
            self.counters.unknown_peer.increment(1);
            return;
        };
        let mut received = Vec::new();
        if let Err(error) = link.handle_datagram(now, arrival.path(), arrival.bytes, &mut received) {
            debug!(%error, from = %arrival.from, "a datagram of a link was refused");
            drop_datagram("link");
            return;
        }
        for received in received {
            match received {
                Received::Message(bytes) => match wire::read_message(now, &bytes) {
                    Some(message) => {
                        let announces = matches!(message, RelayMessage::Stream { .. });
                        self.handle_relay_message(now, peer, message);
                        if announces {
                            self.handle_early(now, peer);
                        }
                    }
                    None => drop_datagram("relay"),
                },
                Received::Media(bytes) => self.handle_relayed(now, peer, bytes),
            }
        }
    }

    fn handle_relayed(&mut self, now: Instant, peer: WorkerIndex, bytes: Vec<u8>) {
        let stream = wire::stream_of(&bytes).filter(|id| self.tracks.stream(*id).is_some());
        if stream.is_some() {
            match self.read_relayed(now, peer, &bytes) {
                Some(message) => self.handle_relay_message(now, peer, message),
                None => drop_datagram("relay"),
            }
        } else if let Some(Named { early, .. }) = self.links.links.get_mut(&peer) {
            if early.len() >= MOST_EARLY {
                early.pop_front();
                drop_datagram("relay");
            }
            early.push_back(bytes);
        }
    }

    /// A stream was announced, whose packets may be here already.
    fn handle_early(&mut self, now: Instant, peer: WorkerIndex) {
        let early = self.links.links.get_mut(&peer).map(|named| &mut named.early);
        for bytes in early.map(std::mem::take).unwrap_or_default() {
            self.handle_relayed(now, peer, bytes);
        }
    }

    /// A packet of a stream that has a replica here.
    fn read_relayed(&self, now: Instant, peer: WorkerIndex, bytes: &[u8]) -> Option<RelayMessage> {
        let id: StreamId = wire::stream_of(bytes)?;
        let stream = self.tracks.stream(id)?;
        let link = &self.links.links.get(&peer)?.link;
        let captured = |remote| link.instant(now, remote);
        let packet = wire::read_packet(now, bytes, stream.codec(), stream.structure(), captured)?;
        Some(RelayMessage::Packet {
            stream: id,
            packet: Arc::new(packet),
        })
    }

    /// Gives each link what is relayed over it, and takes its datagrams. Links that are lost end here.
    pub(super) fn flush_links(&mut self, now: Instant) {
        let mut lost = Vec::new();
        let Links { links, events, .. } = &mut self.links;
        for (
            peer,
            Named {
                link, node, is_heard, ..
            },
        ) in links
        {
            for message in self.relay.take(*peer) {
                match (&message, wire::write_message(now, &message)) {
                    (RelayMessage::Packet { stream, packet }, _) => {
                        let captured = link.micros(packet.captured);
                        link.send_media(now, &wire::write_packet(*stream, packet, captured));
                    }
                    (_, Some(bytes)) => link.send_message(&bytes),
                    (_, None) => {}
                }
            }
            link.handle_timeout(now);
            while let Some((path, bytes)) = link.poll_transmit() {
                self.control.push_back(Datagram { path, bytes });
            }
            if link.is_heard(now) != *is_heard {
                *is_heard = !*is_heard;
                let event = if *is_heard { LinkEvent::Heard } else { LinkEvent::Silent };
                events.push_back(event(*peer));
            }
            if link.is_lost(now) {
                info!(node = %node, "the link to another node is lost");
                counter!("rotunda_sfu_links_lost_total", "peer" => node.to_string()).increment(1);
                lost.push(*peer);
            }
        }
        for peer in lost {
            self.links.remove(peer);
            self.links.events.push_back(LinkEvent::Lost(peer));
        }
    }
}
