//! One member's (or service's) WebRTC session: its lines, what it may send, its receive slots.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{ControlError, Lines, SlotMap};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid};
use str0m::rtp::{RtpPacket, RtpWrite, Ssrc};
use str0m::{Candidate, Rtc};

use crate::answer;
use crate::capture_clock::CaptureClock;
use crate::slot::{Slot, Want};

/// Resends are kept this long and this many, and may take up to half of what a stream sends.
const RESEND_PACKETS: usize = 1024;
const RESEND_AGE: Duration = Duration::from_secs(3);
const RESEND_SHARE: f32 = 0.5;
/// At most one key frame request in this time reaches the publisher, however many viewers ask.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// A simulcast layer that has sent nothing for this time is not one to switch to.
const LAYER_STALL: Duration = Duration::from_secs(1);

pub struct Session {
    pub id: SessionId,
    pub room: RoomKey,
    /// None: a service.
    pub user: Option<UserId>,
    pub rtc: Rtc,
    pub started: Instant,
    pub connected: bool,
    pub next_timeout: Instant,
    /// Something was written or asked: poll it this turn.
    pub dirty: bool,
    pub audio: Vec<Slot>,
    pub video: Vec<Slot>,
    ingress: BTreeSet<TrackSource>,
    sources: HashMap<Mid, TrackSource>,
    streams: HashMap<Ssrc, Stream>,
    clock: CaptureClock,
    lines: Lines,
}

/// A stream that this session sends to us.
struct Stream {
    mid: Mid,
    rid: Option<Rid>,
    source: TrackSource,
    last_packet: Instant,
    last_asked: Option<Instant>,
    height: Option<u16>,
}

/// An incoming packet that may be forwarded, with all that slots need to know of it.
pub struct Ingress {
    pub packet: RtpPacket,
    pub source: TrackSource,
    pub params: PayloadParams,
    pub captured: Instant,
}

/// Who makes a session, and where.
pub struct Opening<'a> {
    pub id: SessionId,
    pub room: RoomKey,
    /// None: a service.
    pub user: Option<UserId>,
    pub offer: &'a str,
    pub lines: Lines,
}

impl Session {
    /// Answers the one offer. `seed` gives the slots' first sequence numbers.
    pub fn open(
        now: Instant,
        opening: Opening<'_>,
        candidates: &[Candidate],
        seed: u64,
    ) -> Result<(Self, String), ControlError> {
        let Opening {
            id,
            room,
            user,
            offer,
            lines,
        } = opening;
        let bad_sdp = |reason: String| ControlError::BadSdp { reason };
        let offer = str0m::change::SdpOffer::from_sdp_string(offer).map_err(|error| bad_sdp(error.to_string()))?;
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            // Browsers need two reports before sound and picture are in sync: 1 s instead of 5.
            .set_rtcp_report_interval_audio(Duration::from_secs(1))
            .build(now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|error| bad_sdp(error.to_string()))?
            .to_sdp_string();
        let mut session = Self {
            id,
            room,
            user,
            rtc,
            started: now,
            connected: false,
            next_timeout: now,
            dirty: true,
            audio: Vec::new(),
            video: Vec::new(),
            ingress: BTreeSet::new(),
            sources: HashMap::new(),
            streams: HashMap::new(),
            clock: CaptureClock::default(),
            lines,
        };
        session.take_lines(seed)?;
        let answer = answer::pair_slots(&answer, &session.lines);
        Ok((session, answer))
    }

    /// Answers a second offer (ICE restart) with the same streams.
    pub fn restart(&mut self, offer: &str) -> Result<String, ControlError> {
        let bad_sdp = |reason: String| ControlError::BadSdp { reason };
        let offer = str0m::change::SdpOffer::from_sdp_string(offer).map_err(|error| bad_sdp(error.to_string()))?;
        // Lines without a stream would get new SSRCs: all are declared before, and the unused removed again after.
        for slot in self.audio.iter().chain(&self.video) {
            self.rtc
                .direct_api()
                .declare_stream_tx(slot.ssrc, slot.rtx, slot.mid, None);
        }
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .map_err(|error| bad_sdp(error.to_string()));
        for slot in self.audio.iter().chain(&self.video).filter(|slot| !slot.declared) {
            self.rtc.direct_api().remove_stream_tx(slot.ssrc);
        }
        self.dirty = true;
        Ok(answer::pair_slots(&answer?.to_sdp_string(), &self.lines))
    }

    /// Checks the named lines against the offer, notes each slot's SSRCs and takes the streams away again until they are
    /// first used.
    fn take_lines(&mut self, seed: u64) -> Result<(), ControlError> {
        let lines = self.lines.clone();
        let sends = [
            (lines.microphone, TrackSource::Audio),
            (lines.camera, TrackSource::Camera),
            (lines.screen, TrackSource::Screen),
        ];
        for (mid, source) in sends {
            if let Some(mid) = mid {
                let kind = if source.is_video() {
                    MediaKind::Video
                } else {
                    MediaKind::Audio
                };
                let mid = self.line(&mid, kind, Direction::RecvOnly)?;
                self.sources.insert(mid, source);
            }
        }
        for (kind, mids) in [(MediaKind::Audio, lines.audio), (MediaKind::Video, lines.video)] {
            for mid in mids {
                let mid = self.line(&mid, kind, Direction::SendOnly)?;
                let mut api = self.rtc.direct_api();
                let missing = || ControlError::NoSuchLine { mid: mid.to_string() };
                let stream = api.stream_tx_by_mid(mid, None).ok_or_else(missing)?;
                let (ssrc, rtx) = (stream.ssrc(), stream.rtx());
                api.remove_stream_tx(ssrc);
                let first_seq = (seed ^ u64::from(*ssrc)) as u16;
                let slot = Slot::new(mid, ssrc, rtx, first_seq);
                match kind {
                    MediaKind::Audio => self.audio.push(slot),
                    MediaKind::Video => self.video.push(slot),
                }
            }
        }
        Ok(())
    }

    /// `direction`: ours, the mirror of the client's.
    fn line(&self, name: &str, kind: MediaKind, direction: Direction) -> Result<Mid, ControlError> {
        let mid = Mid::from(name);
        let found = self.rtc.media(mid).filter(|media| media.kind() == kind);
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

    pub fn set_ingress(&mut self, sources: BTreeSet<TrackSource>) {
        self.ingress = sources;
    }

    pub fn set_slots(&mut self, map: &SlotMap) {
        for (index, slot) in self.audio.iter_mut().enumerate() {
            let user = map.audio.get(index).cloned().flatten();
            slot.set_want(user.map(|user| Want {
                user,
                source: TrackSource::Audio,
                max_height: None,
            }));
        }
        for (index, slot) in self.video.iter_mut().enumerate() {
            let want = map.video.get(index).cloned().flatten();
            slot.set_want(want.map(|want| Want {
                user: want.user,
                source: want.source,
                max_height: want.max_height,
            }));
        }
    }

    /// Looks at an incoming packet: None when it may not be forwarded (unknown line, not permitted, unknown codec).
    pub fn ingress(&mut self, now: Instant, packet: RtpPacket) -> Option<Ingress> {
        let ssrc = packet.header.ssrc;
        if !self.streams.contains_key(&ssrc) {
            // Packets name their line only at first; the stream knows it.
            let mut api = self.rtc.direct_api();
            let (mid, rid) = api.stream_rx(&ssrc).map(|stream| (stream.mid(), stream.rid()))?;
            let source = *self.sources.get(&mid)?;
            let stream = Stream {
                mid,
                rid,
                source,
                last_packet: now,
                last_asked: None,
                height: None,
            };
            self.streams.insert(ssrc, stream);
        }
        let stream = self.streams.get_mut(&ssrc)?;
        stream.last_packet = now;
        let source = stream.source;
        if !self.ingress.contains(&source) {
            return None;
        }
        let params = *self
            .rtc
            .codec_config()
            .find(|params| params.pt() == packet.header.payload_type)?;
        if params.spec().codec == Codec::Vp8
            && let Some(height) = crate::keyframe::vp8_height(&packet.payload)
        {
            stream.height = Some(height);
        }
        let rate = params.spec().clock_rate.get();
        let captured = self
            .clock
            .capture_time(ssrc, packet.header.timestamp, rate, packet.timestamp);
        Some(Ingress {
            packet,
            source,
            params,
            captured,
        })
    }

    pub fn handle_report(&mut self, now: Instant, info: &str0m::rtp::rtcp::SenderInfo) {
        self.clock.handle_report(now, info);
    }

    /// The stream of a source that fits best: the smallest layer that is as high as wanted, else the largest there is.
    pub fn best_stream(&self, now: Instant, source: TrackSource, max_height: Option<u16>) -> Option<Ssrc> {
        if !self.ingress.contains(&source) {
            return None;
        }
        let alive = self.streams.iter().filter(|(_, stream)| {
            stream.source == source && now.saturating_duration_since(stream.last_packet) < LAYER_STALL
        });
        let rank = |stream: &Stream| match stream.rid.as_deref() {
            Some("q") => 0,
            Some("h") => 1,
            _ => 2,
        };
        let fits = |stream: &Stream| match (max_height, stream.height) {
            (Some(wanted), Some(height)) => height >= wanted,
            _ => false,
        };
        let mut layers: Vec<_> = alive.collect();
        layers.sort_by_key(|(ssrc, stream)| (rank(stream), **ssrc));
        let fitting = layers.iter().find(|(_, stream)| fits(stream));
        fitting.or(layers.last()).map(|(ssrc, _)| **ssrc)
    }

    /// Asks the publisher for a key frame, unless it was asked just now. Answers whether it did.
    pub fn request_keyframe(&mut self, now: Instant, ssrc: Ssrc) -> bool {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return false;
        };
        if !stream.source.is_video()
            || stream
                .last_asked
                .is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_REQUEST_INTERVAL)
        {
            return false;
        }
        let (mid, rid) = (stream.mid, stream.rid);
        stream.last_asked = Some(now);
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, rid) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            self.dirty = true;
            return true;
        }
        false
    }

    /// The payload type under which this viewer takes a source's codec on this line.
    pub fn viewer_pt(&self, mid: Mid, params: PayloadParams) -> Option<Pt> {
        let pt = self.rtc.codec_config().match_params(params)?.pt();
        self.rtc.media(mid)?.remote_pts().contains(&pt).then_some(pt)
    }

    /// Sends a rewritten packet on a slot.
    pub fn write(rtc: &mut Rtc, slot: &mut Slot, write: RtpWrite) {
        let mut api = rtc.direct_api();
        if !slot.declared {
            let stream = api.declare_stream_tx(slot.ssrc, slot.rtx, slot.mid, None);
            stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, Some(RESEND_SHARE));
            slot.declared = true;
        }
        if let Some(stream) = api.stream_tx(&slot.ssrc) {
            stream.write_rtp(write);
        }
    }

    /// The slot of a line.
    pub fn slot(&self, mid: Mid) -> Option<&Slot> {
        self.audio.iter().chain(&self.video).find(|slot| slot.mid == mid)
    }
}
