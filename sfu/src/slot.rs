//! A receive line of a viewer: one continuous RTP stream, whatever source it shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{SessionId, TrackSource, UserId};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Pt};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, Ssrc, Vp8Descriptor, Vp8Patch};

use crate::keyframe;

/// A key frame that does not come is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What a slot is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    pub user: UserId,
    pub source: TrackSource,
    pub max_height: Option<u16>,
}

/// One RTP stream of a publisher (one simulcast layer, where there are several).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub session: SessionId,
    pub ssrc: Ssrc,
}

/// The state machine of a slot. Empty -> Waiting (wanted) -> Flowing (first packet of a key frame) -> Empty (not wanted).
#[derive(Debug)]
enum Forwarding {
    /// Nothing is wanted.
    Empty,
    /// Wanted, and nothing decodable has come yet.
    Waiting,
    Flowing(Flow),
}

/// How a flowing source's numbers become the slot's.
#[derive(Debug)]
struct Flow {
    from: StreamKey,
    pt: Pt,
    codec: Codec,
    /// Source and slot sequence number of the first forwarded packet.
    first_seq: [u64; 2],
    /// Source and slot timestamp of it.
    first_time: [u32; 2],
    /// Source and slot VP8 picture id of it.
    first_picture: [u16; 2],
    /// Source and slot TL0PICIDX of it.
    first_tl0: [u8; 2],
}

/// What was written last; the next source goes on from there.
#[derive(Debug)]
struct Written {
    next_seq: u64,
    time: u32,
    at: Option<Instant>,
    picture: u16,
    tl0: u8,
}

#[derive(Debug)]
pub struct Slot {
    pub mid: Mid,
    pub ssrc: Ssrc,
    pub rtx: Option<Ssrc>,
    /// Declared to str0m: only from the first packet on, as a stream that never sent draws padding and sends reports
    /// with RTP time 0 that spoil the viewer's clock.
    pub declared: bool,
    want: Option<Want>,
    state: Forwarding,
    written: Written,
    asked_at: Option<Instant>,
}

impl Slot {
    /// `first_seq`: a random number; only 15 bits are used, so that the first has no rollover (RFC 3711 §3.3.1).
    pub fn new(mid: Mid, ssrc: Ssrc, rtx: Option<Ssrc>, first_seq: u16) -> Self {
        let written = Written {
            next_seq: u64::from(first_seq & 0x7fff),
            time: 0,
            at: None,
            picture: 0,
            tl0: 0,
        };
        Self {
            mid,
            ssrc,
            rtx,
            declared: false,
            want: None,
            state: Forwarding::Empty,
            written,
            asked_at: None,
        }
    }

    pub fn want(&self) -> Option<&Want> {
        self.want.as_ref()
    }

    /// Shows another source from its next key frame on, or nothing; what was shown before stops at once.
    pub fn set_want(&mut self, want: Option<Want>) {
        let source = |want: &Option<Want>| want.as_ref().map(|want| (want.user.clone(), want.source));
        if source(&want) != source(&self.want) {
            self.state = if want.is_some() {
                Forwarding::Waiting
            } else {
                Forwarding::Empty
            };
            self.asked_at = None;
        }
        self.want = want;
    }

    /// What flows now.
    pub fn flowing(&self) -> Option<StreamKey> {
        match &self.state {
            Forwarding::Flowing(flow) => Some(flow.from),
            _ => None,
        }
    }

    /// The source has ended or may not be sent any more.
    pub fn source_gone(&mut self, session: SessionId) {
        if self.flowing().is_some_and(|from| from.session == session) {
            // Flowing => Waiting: it may come back.
            self.state = Forwarding::Waiting;
        }
    }

    /// Whether the source should be asked for a key frame now: this slot waits for one and has not asked lately.
    pub fn ask_for_keyframe(&mut self, now: Instant, best: StreamKey) -> bool {
        let waits = self.flowing() != Some(best);
        let due = self
            .asked_at
            .is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN);
        if waits && due {
            self.asked_at = Some(now);
        }
        waits && due
    }

    /// Whether this packet must be looked at: it is of the flowing stream, or may begin the flow of the best one.
    pub fn takes(&self, from: StreamKey, best: StreamKey, codec: Codec, payload: &[u8]) -> Take {
        match &self.state {
            Forwarding::Flowing(flow) if flow.from == from && flow.codec == codec => Take::Forward,
            _ if from == best && keyframe::starts(codec, payload) => Take::Switch,
            _ => Take::Leave,
        }
    }

    /// Waiting | Flowing(other) => Flowing(from): this packet will be the first.
    pub fn switch(&mut self, from: StreamKey, packet: &RtpPacket, params: &PayloadParams, pt: Pt) {
        let spec = params.spec();
        // The step of time is the time that went by, at least a packet's worth of sound: less would make the receiver
        // drop the packet or hurry.
        let least = if spec.codec.is_audio() { 960 } else { 1 };
        let step = self.written.at.map_or(0, |at| {
            let elapsed = packet.timestamp.saturating_duration_since(at).as_secs_f64();
            ((elapsed * f64::from(spec.clock_rate.get())) as u32).max(least)
        });
        let (picture, tl0) = vp8_fields(spec.codec, &packet.payload);
        self.state = Forwarding::Flowing(Flow {
            from,
            pt,
            codec: spec.codec,
            first_seq: [*packet.seq_no, self.written.next_seq],
            first_time: [packet.header.timestamp, self.written.time.wrapping_add(step)],
            first_picture: [picture, self.written.picture.wrapping_add(1)],
            first_tl0: [tl0, self.written.tl0.wrapping_add(1)],
        });
    }

    /// The packet as this slot sends it; None for one from before the switch (a late resend), or when nothing flows.
    pub fn rewrite(&mut self, packet: &RtpPacket, captured: Instant) -> Option<RtpWrite> {
        let Forwarding::Flowing(flow) = &self.state else {
            return None;
        };
        let seq = packet.seq_no.checked_sub(flow.first_seq[0])? + flow.first_seq[1];
        let time = packet
            .header
            .timestamp
            .wrapping_sub(flow.first_time[0])
            .wrapping_add(flow.first_time[1]);
        let is_video = flow.codec.is_video();
        let patch = if flow.codec == Codec::Vp8 {
            vp8_patch(flow, &mut self.written, &packet.payload)
        } else {
            None
        };
        if seq >= self.written.next_seq {
            self.written.next_seq = seq + 1;
            self.written.time = time;
            self.written.at = Some(packet.timestamp);
        }
        // Never the source's whole set: it carries the source's mid, rid and transport-wide number.
        let source = &packet.header.ext_vals;
        let ext_vals = ExtensionValues {
            audio_level: source.audio_level,
            voice_activity: source.voice_activity,
            video_orientation: source.video_orientation,
            ..ExtensionValues::default()
        };
        let write = RtpWrite::new(flow.pt, seq.into(), time, captured, Arc::clone(&packet.payload))
            .marker(packet.header.marker)
            .nackable(is_video)
            .ext_vals(ext_vals);
        Some(match patch {
            Some(patch) => write.vp8_patch(patch),
            None => write,
        })
    }
}

/// What a slot does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Forward,
    Switch,
    Leave,
}

fn vp8_fields(codec: Codec, payload: &[u8]) -> (u16, u8) {
    if codec != Codec::Vp8 {
        return (0, 0);
    }
    match Vp8Descriptor::parse(payload) {
        Ok(descriptor) => (
            descriptor.picture_id().unwrap_or(0),
            descriptor.tl0_pic_idx().unwrap_or(0),
        ),
        Err(_) => (0, 0),
    }
}

/// Continuous picture ids and TL0PICIDX (RFC 7741 §4.2). None where the packet has no such field, or one too short.
fn vp8_patch(flow: &Flow, written: &mut Written, payload: &[u8]) -> Option<Vp8Patch> {
    let descriptor = Vp8Descriptor::parse(payload).ok()?;
    let mut patch = descriptor.patch();
    if let Some(picture) = descriptor.picture_id() {
        let picture = picture
            .wrapping_sub(flow.first_picture[0])
            .wrapping_add(flow.first_picture[1])
            & 0x7fff;
        // Late resends do not turn the clock back: half of the 15-bit circle is "before".
        if picture.wrapping_sub(written.picture) & 0x7fff < 0x4000 {
            written.picture = picture;
        }
        patch = patch.picture_id(picture);
    }
    if let Some(tl0) = descriptor.tl0_pic_idx() {
        let tl0 = tl0.wrapping_sub(flow.first_tl0[0]).wrapping_add(flow.first_tl0[1]);
        if tl0.wrapping_sub(written.tl0) < 0x80 {
            written.tl0 = tl0;
        }
        patch = patch.tl0_pic_idx(tl0);
    }
    patch.build().ok()
}
