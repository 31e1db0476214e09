//! The WebRTC half: one offer, fixed slots, whole frames in and out. Sans-IO; [`crate::Participant`] has the
//! socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_media::codec::VideoCodec;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::sfu::{Lines, MEMBER_AUDIO_SLOTS, MEMBER_CAMERA_SLOTS};
use str0m::format::Codec;
use str0m::media::{Direction, MediaData, MediaKind, MediaTime, Mid};
use str0m::net::Transmit;
use str0m::{Event, IceConnectionState, Rtc};

use crate::peer::{MediaError, Peer};
use crate::source::Encoded;

/// Events of the session.
#[derive(Debug)]
pub enum Received {
    Connected,
    Disconnected,
    /// A viewer needs a keyframe of this session's camera.
    KeyframeWanted,
    /// A complete frame of a slot.
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

/// The session of one participant.
pub struct MediaSession {
    peer: Peer,
    microphone: Mid,
    camera: Mid,
    audio: Vec<Mid>,
    video: Vec<Mid>,
}

impl MediaSession {
    /// Makes the one offer. `local`: the UDP socket's address as the server sees it.
    pub fn offer(now: Instant, local: SocketAddr) -> Result<(Self, String, Lines), MediaError> {
        let config = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            .set_rtcp_report_interval_audio(Duration::from_secs(1));
        let mut peer = Peer::new(now, local, config)?;
        let (offer, (microphone, camera, audio, video)) = peer.offer(|changes| {
            let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
            let microphone = add(MediaKind::Audio, Direction::SendOnly);
            let camera = add(MediaKind::Video, Direction::SendOnly);
            let audio: Vec<Mid> = (0..MEMBER_AUDIO_SLOTS)
                .map(|_| add(MediaKind::Audio, Direction::RecvOnly))
                .collect();
            let video: Vec<Mid> = (0..=MEMBER_CAMERA_SLOTS)
                .map(|_| add(MediaKind::Video, Direction::RecvOnly))
                .collect();
            (microphone, camera, audio, video)
        })?;
        let names = |mids: &[Mid]| mids.iter().map(ToString::to_string).collect();
        let lines = Lines {
            microphone: Some(microphone.to_string()),
            camera: Some(camera.to_string()),
            screen: None,
            audio: names(&audio),
            video: names(&video),
        };
        let session = Self {
            peer,
            microphone,
            camera,
            audio,
            video,
        };
        Ok((session, offer, lines))
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), MediaError> {
        self.peer.handle_answer(now, answer)
    }

    /// Ignores datagrams that do not belong to this session.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), MediaError> {
        self.peer.handle_datagram(now, from, bytes)
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MediaError> {
        self.peer.handle_timeout(now)
    }

    /// Sends a frame of this session's own source. The frame is dropped if the session is not connected yet.
    pub fn send(&mut self, now: Instant, frame: Encoded) -> Result<(), MediaError> {
        if !self.peer.rtc().is_connected() {
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
        let Some(writer) = self.peer.rtc().writer(mid) else {
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
        self.peer.close(now);
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.peer.poll_transmit()
    }

    pub fn poll_received(&mut self) -> Option<Received> {
        while let Some(event) = self.peer.poll_event() {
            if let Some(received) = self.received(event) {
                return Some(received);
            }
        }
        None
    }

    pub fn poll_timeout(&self) -> Instant {
        self.peer.poll_timeout()
    }

    fn received(&self, event: Event) -> Option<Received> {
        match event {
            Event::Connected => Some(Received::Connected),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                Some(Received::Disconnected)
            }
            Event::KeyframeRequest(request) if request.mid == self.camera => Some(Received::KeyframeWanted),
            Event::MediaData(frame) => {
                let slot = |mids: &[Mid]| mids.iter().position(|mid| *mid == frame.mid);
                let slot = slot(&self.audio)
                    .map(Slot::Audio)
                    .or_else(|| slot(&self.video).map(Slot::Video))?;
                Some(Received::Frame {
                    slot,
                    frame: Box::new(frame),
                })
            }
            _ => None,
        }
    }
}
