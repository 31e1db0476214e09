//! Entry points for fuzzing: each reader of network bytes of this crate, by name. Compiled for tests, which replay the saved
//! inputs, and with the feature `fuzzing`.

use std::cell::RefCell;
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SessionId;
use rotunda_proto::sfu::{Client, Lines, MAX_SLOTS};
use str0m::Candidate;
use str0m::crypto::dtls::SrtpProfile;
use str0m::format::Codec;
use str0m::net::Protocol;

use crate::link::datagram;
use crate::link::testing::pair;
use crate::session::dtls_keys;
use crate::session::{Opening, Session};
use crate::slab::{Index, WorkerIndex};
use crate::wire::dependency::Dependency;
use crate::wire::descriptor::Descriptor;
use crate::wire::layers::OperatingPoint;
use crate::wire::red;
use crate::wire::rtcp::{self, Feedback};
use crate::wire::srtp::{Material, Receiver, Sender};
use crate::wire::stun::{self, Answer, read_answer};
use crate::worker::demux;
use crate::worker::relay::wire;
use crate::worker::simulation::{Link, Simulation, ms, room_key};

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("sfu_demux", demux),
    ("sfu_rtcp", rtcp),
    ("sfu_srtcp", srtcp),
    ("sfu_payload", payload),
    ("sfu_dependency", dependency),
    ("sfu_offer", offer),
    ("sfu_stun", stun),
    ("sfu_worker", worker),
    ("sfu_link", link),
];

/// Which session a datagram is for.
fn demux(data: &[u8]) {
    let kinds = [stun::is_stun(data), demux::is_rtcp(data)];
    assert!(!kinds.iter().all(|is| *is), "two kinds at once");
    if let Some(name) = stun::ice_name(data) {
        assert!(!name.contains(':'));
    }
    let facts = (
        stun::kind(data),
        stun::nominates(data),
        stun::is_authentic(data, "password"),
    );
    assert!(!facts.2 || data.len() > 44, "{facts:?}");
}

/// Feedback that was opened.
fn rtcp(data: &[u8]) {
    let mut arrivals = Vec::new();
    rtcp::read(data, |feedback| match feedback {
        Feedback::Transport(transport) => {
            arrivals.clear();
            transport.arrivals(&mut arrivals);
        }
        Feedback::Nack { lost, .. } => assert!(lost.sequences().count() <= 17 * data.len() / 4),
        _ => {}
    });
}

/// The answer of a STUN server. The request's id is taken from the answer itself, so that the rest is read.
fn stun(data: &[u8]) {
    let id = data.get(8..20).and_then(|id| id.try_into().ok()).unwrap_or_default();
    if let Some(Answer::Refused(code)) = read_answer(data, &id) {
        assert!(code <= 955, "three bits of hundreds and a byte");
    }
}

/// RTCP that is not the peer's is refused, and the peer's own comes out as it went in.
fn srtcp(data: &[u8]) {
    for profile in [
        SrtpProfile::AEAD_AES_128_GCM,
        SrtpProfile::AEAD_AES_256_GCM,
        SrtpProfile::AES128_CM_SHA1_80,
    ] {
        let material = |active| Material {
            bytes: (0..88).collect(),
            profile,
            active,
        };
        let provider = dtls_keys::srtp_provider();
        let mut receiver = Receiver::new(provider, &material(false)).unwrap();
        let mut opened = Vec::new();
        let _refused = receiver.unprotect_rtcp(data, &mut opened);
        if data.len() >= 8 {
            let mut sender = Sender::new(provider, &material(true)).unwrap();
            let mut packet = data.to_vec();
            sender.protect_rtcp(&mut packet, 0);
            // The first index of a sender whose packet `data` may itself have been.
            if receiver.unprotect_rtcp(&packet, &mut opened).is_ok() {
                assert_eq!(opened, data);
            }
        }
    }
}

/// A publisher's payload: first byte chooses the codec, or redundant audio.
fn payload(data: &[u8]) {
    let Some((kind, payload)) = data.split_first() else {
        return;
    };
    let codecs = [
        Codec::Vp8,
        Codec::Vp9,
        Codec::Av1,
        Codec::H264,
        Codec::H265,
        Codec::Opus,
    ];
    if let Some(codec) = codecs.get(usize::from(*kind) % (codecs.len() + 1)) {
        let found = Descriptor::read(*codec, payload);
        let mut copy = payload.to_vec();
        found.patch(&mut copy, 0x1234, 0x56);
        let again = Descriptor::read(*codec, &copy);
        assert_eq!(found.starts_keyframe, again.starts_keyframe);
        assert_eq!((found.height, found.layer), (again.height, again.layer));
        if found.picture_id.is_some_and(|id| id.wide) {
            assert_eq!(again.picture_id.map(|id| id.value), Some(0x1234));
        }
    } else if let Some(blocks) = red::split(payload) {
        let older: Vec<_> = blocks.redundant.iter().copied().map(Some).collect();
        let mut joined = Vec::new();
        red::join(111, blocks.primary, &older, &mut joined);
        let again = red::split(&joined).unwrap();
        assert_eq!((again.primary, again.redundant), (blocks.primary, blocks.redundant));
    }
}

/// A dependency descriptor after another one that may have brought the structure: the first byte is the first one's length.
fn dependency(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else {
        return;
    };
    let (first, second) = rest.split_at(usize::from(*length).min(rest.len()));
    let first = Dependency::read(first, None);
    let known = first.as_ref().map(|first| &first.structure);
    for read in first.iter().cloned().chain(Dependency::read(second, known)) {
        let layer = read.layer_frame();
        assert!(layer.point.is_within(OperatingPoint::WHOLE));
        let mut bytes = Vec::new();
        let active = read.structure.targets_within(layer.point);
        read.write(7, Some(active), &mut bytes);
        let again = Dependency::read(&bytes, Some(&read.structure));
        let expected = Dependency {
            frame: 7,
            active: Some(active),
            ..read
        };
        assert_eq!(again, Some(expected));
    }
}

/// An SDP offer, and the same as the second one (ICE restart).
fn offer(data: &[u8]) {
    let Ok(sdp) = std::str::from_utf8(data) else {
        return;
    };
    let opening = Opening {
        id: SessionId(1),
        room: room_key(),
        user: Some("fuzz".parse().unwrap()),
        client: Client::Signaled,
        offer: sdp.to_owned(),
        lines: lines(sdp),
        seed: 1,
        serial: 1,
    };
    let candidate = Candidate::host("10.0.0.1:4000".parse().unwrap(), "udp").unwrap();
    if let Ok((mut session, answer)) = Session::open(Clock.now(), opening, &[candidate]) {
        assert!(answer.starts_with("v=0"));
        let _refused = session.restart(sdp);
    }
}

/// Every line of the offer is used for what it may be used for.
fn lines(sdp: &str) -> Lines {
    let mut lines = Lines::default();
    for section in sdp.split("m=").skip(1) {
        let Some(mid) = section.lines().find_map(|line| line.strip_prefix("a=mid:")) else {
            continue;
        };
        let mid = mid.to_owned();
        let (is_audio, receives) = (section.starts_with("audio"), section.contains("a=recvonly"));
        let slots = if is_audio { &mut lines.audio } else { &mut lines.video };
        if receives {
            if slots.len() < MAX_SLOTS {
                slots.push(mid);
            }
        } else if is_audio {
            lines.microphone = Some(mid);
        } else if lines.camera.is_none() {
            lines.camera = Some(mid);
        } else {
            lines.screen = Some(mid);
        }
    }
    lines
}

/// A room with two connected members, one of whom is fuzzed and forwards to the other.
struct Room {
    simulation: Simulation,
    ann: usize,
    bob: usize,
    inputs: u32,
}

/// Inputs for one room: beyond it a new one is made, as its members remember what they got.
const INPUTS: u32 = 400;

impl Room {
    fn new() -> Self {
        let mut simulation = Simulation::new(1);
        let ann = simulation.join("ann", Link::default(), Link::default());
        let bob = simulation.join("bob", Link::default(), Link::default());
        simulation.publish(ann);
        simulation.watch(bob, &[ann]);
        simulation.run(ms(700));
        assert!(!simulation.peers[bob].video(0).is_empty());
        for peer in &mut simulation.peers {
            peer.tolerant = true;
        }
        Self {
            simulation,
            ann,
            bob,
            inputs: 0,
        }
    }
}

thread_local! {
    /// Of inputs in which only strangers speak, and of those in which a member does.
    static ROOMS: RefCell<[Option<Room>; 2]> = const { RefCell::new([None, None]) };
}

/// Kinds of steps from here on need a member's keys.
const FIRST_AUTHENTIC: u8 = 3;

/// A worker in the middle of its work: the input is a list of steps, each a kind, a length and its bytes.
fn worker(data: &[u8]) {
    let mut steps = Vec::new();
    let mut rest = data;
    while let Some(([kind, length], after)) = rest.split_first_chunk::<2>() {
        // Packets of up to 2 KB: the kind's upper bits are the length's.
        let length = usize::from(*length) | usize::from(kind >> 5) << 8;
        let (bytes, after) = after.split_at(length.min(after.len()));
        steps.push((kind & 0x1f, bytes));
        rest = after;
    }
    let authentic = steps.iter().any(|(kind, _)| *kind >= FIRST_AUTHENTIC);
    let place = usize::from(authentic);
    let mut room = ROOMS
        .with_borrow_mut(|rooms| rooms[place].take())
        .unwrap_or_else(Room::new);
    let before = room.simulation.peers[room.bob].video(0).len();
    for (kind, bytes) in steps {
        room.step(kind, bytes);
    }
    // Packets still flow after all of it.
    room.simulation.run(ms(40));
    room.inputs += 1;
    let alive = room.simulation.is_open(room.ann) && room.simulation.is_open(room.bob);
    let shown = room.simulation.peers[room.bob].video(0).len() > before;
    assert!(authentic || alive && shown, "strangers have ended or stopped a member");
    if alive && room.inputs < INPUTS {
        ROOMS.with_borrow_mut(|rooms| rooms[place] = Some(room));
    }
}

impl Room {
    fn step(&mut self, kind: u8, bytes: &[u8]) {
        let Self {
            simulation, ann, bob, ..
        } = self;
        let stranger = "192.0.2.9:999".parse().unwrap();
        let (ann_is, bob_is) = (simulation.peers[*ann].address, simulation.peers[*bob].address);
        match kind {
            0 => simulation.inject(stranger, Protocol::Udp, bytes),
            1 => simulation.inject(bob_is, Protocol::Udp, bytes),
            2 => simulation.inject(stranger, Protocol::Tcp, bytes),
            // Packets that only the member can send: authentic RTCP and RTP, with any content.
            3 | 4 => {
                let (who, from) = if kind == 3 { (*bob, bob_is) } else { (*ann, ann_is) };
                if let Some(sealed) = simulation.sealed_report(who, bytes) {
                    simulation.inject(from, Protocol::Udp, &sealed);
                }
            }
            5 => {
                if let Some(sealed) = simulation.sealed_packet(*ann, bytes, header_length(bytes)) {
                    simulation.inject(ann_is, Protocol::Udp, &sealed);
                }
            }
            // A packet that is right up to its payload; the first bytes are sequence number and timestamp.
            6 | 7 => {
                let codec = if kind == 6 { Codec::Vp8 } else { Codec::Opus };
                let (ssrc, pt) = simulation.sending(*ann, codec);
                if let Some((numbers, payload)) = bytes.split_first_chunk::<6>() {
                    let mut packet = vec![0x80, pt];
                    packet.extend_from_slice(numbers);
                    packet.extend_from_slice(&ssrc.to_be_bytes());
                    packet.extend_from_slice(payload);
                    if let Some(sealed) = simulation.sealed_packet(*ann, &packet, 12) {
                        simulation.inject(ann_is, Protocol::Udp, &sealed);
                    }
                }
            }
            // Reports whose SSRCs are those of a slot of bob's.
            8 => {
                if let (Some(ssrc), true) = (simulation.slot_ssrc(*bob), bytes.len() >= 12) {
                    let mut plain = bytes.to_vec();
                    plain[8..12].copy_from_slice(&ssrc.to_be_bytes());
                    if let Some(sealed) = simulation.sealed_report(*bob, &plain) {
                        simulation.inject(bob_is, Protocol::Udp, &sealed);
                    }
                }
            }
            // A check that bob's ICE password proves, with any attributes.
            9 => {
                let message = simulation.sealed_check(*bob, bytes);
                simulation.inject(bob_is, Protocol::Udp, &message);
            }
            10 => simulation.run(Duration::from_millis(bytes.first().copied().unwrap_or(0).into())),
            _ => {}
        }
    }
}

/// RFC 3550 §5.1: the fixed part, contributing sources, the extension. What is cut short is all header.
fn header_length(packet: &[u8]) -> usize {
    let Some(first) = packet.first() else { return 0 };
    let fixed = 12 + 4 * usize::from(first & 0x0f);
    let extension = match packet.get(fixed + 2..fixed + 4) {
        Some(words) if first & 0x10 != 0 => 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]])),
        _ => 0,
    };
    (fixed + extension).min(packet.len())
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;

/// What the other node writes: the body of a datagram, messages, packets.
fn link(data: &[u8]) {
    let now = Clock.now();
    if let Some((_, frames)) = datagram::read_body(data) {
        let mut body = data[..8].to_vec();
        for frame in frames {
            if let datagram::Frame::Media { bytes, .. } = &frame {
                for codec in [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
                    let read = wire::read_packet(now, bytes, codec, None, |_| now);
                    assert!(read.is_none() || wire::stream_of(bytes).is_some());
                }
            }
            frame.write(&mut body);
        }
        assert_eq!(body, data, "written as it was read");
    }
    if let Some(message) = wire::read_message(now, data) {
        assert!(wire::write_message(now, &message).is_some());
        let mut room = Simulation::with_nodes(1, 2, 1, Link::default());
        room.workers[0].handle_relay_message(room.now, WorkerIndex::at(2), message);
    }
    // An authentic peer that writes anything.
    let addresses = [([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into()];
    if let Ok([_, mut reader]) = pair(now, addresses, [1, 2]) {
        let _malformed = reader.handle_body(now, data, &mut Vec::new());
        reader.handle_timeout(now);
    }
}
