//! A session that only sends: one audio and one video track to a peer, as of an avatar or a live stream. Sans-IO.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_media::codec::VideoCodec;
use rotunda_proto::ids::TrackSource;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid, Pt};
use str0m::net::Transmit;
use str0m::{Event, IceConnectionState, Rtc, RtcConfig, RtcError};
use thiserror::Error;

use crate::peer::{MediaError, Peer};
use crate::source::Encoded;

/// Longest offer: a browser's has about 10 kB.
const LONGEST_OFFER: usize = 256 * 1024;

/// Why there is no session.
#[derive(Debug, Error)]
pub enum OfferError {
    #[error("an SDP offer has at most {LONGEST_OFFER} bytes")]
    TooLong,
    #[error("the offer is not accepted")]
    Media(#[from] MediaError),
    #[error(
        "the offer has no audio or video section in which something can be received; add recvonly transceivers to it"
    )]
    NothingToSend,
    #[error("the offer has no codec that this server sends: H.264 or VP8, and Opus")]
    Codec,
    #[error("the server has no network address to be reached at")]
    NoAddress,
}

/// A report of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Connected,
    Closed,
    KeyframeWanted,
}

/// A track that is sent.
#[derive(Debug, Clone, Copy)]
struct Line {
    mid: Mid,
    pt: Pt,
}

/// See the [module](self).
pub struct SendingSession {
    peer: Peer,
    audio: Option<Line>,
    video: Option<(Line, VideoCodec)>,
}

impl SendingSession {
    /// Answers an offer. `local`: all addresses at which the peer may reach us.
    pub fn answer(now: Instant, local: &[SocketAddr], offer: &str) -> Result<(Self, String), OfferError> {
        if offer.len() > LONGEST_OFFER {
            return Err(OfferError::TooLong);
        }
        if !offer.lines().any(|line| line.starts_with("m=")) {
            return Err(OfferError::NothingToSend);
        }
        let mut session = Self::new(now, local)?;
        let answer = session.peer.handle_offer(now, &without_names(offer))?;
        let mids = session.sending(&answer);
        if mids == [None, None] {
            return Err(OfferError::NothingToSend);
        }
        session.choose(mids);
        match session.audio.is_none() && session.video.is_none() {
            true => Err(OfferError::Codec),
            false => Ok((session, answer)),
        }
    }

    /// Offers one track of each kind, as a publisher by WHIP does; the offer's answer is for [`handle_answer`](Self::handle_answer).
    pub fn offer(now: Instant, local: SocketAddr) -> Result<(Self, String, [Mid; 2]), OfferError> {
        let mut session = Self::new(now, &[local])?;
        let (offer, mids) = session.peer.offer(|changes| {
            [MediaKind::Audio, MediaKind::Video]
                .map(|kind| changes.add_media(kind, Direction::SendOnly, None, None, None))
        })?;
        Ok((session, offer, mids))
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str, mids: [Mid; 2]) -> Result<(), OfferError> {
        self.peer.handle_answer(now, answer)?;
        self.choose(mids.map(Some));
        match self.audio.is_none() || self.video.is_none() {
            true => Err(OfferError::Codec),
            false => Ok(()),
        }
    }

    fn new(now: Instant, local: &[SocketAddr]) -> Result<Self, OfferError> {
        let (first, others) = local.split_first().ok_or(OfferError::NoAddress)?;
        let mut peer = Peer::new(now, *first, config())?;
        for local in others {
            peer.add_address(*local)?;
        }
        Ok(Self {
            peer,
            audio: None,
            video: None,
        })
    }

    /// The first audio and the first video section of our answer in which we send. str0m tells of them only when it is connected.
    fn sending(&mut self, answer: &str) -> [Option<Mid>; 2] {
        let names = answer.lines().filter_map(|line| line.strip_prefix("a=mid:"));
        let mut mids = [None, None];
        for mid in names.map(|name| Mid::from(name.trim())) {
            let Some(media) = self.peer.rtc().media(mid) else {
                continue;
            };
            let first = &mut mids[usize::from(media.kind() == MediaKind::Video)];
            if first.is_none() && media.direction().is_sending() {
                *first = Some(mid);
            }
        }
        mids
    }

    /// Finds what the peer receives: H.264 first, then VP8.
    fn choose(&mut self, [audio, video]: [Option<Mid>; 2]) {
        let rtc = self.peer.rtc();
        self.audio = audio.and_then(|mid| {
            let pt = payload(rtc, mid, |params| params.spec().codec == Codec::Opus)?;
            Some(Line { mid, pt })
        });
        self.video = video.and_then(|mid| {
            let is_h264 = |params: &PayloadParams| {
                params.spec().codec == Codec::H264 && params.spec().format.packetization_mode != Some(0)
            };
            let baseline = |params: &PayloadParams| {
                let profile = params.spec().format.profile_level_id.unwrap_or(0x42_e0_1f);
                is_h264(params) && profile >> 16 == 0x42
            };
            let found = payload(rtc, mid, baseline)
                .or_else(|| payload(rtc, mid, is_h264))
                .map(|pt| (pt, VideoCodec::H264));
            let (pt, codec) = found.or_else(|| {
                let pt = payload(rtc, mid, |params| params.spec().codec == Codec::Vp8)?;
                Some((pt, VideoCodec::Vp8))
            })?;
            Some((Line { mid, pt }, codec))
        });
    }

    /// The video codec for this peer; H.264 if the peer receives no video.
    pub fn codec(&self) -> VideoCodec {
        self.video.map_or(VideoCodec::H264, |(_, codec)| codec)
    }

    /// Sends a frame. Before the session is up, and where the peer takes none of it, it is dropped.
    pub fn send(&mut self, now: Instant, frame: &Encoded) -> Result<(), MediaError> {
        let line = match frame.source {
            TrackSource::Audio => self.audio,
            _ => self.video.map(|(line, _)| line),
        };
        let rtc = self.peer.rtc();
        let Some(line) = line.filter(|_| rtc.is_connected()) else {
            return Ok(());
        };
        let Some(writer) = rtc.writer(line.mid) else {
            return Ok(());
        };
        let writer = match frame.level_dbov {
            Some(level) => writer.audio_level(level, level > -50),
            None => writer,
        };
        let frequency = match frame.source {
            TrackSource::Audio => Frequency::FORTY_EIGHT_KHZ,
            _ => Frequency::NINETY_KHZ,
        };
        let data: Arc<[u8]> = frame.data.as_ref().into();
        let written = writer.write(line.pt, frame.captured, MediaTime::new(frame.ticks, frequency), data);
        match written {
            // A peer may stop receiving a track at any time.
            Ok(()) | Err(RtcError::NotReceivingDirection | RtcError::NotSendingDirection(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.peer.handle_timeout(now)
    }

    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        local: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), MediaError> {
        self.peer.handle_datagram_at(now, from, local, bytes)
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), MediaError> {
        self.peer.handle_timeout(now)
    }

    /// Ends the session; the last packets are in [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        self.peer.close(now);
    }

    pub fn poll_told(&mut self) -> Option<Told> {
        loop {
            match self.peer.poll_event()? {
                Event::Connected => return Some(Told::Connected),
                Event::Closed | Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                    return Some(Told::Closed);
                }
                Event::KeyframeRequest(_) => return Some(Told::KeyframeWanted),
                _ => {}
            }
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.peer.poll_transmit()
    }

    pub fn poll_timeout(&self) -> Instant {
        self.peer.poll_timeout()
    }
}

fn config() -> RtcConfig {
    Rtc::builder()
        .clear_codecs()
        .enable_opus(true, false)
        .enable_h264(true)
        .enable_vp8(true)
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
}

fn payload(rtc: &mut Rtc, mid: Mid, is_it: impl Fn(&PayloadParams) -> bool) -> Option<Pt> {
    rtc.writer(mid)?
        .payload_params()
        .find(|params| is_it(params))
        .map(PayloadParams::pt)
}

/// Without the candidates that are mDNS names of the browser: they are found when it sends from there.
fn without_names(offer: &str) -> String {
    offer
        .split_inclusive('\n')
        .filter(|line| !(line.starts_with("a=candidate:") && line.contains(".local ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rotunda_proto::clock::Clock;
    use std::collections::VecDeque;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_offer_without_sections_is_refused_with_advice() {
        for offer in ["", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"] {
            let refused = SendingSession::answer(Clock.now(), &[address(1)], offer).err().unwrap();
            assert!(refused.to_string().contains("recvonly"), "{refused}");
        }
        assert!(SendingSession::answer(Clock.now(), &[address(1)], "m=nonsense\r\n").is_err());
        assert!(SendingSession::answer(Clock.now(), &[], "m=").is_err());
    }

    /// Two sessions and a network without loss.
    #[test]
    fn what_one_offers_the_other_answers_and_both_connect() {
        let start = Clock.now();
        let mut receiver = Peer::new(start, address(2), config()).unwrap();
        let (offer, ()) = receiver
            .offer(|changes| {
                for kind in [MediaKind::Video, MediaKind::Audio] {
                    changes.add_media(kind, Direction::RecvOnly, None, None, None);
                }
            })
            .unwrap();
        let (mut sender, answer) = SendingSession::answer(start, &[address(1)], &offer).unwrap();
        assert_eq!(sender.codec(), VideoCodec::H264);
        receiver.handle_answer(start, &answer).unwrap();
        let (mut connected, mut frames) = (false, 0);
        let mut now = start;
        for step in 0..200_u32 {
            let mut to_receiver: VecDeque<Transmit> = std::iter::from_fn(|| sender.poll_transmit()).collect();
            while let Some(packet) = receiver.poll_transmit() {
                sender
                    .handle_datagram(now, address(2), address(1), &packet.contents)
                    .unwrap();
            }
            while let Some(packet) = to_receiver.pop_front() {
                receiver.handle_datagram(now, address(1), &packet.contents).unwrap();
            }
            while let Some(told) = sender.poll_told() {
                connected |= told == Told::Connected;
            }
            while let Some(event) = receiver.poll_event() {
                frames += u32::from(matches!(event, Event::MediaData(_)));
            }
            let frame = Encoded {
                source: TrackSource::Audio,
                codec: VideoCodec::H264,
                data: bytes::Bytes::from_static(&[0xfc, 1, 2, 3]),
                ticks: u64::from(step) * 960,
                captured: now,
                level_dbov: Some(-20),
            };
            sender.send(now, &frame).unwrap();
            now += Duration::from_millis(20);
            sender.handle_timeout(now).unwrap();
            receiver.handle_timeout(now).unwrap();
        }
        assert!(connected && frames > 50, "{connected} {frames}");
    }
}
