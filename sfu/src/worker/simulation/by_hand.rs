//! Packets that no peer of the simulation would send by itself.

use super::*;
use crate::units::SeqNo;
use crate::worker::demux::Arrival;

impl Simulation {
    /// Sends a packet of a peer's camera: AV1 with a dependency descriptor.
    pub fn send_av1(&mut self, peer: usize, [seq, time]: [u32; 2], marker: bool, payload: &[u8], dependency: Vec<u8>) {
        let own = &mut self.peers[peer];
        let (pt, camera) = (own.pt(Codec::Av1), own.camera);
        let mut values = ExtensionValues::default();
        values.user_values.set(Carried(dependency));
        let mut api = own.rtc.direct_api();
        let stream = api.stream_tx_by_mid(camera, None).unwrap();
        let write = RtpWrite::new(pt, u64::from(seq).into(), time, self.now, payload.to_vec());
        stream.write_rtp(write.marker(marker).nackable(true).ext_vals(values));
        self.drive_peer(peer);
    }

    /// The peer's signaling carries a second offer (ICE restart) and its answer.
    pub fn restart_ice(&mut self, peer: usize) {
        let own = &mut self.peers[peer];
        let mut changes = own.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().unwrap();
        let (now, session) = (self.now, own.session);
        let answer = self
            .worker_of(peer)
            .restart(now, session, &offer.to_sdp_string())
            .unwrap();
        let answer = str0m::change::SdpAnswer::from_sdp_string(&answer).unwrap();
        self.peers[peer].rtc.sdp_api().accept_answer(pending, answer).unwrap();
        self.drive_peer(peer);
    }

    /// A datagram reaches the first worker right now, from anywhere.
    pub fn inject(&mut self, from: SocketAddr, proto: Protocol, bytes: &[u8]) {
        let arrival = network::arrival(from, server(0), bytes);
        self.workers[0].handle_datagram(self.now, Arrival { proto, ..arrival });
    }

    /// `plain` as the peer's SRTCP. None: too short, or before the handshake.
    pub fn sealed_report(&mut self, peer: usize, plain: &[u8]) -> Option<Vec<u8>> {
        let sender = self.peers[peer].sender.as_mut()?;
        let mut packet = plain.to_vec();
        (plain.len() >= 8).then(|| sender.protect_rtcp(&mut packet, 0))?;
        Some(packet)
    }

    /// `plain`, a whole RTP packet of which `header` bytes stay readable, as the peer's SRTP. None: as above.
    pub fn sealed_packet(&mut self, peer: usize, plain: &[u8], header: usize) -> Option<Vec<u8>> {
        let sender = self.peers[peer].sender.as_ref()?;
        let fixed = plain.first_chunk::<12>()?;
        let seq = u16::from_be_bytes([fixed[2], fixed[3]]);
        let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
        let mut packet = plain.to_vec();
        sender.protect_rtp(
            &mut packet,
            0,
            header.min(plain.len()),
            ssrc.into(),
            SeqNo::new(seq.into()),
        );
        Some(packet)
    }

    /// SSRC and payload type of a peer's camera, or of its audio.
    pub fn sending(&mut self, peer: usize, codec: Codec) -> (u32, u8) {
        let peer = &mut self.peers[peer];
        let (mid, pt) = (
            if codec.is_audio() { peer.microphone } else { peer.camera },
            peer.pt(codec),
        );
        let mut api = peer.rtc.direct_api();
        (*api.stream_tx_by_mid(mid, None).unwrap().ssrc(), *pt)
    }

    /// A binding request with any attributes, signed with the peer's ICE password (RFC 8489 §14.5).
    pub fn sealed_check(&mut self, peer: usize, attributes: &[u8]) -> Vec<u8> {
        self.sealed_check_of_kind(peer, 1, attributes)
    }

    /// As [`sealed_check`](Self::sealed_check), of this message type below 256: a request (0x01) or an indication (0x11).
    pub fn sealed_check_of_kind(&mut self, peer: usize, kind: u8, attributes: &[u8]) -> Vec<u8> {
        let peer = &mut self.peers[peer];
        let session = self.workers[peer.worker].session_mut(peer.session).unwrap();
        let server = session.transport.rtc().direct_api().local_ice_credentials();
        let name = format!(
            "{}:{}",
            server.ufrag,
            peer.rtc.direct_api().local_ice_credentials().ufrag
        );
        let mut message = vec![0, kind, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.resize(20, 0);
        message.extend_from_slice(&[0, 6, 0, name.len() as u8]);
        message.extend_from_slice(name.as_bytes());
        message.resize(message.len().next_multiple_of(4), 0);
        // PRIORITY, which every check has.
        message.extend_from_slice(&[0, 0x24, 0, 4, 1, 2, 3, 4]);
        message.extend_from_slice(attributes);
        message.resize(message.len().next_multiple_of(4), 0);
        let length = message.len() - 20 + 24;
        message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, server.pass.as_bytes());
        let tag = hmac::sign(&key, &message);
        message.extend_from_slice(&[0, 8, 0, 20]);
        message.extend_from_slice(tag.as_ref());
        message
    }

    /// Whether the worker still has the peer's session.
    pub fn is_open(&mut self, peer: usize) -> bool {
        let session = self.peers[peer].session;
        self.worker_of(peer).session_mut(session).is_some()
    }

    /// The SSRC of a peer's first video slot.
    pub fn slot_ssrc(&mut self, peer: usize) -> Option<u32> {
        let peer = &self.peers[peer];
        let session = self.workers[peer.worker].session_mut(peer.session)?;
        session.downlink.slots().get(peer.audio_slots).map(|slot| *slot.ssrc())
    }
}
