//! What a session's `str0m` has to say: datagrams, deadlines, events.

use std::time::Instant;

use rotunda_proto::sfu::Event;
use str0m::Output;
use tracing::{info, warn};

use super::{Datagram, Worker};
use crate::dtls_keys;
use crate::egress::Path;
use crate::wire::stun;

impl Worker {
    /// Lets every touched session say what it has to say.
    pub fn settle(&mut self, now: Instant) {
        while let Some(index) = self.touched.pop() {
            if let Some(Some(session)) = self.sessions.get_mut(index)
                && session.rtc.handle_input(str0m::Input::Timeout(now)).is_ok()
            {
                self.drain(now, index);
            }
        }
    }

    /// Takes everything that a session has to say.
    pub(super) fn drain(&mut self, now: Instant, index: usize) {
        let (mut lost, mut news) = (None, false);
        while let Some(Some(session)) = self.sessions.get_mut(index) {
            match session.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    session.next_timeout = at;
                    let due = at.min(session.next_tick);
                    self.timers.schedule(index, due);
                    if !session.rtc.is_alive() {
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
                    // What is no STUN goes where the peer has chosen to be reached.
                    if session.egress.path.is_none() && !stun::is_stun(&bytes) {
                        session.egress.path = Some(path);
                    }
                    self.control.push_back(Datagram { path, bytes });
                }
                Ok(Output::Event(event)) => {
                    news |= matches!(event, str0m::Event::Connected);
                    if let Some(reason) = self.handle_event(now, index, event) {
                        lost = Some(reason);
                        break;
                    }
                }
                Err(error) => {
                    info!(%error, session = %session.id, "the session failed");
                    lost = Some("a protocol error");
                    break;
                }
            }
        }
        if let Some(material) = dtls_keys::take_exported()
            && let Some(Some(session)) = self.sessions.get_mut(index)
            && let Err(error) = session.take_keys(&material)
        {
            warn!(%error, session = %session.id, "no keys for sending");
            lost = Some("the handshake gave no usable keys");
        }
        if let Some(reason) = lost {
            self.lose(now, index, reason);
        } else if news {
            // With the keys, so that cached pictures can be sent.
            self.allocate(now, index);
        }
    }

    /// Answers why the session is lost, when it is.
    pub(super) fn handle_event(&mut self, now: Instant, index: usize, event: str0m::Event) -> Option<&'static str> {
        let session = self.sessions.get_mut(index)?.as_mut()?;
        match event {
            str0m::Event::Connected => {
                session.connected = true;
                let event = Event::Connected {
                    session: session.id,
                    user: session.user.clone(),
                };
                self.events.tell(&session.room, event);
            }
            str0m::Event::SenderFeedback(report) => session.clock.handle_report(now, &report.sender_info),
            str0m::Event::RtpPacket(packet) => self.handle_rtp(now, index, packet),
            str0m::Event::MediaIngressStats(stats) => self.handle_ingress_stats(index, &stats),
            str0m::Event::ChannelOpen(channel, label) => session.messages.handle_open(channel, &label),
            str0m::Event::ChannelClose(channel) => session.messages.handle_close(channel),
            str0m::Event::ChannelData(data) => self.handle_channel_data(now, index, &data),
            str0m::Event::Closed => return Some("the peer has closed the session"),
            _ => {}
        }
        None
    }
}
