//! A service's end of a session with an SFU node, sans-IO: one offer of receive lines, from which whole frames come.

mod fragments;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use rotunda_media::codec::VideoCodec;
use rotunda_media::video_frame::Rotation;
use rotunda_proto::ids::{Source, UserId};
use rotunda_proto::sfu::{Lines, SlotMap, VideoWant};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::error::SdpError;
use str0m::format::{Codec, FormatParams, PayloadParams};
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{RawPacket, Ssrc, VideoOrientation};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcError};
use thiserror::Error;

use self::fragments::Fragments;
use crate::sample::{CodedVideo, Payload, Sample};
use crate::slots::Slots;
use crate::timeline::{Micros, SenderReport, Stamp};
use crate::wants::Wants;

/// Receive lines of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineCounts {
    pub audio: usize,
    pub video: usize,
}

impl LineCounts {
    /// A whole room: 16 inputs, and some lines to rest.
    pub const ROOM: Self = Self { audio: 20, video: 20 };
    /// One microphone and one video.
    pub const PUBLISHER: Self = Self { audio: 1, video: 1 };
}

/// RTP payload types of VP9 and AV1, free among those that str0m gives to H.264 and VP8.
const VP9_TYPE: u8 = 98;
const VP9_RTX_TYPE: u8 = 99;
const AV1_TYPE: u8 = 45;
const AV1_RTX_TYPE: u8 = 46;

/// See the [module](self).
pub struct Receiver {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    local: Option<SocketAddr>,
    origin: Instant,
    audio_lines: Vec<Mid>,
    video_lines: Vec<Mid>,
    audio_slots: Slots<Source>,
    video_slots: Slots<Source>,
    /// Lines on which a frame was thrown away since their last one: the next one does not follow it.
    damaged: Vec<Mid>,
    /// Bytes that the depacketizers of the video lines hold back.
    fragments: HashMap<Mid, Fragments>,
    /// Lines by the SSRC of their packets.
    streams: HashMap<Ssrc, Mid>,
    /// Distinguishes this session's RTP clocks from those of earlier ones.
    session: u64,
}

/// Output of the receiver.
pub enum Polled {
    Transmit(Transmit),
    Sample(Sample),
    Connected,
    Lost,
    /// This publisher's malformed video fills the session's memory: close the session, and never ask for that video again.
    Hoarded(Source),
    /// Nothing until then.
    Timeout(Instant),
}

/// Why a session does not come about.
#[derive(Debug, Error)]
pub enum ReceiverError {
    #[error("there is nothing to offer")]
    NoOffer,
    #[error("the answer is not SDP")]
    Answer(#[from] SdpError),
    #[error("the answer names no address for UDP")]
    NoCandidate,
    #[error("the session's state")]
    Rtc(#[from] RtcError),
    #[error("the local address")]
    Candidate(#[from] str0m::error::IceError),
}

impl Receiver {
    /// A session, its offer and what its lines are for. `origin`: the mix clock's 0; `session`: a number that no earlier session
    /// of the mix had.
    ///
    /// Errors: [`ReceiverError::NoOffer`].
    pub fn new(
        now: Instant,
        origin: Instant,
        session: u64,
        counts: LineCounts,
    ) -> Result<(Self, String, Lines), ReceiverError> {
        let mut config = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, true)
            .enable_h264(true)
            .enable_vp8(true)
            // Audio comes at once and in any order: the decoder puts it in order, and waits for what is lost only as long as it can.
            .set_reordering_size_audio(0)
            // For `fragments`.
            .enable_raw_packets(true);
        // RTP of audio has no RTX stream: the SFU repeats it on its own one (`AudioDecoder` drops what comes twice).
        let audio = |params: &&mut PayloadParams| params.spec().codec == Codec::Opus;
        config
            .codec_config()
            .iter_mut()
            .filter(audio)
            .for_each(|params| params.set_fb_nack(true));
        // Profile 0 alone: the others have 10 bits or another chroma sampling, which cannot be mixed.
        let profile_0 = FormatParams {
            profile_id: Some(0),
            ..FormatParams::default()
        };
        config.codec_config().add_config(
            VP9_TYPE.into(),
            Some(VP9_RTX_TYPE.into()),
            Codec::Vp9,
            Frequency::NINETY_KHZ,
            None,
            profile_0,
        );
        // Without parameters it is profile 0, too.
        config.codec_config().add_config(
            AV1_TYPE.into(),
            Some(AV1_RTX_TYPE.into()),
            Codec::Av1,
            Frequency::NINETY_KHZ,
            None,
            FormatParams::default(),
        );
        let mut rtc = config.build(now);
        let mut changes = rtc.sdp_api();
        let mut add = |kind, count| -> Vec<Mid> {
            (0..count)
                .map(|_| changes.add_media(kind, Direction::RecvOnly, None, None, None))
                .collect()
        };
        let audio_lines = add(MediaKind::Audio, counts.audio);
        let video_lines = add(MediaKind::Video, counts.video);
        let (offer, pending) = changes.apply().ok_or(ReceiverError::NoOffer)?;
        let names = |lines: &[Mid]| lines.iter().map(Mid::to_string).collect();
        let lines = Lines {
            audio: names(&audio_lines),
            video: names(&video_lines),
            ..Lines::default()
        };
        let receiver = Self {
            rtc,
            pending: Some(pending),
            local: None,
            origin,
            audio_lines,
            video_lines,
            audio_slots: Slots::new(counts.audio),
            video_slots: Slots::new(counts.video),
            damaged: Vec::new(),
            fragments: HashMap::new(),
            streams: HashMap::new(),
            session,
        };
        Ok((receiver, offer.to_sdp_string(), lines))
    }

    /// Takes the SFU's answer; `local` is where the socket that reaches it is bound.
    pub fn handle_answer(&mut self, answer: &str, local: SocketAddr) -> Result<(), ReceiverError> {
        let answer = SdpAnswer::from_sdp_string(answer)?;
        let pending = self.pending.take().ok_or(ReceiverError::NoOffer)?;
        self.rtc.add_local_candidate(Candidate::host(local, "udp")?);
        self.local = Some(local);
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        Ok(())
    }

    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<(), ReceiverError> {
        let Some(local) = self.local else { return Ok(()) };
        // Anybody can send to the port: a datagram that is neither STUN, DTLS nor RTP is dropped.
        let Ok(received) = Receive::new(Protocol::Udp, from, local, datagram) else {
            return Ok(());
        };
        let input = Input::Receive(now, received);
        if !self.rtc.accepts(&input) {
            return Ok(());
        }
        // So is one that only looks like it. A session that is really lost is no longer alive, and `poll` says so.
        if let Err(error) = self.rtc.handle_input(input) {
            metrics::counter!("rotunda_receiver_datagrams_refused_total").increment(1);
            tracing::debug!(%error, "a datagram was refused");
        }
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ReceiverError> {
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// Assigns slots to the wanted tracks. Answers true when a track has to wait for a slot: ask again in a second.
    pub fn handle_wants(&mut self, now: Instant, wants: &Wants) -> bool {
        let audio_waits = self.audio_slots.assign(now, &wants.audio);
        let videos: Vec<Source> = wants.video.iter().map(|want| want.video.clone()).collect();
        self.video_slots.assign(now, &videos) || audio_waits
    }

    /// The slots as the SFU is to fill them.
    pub fn slot_map(&self, wants: &Wants) -> SlotMap {
        let want = |video: &Source| VideoWant {
            user: video.user.clone(),
            source: video.track,
            max_height: wants
                .video
                .iter()
                .find(|want| want.video == *video)
                .and_then(|want| want.max_height),
        };
        SlotMap {
            audio: self
                .audio_slots
                .sources()
                .map(|audio| Some(audio?.user.clone()))
                .collect(),
            loudest: None,
            video: self.video_slots.sources().map(|video| video.map(want)).collect(),
        }
    }

    /// Asks the sender of a video for a keyframe.
    pub fn handle_key_request(&mut self, video: &Source) {
        let line = self
            .video_slots
            .place(video)
            .and_then(|slot| self.video_lines.get(slot))
            .copied();
        if let Some(mut writer) = line.and_then(|line| self.rtc.writer(line))
            && let Err(error) = writer.request_keyframe(None, KeyframeRequestKind::Pli)
        {
            tracing::debug!(user = %video.user, %error, "no keyframe can be asked for yet");
        }
    }

    /// The next thing to do; call until it is [`Polled::Timeout`].
    pub fn poll(&mut self) -> Result<Polled, ReceiverError> {
        loop {
            if !self.rtc.is_alive() {
                return Ok(Polled::Lost);
            }
            let output = match self.rtc.poll_output() {
                Ok(output) => output,
                // One publisher's payload is malformed. All others go on, and this one does with the next keyframe.
                Err(RtcError::Packet(mid, payload_type, error)) => {
                    self.handle_malformed(mid, &format!("payload type {payload_type}: {error}"));
                    let hoards = self.fragments.get_mut(&mid).is_some_and(Fragments::handle_malformed);
                    if let Some(video) = self.video_of(mid).filter(|_| hoards) {
                        return Ok(Polled::Hoarded(video));
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match output {
                Output::Timeout(at) => return Ok(Polled::Timeout(at)),
                Output::Transmit(transmit) => return Ok(Polled::Transmit(transmit)),
                Output::Event(Event::Connected) => return Ok(Polled::Connected),
                Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected)) => {
                    return Ok(Polled::Lost);
                }
                Output::Event(Event::RawPacket(packet)) => self.handle_raw(&packet),
                Output::Event(Event::MediaData(data)) => {
                    if data.params.spec().codec == Codec::H264
                        && let Some(fragments) = self.fragments.get_mut(&data.mid)
                        && fragments.handle_frame(**data.seq_range.start()..=**data.seq_range.end())
                        && let Some(video) = self.video_of(data.mid)
                    {
                        return Ok(Polled::Hoarded(video));
                    }
                    if let Some(sample) = self.sample(data) {
                        return Ok(Polled::Sample(sample));
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    /// A frame was thrown away after it was received: the next one of its track does not follow it.
    pub fn handle_dropped(&mut self, sample: &Sample) {
        if let Payload::Video(_) = sample.payload {
            let mid = self
                .video_slots
                .place(&sample.source)
                .and_then(|slot| self.video_lines.get(slot));
            let damaged = &self.damaged;
            let mid = mid.copied().filter(|mid| !damaged.contains(mid));
            self.damaged.extend(mid);
        }
    }

    fn handle_raw(&mut self, packet: &RawPacket) {
        let RawPacket::RtpRx(header, payload) = packet else {
            return;
        };
        let mid = match self.streams.get(&header.ssrc) {
            Some(mid) => *mid,
            None => {
                let mut api = self.rtc.direct_api();
                let Some(stream) = api.stream_rx(&header.ssrc) else {
                    return;
                };
                let mid = stream.mid();
                if self.audio_lines.contains(&mid) {
                    // str0m asks for no packets of streams without RTX.
                    stream.suppress_nack(false);
                }
                self.streams.insert(header.ssrc, mid);
                mid
            }
        };
        if self.video_lines.contains(&mid) {
            let fragments = self.fragments.entry(mid).or_default();
            fragments.handle_packet(header.sequence_number, payload);
        }
    }

    fn video_of(&self, mid: Mid) -> Option<Source> {
        let slot = self.video_lines.iter().position(|line| *line == mid)?;
        self.video_slots.source(slot).cloned()
    }

    fn handle_malformed(&mut self, mid: Mid, reason: &str) {
        metrics::counter!("rotunda_receiver_malformed_frames_total").increment(1);
        if !self.damaged.contains(&mid) {
            let slot = |lines: &[Mid]| lines.iter().position(|line| *line == mid);
            let audio = slot(&self.audio_lines).and_then(|slot| Some(&self.audio_slots.source(slot)?.user));
            let video = slot(&self.video_lines).and_then(|slot| Some(&self.video_slots.source(slot)?.user));
            tracing::warn!(
                user = audio.or(video).map(UserId::as_str),
                reason,
                "a malformed frame is thrown away"
            );
            self.damaged.push(mid);
        }
    }

    fn sample(&mut self, data: MediaData) -> Option<Sample> {
        let undamaged = self.damaged.len();
        self.damaged.retain(|mid| *mid != data.mid);
        let undamaged = undamaged == self.damaged.len();
        let stamp = Stamp {
            generation: 0,
            rtp: data.time.numer() as u32,
            arrival: micros_between(self.origin, data.network_time),
            // RFC 3550 §6.4.1: a sender without a wall clock may set it to zero.
            report: data
                .last_sender_info
                .map(|info| SenderReport {
                    ntp: unix_micros(info.ntp_time),
                    rtp: info.rtp_time.numer() as u32,
                })
                .filter(|report| report.ntp > 0),
        };
        let slot = |lines: &[Mid]| lines.iter().position(|line| *line == data.mid);
        let codec = match data.params.spec().codec {
            Codec::Opus => {
                let slot = slot(&self.audio_lines)?;
                return Some(Sample {
                    source: self.audio_slots.source(slot)?.clone(),
                    stamp: Stamp {
                        generation: self.generation(self.audio_slots.generation(slot)),
                        ..stamp
                    },
                    payload: Payload::Audio(data.data),
                });
            }
            Codec::H264 => VideoCodec::H264,
            Codec::Vp8 => VideoCodec::Vp8,
            Codec::Vp9 => VideoCodec::Vp9,
            Codec::Av1 => VideoCodec::Av1,
            _ => return None,
        };
        let slot = slot(&self.video_lines)?;
        let video = self.video_slots.source(slot)?.clone();
        let (is_key, contiguous) = (data.is_keyframe(), data.contiguous && undamaged);
        let rotation = data.ext_vals.video_orientation.map(to_upright);
        let payload = Payload::Video(CodedVideo {
            codec,
            data: data.data,
            is_key,
            contiguous,
            rotation,
        });
        Some(Sample {
            source: video,
            stamp: Stamp {
                generation: self.generation(self.video_slots.generation(slot)),
                ..stamp
            },
            payload,
        })
    }

    /// A number for the RTP clock of a slot since it was given to its source.
    fn generation(&self, slot: u64) -> u64 {
        self.session << 32 | slot
    }
}

/// The first UDP address that an answer names.
///
/// Errors: [`ReceiverError::NoCandidate`].
pub fn first_address(answer: &str) -> Result<SocketAddr, ReceiverError> {
    let address = |line: &str| {
        // candidate-attribute of RFC 8839 §5.1: foundation, component, transport, priority, address, port.
        let mut words = line.strip_prefix("a=candidate:")?.split_ascii_whitespace().skip(2);
        let udp = words.next()?.eq_ignore_ascii_case("udp");
        let ip: IpAddr = words.nth(1)?.parse().ok()?;
        let port: u16 = words.next()?.parse().ok()?;
        udp.then_some(SocketAddr::new(ip, port))
    };
    answer.lines().find_map(address).ok_or(ReceiverError::NoCandidate)
}

/// How to turn a frame upright. str0m names how the frame lies; the wire's number counts the quarter turns clockwise that put it
/// right. Source: 3GPP TS 26.114 §7.4.5.
fn to_upright(orientation: VideoOrientation) -> Rotation {
    match orientation {
        VideoOrientation::Deg0 => Rotation::None,
        VideoOrientation::Deg270 => Rotation::Clockwise90,
        VideoOrientation::Deg180 => Rotation::Half,
        VideoOrientation::Deg90 => Rotation::Clockwise270,
    }
}

fn micros_between(origin: Instant, at: Instant) -> Micros {
    match at.checked_duration_since(origin) {
        Some(after) => after.as_micros() as Micros,
        None => -(origin.saturating_duration_since(at).as_micros() as Micros),
    }
}

fn unix_micros(at: SystemTime) -> Micros {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_micros() as Micros,
        Err(before) => -(before.duration().as_micros() as Micros),
    }
}

#[cfg(test)]
mod tests;
