//! One WebRTC session of the device: to the server, or directly to a viewer. Sans-IO; [`crate::transport`] has the sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rotunda_proto::custom_message;
use rotunda_proto::sfu::{Lines, MEMBER_AUDIO_SLOTS};
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig, RtcError};
use thiserror::Error;

use crate::access_unit::VideoCodec;
use crate::pipe::Frame;
use crate::timeline::Track;

/// Why the session failed.
#[derive(Debug, Error)]
pub enum SessionError {
    #[error("the session has nothing to offer")]
    NoOffer,
    #[error("understand the SDP")]
    Sdp(#[source] str0m::error::SdpError),
    #[error("the address is no candidate")]
    Candidate(#[source] str0m::error::IceError),
    #[error("drive the WebRTC session")]
    Rtc(#[from] RtcError),
}

/// An address of ours at which the other end may reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    Host(SocketAddr),
    /// The one that a NAT gives our socket at `base`.
    Reflexive {
        address: SocketAddr,
        base: SocketAddr,
    },
    /// One of a TURN server, which we reach from `local`.
    Relayed {
        address: SocketAddr,
        local: SocketAddr,
    },
}

/// A report of the session.
#[derive(Debug)]
pub enum Told {
    Connected,
    Disconnected,
    /// A viewer of the stream on this video line needs a keyframe.
    KeyframeWanted {
        line: usize,
    },
    /// Opus packet of a receive line.
    Audio {
        line: usize,
        data: Vec<u8>,
    },
    ChannelOpen,
    Data(Vec<u8>),
    /// Bytes a second that the link carries.
    Estimate(u64),
    /// Media bytes that the other end has got within the time.
    Acknowledged {
        line: usize,
        bytes: u64,
        over: Duration,
    },
}

/// Lines that send: audio and video belong together by their index.
#[derive(Debug, Clone, Copy)]
struct SendLine {
    audio: Option<Mid>,
    video: Mid,
}

/// See the [module](self).
pub struct Session {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    send: Vec<SendLine>,
    receive: Vec<Mid>,
    channel: Option<ChannelId>,
    told: VecDeque<Told>,
    transmits: VecDeque<Transmit>,
    next_timeout: Instant,
    /// Bytes sent and when, of each send line, at the last statistics.
    counted: Vec<(u64, Option<Instant>)>,
}

const INITIAL: Bitrate = Bitrate::mbps(2);
/// The bitrate that the estimate probes for.
const DESIRED: Bitrate = Bitrate::mbps(4);
/// A link is believed to carry at least this, bytes a second.
const LEAST_RATE: u64 = 40_000;
/// str0m's own bounds, and what goes through every network.
const MTU: std::ops::RangeInclusive<usize> = 576..=1200;

/// The packet size from which str0m warns, which is also its limit for retransmissions.
const LARGEST_DATAGRAM: usize = 1280;

/// Whether the session to the server also receives talk-back and messages.
/// Packets of a video that are kept for retransmission: a second of 5 Mbit/s. str0m's own figure, three seconds, takes a megabyte more
/// than a small camera has, and a viewer does not wait so long.
const KEPT_PACKETS: usize = 512;
const KEPT: Duration = Duration::from_secs(1);
/// Retransmissions are this share of what is sent at most (str0m's default).
const LARGEST_SHARE: Option<f32> = Some(0.15);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Control,
    Carrier,
}

impl Session {
    /// The one offer to the server.
    pub fn offer(
        now: Instant,
        mtu: usize,
        local: Option<SocketAddr>,
        part: Part,
    ) -> Result<(Self, String, Lines), SessionError> {
        let mut session = Self::new(now, mtu);
        if let Some(local) = local {
            session.add_address(Address::Host(local))?;
        }
        let mut changes = session.rtc.sdp_api();
        let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
        let audio = add(MediaKind::Audio, Direction::SendOnly);
        let video = add(MediaKind::Video, Direction::SendOnly);
        let slots = if part == Part::Control { MEMBER_AUDIO_SLOTS } else { 0 };
        let receive: Vec<Mid> = (0..slots).map(|_| add(MediaKind::Audio, Direction::RecvOnly)).collect();
        if part == Part::Control {
            changes.add_channel_with_config(ChannelConfig {
                label: custom_message::ORDERED.to_owned(),
                ..ChannelConfig::default()
            });
        }
        let (offer, pending) = changes.apply().ok_or(SessionError::NoOffer)?;
        let lines = Lines {
            microphone: Some(audio.to_string()),
            camera: Some(video.to_string()),
            screen: None,
            audio: receive.iter().map(ToString::to_string).collect(),
            video: Vec::new(),
        };
        session.pending = Some(pending);
        session.receive = receive;
        session.set_send_lines(vec![SendLine {
            audio: Some(audio),
            video,
        }]);
        Ok((session, offer.to_sdp_string(), lines))
    }

    pub fn handle_answer(&mut self, now: Instant, answer: &str) -> Result<(), SessionError> {
        let answer = SdpAnswer::from_sdp_string(answer).map_err(SessionError::Sdp)?;
        if let Some(pending) = self.pending.take() {
            self.rtc.sdp_api().accept_answer(pending, answer)?;
        }
        self.handle_timeout(now)
    }

    /// Answers a viewer's offer: its video lines and the audio lines in their order are the streams it can get at once.
    pub fn answer(now: Instant, mtu: usize, local: &[Address], offer: &str) -> Result<(Self, String), SessionError> {
        let mut session = Self::new(now, mtu);
        for address in local {
            session.add_address(*address)?;
        }
        let mids = mids(offer);
        let offer = SdpOffer::from_sdp_string(offer).map_err(SessionError::Sdp)?;
        let answer = session.rtc.sdp_api().accept_offer(offer)?;
        // str0m's `MediaAdded` comes only when DTLS is done: too late, for streams take their lines from now on.
        for mid in mids {
            session.add_line(mid);
        }
        session.handle_timeout(now)?;
        Ok((session, answer.to_sdp_string()))
    }

    fn new(now: Instant, mtu: usize) -> Self {
        let mtu = mtu.clamp(*MTU.start(), *MTU.end());
        let config: RtcConfig = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_h264(true)
            .enable_h265(true)
            .enable_bwe(Some(INITIAL))
            .set_stats_interval(Some(Duration::from_secs(1)))
            .set_mtu(mtu..=LARGEST_DATAGRAM)
            .set_rtcp_report_interval_audio(Duration::from_secs(1));
        Self {
            rtc: config.build(now),
            pending: None,
            send: Vec::new(),
            receive: Vec::new(),
            channel: None,
            told: VecDeque::new(),
            transmits: VecDeque::new(),
            next_timeout: now,
            counted: Vec::new(),
        }
    }

    fn add_address(&mut self, address: Address) -> Result<(), SessionError> {
        let candidate = match address {
            Address::Host(address) => Candidate::host(address, "udp"),
            Address::Reflexive { address, base } => Candidate::server_reflexive(address, base, "udp"),
            Address::Relayed { address, local } => Candidate::relayed(address, local, "udp"),
        };
        self.rtc
            .add_local_candidate(candidate.map_err(SessionError::Candidate)?);
        Ok(())
    }

    /// We have connected to the other end's TCP candidate from here (RFC 6544).
    pub fn add_tcp(&mut self, now: Instant, local: SocketAddr) -> Result<(), SessionError> {
        let candidate = Candidate::builder()
            .tcp()
            .host(local)
            .tcptype(str0m::net::TcpType::Active)
            .build()
            .map_err(SessionError::Candidate)?;
        self.rtc.add_local_candidate(candidate);
        self.handle_timeout(now)
    }

    /// Ignores datagrams that are no packets of this session.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        protocol: Protocol,
        from: SocketAddr,
        local: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), SessionError> {
        if let Ok(receive) = Receive::new(protocol, from, local, bytes) {
            let input = Input::Receive(now, receive);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input)?;
                self.drain()?;
            }
        }
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    pub fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// How many streams it can carry at once.
    pub fn lines(&self) -> usize {
        self.send.len()
    }

    /// Sends a frame on a line; where that has no such codec, it is left out and false.
    pub fn send(&mut self, now: Instant, line: usize, codec: VideoCodec, frame: &Frame) -> Result<bool, SessionError> {
        let Some(lines) = self.send.get(line).copied() else {
            return Ok(false);
        };
        let (mid, codec, frequency) = match frame.track {
            Track::Audio => (lines.audio, Codec::Opus, Frequency::FORTY_EIGHT_KHZ),
            Track::Video => {
                let codec = if codec == VideoCodec::H264 {
                    Codec::H264
                } else {
                    Codec::H265
                };
                (Some(lines.video), codec, Frequency::NINETY_KHZ)
            }
        };
        let Some(writer) = mid.and_then(|mid| self.rtc.writer(mid)) else {
            return Ok(false);
        };
        let Some(pt) = writer
            .payload_params()
            .find(|params| params.spec().codec == codec)
            .map(|params| params.pt())
        else {
            return Ok(false);
        };
        let ticks = frame.captured.since_start.as_micros() as u64 * u64::from(frequency.get()) / 1_000_000;
        writer.write(
            pt,
            frame.captured.at,
            MediaTime::new(ticks, frequency),
            frame.data.as_ref(),
        )?;
        self.handle_timeout(now)?;
        Ok(true)
    }

    /// Whether a line could send this codec.
    pub fn can_send(&mut self, line: usize, codec: VideoCodec) -> bool {
        let codec = if codec == VideoCodec::H264 {
            Codec::H264
        } else {
            Codec::H265
        };
        let video = self.send.get(line).map(|lines| lines.video);
        let writer = video.and_then(|mid| self.rtc.writer(mid));
        writer.is_some_and(|writer| writer.payload_params().any(|params| params.spec().codec == codec))
    }

    /// Sends on the data channel; false: there is none, or no room.
    pub fn send_data(&mut self, now: Instant, data: &[u8]) -> Result<bool, SessionError> {
        let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else {
            return Ok(false);
        };
        let sent = channel.write(true, data)?;
        self.handle_timeout(now)?;
        Ok(sent)
    }

    pub fn has_channel(&self) -> bool {
        self.channel.is_some()
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

    fn set_send_lines(&mut self, lines: Vec<SendLine>) {
        self.counted = vec![(0, None); lines.len()];
        self.send = lines;
    }

    fn drain(&mut self) -> Result<(), SessionError> {
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
            Event::Connected => {
                self.rtc.bwe().set_bitrate(Bitrate::ZERO, DESIRED);
                for line in &self.send {
                    if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(line.video, None) {
                        stream.set_rtx_cache(KEPT_PACKETS, KEPT, LARGEST_SHARE);
                    }
                }
                Told::Connected
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => Told::Disconnected,
            Event::KeyframeRequest(request) => {
                let line = self.send.iter().position(|line| line.video == request.mid);
                let Some(line) = line else { return };
                Told::KeyframeWanted { line }
            }
            Event::MediaData(frame) => {
                let line = self.receive.iter().position(|mid| *mid == frame.mid);
                let Some(line) = line else { return };
                Told::Audio {
                    line,
                    data: frame.data.to_vec(),
                }
            }
            Event::ChannelOpen(id, _) => {
                self.channel = Some(id);
                Told::ChannelOpen
            }
            Event::ChannelClose(id) if self.channel == Some(id) => {
                self.channel = None;
                return;
            }
            Event::ChannelData(data) if self.channel == Some(data.id) => Told::Data(data.data),
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                Told::Estimate((estimate.as_u64() / 8).max(LEAST_RATE))
            }
            Event::MediaEgressStats(stats) => {
                let line = self.send.iter().position(|line| line.video == stats.mid);
                let Some(line) = line else { return };
                let Some((counted, at)) = self.counted.get_mut(line) else {
                    return;
                };
                // Until the other end has reported, nothing is known to have come.
                if stats.remote.is_none() {
                    return;
                }
                let sent = stats.bytes.saturating_sub(*counted);
                let over = at.map_or(Duration::from_secs(1), |at| {
                    stats.timestamp.saturating_duration_since(at)
                });
                (*counted, *at) = (stats.bytes, Some(stats.timestamp));
                let lost = f64::from(stats.loss.unwrap_or(0.0).clamp(0.0, 1.0));
                Told::Acknowledged {
                    line,
                    bytes: (sent as f64 * (1.0 - lost)) as u64,
                    over,
                }
            }
            _ => return,
        };
        self.told.push_back(told);
    }

    /// Takes a line of a viewer's offer.
    fn add_line(&mut self, mid: Mid) {
        let Some(media) = self.rtc.media(mid) else { return };
        let (kind, direction) = (media.kind(), media.direction());
        if kind == MediaKind::Video {
            if direction.is_sending() {
                self.send.push(SendLine {
                    audio: None,
                    video: mid,
                });
                self.counted.push((0, None));
            }
            return;
        }
        if direction.is_receiving() {
            self.receive.push(mid);
        }
        if direction.is_sending()
            && let Some(line) = self.send.iter_mut().find(|line| line.audio.is_none())
        {
            line.audio = Some(mid);
        }
    }
}

/// The lines of an SDP, in its order (RFC 9143).
fn mids(sdp: &str) -> Vec<Mid> {
    let mids = sdp.lines().filter_map(|line| line.strip_prefix("a=mid:"));
    mids.map(|mid| Mid::from(mid.trim())).collect()
}

#[cfg(test)]
mod tests;
