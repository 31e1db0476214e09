//! Whose datagram it is (RFC 7983), and what is done with it.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::Input;
use str0m::media::MediaKind;
use str0m::net::{Protocol, Receive};
use tracing::debug;

use super::{Worker, drop_datagram};
use crate::egress::Path;
use crate::packet::StreamId;
use crate::slot::Slot;
use crate::wire::stun::{self, Kind, ice_name, is_stun};

/// Addresses that a session is known by; the oldest is forgotten. A peer has a handful, and whoever has the password of one
/// session must not fill the table for all.
const ADDRESSES: usize = 16;
/// Longest report, bytes: RTCP fits the path's MTU (RFC 3550 §6.1). What a report asks for is much more work than its bytes.
const MOST_REPORT: usize = 2048;

impl Worker {
    /// One datagram, or one frame of ICE-TCP.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, proto: Protocol, bytes: &[u8]) {
        let known = self.by_address.get(&from).copied();
        if is_stun(bytes) {
            // A known address may belong to somebody else by now: the name decides.
            let named = ice_name(bytes).and_then(|name| self.by_ice_name.get(name).copied());
            match named.or(known) {
                Some(index) => self.give(now, index, from, to, proto, bytes),
                None => self.counters.unknown_peer.increment(1),
            }
            return;
        }
        let Some(index) = known else {
            self.counters.unknown_peer.increment(1);
            return;
        };
        if is_rtcp(bytes) && bytes.len() > MOST_REPORT {
            drop_datagram("refused");
        } else if is_rtcp(bytes) {
            self.handle_rtcp(now, index, from, to, proto, bytes);
        } else {
            self.give(now, index, from, to, proto, bytes);
        }
        self.settle(now);
    }

    /// Hands a datagram to a session's `str0m`.
    pub(super) fn give(
        &mut self,
        now: Instant,
        index: usize,
        from: SocketAddr,
        to: SocketAddr,
        proto: Protocol,
        bytes: &[u8],
    ) {
        let Ok(receive) = Receive::new(proto, from, to, bytes) else {
            drop_datagram("unparsable");
            return;
        };
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let input = Input::Receive(now, receive);
        let mut moved = false;
        if is_stun(bytes) {
            let kind = stun::kind(bytes);
            // Only a peer who knows the password makes an address known, and is alive by it.
            if stun::is_authentic(bytes, &session.ice_password) {
                session.heard_at = now;
            } else if kind != Kind::Indication {
                drop_datagram("refused");
                return;
            }
            // Most peers' indications prove nothing: they keep the path open and are not answered.
            if kind != Kind::Request {
                return;
            }
            if self.by_address.insert(from, index) != Some(index) {
                session.addresses.push_back(from);
                if session.addresses.len() > ADDRESSES
                    && let Some(oldest) = session.addresses.pop_front()
                    && self.by_address.get(&oldest) == Some(&index)
                {
                    self.by_address.remove(&oldest);
                }
            }
            // RFC 8445 §7.3.1.5: the client, which controls, sends on this pair from now on, having moved to another network
            // perhaps. Who nominates all that work means the best of them, so TCP does not take over from UDP.
            let path = Path {
                proto,
                from: to,
                to: from,
            };
            if let Some(known) = session.egress.path
                && (known != path || session.restarted)
                && (proto == Protocol::Udp || proto == known.proto)
                && stun::nominates(bytes)
            {
                debug!(session = %session.id, "the peer has moved, or is back");
                session.egress.path = Some(path);
                session.restarted = false;
                moved = true;
            }
        }
        if let Err(error) = session.rtc.handle_input(input) {
            debug!(%error, session = %session.id, "a datagram was refused");
            drop_datagram("refused");
        }
        // str0m holds one packet: drain before the next comes.
        self.drain(now, index);
        if moved {
            self.want_keyframes_for(now, index);
        }
    }

    /// Begins every picture of a viewer anew: he has missed more than is worth sending again.
    fn want_keyframes_for(&mut self, now: Instant, index: usize) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        let pictures = session.slots.iter().filter(|slot| slot.kind == MediaKind::Video);
        let shown: Vec<StreamId> = pictures.filter_map(Slot::flowing).collect();
        for stream in shown {
            self.want_keyframe(now, stream);
        }
    }
}

/// RFC 5761 §4: RTP's version, and a payload type of 64 to 95 with its marker.
pub(crate) fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}
