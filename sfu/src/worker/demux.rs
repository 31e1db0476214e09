//! Finds the session of a datagram (RFC 7983), and hands it on.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::Input;
use str0m::net::{Protocol, Receive};
use tracing::debug;

use super::{Worker, drop_datagram};
use crate::downlink::egress::Path;
use crate::ingress::packet::StreamId;
use crate::link::datagram::is_link;
use crate::slab::SessionIndex;
use crate::wire::stun::{self, Kind, ice_name, is_stun};

/// Longest RTCP packet, bytes: RTCP fits the path's MTU (RFC 3550 §6.1). Much work can be asked for in few bytes.
const MOST_RTCP: usize = 2048;

/// A datagram, or a frame of ICE-TCP.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub proto: Protocol,
    /// The peer.
    pub from: SocketAddr,
    /// This side.
    pub to: SocketAddr,
    pub bytes: &'a [u8],
}

impl Arrival<'_> {
    /// The way back.
    pub fn path(&self) -> Path {
        Path {
            proto: self.proto,
            from: self.to,
            to: self.from,
        }
    }
}

impl Worker {
    pub fn handle_datagram(&mut self, now: Instant, arrival: Arrival<'_>) {
        if is_link(arrival.bytes) {
            return self.handle_link_datagram(now, arrival);
        }
        let known = self.sessions.at_address(arrival.from);
        if is_stun(arrival.bytes) {
            // A known address may belong to another peer by now: the name decides.
            let named = ice_name(arrival.bytes).and_then(|name| self.sessions.with_ice_name(name));
            match named.or(known) {
                Some(index) => self.handle_stun(now, index, arrival),
                None => self.counters.unknown_peer.increment(1),
            }
            return;
        }
        let Some(index) = known else {
            self.counters.unknown_peer.increment(1);
            return;
        };
        if !is_rtcp(arrival.bytes) {
            self.receive(now, index, arrival);
        } else if arrival.bytes.len() <= MOST_RTCP {
            self.handle_rtcp(now, index, arrival);
        } else {
            drop_datagram("refused");
        }
    }

    /// A message of ICE. Only a peer who knows the password makes an address known, and is alive by it.
    fn handle_stun(&mut self, now: Instant, index: SessionIndex, arrival: Arrival<'_>) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let kind = stun::kind(arrival.bytes);
        if session.transport.is_authentic(arrival.bytes) {
            session.transport.handle_sign_of_life(now);
        } else if kind != Kind::Indication {
            drop_datagram("refused");
            return;
        }
        // Indications keep the path open and are not answered; most of them are not signed.
        if kind != Kind::Request {
            return;
        }
        let moved = self.follow(index, arrival);
        self.sessions.learn_address(index, arrival.from);
        self.receive(now, index, arrival);
        if moved {
            self.request_keyframes_for(now, index);
        }
    }

    /// RFC 8445 §7.3.1.5: the client, which controls, sends on the pair that it nominates from now on. It may have moved to another
    /// network. A client that nominates all pairs that work means the best of them, so TCP does not take over from UDP.
    /// Answers whether the peer has moved, or is back.
    fn follow(&mut self, index: SessionIndex, check: Arrival<'_>) -> bool {
        let Some(session) = self.sessions.get_mut(index) else {
            return false;
        };
        let path = check.path();
        let moves = session.downlink.path().is_some_and(|known| {
            (known != path || session.transport.is_restarted())
                && (path.proto == Protocol::Udp || path.proto == known.proto)
                && stun::nominates(check.bytes)
        });
        if moves {
            debug!(session = %session.id(), "the peer has moved, or is back");
            session.downlink.set_path(path);
            session.transport.handle_nomination();
        }
        moves
    }

    /// Hands a datagram to a session's `str0m`.
    pub(super) fn receive(&mut self, now: Instant, index: SessionIndex, arrival: Arrival<'_>) {
        let Ok(receive) = Receive::new(arrival.proto, arrival.from, arrival.to, arrival.bytes) else {
            drop_datagram("unparsable");
            return;
        };
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if let Err(error) = session.transport.handle_input(Input::Receive(now, receive)) {
            debug!(%error, session = %session.id(), "a datagram was refused");
            drop_datagram("refused");
        }
        self.drain(now, index);
    }

    /// All video of a viewer begins anew: it has missed more than is worth retransmitting.
    fn request_keyframes_for(&mut self, now: Instant, index: SessionIndex) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let video = session.downlink.slots().iter().filter(|slot| slot.is_video());
        let shown: Vec<StreamId> = video.filter_map(|slot| slot.flowing()).collect();
        for stream in shown {
            self.want_keyframe(now, stream);
        }
    }
}

/// RFC 5761 §4: RTP's version, and a payload type of 64 to 95 with its marker.
pub(crate) fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}
