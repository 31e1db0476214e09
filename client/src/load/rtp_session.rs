//! A member's WebRTC session that sends and receives single RTP packets. Sans-IO.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rotunda_proto::sfu::{Lines, MEMBER_AUDIO_SLOTS, MEMBER_CAMERA_SLOTS};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};

use super::schedule::{Kind, Packet};
use crate::media_session::MediaError;

/// Loudness of every audio packet, dBov: speech.
const LEVEL_DBOV: i8 = -30;

/// What a member needs lines for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Send lines alone, so that all that the server forwards goes to viewers.
    Publisher,
    /// Receive lines alone: all slots of a person.
    Viewer,
}

/// What the session tells.
#[derive(Debug)]
pub enum Told {
    Connected,
    Disconnected,
    /// A viewer needs a key frame.
    KeyframeWanted,
    Packet(Kind, Box<RtpPacket>),
}

pub struct RtpSession {
    rtc: Rtc,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    microphone: Option<Mid>,
    camera: Option<Mid>,
    opus: Option<Pt>,
    vp8: Option<Pt>,
    told: VecDeque<Told>,
    transmits: VecDeque<Transmit>,
    next_timeout: Instant,
}

impl RtpSession {
    /// Makes the one offer. `local`: the UDP socket's address as the server sees it.
    pub fn offer(now: Instant, local: SocketAddr, part: Part) -> Result<(Self, String, Lines), MediaError> {
        let mut session = Self::without_lines(now, local)?;
        let mut lines = Lines::default();
        let mut changes = session.rtc.sdp_api();
        let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
        match part {
            Part::Publisher => {
                session.microphone = Some(add(MediaKind::Audio, Direction::SendOnly));
                session.camera = Some(add(MediaKind::Video, Direction::SendOnly));
                lines.microphone = session.microphone.map(|mid| mid.to_string());
                lines.camera = session.camera.map(|mid| mid.to_string());
            }
            Part::Viewer => {
                let mut slots = |kind, count: usize| {
                    let mids = (0..count).map(|_| add(kind, Direction::RecvOnly).to_string());
                    mids.collect()
                };
                lines.audio = slots(MediaKind::Audio, MEMBER_AUDIO_SLOTS);
                lines.video = slots(MediaKind::Video, MEMBER_CAMERA_SLOTS + 1);
            }
        }
        let (offer, pending) = changes.apply().ok_or(MediaError::NoOffer)?;
        session.pending = Some(pending);
        Ok((session, offer.to_sdp_string(), lines))
    }

    /// Makes the one offer of who watches one publisher, as a WHEP player does.
    pub fn offer_to_watch_one(now: Instant, local: SocketAddr) -> Result<(Self, String), MediaError> {
        let mut session = Self::without_lines(now, local)?;
        let mut changes = session.rtc.sdp_api();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            changes.add_media(kind, Direction::RecvOnly, None, None, None);
        }
        let (offer, pending) = changes.apply().ok_or(MediaError::NoOffer)?;
        session.pending = Some(pending);
        Ok((session, offer.to_sdp_string()))
    }

    /// Takes the server's offer, and makes the answer to it: receives what is offered.
    pub fn answer(now: Instant, local: SocketAddr, offer: &str) -> Result<(Self, String), MediaError> {
        let mut session = Self::without_lines(now, local)?;
        let offer = SdpOffer::from_sdp_string(offer).map_err(MediaError::Offer)?;
        let answer = session.rtc.sdp_api().accept_offer(offer)?;
        session.learn_payload_types();
        session.handle_timeout(now)?;
        Ok((session, answer.to_sdp_string()))
    }

    fn without_lines(now: Instant, local: SocketAddr) -> Result<Self, MediaError> {
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .set_rtcp_report_interval_audio(Duration::from_secs(1))
            .build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").map_err(MediaError::Candidate)?);
        Ok(Self {
            rtc,
            local,
            pending: None,
            microphone: None,
            camera: None,
            opus: None,
            vp8: None,
            told: VecDeque::new(),
            transmits: VecDeque::new(),
            next_timeout: now,
        })
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), MediaError> {
        let answer = SdpAnswer::from_sdp_string(answer).map_err(MediaError::Answer)?;
        if let Some(pending) = self.pending.take() {
            self.rtc.sdp_api().accept_answer(pending, answer)?;
        }
        self.learn_payload_types();
        self.handle_timeout(now)
    }

    /// They are settled with the answer.
    fn learn_payload_types(&mut self) {
        let payload_type = |codec| {
            let found = self.rtc.codec_config().find(|params| params.spec().codec == codec);
            found.map(|params| params.pt())
        };
        (self.opus, self.vp8) = (payload_type(Codec::Opus), payload_type(Codec::Vp8));
    }

    /// What is no packet of this session is ignored.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), MediaError> {
        if let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, bytes) {
            let input = Input::Receive(now, receive);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input)?;
                // str0m holds one packet: drain before the next comes.
                self.drain()?;
            }
        }
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MediaError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    /// Queues a packet; it leaves with the next [`handle_timeout`](Self::handle_timeout).
    pub fn write(&mut self, now: Instant, packet: Packet) {
        let (mid, pt) = match packet.kind {
            Kind::Video => (self.camera, self.vp8),
            Kind::Audio => (self.microphone, self.opus),
        };
        let mut api = self.rtc.direct_api();
        if let (Some(mid), Some(pt)) = (mid, pt)
            && let Some(stream) = api.stream_tx_by_mid(mid, None)
        {
            let mut extensions = ExtensionValues::default();
            if packet.kind == Kind::Audio {
                extensions.audio_level = Some(LEVEL_DBOV);
                extensions.voice_activity = Some(true);
            }
            let write = RtpWrite::new(pt, packet.sequence.into(), packet.time, now, packet.payload)
                .marker(packet.marker)
                .ext_vals(extensions)
                .nackable(packet.kind == Kind::Video);
            stream.write_rtp(write);
        }
    }

    /// Ends the session; the last packets are in [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        let _ending_anyway = self.rtc.close();
        let _ending_anyway = self.handle_timeout(now);
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    pub fn poll_timeout(&self) -> Instant {
        self.next_timeout
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.next_timeout = at;
                    return Ok(());
                }
                Output::Transmit(transmit) => self.transmits.push_back(transmit),
                Output::Event(event) => self.handle_event(event),
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let told = match event {
            Event::Connected => Told::Connected,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => Told::Disconnected,
            Event::KeyframeRequest(_) => Told::KeyframeWanted,
            Event::RtpPacket(packet) => {
                let kind = if Some(packet.header.payload_type) == self.opus {
                    Kind::Audio
                } else {
                    Kind::Video
                };
                Told::Packet(kind, Box::new(packet))
            }
            _ => return,
        };
        self.told.push_back(told);
    }
}
