//! The WebRTC half: one offer, fixed slots, whole frames in and out. Sans-IO; [`crate::Participant`] has the socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_media::codec::VideoCodec;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::sfu::{Lines, MEMBER_AUDIO_SLOTS, MEMBER_CAMERA_SLOTS};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaData, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcError};
use thiserror::Error;

use crate::source::Encoded;

/// Why the session failed.
#[derive(Debug, Error)]
pub enum MediaError {
    #[error("the local address is no candidate")]
    Candidate(#[source] str0m::error::IceError),
    #[error("the session has nothing to offer")]
    NoOffer,
    #[error("understand the server's offer")]
    Offer(#[source] str0m::error::SdpError),
    #[error("understand the server's answer")]
    Answer(#[source] str0m::error::SdpError),
    #[error("drive the WebRTC session")]
    Rtc(#[from] RtcError),
}

/// What the session tells.
#[derive(Debug)]
pub enum Received {
    Connected,
    Disconnected,
    /// A viewer needs a key frame of this session's camera.
    KeyframeWanted,
    /// A whole frame of a slot.
    Frame {
        slot: Slot,
        frame: Box<MediaData>,
    },
}

/// A receive line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    Audio(usize),
    Video(usize),
}

/// One person's session.
pub struct MediaSession {
    rtc: Rtc,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    microphone: Mid,
    camera: Mid,
    audio: Vec<Mid>,
    video: Vec<Mid>,
    received: VecDeque<Received>,
    transmits: VecDeque<Transmit>,
    next_timeout: Instant,
}

impl MediaSession {
    /// Makes the one offer. `local`: the UDP socket's address as the server sees it.
    pub fn offer(now: Instant, local: SocketAddr) -> Result<(Self, String, Lines), MediaError> {
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            .set_rtcp_report_interval_audio(Duration::from_secs(1))
            .build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").map_err(MediaError::Candidate)?);
        let mut changes = rtc.sdp_api();
        let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
        let microphone = add(MediaKind::Audio, Direction::SendOnly);
        let camera = add(MediaKind::Video, Direction::SendOnly);
        let audio: Vec<Mid> = (0..MEMBER_AUDIO_SLOTS)
            .map(|_| add(MediaKind::Audio, Direction::RecvOnly))
            .collect();
        let video: Vec<Mid> = (0..=MEMBER_CAMERA_SLOTS)
            .map(|_| add(MediaKind::Video, Direction::RecvOnly))
            .collect();
        let (offer, pending) = changes.apply().ok_or(MediaError::NoOffer)?;
        let names = |mids: &[Mid]| mids.iter().map(ToString::to_string).collect();
        let lines = Lines {
            microphone: Some(microphone.to_string()),
            camera: Some(camera.to_string()),
            screen: None,
            audio: names(&audio),
            video: names(&video),
        };
        let session = Self {
            rtc,
            local,
            pending: Some(pending),
            microphone,
            camera,
            audio,
            video,
            received: VecDeque::new(),
            transmits: VecDeque::new(),
            next_timeout: now,
        };
        Ok((session, offer.to_sdp_string(), lines))
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), MediaError> {
        let answer = SdpAnswer::from_sdp_string(answer).map_err(MediaError::Answer)?;
        if let Some(pending) = self.pending.take() {
            self.rtc.sdp_api().accept_answer(pending, answer)?;
        }
        self.handle_timeout(now)
    }

    /// What is no packet of this session is ignored.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), MediaError> {
        if let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, bytes) {
            let input = Input::Receive(now, receive);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input)?;
                self.drain()?;
            }
        }
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MediaError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    /// Sends a frame of this session's own source. Before the session is up it is dropped.
    pub fn send(&mut self, now: Instant, frame: Encoded) -> Result<(), MediaError> {
        if !self.rtc.is_connected() {
            return Ok(());
        }
        let (mid, codec) = match frame.source {
            TrackSource::Audio => (self.microphone, Codec::Opus),
            _ => (
                self.camera,
                if frame.codec == VideoCodec::H264 {
                    Codec::H264
                } else {
                    Codec::Vp8
                },
            ),
        };
        let Some(writer) = self.rtc.writer(mid) else {
            return Ok(());
        };
        let Some(pt) = writer
            .payload_params()
            .find(|params| params.spec().codec == codec)
            .map(|params| params.pt())
        else {
            return Ok(());
        };
        let writer = match frame.level_dbov {
            Some(level) => writer.audio_level(level, level > -50),
            None => writer,
        };
        let frequency = if frame.source == TrackSource::Audio {
            str0m::media::Frequency::FORTY_EIGHT_KHZ
        } else {
            str0m::media::Frequency::NINETY_KHZ
        };
        let data: Arc<[u8]> = frame.data.as_ref().into();
        writer.write(pt, frame.captured, MediaTime::new(frame.ticks, frequency), data)?;
        self.handle_timeout(now)
    }

    /// Ends the session; the last packets are in [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        let _ending_anyway = self.rtc.close();
        let _ending_anyway = self.handle_timeout(now);
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_received(&mut self) -> Option<Received> {
        self.received.pop_front()
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
        match event {
            Event::Connected => self.received.push_back(Received::Connected),
            Event::IceConnectionStateChange(str0m::IceConnectionState::Disconnected) | Event::Closed => {
                self.received.push_back(Received::Disconnected);
            }
            Event::KeyframeRequest(request) if request.mid == self.camera => {
                self.received.push_back(Received::KeyframeWanted);
            }
            Event::MediaData(frame) => {
                let slot = |mids: &[Mid]| mids.iter().position(|mid| *mid == frame.mid);
                let slot = slot(&self.audio)
                    .map(Slot::Audio)
                    .or_else(|| slot(&self.video).map(Slot::Video));
                if let Some(slot) = slot {
                    self.received.push_back(Received::Frame {
                        slot,
                        frame: Box::new(frame),
                    });
                }
            }
            _ => {}
        }
    }
}
