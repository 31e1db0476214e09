//! Drives the sessions' `str0m`: its datagrams, deadlines and events come out here.

use std::time::Instant;

use rotunda_proto::sfu::Event;
use str0m::{Input, Output};
use tracing::{info, warn};

use super::{Datagram, Worker};
use crate::downlink::egress::Path;
use crate::session::dtls_keys;
use crate::slab::SessionIndex;
use crate::wire::stun;

impl Worker {
    /// Ends a turn: what its calls have changed in a session is given to the session's `str0m`, whose datagrams and deadlines come
    /// out here. Until then neither [`poll_control`](Self::poll_control) nor [`poll_timeout`](Self::poll_timeout) knows of it.
    pub fn finish_turn(&mut self, now: Instant) {
        while let Some(index) = self.touched.pop() {
            if let Some(session) = self.sessions.get_mut(index)
                && session.transport.handle_input(Input::Timeout(now)).is_ok()
            {
                self.drain(now, index);
            }
        }
        self.flush_links(now);
        self.turn_ended_at = now;
    }

    /// Takes all output of a session's `str0m`. It holds one packet, so this comes right after each of its inputs.
    pub(super) fn drain(&mut self, now: Instant, index: SessionIndex) {
        let (mut lost, mut connected) = (None, false);
        while let Some(session) = self.sessions.get_mut(index) {
            match session.transport.poll_output() {
                Ok(Output::Timeout(at)) => {
                    session.transport.set_next_timeout(at);
                    self.timers.schedule(index, session.due());
                    if !session.transport.is_alive() {
                        lost = Some("the session has ended");
                    }
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    let path = Path {
                        proto: transmit.proto,
                        from: transmit.source,
                        to: transmit.destination,
                    };
                    let bytes: Vec<u8> = transmit.contents.into();
                    // All but STUN goes along the path that the peer has nominated.
                    if session.downlink.path().is_none() && !stun::is_stun(&bytes) {
                        session.downlink.set_path(path);
                    }
                    self.control.push_back(Datagram { path, bytes });
                }
                Ok(Output::Event(event)) => {
                    connected |= matches!(event, str0m::Event::Connected);
                    if let Some(reason) = self.handle_event(now, index, event) {
                        lost = Some(reason);
                        break;
                    }
                }
                Err(error) => {
                    info!(%error, session = %session.id(), "the session failed");
                    lost = Some("a protocol error");
                    break;
                }
            }
        }
        if let Some(material) = dtls_keys::take_exported()
            && let Some(session) = self.sessions.get_mut(index)
            && let Err(error) = session.take_keys(&material)
        {
            warn!(%error, session = %session.id(), "no keys for sending");
            lost = Some("the handshake gave no usable keys");
        }
        if let Some(reason) = lost {
            self.lose(now, index, reason);
        } else if connected {
            // After the keys, so that cached frames can be sent.
            self.allocate(now, index);
        }
    }

    /// Answers why the session is lost, if it is.
    fn handle_event(&mut self, now: Instant, index: SessionIndex, event: str0m::Event) -> Option<&'static str> {
        let session = self.sessions.get_mut(index)?;
        match event {
            str0m::Event::Connected => {
                session.transport.set_connected();
                if session.offers_channels() {
                    session.messages.expect_channel();
                }
                let event = Event::Connected {
                    session: session.id(),
                    user: session.user().cloned(),
                };
                self.events.tell(session.room(), event);
            }
            str0m::Event::SenderFeedback(report) => session.uplink.handle_sender_report(now, &report.sender_info),
            str0m::Event::RtpPacket(packet) => self.handle_rtp(now, index, packet),
            str0m::Event::MediaIngressStats(stats) => self.handle_ingress_stats(index, &stats),
            str0m::Event::ChannelOpen(channel, label) => self.handle_channel_open(index, channel, &label),
            str0m::Event::ChannelClose(channel) => session.messages.handle_close(channel),
            str0m::Event::ChannelData(data) => self.handle_channel_data(now, index, &data),
            str0m::Event::Closed => return Some("the peer has closed the session"),
            _ => {}
        }
        None
    }
}
