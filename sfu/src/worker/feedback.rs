//! A viewer's RTCP: reports, NACKs, keyframe requests, arrival times. And retransmissions.

use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use tracing::debug;

use super::demux::Arrival;
use super::{Datagram, Worker, drop_datagram};
use crate::downlink::{Readings, Retransmission};
use crate::ingress::track::Viewer;
use crate::slab::{SessionIndex, SlotIndex};
use crate::wire::rtcp::{self, Feedback};

/// Buffers that are used again for every RTCP packet.
#[derive(Default)]
pub(super) struct Scratch {
    plain: Vec<u8>,
    /// Slot and sequence number on the wire.
    missed: Vec<(SlotIndex, u16)>,
    keyframes: Vec<SlotIndex>,
    readings: Readings,
}

impl Worker {
    /// RTCP of a peer. What it says of the peer's own sending is for `str0m`, if the peer sends.
    pub(super) fn handle_rtcp(&mut self, now: Instant, index: SessionIndex, arrival: Arrival<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let concerns_sending = self.read_feedback(now, index, arrival, &mut scratch);
        for (slot, seq) in scratch.missed.drain(..) {
            self.retransmit(Viewer { session: index, slot }, seq);
        }
        self.send_soon(now, index);
        for slot in scratch.keyframes.drain(..) {
            let session = self.sessions.get(index);
            let slot = session.and_then(|session| session.downlink.slot(slot));
            if let Some(stream) = slot.and_then(|slot| slot.flowing()) {
                counter!("rotunda_sfu_keyframe_requests_total", "from" => "viewer").increment(1);
                self.want_keyframe(now, stream);
            }
        }
        self.scratch = scratch;
        let session = self.sessions.get(index);
        if concerns_sending && session.is_some_and(|session| session.uplink.is_sending()) {
            self.receive(now, index, arrival);
        }
    }

    /// Opens and reads the packet. What has to be retransmitted and which keyframes are needed is in `scratch` then. Answers whether
    /// something concerns what the peer sends.
    fn read_feedback(
        &mut self,
        now: Instant,
        index: SessionIndex,
        arrival: Arrival<'_>,
        scratch: &mut Scratch,
    ) -> bool {
        let unix = self.unix(now);
        let Scratch {
            plain,
            missed,
            keyframes,
            readings,
        } = scratch;
        let Some(session) = self.sessions.get_mut(index) else {
            return false;
        };
        let id = session.id();
        let downlink = &mut session.downlink;
        match downlink.open_feedback(arrival.bytes, plain) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                debug!(%error, session = %id, "feedback was refused");
                drop_datagram("refused");
                return false;
            }
            None => return false,
        }
        session.transport.handle_sign_of_life(now);
        // A peer that has moved to another network sends from its new address: authentic packets show it first.
        if downlink.path().is_some() {
            downlink.set_path(arrival.path());
        }
        let mut concerns_sending = false;
        let mut requests = 0;
        rtcp::read(plain, |feedback| match feedback {
            Feedback::AboutSending => concerns_sending = true,
            Feedback::Reception(report) => concerns_sending |= !downlink.handle_reception(&report, unix),
            Feedback::Nack { ssrc, lost } => {
                if let Some(slot) = downlink.slot_of(ssrc) {
                    for seq in lost.sequences() {
                        requests += 1;
                        if downlink.handle_nack(now, slot, seq) {
                            missed.push((slot, seq));
                        }
                    }
                }
            }
            Feedback::Keyframe { ssrc } => keyframes.extend(downlink.slot_of(ssrc)),
            Feedback::Transport(transport) => downlink.handle_transport_feedback(now, transport, readings),
            // Of viewers without transport-wide feedback: their own estimate.
            Feedback::Remb { bitrate } => downlink.estimator_mut().handle_receiver_figure(now, bitrate),
        });
        self.counters.missed.increment(requests);
        concerns_sending
    }

    /// Retransmits a packet, if it is still known.
    pub(super) fn retransmit(&mut self, viewer: Viewer, seq: u16) {
        let downlink = self.sessions.get(viewer.session).map(|session| &session.downlink);
        let Some((downlink, slot)) = downlink.and_then(|downlink| Some((downlink, downlink.slot(viewer.slot)?))) else {
            return;
        };
        let Some(origin) = slot.origin(seq) else {
            return;
        };
        let Some(stream) = self.tracks.stream(origin.stream) else {
            return;
        };
        // A permission that was taken away holds for packets that were sent before, too.
        let permitted = self.may_flow(stream.track());
        let Some(packet) = stream.history().get(origin.seq).filter(|_| permitted) else {
            return;
        };
        let Some(rewritten) = slot.rewrite_again(&origin, packet) else {
            return;
        };
        let Some(retransmission) = downlink.retransmission(slot, &rewritten.types, rewritten.seq) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(viewer.session) else {
            return;
        };
        let downlink = &mut session.downlink;
        if !downlink.take_retransmission() {
            self.counters.resend_refused.increment(1);
            return;
        }
        match retransmission {
            Retransmission::Rtx(payload_type) => {
                downlink.send_rtx(viewer.slot, rewritten, Arc::clone(packet), payload_type);
            }
            Retransmission::Same(path, bytes) => self.control.push_back(Datagram { path, bytes }),
        }
        if let Some(slot) = downlink.slot_mut(viewer.slot) {
            slot.counts_mut().add_resent();
        }
        self.counters.resent.increment(1);
    }
}
