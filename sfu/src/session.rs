//! One member's (or service's) WebRTC session: its lines, what it may send, its receive slots.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use rotunda_proto::ids::{RoomKey, SessionId, TrackSource, UserId};
use rotunda_proto::sfu::{Client, ControlError, Lines, Loudest, SlotMap};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid};
use str0m::rtp::Ssrc;
use str0m::{Candidate, Rtc};

use crate::answer;
use crate::capture_clock::CaptureClock;
use crate::custom_messages::CustomMessages;
use crate::dtls_keys;
use crate::egress::Egress;
use crate::packet::StreamId;
use crate::protection::Protection;
use crate::slot::{PayloadTypes, Slot, Want};
use crate::srtp;
use crate::wire::rtp::{ExtensionIds, dependency_extension};
use crate::worker::statistics::{self, Measured};

/// Bytes that a client may send in one message on a data channel: more than is permitted, so that the limit has its named
/// error, and less than what would cost memory.
const MAX_CHANNEL_MESSAGE: u32 = 4096;

/// Free among the ids that `str0m` begins with; the offer's own one is taken.
const DEPENDENCY_ID: u8 = 12;

pub struct Session {
    pub id: SessionId,
    pub room: RoomKey,
    /// None: a service.
    pub user: Option<UserId>,
    pub client: Client,
    /// Apart, as it is large: what forwarding looks at lies closer together.
    pub rtc: Box<Rtc>,
    pub started: Instant,
    pub connected: bool,
    /// Where the peer has proved to be, oldest first.
    pub addresses: VecDeque<SocketAddr>,
    /// By a second offer, and no check of it has come yet that nominates.
    pub restarted: bool,
    /// When the peer last sent something authentic: an ICE check, RTP or RTCP.
    pub heard_at: Instant,
    pub ice_password: String,
    pub next_timeout: Instant,
    pub next_tick: Instant,
    /// When its layers are looked at next.
    pub layers_at: Instant,
    /// The sound slots, then the picture slots.
    pub slots: Vec<Slot>,
    pub egress: Egress,
    /// Opens the viewer's feedback.
    pub feedback: Option<srtp::Receiver>,
    pub protection: Protection,
    /// From the viewer's reports, smoothed; None: he has sent none that says it.
    pub round_trip: Option<Duration>,
    /// What all that the viewer watches would take in the best quality, bits a second.
    pub wanted: u64,
    pub measured: Measured,
    pub messages: CustomMessages,
    pub flush: Flush,
    /// Tracks by source, made with the session.
    pub tracks: HashMap<TrackSource, usize>,
    pub sources: HashMap<Mid, TrackSource>,
    pub streams: HashMap<Ssrc, StreamId>,
    pub clock: CaptureClock,
    /// The client sends missed sound again, and asks for what it misses.
    pub sound_again: bool,
    /// Counts the openings of a node.
    pub serial: u64,
    /// Other workers may know of his tracks.
    pub announced: bool,
    /// Set: the sound slots carry the room's loudest voices.
    pub loudest: Option<Loudest>,
    ingress: BTreeSet<TrackSource>,
    audio_slots: usize,
    lines: Lines,
}

/// Whether a session waits for its turn to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    Idle,
    /// In the line of those that wait for more packets of the same moment.
    Waiting,
    /// In the line of those to be sent now.
    Ready,
}

/// Who makes a session, and where.
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
    /// Answers the one offer. Takes milliseconds, so it is not done where packets are forwarded.
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
        let mut config = Rtc::builder()
            .set_crypto_provider(dtls_keys::crypto_provider())
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_sctp_max_message_size(MAX_CHANNEL_MESSAGE)
            .set_stats_interval(Some(statistics::INTERVAL))
            .clear_codecs()
            .enable_opus(true, true)
            .enable_vp8(true)
            .enable_h264(true)
            .enable_vp9(true)
            .enable_av1(true)
            .enable_h265(true)
            .set_extension(DEPENDENCY_ID, dependency_extension());
        let sound_again = answer::asks_for_sound_again(&offer);
        if sound_again {
            config
                .codec_config()
                .iter_mut()
                .for_each(|params| params.set_fb_nack(true));
        }
        if let Some(certificate) = dtls_keys::certificate() {
            config = config.set_dtls_cert(certificate);
        }
        let mut rtc = Box::new(config.build(now));
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let answer = answer::candidates_in_bundle(&accept(&mut rtc, &offer)?.to_sdp_string());
        let mut session = Self {
            id,
            room,
            user,
            client,
            rtc,
            started: now,
            connected: false,
            addresses: VecDeque::new(),
            restarted: false,
            heard_at: now,
            ice_password: String::new(),
            next_timeout: now,
            next_tick: now,
            layers_at: now,
            slots: Vec::new(),
            egress: Egress::new(now, ExtensionIds::default()),
            feedback: None,
            protection: Protection::default(),
            round_trip: None,
            wanted: 0,
            measured: Measured::default(),
            messages: CustomMessages::new(now),
            flush: Flush::Idle,
            tracks: HashMap::new(),
            sources: HashMap::new(),
            streams: HashMap::new(),
            clock: CaptureClock::default(),
            serial,
            announced: false,
            sound_again,
            loudest: None,
            ingress: BTreeSet::new(),
            audio_slots: 0,
            lines,
        };
        session.take_lines(seed)?;
        session.ice_password = session.rtc.direct_api().local_ice_credentials().pass;
        if let Some(media) = session.slots.first().and_then(|slot| session.rtc.media(slot.mid)) {
            // One map for the whole bundle (RFC 8843 §9.2), of which a line has its part.
            let mut ids = ExtensionIds::of(media.remote_extmap());
            if let Some(video) = session.slots.last().and_then(|slot| session.rtc.media(slot.mid)) {
                let more = ExtensionIds::of(video.remote_extmap());
                ids.orientation = ids.orientation.or(more.orientation);
                ids.transport_sequence = ids.transport_sequence.or(more.transport_sequence);
                ids.dependency = more.dependency;
            }
            session.egress = Egress::new(now, ids);
        }
        if session.sound_again {
            session.egress.keep_sound();
        }
        let answer = answer::pair_slots(&answer, &session.lines);
        Ok((session, answer::stereo(&answer, &offer)))
    }

    /// Answers a second offer (ICE restart) with the same streams.
    pub fn restart(&mut self, offer: &str) -> Result<String, ControlError> {
        // Lines without a stream would get new SSRCs: all are declared before, and removed again after.
        for slot in &self.slots {
            let rtx = slot.rtx_ssrc.map(Ssrc::from);
            self.rtc
                .direct_api()
                .declare_stream_tx(slot.ssrc.into(), rtx, slot.mid, None);
        }
        let answer = accept(&mut self.rtc, offer);
        for slot in &self.slots {
            self.rtc.direct_api().remove_stream_tx(slot.ssrc.into());
        }
        let answer = answer::candidates_in_bundle(&answer?.to_sdp_string());
        self.ice_password = self.rtc.direct_api().local_ice_credentials().pass;
        self.restarted = true;
        let answer = answer::pair_slots(&answer, &self.lines);
        Ok(answer::stereo(&answer, offer))
    }

    /// What the peer shows in its ICE requests to mean this session.
    pub fn ice_name(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Checks the named lines against the offer, notes each slot's SSRCs and takes the streams away from `str0m`: slots
    /// are sent by [`Egress`].
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
        self.audio_slots = lines.audio.len();
        for (kind, mids) in [(MediaKind::Audio, lines.audio), (MediaKind::Video, lines.video)] {
            for mid in mids {
                let mid = self.line(&mid, kind, Direction::SendOnly)?;
                let mut api = self.rtc.direct_api();
                let missing = || ControlError::NoSuchLine { mid: mid.to_string() };
                let stream = api.stream_tx_by_mid(mid, None).ok_or_else(missing)?;
                let (ssrc, rtx) = (stream.ssrc(), stream.rtx());
                api.remove_stream_tx(ssrc);
                let first_seq = (seed >> 16) as u32 ^ *ssrc;
                self.slots
                    .push(Slot::new(mid, kind, *ssrc, rtx.map(|rtx| *rtx), first_seq));
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

    pub fn may_send(&self, source: TrackSource) -> bool {
        self.ingress.contains(&source)
    }

    pub fn set_slots(&mut self, map: &SlotMap) {
        self.loudest.clone_from(&map.loudest);
        if map.loudest.is_none() {
            self.set_voices(&map.audio);
        }
        let (_, video) = self.slots.split_at_mut(self.audio_slots);
        for (index, slot) in video.iter_mut().enumerate() {
            let want = map.video.get(index).cloned().flatten();
            slot.set_want(want.map(|want| Want {
                user: want.user,
                source: want.source,
                max_height: want.max_height,
            }));
        }
    }

    /// Whom the sound slots carry.
    pub fn set_voices(&mut self, voices: &[Option<UserId>]) {
        for (index, slot) in self.slots.iter_mut().take(self.audio_slots).enumerate() {
            let user = voices.get(index).cloned().flatten();
            slot.set_want(user.map(|user| Want {
                user,
                source: TrackSource::Audio,
                max_height: None,
            }));
        }
    }

    /// The sound slots, and after them the picture slots.
    pub fn slots_by_kind(&self) -> (&[Slot], &[Slot]) {
        self.slots.split_at(self.audio_slots)
    }

    pub fn handle_round_trip(&mut self, sample: Option<Duration>) {
        if let Some(sample) = sample {
            self.round_trip = Some(self.round_trip.map_or(sample, |before| (before * 3 + sample) / 4));
        }
    }

    /// The sender's first and repeated packets name its line; the stream knows it for all.
    pub fn line_of(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        let mut api = self.rtc.direct_api();
        api.stream_rx(&ssrc).map(|stream| (stream.mid(), stream.rid()))
    }

    pub fn request_keyframe(&mut self, mid: Mid, rid: Option<Rid>) {
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(mid, rid) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// The payload types under which this viewer takes a source's codec on this line; None: he cannot decode it.
    pub fn payload_types(&self, mid: Mid, params: PayloadParams) -> Option<PayloadTypes> {
        let ours = self.rtc.codec_config().match_params(params)?;
        let taken = self.rtc.media(mid)?.remote_pts();
        taken.contains(&ours.pt()).then(|| PayloadTypes {
            media: *ours.pt(),
            resend: ours.resend().map(|pt| *pt),
            // Known to `str0m` when the viewer has offered it; it is not among the line's types.
            red: ours.red().map(|pt| *pt),
            // The others say in their payload what their decoders need.
            dependency: ours.spec().codec == Codec::Av1,
        })
    }

    /// The slot that sends with this SSRC.
    pub fn slot_of(&self, ssrc: u32) -> Option<usize> {
        self.slots.iter().position(|slot| slot.ssrc == ssrc)
    }

    /// Takes the keys that the handshake has just given.
    pub fn take_keys(&mut self, material: &srtp::Material) -> Result<(), srtp::SrtpError> {
        let provider = dtls_keys::srtp_provider();
        self.egress.set_keys(srtp::Sender::new(provider, material)?);
        self.feedback = Some(srtp::Receiver::new(provider, material)?);
        Ok(())
    }
}

fn accept(rtc: &mut Rtc, offer: &str) -> Result<SdpAnswer, ControlError> {
    let bad_sdp = |reason: String| ControlError::BadSdp { reason };
    let offer = SdpOffer::from_sdp_string(offer).map_err(|error| bad_sdp(error.to_string()))?;
    rtc.sdp_api()
        .accept_offer(offer)
        .map_err(|error| bad_sdp(error.to_string()))
}

#[cfg(test)]
mod tests;
