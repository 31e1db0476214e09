//! A member's WebRTC session that sends and receives single RTP packets. Sans-IO.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rotunda_proto::sfu::{Lines, MEMBER_AUDIO_SLOTS, MEMBER_CAMERA_SLOTS};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::Transmit;
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Event, IceConnectionState, Rtc};

use super::schedule::{Kind, Packet};
use crate::peer::{MediaError, Peer};

/// A louder level counts as voice, dBov.
const VOICE_DBOV: i8 = -50;

/// The m-lines that a member needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Only send lines, so that the server forwards everything to viewers.
    Publisher,
    /// Only receive lines: all slots of an ordinary client.
    Viewer,
}

/// Events of the session.
#[derive(Debug)]
pub enum Told {
    Connected,
    Disconnected,
    /// A viewer needs a keyframe.
    KeyframeWanted,
    Packet(Kind, Box<RtpPacket>),
}

pub struct RtpSession {
    peer: Peer,
    microphone: Option<Mid>,
    camera: Option<Mid>,
    opus: Option<Pt>,
    vp8: Option<Pt>,
}

impl RtpSession {
    /// Makes the one offer. `local`: the UDP socket's address as the server sees it.
    pub fn offer(now: Instant, local: SocketAddr, part: Part) -> Result<(Self, String, Lines), MediaError> {
        let mut session = Self::without_lines(now, local)?;
        let mut lines = Lines::default();
        let (offer, sends) = session.peer.offer(|changes| {
            let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
            match part {
                Part::Publisher => {
                    let microphone = add(MediaKind::Audio, Direction::SendOnly);
                    let camera = add(MediaKind::Video, Direction::SendOnly);
                    lines.microphone = Some(microphone.to_string());
                    lines.camera = Some(camera.to_string());
                    Some((microphone, camera))
                }
                Part::Viewer => {
                    let mut slots = |kind, count: usize| {
                        let mids = (0..count).map(|_| add(kind, Direction::RecvOnly).to_string());
                        mids.collect()
                    };
                    lines.audio = slots(MediaKind::Audio, MEMBER_AUDIO_SLOTS);
                    lines.video = slots(MediaKind::Video, MEMBER_CAMERA_SLOTS + 1);
                    None
                }
            }
        })?;
        (session.microphone, session.camera) = sends.unzip();
        Ok((session, offer, lines))
    }

    /// Makes the one offer of a viewer that watches one publisher, as a WHEP player does.
    pub fn offer_to_watch_one(now: Instant, local: SocketAddr) -> Result<(Self, String), MediaError> {
        let mut session = Self::without_lines(now, local)?;
        let (offer, ()) = session.peer.offer(|changes| {
            for kind in [MediaKind::Audio, MediaKind::Video] {
                changes.add_media(kind, Direction::RecvOnly, None, None, None);
            }
        })?;
        Ok((session, offer))
    }

    /// Processes the server's offer and makes the answer, which receives everything that is offered.
    pub fn answer(now: Instant, local: SocketAddr, offer: &str) -> Result<(Self, String), MediaError> {
        let mut session = Self::without_lines(now, local)?;
        let answer = session.peer.handle_offer(now, offer)?;
        session.learn_payload_types();
        Ok((session, answer))
    }

    fn without_lines(now: Instant, local: SocketAddr) -> Result<Self, MediaError> {
        let config = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .set_rtcp_report_interval_audio(Duration::from_secs(1));
        Ok(Self {
            peer: Peer::new(now, local, config)?,
            microphone: None,
            camera: None,
            opus: None,
            vp8: None,
        })
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), MediaError> {
        self.peer.handle_answer(now, answer)?;
        self.learn_payload_types();
        Ok(())
    }

    /// Ignores datagrams that do not belong to this session.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), MediaError> {
        self.peer.handle_datagram(now, from, bytes)
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MediaError> {
        self.peer.handle_timeout(now)
    }

    /// Queues a packet; it leaves with the next [`handle_timeout`](Self::handle_timeout).
    pub fn write(&mut self, now: Instant, packet: Packet) {
        let (mid, pt) = match packet.kind {
            Kind::Video => (self.camera, self.vp8),
            Kind::Audio => (self.microphone, self.opus),
        };
        let mut api = self.peer.rtc().direct_api();
        if let (Some(mid), Some(pt)) = (mid, pt)
            && let Some(stream) = api.stream_tx_by_mid(mid, None)
        {
            let extensions = ExtensionValues {
                audio_level: packet.level_dbov,
                voice_activity: packet.level_dbov.map(|level| level > VOICE_DBOV),
                ..ExtensionValues::default()
            };
            let write = RtpWrite::new(pt, packet.sequence.into(), packet.time, now, packet.payload)
                .marker(packet.marker)
                .ext_vals(extensions)
                .nackable(packet.kind == Kind::Video);
            stream.write_rtp(write);
        }
    }

    /// Ends the session; the last packets are in [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        self.peer.close(now);
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.peer.poll_transmit()
    }

    pub fn poll_told(&mut self) -> Option<Told> {
        while let Some(event) = self.peer.poll_event() {
            let told = match event {
                Event::Connected => Told::Connected,
                Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => Told::Disconnected,
                Event::KeyframeRequest(_) => Told::KeyframeWanted,
                Event::RtpPacket(packet) => {
                    let is_audio = Some(packet.header.payload_type) == self.opus;
                    let kind = if is_audio { Kind::Audio } else { Kind::Video };
                    Told::Packet(kind, Box::new(packet))
                }
                _ => continue,
            };
            return Some(told);
        }
        None
    }

    pub fn poll_timeout(&self) -> Instant {
        self.peer.poll_timeout()
    }

    /// The answer decides them.
    fn learn_payload_types(&mut self) {
        let codecs = self.peer.rtc().codec_config();
        let payload_type = |codec| {
            let found = codecs.find(|params| params.spec().codec == codec);
            found.map(|params| params.pt())
        };
        (self.opus, self.vp8) = (payload_type(Codec::Opus), payload_type(Codec::Vp8));
    }
}
