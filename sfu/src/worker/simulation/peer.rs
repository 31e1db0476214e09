//! A peer of the simulation: it sends frames and audio, and notes what it gets.

use str0m::rtp::ExtensionValues;

use super::*;

/// A packet of a slot as a viewer got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Got {
    pub at: Instant,
    pub seq: u64,
    pub time: u32,
    /// The publisher's number in the simulation.
    pub from: u8,
    pub source: TrackSource,
    /// Frame height, as the publisher has marked it; 0: audio.
    pub height: u16,
    pub count: u32,
}

pub struct Peer {
    pub user: UserId,
    pub session: SessionId,
    pub worker: usize,
    pub(super) rtc: Rtc,
    pub address: SocketAddr,
    pub(super) due: Instant,
    pub connected: bool,
    pub(super) gone: bool,
    /// Protects what is sent beside `rtc`; from the handshake on.
    pub(super) sender: Option<srtp::Sender>,
    pub(super) microphone: Mid,
    pub(super) camera: Mid,
    pub(super) slots: Vec<Mid>,
    pub(super) audio_slots: usize,
    /// Whether its ICE checks leave; if not, each is an indication on the wire.
    pub checks: bool,
    pub up: Link,
    pub down: Link,
    /// When the link down to it has carried what it was given.
    pub(super) down_free_at: Instant,
    pub(super) publishing: Publishing,
    /// By slot: audio first.
    pub got: BTreeMap<usize, Vec<Got>>,
    /// Counts of all packets of a slot's sources, including those within redundant audio.
    pub heard: BTreeMap<usize, BTreeSet<u32>>,
    pub keyframe_requests: Vec<Instant>,
    pub(super) audio_nack: bool,
    /// Dependency descriptors that came, and whether their packets had the marker.
    pub dependencies: Vec<(Vec<u8>, bool)>,
    pub(super) channels: Vec<(ChannelId, String)>,
    /// Messages from data channels, with their labels.
    pub messages: Vec<(String, Vec<u8>)>,
    pub layers: Vec<Layer>,
    /// Pauses the layers that the server names.
    pub obeys: bool,
    /// Accepts packets that are not of the simulation.
    pub tolerant: bool,
    /// Audio level, dBov (RFC 6464); None: it is not sent.
    pub level: Option<i8>,
}

/// One encoding of a peer's camera.
pub struct Layer {
    pub(super) rid: Option<Rid>,
    pub(super) height: u16,
    pub(super) packets: u16,
    /// Payload of a packet, bytes.
    pub bytes: usize,
    /// Heights of the smaller sizes in the same stream, lowest first.
    pub(super) within: Vec<u16>,
    /// Sizes in one stream above this are not sent; None: all are.
    pub max_height: Option<u16>,
    pub active: bool,
    pub(super) keyframe: bool,
    pub(super) seq: u64,
    /// Frames since the keyframe, and all frames of the lowest temporal layer.
    pub(super) phase: usize,
    pub(super) base: u8,
}

impl Layer {
    pub(super) fn new(rid: Option<&str>, height: u16, packets: u16) -> Self {
        Self {
            rid: rid.map(Rid::from),
            height,
            packets,
            bytes: 900,
            within: Vec::new(),
            max_height: None,
            active: true,
            keyframe: false,
            seq: 0,
            phase: 0,
            base: 0,
        }
    }
}

#[derive(Default)]
pub(super) struct Publishing {
    pub(super) camera: Option<Instant>,
    pub(super) audio: Option<Instant>,
    pub(super) frames: u32,
    pub(super) audio_packets: u32,
}

impl Peer {
    pub(super) fn handle_event(&mut self, now: Instant, event: PeerEvent) {
        match event {
            PeerEvent::Connected => self.connected = true,
            PeerEvent::KeyframeRequest(request) if request.mid == self.camera => {
                assert!(matches!(
                    request.kind,
                    KeyframeRequestKind::Pli | KeyframeRequestKind::Fir
                ));
                let asked = self.layers.iter_mut().filter(|layer| layer.rid == request.rid);
                asked.for_each(|layer| layer.keyframe = true);
                self.keyframe_requests.push(now);
            }
            PeerEvent::ChannelData(message) => {
                let (_, label) = self.channels.iter().find(|(id, _)| *id == message.id).unwrap();
                self.messages.push((label.clone(), message.data));
            }
            PeerEvent::RtpPacket(packet) => {
                let ssrc = packet.header.ssrc;
                let mut api = self.rtc.direct_api();
                let stream = api.stream_rx(&ssrc).unwrap();
                let mid = stream.mid();
                let slot = self.slots.iter().position(|slot| *slot == mid).unwrap();
                if self.audio_nack {
                    stream.suppress_nack(false);
                }
                if let Some(Carried(bytes)) = packet.header.ext_vals.user_values.get() {
                    self.dependencies.push((bytes.clone(), packet.header.marker));
                }
                // Redundant audio has several marks; its own is the last.
                let marks = packet.payload.windows(11).filter(|bytes| bytes.starts_with(&MAGIC));
                let marks: Vec<[u8; 7]> = marks.map(|bytes| bytes[4..].try_into().unwrap()).collect();
                let counts = marks
                    .iter()
                    .map(|mark| u32::from_be_bytes(mark[1..5].try_into().unwrap()));
                self.heard.entry(slot).or_default().extend(counts);
                let Some(mark) = marks.last() else {
                    assert!(self.tolerant, "a packet that nobody has sent");
                    return;
                };
                let source = if slot < self.audio_slots {
                    TrackSource::Audio
                } else {
                    TrackSource::Camera
                };
                self.got.entry(slot).or_default().push(Got {
                    at: now,
                    seq: *packet.seq_no,
                    time: packet.header.timestamp,
                    from: mark[0],
                    source,
                    count: u32::from_be_bytes(mark[1..5].try_into().unwrap()),
                    height: u16::from_be_bytes(mark[5..7].try_into().unwrap()),
                });
            }
            _ => {}
        }
    }

    pub(super) fn want_keyframes(&mut self) {
        self.layers.iter_mut().for_each(|layer| layer.keyframe = true);
    }

    /// As a browser does: a layer begins with a keyframe.
    pub(super) fn set_active(&mut self, active: &[String]) {
        for layer in &mut self.layers {
            let is = layer.rid.is_some_and(|rid| active.iter().any(|name| **name == *rid));
            layer.keyframe |= is && !layer.active;
            layer.active = is;
        }
    }

    /// As a browser with another scalability mode does: its encoder starts again, with a keyframe.
    pub(super) fn set_max_height(&mut self, max_height: Option<u16>) {
        for layer in self.layers.iter_mut().filter(|layer| !layer.within.is_empty()) {
            layer.max_height = max_height;
            layer.keyframe = true;
        }
    }

    pub(super) fn send_frame(&mut self, now: Instant, number: u8) {
        let frame = self.publishing.frames;
        self.publishing.frames += 1;
        for layer in 0..self.layers.len() {
            if !self.layers[layer].within.is_empty() {
                self.send_layers_in_one(now, number, frame, layer);
            } else if self.layers[layer].active {
                self.send_layer(now, number, frame, layer);
            }
        }
    }

    /// RFC 9628 §4.2, not flexible mode: every spatial layer of a picture, in one of three temporal layers.
    fn send_layers_in_one(&mut self, now: Instant, number: u8, frame: u32, layer: usize) {
        const TEMPORAL: [u8; 4] = [0, 2, 1, 2];
        let pt = self.pt(Codec::Vp9);
        let layer = &mut self.layers[layer];
        if layer.keyframe {
            layer.phase = 0;
        }
        let (key, temporal) = (std::mem::take(&mut layer.keyframe), TEMPORAL[layer.phase % 4]);
        layer.phase += 1;
        layer.base = layer.base.wrapping_add(u8::from(temporal == 0));
        let heights = layer.within.iter().copied().chain([layer.height]);
        let most = layer.max_height.unwrap_or(u16::MAX);
        let heights: Vec<u16> = heights.filter(|height| *height <= most).collect();
        for (spatial, height) in heights.iter().enumerate() {
            let packets = layer.packets << spatial;
            for part in 0..packets {
                let (begins, ends) = (part == 0, part + 1 == packets);
                let sizes = key && begins && spatial == 0;
                let flags = [(0xa0, true), (0x40, !key), (0x08, begins), (0x04, ends), (0x02, sizes)];
                let first = flags.iter().filter(|(_, is)| *is).map(|(bit, _)| bit).sum::<u8>();
                let mut payload = vec![first];
                payload.extend_from_slice(&(0x8000 | frame as u16 & 0x7fff).to_be_bytes());
                let (up, below) = (u8::from(temporal == 0), u8::from(key && spatial > 0));
                payload.push(temporal << 5 | up << 4 | (spatial as u8) << 1 | below);
                payload.push(layer.base);
                if sizes {
                    payload.push((heights.len() as u8 - 1) << 5 | 0x10);
                    for height in &heights {
                        payload.extend_from_slice(&(height / 9 * 16).to_be_bytes());
                        payload.extend_from_slice(&height.to_be_bytes());
                    }
                }
                mark(&mut payload, number, frame, *height);
                payload.resize(layer.bytes, 0);
                layer.seq += 1;
                let last = ends && spatial + 1 == heights.len();
                let mut api = self.rtc.direct_api();
                let stream = api.stream_tx_by_mid(self.camera, layer.rid).unwrap();
                let payload: Arc<[u8]> = payload.into();
                let write = RtpWrite::new(pt, layer.seq.into(), frame.wrapping_mul(2970), now, payload);
                stream.write_rtp(write.marker(last).nackable(true));
            }
        }
    }

    pub(super) fn send_layer(&mut self, now: Instant, number: u8, frame: u32, layer: usize) {
        let pt = self.pt(Codec::Vp8);
        let layer = &mut self.layers[layer];
        let (key, height) = (std::mem::take(&mut layer.keyframe), layer.height);
        for part in 0..layer.packets {
            let first = part == 0;
            // RFC 7741 §4.2: extended, 15-bit picture id and TL0PICIDX; S on the first packet.
            let mut payload = vec![if first { 0x90 } else { 0x80 }, 0xc0];
            payload.extend_from_slice(&(0x8000 | frame as u16 & 0x7fff).to_be_bytes());
            payload.push(frame as u8);
            payload.push(if first && key { 0x50 } else { 0x51 });
            if first && key {
                payload.extend_from_slice(&[0, 0, 0x9d, 0x01, 0x2a]);
                payload.extend_from_slice(&(height / 9 * 16).to_le_bytes());
                payload.extend_from_slice(&height.to_le_bytes());
            }
            mark(&mut payload, number, frame, height);
            payload.resize(layer.bytes, 0);
            layer.seq += 1;
            let last = part + 1 == layer.packets;
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx_by_mid(self.camera, layer.rid).unwrap();
            let payload: Arc<[u8]> = payload.into();
            let write = RtpWrite::new(pt, layer.seq.into(), frame.wrapping_mul(2970), now, payload);
            stream.write_rtp(write.marker(last).nackable(true));
        }
    }

    pub(super) fn send_audio(&mut self, now: Instant, number: u8) {
        let count = self.publishing.audio_packets;
        self.publishing.audio_packets += 1;
        let mut payload = vec![0x78];
        mark(&mut payload, number, count, 0);
        payload.resize(80, 0);
        let pt = self.pt(Codec::Opus);
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(self.microphone, None).unwrap();
        let payload: Arc<[u8]> = payload.into();
        let (seq, time) = (u64::from(count + 1).into(), count.wrapping_mul(960));
        let extensions = ExtensionValues {
            audio_level: self.level,
            voice_activity: self.level.map(|_| false),
            ..ExtensionValues::default()
        };
        stream.write_rtp(RtpWrite::new(pt, seq, time, now, payload).ext_vals(extensions));
    }

    pub(super) fn pt(&self, codec: Codec) -> str0m::media::Pt {
        let params = self.rtc.codec_config().find(|params| params.spec().codec == codec);
        params.unwrap().pt()
    }

    /// Packets of the n-th video slot.
    pub fn video(&self, slot: usize) -> &[Got] {
        self.got.get(&(self.audio_slots + slot)).map_or(&[], Vec::as_slice)
    }

    /// Audio packets that the peer has sent.
    #[cfg(test)]
    pub fn audio_count(&self) -> u32 {
        self.publishing.audio_packets
    }

    pub fn audio(&self, slot: usize) -> &[Got] {
        self.got.get(&slot).map_or(&[], Vec::as_slice)
    }
}

fn mark(payload: &mut Vec<u8>, number: u8, count: u32, height: u16) {
    payload.extend_from_slice(&MAGIC);
    payload.push(number);
    payload.extend_from_slice(&count.to_be_bytes());
    payload.extend_from_slice(&height.to_be_bytes());
}
