mod lossy_audio;

use std::sync::Arc;
use std::time::Duration;

use rotunda_media::codec::{ForceKey, H264EncoderConfig, VpxCodec, VpxEncoder};
use rotunda_media::video_frame::{VideoFrame, Yuv};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, TrackSource};
use str0m::media::Pt;
use str0m::rtp::rtcp::Rtcp;
use str0m::rtp::{ExtensionValues, RtpWrite};

use super::*;

/// A receiver and an SFU's end of its session, with a virtual clock and no network between them.
struct Pair {
    now: Instant,
    receiver: Receiver,
    sfu: Rtc,
    samples: Vec<Sample>,
    sent: u64,
    hoarded: Option<Source>,
    /// Sequence numbers of audio whose first sending is lost, and whether the SFU answers NACKs: with the same bytes, as ours does.
    lost: Vec<u16>,
    resends: bool,
    /// What was lost, by its sequence number.
    kept: HashMap<u16, Vec<u8>>,
}

fn receiver_address() -> SocketAddr {
    "127.0.0.1:1000".parse().unwrap()
}

fn sfu_address() -> SocketAddr {
    "127.0.0.1:2000".parse().unwrap()
}

fn camera(user: &str) -> Source {
    Source {
        room: RoomKey {
            app: 1.try_into().unwrap(),
            room: "1".parse().unwrap(),
        },
        user: user.parse().unwrap(),
        track: TrackSource::Camera,
    }
}

impl Pair {
    /// Connected, with the cameras and microphones of `users` in its slots.
    fn new(users: &[&str]) -> Self {
        let now = Clock.now();
        let (mut receiver, offer, _) = Receiver::new(now, now, 1, LineCounts::ROOM).unwrap();
        let mut config = Rtc::builder()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .enable_opus(true, true)
            .enable_raw_packets(true);
        // As the SFU does for who offers NACK for Opus.
        let nacks = offer.contains("a=rtcp-fb:111 nack\r\n");
        config
            .codec_config()
            .iter_mut()
            .for_each(|params| params.set_fb_nack(nacks || params.spec().codec.is_video()));
        let mut sfu = config.build(now);
        sfu.add_local_candidate(Candidate::host(sfu_address(), "udp").unwrap());
        let offer = str0m::change::SdpOffer::from_sdp_string(&offer).unwrap();
        let answer = sfu.sdp_api().accept_offer(offer).unwrap();
        receiver
            .handle_answer(&answer.to_sdp_string(), receiver_address())
            .unwrap();
        let wants = Wants {
            audio: users
                .iter()
                .map(|user| Source {
                    track: TrackSource::Audio,
                    ..camera(user)
                })
                .collect(),
            video: users
                .iter()
                .map(|user| crate::wants::WantedVideo {
                    video: camera(user),
                    max_height: Some(360),
                })
                .collect(),
        };
        assert!(!receiver.handle_wants(now, &wants));
        let mut pair = Self {
            now,
            receiver,
            sfu,
            samples: Vec::new(),
            sent: 0,
            hoarded: None,
            lost: Vec::new(),
            resends: false,
            kept: HashMap::new(),
        };
        for _ in 0..200 {
            pair.run();
            if pair.sfu.is_connected() {
                return pair;
            }
        }
        panic!("the pair did not connect");
    }

    /// 10 ms.
    fn run(&mut self) {
        loop {
            let mut is_idle = true;
            loop {
                match self.receiver.poll().unwrap() {
                    Polled::Timeout(_) => break,
                    Polled::Transmit(transmit) => {
                        let received =
                            Receive::new(Protocol::Udp, receiver_address(), sfu_address(), &transmit.contents).unwrap();
                        self.sfu.handle_input(Input::Receive(self.now, received)).unwrap();
                        is_idle = false;
                    }
                    Polled::Sample(sample) => self.samples.push(sample),
                    Polled::Connected => {}
                    Polled::Hoarded(video) => {
                        self.hoarded = Some(video);
                        break;
                    }
                    Polled::Lost => panic!("the receiver is lost"),
                }
            }
            loop {
                match self.sfu.poll_output().unwrap() {
                    Output::Timeout(_) => break,
                    Output::Transmit(transmit) => {
                        is_idle = false;
                        if let Some(seq) = seq_of(&transmit.contents).filter(|seq| self.lost.contains(seq)) {
                            self.kept.insert(seq, transmit.contents.to_vec());
                            continue;
                        }
                        self.receiver
                            .handle_datagram(self.now, sfu_address(), &transmit.contents)
                            .unwrap();
                    }
                    Output::Event(Event::RawPacket(packet)) => self.handle_raw_at_sfu(&packet),
                    Output::Event(_) => {}
                }
            }
            if is_idle {
                break;
            }
        }
        self.now += Duration::from_millis(10);
        self.receiver.handle_timeout(self.now).unwrap();
        self.sfu.handle_input(Input::Timeout(self.now)).unwrap();
    }

    fn handle_raw_at_sfu(&mut self, packet: &RawPacket) {
        let RawPacket::RtcpRx(Rtcp::Nack(nack)) = packet else {
            return;
        };
        if !self.resends {
            return;
        }
        for entry in nack.reports.iter() {
            let followers = (0..16).filter(|bit| entry.blp >> bit & 1 == 1);
            for seq in std::iter::once(0).chain(followers.map(|bit| bit + 1)) {
                if let Some(datagram) = self.kept.remove(&(entry.pid + seq)) {
                    self.receiver
                        .handle_datagram(self.now, sfu_address(), &datagram)
                        .unwrap();
                }
            }
        }
    }

    fn payload_type(&self, codec: Codec) -> Pt {
        let config = self.sfu.codec_config();
        config.find(|params| params.spec().codec == codec).unwrap().pt()
    }

    /// Sends one packet in a slot, whole frame or not.
    fn send(
        &mut self,
        kind: MediaKind,
        slot: usize,
        codec: Codec,
        payload: &[u8],
        orientation: Option<VideoOrientation>,
    ) {
        self.send_packet(
            (kind, slot),
            codec,
            payload,
            (self.sent * 3_000) as u32,
            true,
            orientation,
        );
    }

    /// `marker`: it is the last packet of its frame.
    fn send_packet(
        &mut self,
        (kind, slot): (MediaKind, usize),
        codec: Codec,
        payload: &[u8],
        time: u32,
        marker: bool,
        orientation: Option<VideoOrientation>,
    ) {
        let lines = match kind {
            MediaKind::Audio => &self.receiver.audio_lines,
            MediaKind::Video => &self.receiver.video_lines,
        };
        let mid = lines[slot];
        let payload_type = self.payload_type(codec);
        self.sent += 1;
        let extensions = ExtensionValues {
            video_orientation: orientation,
            ..ExtensionValues::default()
        };
        let payload: Arc<[u8]> = payload.into();
        let mut api = self.sfu.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        // One stream a slot, and this slot's packets without gaps.
        let seq = 100 + self.sent;
        let write = RtpWrite::new(payload_type, seq.into(), time, self.now, payload)
            .marker(marker)
            .ext_vals(extensions);
        stream.write_rtp(write);
        self.run();
    }

    fn send_audio(&mut self, slot: usize) {
        self.send(MediaKind::Audio, slot, Codec::Opus, &[0xf8, 0xff, 0xfe], None);
    }

    fn video(&self) -> Vec<(&str, VideoCodec, bool, Option<Rotation>)> {
        let frames = self.samples.iter().filter_map(|sample| match &sample.payload {
            Payload::Video(coded) => Some((
                sample.source.user.as_str(),
                coded.codec,
                coded.contiguous,
                coded.rotation,
            )),
            Payload::Audio(_) => None,
        });
        frames.collect()
    }
}

/// The sequence number of a datagram with RTP (RFC 7983 §7, RFC 5761 §4).
fn seq_of(datagram: &[u8]) -> Option<u16> {
    let is_rtp = matches!(datagram, [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)));
    (is_rtp && datagram.len() >= 12).then(|| u16::from_be_bytes([datagram[2], datagram[3]]))
}

/// RFC 7741 §4.2: no extension, start of partition 0; then a frame that is not a keyframe.
const VP8_DELTA: [u8; 4] = [0x10, 0x01, 0, 0];

#[test]
fn a_malformed_payload_of_one_member_leaves_the_session_open() {
    let malformed: [(Codec, &[u8]); 7] = [
        // A STAP-A whose unit is longer than the packet, an unknown NAL type, an FU-A without a header.
        (Codec::H264, &[0x78, 0xff, 0xff, 0x65]),
        (Codec::H264, &[0x1e, 0x00]),
        (Codec::H264, &[0x1c]),
        // Descriptors that end before they are complete.
        (Codec::Vp8, &[0x90]),
        (Codec::Vp9, &[0x88, 0x80]),
        // An element that is longer than the packet, and one without an OBU.
        (Codec::Av1, &[0x00, 0x7f, 0x32]),
        (Codec::Av1, &[0x18, 0x00]),
    ];
    for (codec, payload) in malformed {
        let mut pair = Pair::new(&["ann", "bob"]);
        pair.send(MediaKind::Video, 0, codec, payload, None);
        pair.send(MediaKind::Video, 0, codec, payload, None);
        for _ in 0..20 {
            pair.send_audio(1);
        }
        let heard = pair
            .samples
            .iter()
            .filter(|sample| sample.source.user.as_str() == "bob");
        assert!(heard.count() > 10, "{codec:?} {payload:?}");
    }
}

#[test]
fn fragments_that_never_end_are_bounded() {
    let mut pair = Pair::new(&["ann", "bob"]);
    // RFC 6184 §5.8: FU indicator, FU header with the start bit and never the end bit, and as much as a packet holds.
    let mut fragment = [0; 1100];
    fragment[..2].copy_from_slice(&[0x7c, 0x85]);
    let sent = (0..20_000).find(|_| {
        pair.send(MediaKind::Video, 1, Codec::H264, &fragment, None);
        pair.hoarded.is_some()
    });
    assert_eq!(pair.hoarded, Some(camera("bob")));
    assert!(sent.is_some_and(|packets| packets * fragment.len() < 20 << 20));
}

#[test]
fn the_frame_after_a_malformed_one_does_not_follow_it() {
    let mut pair = Pair::new(&["ann"]);
    pair.send(MediaKind::Video, 0, Codec::Vp8, &VP8_DELTA, None);
    pair.send(MediaKind::Video, 0, Codec::Vp8, &[0x90], None);
    pair.send(MediaKind::Video, 0, Codec::Vp8, &VP8_DELTA, None);
    pair.send(MediaKind::Video, 0, Codec::Vp8, &VP8_DELTA, None);
    for _ in 0..20 {
        pair.run();
    }
    let contiguous: Vec<bool> = pair.video().iter().map(|(_, _, contiguous, _)| *contiguous).collect();
    assert_eq!(contiguous[contiguous.len() - 2..], [false, true]);
}

#[test]
fn garbage_at_the_port_does_not_close_the_session() {
    let mut pair = Pair::new(&["ann"]);
    // Looks like DTLS, STUN, RTP and RTCP.
    for garbage in [
        [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 1, 2, 3].as_slice(),
        &[
            0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        ],
        &[0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9],
        &[0x80, 200, 0, 1, 0, 0, 0, 1],
    ] {
        let now = pair.now;
        pair.receiver.handle_datagram(now, sfu_address(), garbage).unwrap();
        pair.run();
    }
    pair.send_audio(0);
    pair.send_audio(0);
    assert!(!pair.samples.is_empty());
}

#[test]
fn vp9_is_received_and_the_orientation_comes_with_its_frame() {
    let mut pair = Pair::new(&["ann"]);
    let config = H264EncoderConfig {
        width: 64,
        height: 64,
        bitrate_kbps: 100,
        framerate: 15,
        gop_frames: 15,
    };
    let mut encoder = VpxEncoder::new(VpxCodec::Vp9, config).unwrap();
    let orientations = [
        None,
        Some(VideoOrientation::Deg270),
        Some(VideoOrientation::Deg180),
        Some(VideoOrientation::Deg90),
        Some(VideoOrientation::Deg0),
    ];
    for (number, orientation) in orientations.into_iter().enumerate() {
        let coded = encoder
            .encode(&VideoFrame::filled(64, 64, Yuv::BLACK), ForceKey::No)
            .unwrap();
        // RFC 9628 §4.2: picture id, inter-picture predicted, begin and end of frame.
        let mut payload = vec![0x8c | if number == 0 { 0 } else { 0x40 }, number as u8];
        payload.extend_from_slice(&coded.data);
        pair.send(MediaKind::Video, 0, Codec::Vp9, &payload, orientation);
    }
    for _ in 0..20 {
        pair.run();
    }
    let rotations: Vec<Option<Rotation>> = pair.video().iter().map(|(_, _, _, rotation)| *rotation).collect();
    assert_eq!(
        rotations,
        [
            None,
            Some(Rotation::Clockwise90),
            Some(Rotation::Half),
            Some(Rotation::Clockwise270),
            Some(Rotation::None)
        ]
    );
    assert!(
        pair.video()
            .iter()
            .all(|(user, codec, _, _)| *user == "ann" && *codec == VideoCodec::Vp9)
    );
}

/// The OBUs of a temporal unit, each with its size; without the temporal delimiter, which RTP does not carry.
fn obus(unit: &[u8]) -> Vec<&[u8]> {
    let mut rest = unit;
    let mut obus = Vec::new();
    while !rest.is_empty() {
        assert_eq!(rest[0] & 0x06, 0x02, "no extension, and a size");
        let (mut length, mut at) = (0, 1);
        loop {
            length |= usize::from(rest[at] & 0x7f) << (7 * (at - 1));
            at += 1;
            if rest[at - 1] & 0x80 == 0 {
                break;
            }
        }
        let (obu, after) = rest.split_at(at + length);
        if obu[0] >> 3 != 2 {
            obus.push(obu);
        }
        rest = after;
    }
    obus
}

#[test]
fn av1_in_fragments_is_received_and_each_frame_shows_its_mark() {
    /// Payload of a packet.
    const ROOM: usize = 1000;
    let file = include_bytes!("../../../media/testdata/marked_av1.ivf");
    let mut pair = Pair::new(&["ann"]);
    let mut rest = &file[32..];
    let mut units = 0_u32;
    while let Some((header, after)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let (unit, after) = after.split_at(length);
        rest = after;
        let obus = obus(unit);
        for (at, obu) in obus.iter().enumerate() {
            let pieces: Vec<&[u8]> = obu.chunks(ROOM).collect();
            for (piece_at, piece) in pieces.iter().enumerate() {
                let is_last = piece_at + 1 == pieces.len();
                let begins = units == 0 && at == 0 && piece_at == 0;
                let bits = [(piece_at > 0, 0x80), (!is_last, 0x40), (begins, 0x08)];
                // One element in each packet.
                let header = bits
                    .iter()
                    .filter(|(is_set, _)| *is_set)
                    .fold(0x10, |sum, (_, bit)| sum | bit);
                let payload = [&[header], *piece].concat();
                let marker = is_last && at + 1 == obus.len();
                pair.send_packet((MediaKind::Video, 0), Codec::Av1, &payload, units * 3_000, marker, None);
            }
        }
        units += 1;
    }
    for _ in 0..20 {
        pair.run();
    }
    assert!(units > 20);
    let mut decoder = rotunda_media::codec::VideoDecoder::new(VideoCodec::Av1).unwrap();
    let mut counts = Vec::new();
    for sample in &pair.samples {
        let Payload::Video(coded) = &sample.payload else {
            panic!("it is video")
        };
        assert_eq!(
            (coded.codec, coded.is_key, coded.contiguous),
            (VideoCodec::Av1, counts.is_empty(), true)
        );
        let frame = decoder.decode(&coded.data).unwrap().unwrap();
        counts.push(u32::from(
            rotunda_media::mark::read(frame.y(), frame.width(), frame.rect())
                .unwrap()
                .count,
        ));
    }
    // The last one is complete when the next one begins, at the latest.
    assert!(counts.len() as u32 >= units - 1, "{counts:?}");
    assert!(counts.iter().copied().eq(0..counts.len() as u32), "{counts:?}");
}
