//! One member's (or service's) WebRTC session: its transport, its uplink and its downlink.

mod answer;
mod constrained_high;
pub mod custom_messages;
pub mod dtls_keys;
pub mod measured;
pub mod quality;
mod transport;

use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::payload_types;
use rotunda_proto::sfu::{Client, ControlError, Lines};
use str0m::change::SdpOffer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::rtp::Ssrc;
use str0m::{Candidate, Rtc};

use crate::downlink::Downlink;
use crate::downlink::slot::Slot;
use crate::ingress::uplink::Uplink;
use crate::wire::rtp::dependency_extension;
use crate::wire::srtp;
use constrained_high::AsHigh;
use custom_messages::CustomMessages;
use measured::Measured;
use transport::Transport;

/// Bytes that a client may send in one message on a data channel: more than is permitted, so that the limit has its named
/// error, and less than would cost memory.
const MAX_CHANNEL_MESSAGE: u32 = 4096;

/// Free among the ids that `str0m` begins with; the offer's own id is taken.
const DEPENDENCY_ID: u8 = 12;

pub struct Session {
    id: SessionId,
    room: RoomKey,
    /// None: a service.
    user: Option<UserId>,
    client: Client,
    /// Later openings of a node have larger ones.
    serial: u64,
    lines: Lines,
    offers_channels: bool,
    next_tick: Instant,
    pub transport: Transport,
    pub uplink: Uplink,
    pub downlink: Downlink,
    pub measured: Measured,
    pub messages: CustomMessages,
}

/// A session that is to be made.
pub struct Opening {
    pub id: SessionId,
    pub room: RoomKey,
    /// None: a service.
    pub user: Option<UserId>,
    /// Later openings have larger ones.
    pub serial: u64,
    pub client: Client,
    pub offer: String,
    pub lines: Lines,
    /// Random: the slots' first sequence numbers.
    pub seed: u64,
}

impl Session {
    /// Answers the one offer. This takes milliseconds, so it is not done where packets are forwarded.
    pub fn open(now: Instant, opening: Opening, candidates: &[Candidate]) -> Result<(Self, String), ControlError> {
        let Opening {
            id,
            room,
            user,
            serial,
            client,
            offer,
            lines,
            seed,
        } = opening;
        let audio_nack = answer::asks_for_audio_nack(&offer);
        let mut rtc = build(now, audio_nack);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = accept(&mut rtc, &offer)?;
        let sources = send_lines(&rtc, &lines)?;
        let slots = receive_lines(&mut rtc, &lines, seed)?;
        let transport = Transport::new(now, rtc);
        let ids = match (slots.first(), slots.last()) {
            (Some(first), Some(last)) => transport.extension_ids(*first.mid(), *last.mid()),
            _ => Default::default(),
        };
        let mut downlink = Downlink::new(now, slots, ids);
        if audio_nack {
            downlink.keep_audio();
        }
        let answer = answer::finish(&answer, &offer, &lines);
        let offers_channels = offer.lines().any(|line| line.starts_with("m=application "));
        let session = Self {
            id,
            room,
            user,
            client,
            serial,
            lines,
            offers_channels,
            next_tick: now,
            transport,
            uplink: Uplink::new(now, sources, audio_nack),
            downlink,
            measured: Measured::default(),
            messages: CustomMessages::new(now),
        };
        Ok((session, answer))
    }

    /// Answers a second offer (ICE restart) with the same streams.
    pub fn restart(&mut self, offer: &str) -> Result<String, ControlError> {
        let rtc = self.transport.rtc();
        // A line without a stream would get new SSRCs: all streams are declared before, and removed again after.
        for slot in self.downlink.slots() {
            rtc.direct_api()
                .declare_stream_tx(slot.ssrc(), slot.rtx_ssrc(), *slot.mid(), None);
        }
        let answer = accept(rtc, offer);
        for slot in self.downlink.slots() {
            rtc.direct_api().remove_stream_tx(slot.ssrc());
        }
        let answer = answer?;
        self.transport.handle_restart();
        Ok(answer::finish(&answer, offer, &self.lines))
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    pub fn room(&self) -> &RoomKey {
        &self.room
    }

    /// None: a service.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    pub fn client(&self) -> Client {
        self.client
    }

    /// Whether the client's offer has a line for data channels (RFC 8841).
    pub fn offers_channels(&self) -> bool {
        self.offers_channels
    }

    /// Later openings of a node have larger ones.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// When the session is next due: a tick, or a deadline of `str0m`.
    pub fn due(&self) -> Instant {
        self.transport.next_timeout().min(self.next_tick)
    }

    /// Whether a tick is due, and the next one is `interval` later.
    pub fn poll_tick(&mut self, now: Instant, interval: Duration) -> bool {
        let due = self.next_tick <= now;
        if due {
            self.next_tick = now + interval;
        }
        due
    }

    /// Takes the keys that the handshake has just given.
    pub fn take_keys(&mut self, material: &srtp::Material) -> Result<(), srtp::SrtpError> {
        let provider = dtls_keys::srtp_provider();
        let sender = srtp::Sender::new(provider, material)?;
        let receiver = srtp::Receiver::new(provider, material)?;
        self.downlink.set_keys(sender, receiver);
        Ok(())
    }
}

fn build(now: Instant, audio_nack: bool) -> Box<Rtc> {
    let mut config = Rtc::builder()
        .set_crypto_provider(dtls_keys::crypto_provider())
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .set_sctp_max_message_size(MAX_CHANNEL_MESSAGE)
        .set_stats_interval(Some(measured::INTERVAL))
        .clear_codecs()
        .enable_opus(true, true)
        .enable_vp8(true)
        .enable_h264(true)
        .enable_vp9(true)
        .enable_av1(true)
        .enable_h265(true)
        .set_extension(DEPENDENCY_ID, dependency_extension());
    if audio_nack {
        config
            .codec_config()
            .iter_mut()
            .for_each(|params| params.set_fb_nack(true));
    }
    if let Some(certificate) = dtls_keys::certificate() {
        config = config.set_dtls_cert(certificate);
    }
    Box::new(config.build(now))
}

/// Checks the lines that the client sends on against the offer.
fn send_lines(rtc: &Rtc, lines: &Lines) -> Result<HashMap<Mid, TrackSource>, ControlError> {
    let named = [
        (&lines.microphone, TrackSource::Audio),
        (&lines.camera, TrackSource::Camera),
        (&lines.screen, TrackSource::Screen),
    ];
    let mut sources = HashMap::new();
    for (mid, source) in named {
        if let Some(mid) = mid {
            let kind = if source.is_video() {
                MediaKind::Video
            } else {
                MediaKind::Audio
            };
            sources.insert(line(rtc, mid, kind, Direction::RecvOnly)?, source);
        }
    }
    Ok(sources)
}

/// Checks the lines of the slots against the offer, notes their SSRCs and takes the streams away from `str0m`: slots send by
/// themselves.
fn receive_lines(rtc: &mut Rtc, lines: &Lines, seed: u64) -> Result<Vec<Slot>, ControlError> {
    let mut slots = Vec::with_capacity(lines.audio.len() + lines.video.len());
    for (kind, mids) in [(MediaKind::Audio, &lines.audio), (MediaKind::Video, &lines.video)] {
        for mid in mids {
            let mid = line(rtc, mid, kind, Direction::SendOnly)?;
            let mut api = rtc.direct_api();
            let missing = || ControlError::NoSuchLine { mid: mid.to_string() };
            let stream = api.stream_tx_by_mid(mid, None).ok_or_else(missing)?;
            let (ssrc, rtx): (Ssrc, Option<Ssrc>) = (stream.ssrc(), stream.rtx());
            api.remove_stream_tx(ssrc);
            let random = (seed >> 16) as u32 ^ *ssrc;
            slots.push(Slot::new(mid, kind, ssrc, rtx, random));
        }
    }
    Ok(slots)
}

/// `direction`: of this side, the mirror of the client's.
fn line(rtc: &Rtc, name: &str, kind: MediaKind, direction: Direction) -> Result<Mid, ControlError> {
    let mid = Mid::from(name);
    let found = rtc.media(mid).filter(|media| media.kind() == kind);
    let fits = found.is_some_and(|media| match direction {
        Direction::RecvOnly => media.direction().is_receiving(),
        _ => media.direction().is_sending(),
    });
    // `Mid` cuts long names; a cut name is not the line that was meant.
    if fits && mid.to_string() == name {
        Ok(mid)
    } else {
        Err(ControlError::NoSuchLine { mid: name.to_owned() })
    }
}

fn accept(rtc: &mut Rtc, offer: &str) -> Result<String, ControlError> {
    let bad_sdp = |reason: String| ControlError::BadSdp { reason };
    payload_types::check(offer).map_err(|error| bad_sdp(error.to_string()))?;
    let shown = AsHigh::new(offer);
    let offer = SdpOffer::from_sdp_string(&shown.offer).map_err(|error| bad_sdp(error.to_string()))?;
    let answer = rtc.sdp_api().accept_offer(offer);
    let answer = answer.map_err(|error| bad_sdp(error.to_string()))?;
    Ok(shown.answer(&answer.to_sdp_string()))
}

#[cfg(test)]
mod tests;
