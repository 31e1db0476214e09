//! Messages between the workers, and the links to the peers.

use super::*;
use crate::worker::demux::Arrival;

/// Of a link with a rate: packets that would wait longer are lost.
pub(super) const QUEUE: Duration = Duration::from_millis(300);
/// Of IP and UDP, bytes.
const HEADERS: usize = 28;

/// A link in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub delay: Duration,
    pub jitter: Duration,
    pub loss: f64,
    /// Bits a second that it carries. More packets wait, up to [`QUEUE`], and further ones are lost. None: no limit.
    pub rate: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: ms(10),
            jitter: ms(0),
            loss: 0.0,
            rate: None,
        }
    }
}

/// Carries so many kilobits a second.
pub fn narrow(kilobits: u64) -> Link {
    Link {
        rate: Some(kilobits * 1000),
        ..Link::default()
    }
}

pub fn lossy(loss: f64) -> Link {
    Link {
        loss,
        jitter: ms(5),
        ..Link::default()
    }
}

impl Simulation {
    pub(super) fn deliver(&mut self) {
        while let Some(Reverse((at, id))) = self.flying.peek().copied() {
            if at > self.now {
                return;
            }
            self.flying.pop();
            let Some((to, bytes)) = self.datagrams.remove(&id) else {
                continue;
            };
            match to {
                To::Server(from) if self.nodes.is_dead(self.peers[from].worker) => {}
                To::Server(from) => {
                    let Peer { address, worker, .. } = self.peers[from];
                    let (now, here) = (self.now, &mut self.workers[worker]);
                    let clock = rotunda_proto::clock::Clock;
                    let begun = clock.now();
                    let allocations = allocations_of(|| {
                        here.handle_datagram(now, arrival(address, server(worker), &bytes));
                    });
                    self.longest = self.longest.max(clock.now().saturating_duration_since(begun));
                    if let Some(counted) = self.counted.as_mut().filter(|counted| counted.publisher == from) {
                        counted.allocations += allocations;
                    }
                }
                To::Peer(index) if self.peers[index].gone => {}
                To::Worker { to, .. } if self.nodes.is_dead(to) => {}
                To::Worker { from, to } => {
                    self.workers[to].handle_datagram(self.now, arrival(server(from), server(to), &bytes));
                }
                To::Peer(index) => {
                    let peer = &mut self.peers[index];
                    let receive = Receive::new(Protocol::Udp, server(peer.worker), peer.address, &bytes).unwrap();
                    peer.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
                    self.drain_peer(index);
                }
            }
        }
    }

    pub(super) fn send(&mut self, link: Link, to: To, bytes: Vec<u8>) {
        // A handshake that loses packets takes seconds, more or less, and is not tested here.
        let may_lose = match to {
            To::Server(peer) | To::Peer(peer) => self.peers[peer].connected,
            To::Worker { .. } => true,
        };
        if self.chance() < link.loss && may_lose {
            return;
        }
        let Some(carried) = self.carry(link, to, bytes.len()) else {
            return;
        };
        let at = carried + link.delay + link.jitter.mul_f64(self.chance());
        self.sent += 1;
        self.flying.push(Reverse((at, self.sent)));
        self.datagrams.insert(self.sent, (to, bytes));
    }

    /// When a link will have carried so many bytes more; None: too much waits already. Uplinks have no limit.
    fn carry(&mut self, link: Link, to: To, bytes: usize) -> Option<Instant> {
        let free_at = match to {
            To::Peer(peer) => Some(&mut self.peers[peer].down_free_at),
            To::Worker { from, to } => Some(self.nodes.free_at.entry((from, to)).or_insert(self.now)),
            To::Server(_) => None,
        };
        let (Some(rate), Some(free_at)) = (link.rate, free_at) else {
            return Some(self.now);
        };
        let start = self.now.max(*free_at);
        if start - self.now > QUEUE {
            return None;
        }
        let bits = (bytes + HEADERS) as f64 * 8.0;
        *free_at = start + Duration::from_secs_f64(bits / rate as f64);
        Some(*free_at)
    }

    pub(super) fn flush_server(&mut self) {
        for worker in 0..self.workers.len() {
            self.finish_turn(worker);
        }
        self.hand_over();
        for worker in 0..self.workers.len() {
            self.finish_turn(worker);
            self.flush_events(worker);
        }
    }

    /// As the shell does.
    fn finish_turn(&mut self, worker: usize) {
        self.flush_control(worker);
        self.flush_media(worker);
        self.workers[worker].finish_turn(self.now);
        self.flush_control(worker);
        self.turns += 1;
        self.unfinished_turns += usize::from(!self.workers[worker].is_finished());
    }

    /// Datagrams on their way to a peer.
    #[cfg(test)]
    pub fn in_flight(&self, peer: usize) -> usize {
        let to_peer = |(to, _): &&(To, Vec<u8>)| matches!(to, To::Peer(index) if *index == peer);
        self.datagrams.values().filter(to_peer).count()
    }

    pub(super) fn find(&self, address: SocketAddr) -> Option<usize> {
        self.peers.iter().position(|peer| peer.address == address)
    }

    pub(super) fn flush_control(&mut self, worker: usize) {
        while let Some(datagram) = self.workers[worker].poll_control() {
            if self.nodes.is_dead(worker) {
                continue;
            }
            if let Some(to) = self.find_worker(datagram.path.to) {
                self.send(self.nodes.link, To::Worker { from: worker, to }, datagram.bytes);
            } else if let Some(index) = self.find(datagram.path.to) {
                self.send(self.peers[index].down, To::Peer(index), datagram.bytes);
            }
        }
    }

    pub(super) fn flush_media(&mut self, worker: usize) {
        let (now, here) = (self.now, &mut self.workers[worker]);
        let (mut sends, mut storing) = (Vec::new(), 0);
        let allocations = allocations_of(|| {
            let store = |path: &crate::downlink::egress::Path, datagrams: &[u8], segment: usize| {
                storing += allocations_of(|| sends.push((*path, datagrams.to_vec(), segment)));
            };
            here.send_media(|| now, store);
        });
        if let Some(counted) = self.counted.as_mut() {
            counted.allocations += allocations - storing;
        }
        for (path, datagrams, segment) in sends {
            if let Some(counted) = self.counted.as_mut() {
                counted.sent += datagrams.len().div_ceil(segment) as u64;
            }
            let index = self.find(path.to).filter(|_| !self.nodes.is_dead(worker));
            if let Some(index) = index {
                for bytes in datagrams.chunks(segment) {
                    self.send(self.peers[index].down, To::Peer(index), bytes.to_vec());
                }
            }
        }
    }

    pub(super) fn flush_events(&mut self, worker: usize) {
        while let Some(told) = self.workers[worker].poll_event() {
            if let Event::Layers { session, active, .. } = &told.event
                && let Some(peer) = self
                    .peers
                    .iter_mut()
                    .find(|peer| peer.session == *session && peer.obeys)
            {
                peer.set_active(active);
            }
            if let Event::SpatialLayers {
                session, max_height, ..
            } = &told.event
                && let Some(peer) = self
                    .peers
                    .iter_mut()
                    .find(|peer| peer.session == *session && peer.obeys)
            {
                peer.set_max_height(*max_height);
            }
            if let Event::Disconnected { session, .. } = &told.event {
                let closed = self.placement.close(*session);
                self.tell(closed.and_then(|(_, room_workers)| room_workers));
            }
            self.events.push((self.now, told.event));
        }
        self.handle_link_events(worker);
    }
}

/// A UDP datagram at a worker.
pub(super) fn arrival(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Arrival<'_> {
    Arrival {
        proto: Protocol::Udp,
        from,
        to,
        bytes,
    }
}
