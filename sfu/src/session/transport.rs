//! The transport of a session: ICE, DTLS and what `str0m` does on top of them, and where the peer is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::channel::{Channel, ChannelId};
use str0m::format::{Codec, CodecConfig, PayloadParams};
use str0m::media::{KeyframeRequestKind, Mid, Rid, Rids};
use str0m::rtp::Ssrc;
use str0m::{Input, Output, Rtc, RtcError};

use crate::downlink::slot::PayloadTypes;
use crate::wire::rtp::ExtensionIds;
use crate::wire::stun;

/// Addresses that a session is known by; the oldest is forgotten. A peer has a handful, and a client who has the password of one
/// session must not fill the table for all.
const ADDRESSES: usize = 16;

pub struct Transport {
    /// In a box, as it is large: the fields that forwarding reads lie closer together.
    rtc: Box<Rtc>,
    ice_password: String,
    started: Instant,
    connected: bool,
    /// Where the peer has proved to be, oldest first.
    addresses: VecDeque<SocketAddr>,
    /// There was a second offer, and no nominating check has come since.
    restarted: bool,
    /// When the peer last sent something authentic: an ICE check, RTP or RTCP.
    heard_at: Instant,
    /// The deadline of `str0m`.
    next_timeout: Instant,
}

impl Transport {
    pub fn new(now: Instant, mut rtc: Box<Rtc>) -> Self {
        Self {
            ice_password: rtc.direct_api().local_ice_credentials().pass,
            rtc,
            started: now,
            connected: false,
            addresses: VecDeque::new(),
            restarted: false,
            heard_at: now,
            next_timeout: now,
        }
    }

    pub fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    /// A second offer was answered (ICE restart): the credentials are other ones.
    pub fn handle_restart(&mut self) {
        self.ice_password = self.rtc.direct_api().local_ice_credentials().pass;
        self.restarted = true;
    }

    /// The name by which the peer means this session in its ICE checks.
    pub fn ice_name(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Whether the sender of a STUN message knows the session's ICE password.
    pub fn is_authentic(&self, message: &[u8]) -> bool {
        stun::is_authentic(message, &self.ice_password)
    }
}

/// Whether the peer is there, and where.
impl Transport {
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    pub fn set_connected(&mut self) {
        self.connected = true;
    }

    /// For how long the session has been there.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// The peer has sent something authentic.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// For how long the peer has sent nothing authentic.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard_at)
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().copied()
    }

    /// The peer has proved to be at this address. Answers the one that is forgotten for it.
    pub fn add_address(&mut self, address: SocketAddr) -> Option<SocketAddr> {
        self.addresses.push_back(address);
        (self.addresses.len() > ADDRESSES)
            .then(|| self.addresses.pop_front())
            .flatten()
    }

    /// Whether a nominating check is the first one since a second offer.
    pub fn is_restarted(&self) -> bool {
        self.restarted
    }

    /// A check has nominated the path.
    pub fn handle_nomination(&mut self) {
        self.restarted = false;
    }
}

/// `str0m`, driven.
impl Transport {
    pub fn handle_input(&mut self, input: Input<'_>) -> Result<(), RtcError> {
        self.rtc.handle_input(input)
    }

    pub fn poll_output(&mut self) -> Result<Output, RtcError> {
        self.rtc.poll_output()
    }

    pub fn is_alive(&self) -> bool {
        self.rtc.is_alive()
    }

    pub fn disconnect(&mut self) {
        self.rtc.disconnect();
    }

    pub fn next_timeout(&self) -> Instant {
        self.next_timeout
    }

    pub fn set_next_timeout(&mut self, at: Instant) {
        self.next_timeout = at;
    }

    pub fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        self.rtc.channel(id)
    }
}

/// The negotiated codecs and lines.
impl Transport {
    pub fn codecs(&self) -> &CodecConfig {
        self.rtc.codec_config()
    }

    /// The line of an RTP stream. The first packets of a sender name it, and the stream knows it from then on.
    pub fn line_of(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        let mut api = self.rtc.direct_api();
        api.stream_rx(&ssrc).map(|stream| (stream.mid(), stream.rid()))
    }

    /// `str0m` sends NACKs for this audio stream: it takes a line without an RTX stream for one that cannot retransmit.
    pub fn nack_audio(&mut self, ssrc: Ssrc) {
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc) {
            stream.suppress_nack(false);
        }
    }

    /// Sends a PLI.
    pub fn request_keyframe(&mut self, line: Mid, rid: Option<Rid>) {
        if let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(line, rid) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }

    /// The rids that a line was negotiated with; None: it has no simulcast.
    pub fn rids(&self, line: Mid) -> Option<Vec<Rid>> {
        match self.rtc.media(line)?.rids_rx() {
            Rids::Specific(rids) => Some(rids.to_vec()),
            Rids::None | Rids::Any => None,
        }
    }

    /// The payload types under which the peer takes a source's codec on a line; None: it cannot decode it.
    pub fn payload_types(&self, line: Mid, params: PayloadParams) -> Option<PayloadTypes> {
        let ours = self.rtc.codec_config().match_params(params)?;
        let taken = self.rtc.media(line)?.remote_pts();
        taken.contains(&ours.pt()).then(|| PayloadTypes {
            media: *ours.pt(),
            rtx: ours.resend().map(|pt| *pt),
            // `str0m` knows it if the peer has offered it; it is not among the line's types.
            red: ours.red().map(|pt| *pt),
            // The payloads of other codecs say what their decoders need.
            dependency: ours.spec().codec == Codec::Av1,
        })
    }

    /// Ids of the header extensions on the lines of a peer's slots. They are one map for the whole bundle (RFC 8843 §9.2), of which
    /// each line has a part.
    pub fn extension_ids(&self, audio: Mid, video: Mid) -> ExtensionIds {
        let ids = |line: Mid| {
            self.rtc
                .media(line)
                .map(|media| ExtensionIds::of(media.remote_extmap()))
        };
        let mut all = ids(audio).unwrap_or_default();
        if let Some(more) = ids(video) {
            all.orientation = all.orientation.or(more.orientation);
            all.transport_sequence = all.transport_sequence.or(more.transport_sequence);
            all.dependency = more.dependency;
        }
        all
    }
}
