//! A session of the device with a viewer in memory: no sockets, and time is made.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use str0m::change::SdpPendingOffer;
use str0m::media::MediaData;

use super::*;
use crate::timeline::Captured;

/// A viewer as `web/src/device/link.ts` makes it: video lines first, then as many audio lines, the first of which also sends.
struct Viewer {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    offer: String,
    frames: Vec<MediaData>,
    messages: Vec<Vec<u8>>,
    channel: ChannelId,
    is_channel_open: bool,
}

fn device_address() -> SocketAddr {
    "192.0.2.1:5000".parse().unwrap()
}

impl Viewer {
    fn new(now: Instant, codecs: impl Fn(RtcConfig) -> RtcConfig) -> Self {
        let mut rtc = codecs(Rtc::builder().clear_codecs().enable_opus(true, false)).build(now);
        let own = Candidate::host("192.0.2.2:6000".parse().unwrap(), "udp").unwrap();
        rtc.add_local_candidate(own);
        let mut changes = rtc.sdp_api();
        for _ in 0..3 {
            changes.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        }
        changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        for _ in 0..2 {
            changes.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        }
        let channel = changes.add_channel("device".to_owned());
        let (offer, pending) = changes.apply().unwrap();
        Self {
            rtc,
            pending: Some(pending),
            offer: offer.to_sdp_string(),
            frames: Vec::new(),
            messages: Vec::new(),
            channel,
            is_channel_open: false,
        }
    }

    fn answered(now: Instant, codecs: impl Fn(RtcConfig) -> RtcConfig) -> (Session, Self) {
        let mut viewer = Self::new(now, codecs);
        let local = Address::Host(device_address());
        let (session, answer) = Session::answer(now, 1200, &[local], &viewer.offer).unwrap();
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        let pending = viewer.pending.take().unwrap();
        viewer.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        (session, viewer)
    }

    /// Takes the device's packets; answers its own.
    fn exchange(&mut self, now: Instant, from_device: Vec<Transmit>) -> Vec<Transmit> {
        let mut sent = Vec::new();
        for packet in from_device {
            let bytes: &[u8] = &packet.contents;
            let receive = Receive::new(Protocol::Udp, packet.source, packet.destination, bytes).unwrap();
            self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
            self.drain(&mut sent);
        }
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain(&mut sent);
        sent
    }

    fn drain(&mut self, sent: &mut Vec<Transmit>) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(packet) => sent.push(packet),
                Output::Event(Event::MediaData(frame)) => self.frames.push(frame),
                Output::Event(Event::ChannelOpen(..)) => self.is_channel_open = true,
                Output::Event(Event::ChannelData(message)) => self.messages.push(message.data),
                Output::Event(_) => {}
            }
        }
    }
}

/// Lets time go on for both, in steps of 5 ms, until `done` or 5 s have passed. Answers the time.
fn run(
    mut now: Instant,
    device: &mut Session,
    viewer: &mut Viewer,
    done: impl Fn(&Session, &Viewer) -> bool,
) -> Instant {
    for _ in 0..1000 {
        device.handle_timeout(now).unwrap();
        let packets: Vec<Transmit> = std::iter::from_fn(|| device.poll_transmit()).collect();
        for packet in viewer.exchange(now, packets) {
            let bytes: &[u8] = &packet.contents;
            device
                .handle_datagram(now, Protocol::Udp, packet.source, packet.destination, bytes)
                .unwrap();
        }
        if done(device, viewer) {
            return now;
        }
        now += Duration::from_millis(5);
    }
    panic!("not within 5 s");
}

fn both_codecs(config: RtcConfig) -> RtcConfig {
    config.enable_h264(true).enable_h265(true)
}

fn frame(now: Instant, nals: &[&[u8]]) -> Frame {
    let data: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect();
    Frame {
        track: Track::Video,
        captured: Captured {
            at: now,
            since_start: Duration::ZERO,
        },
        data: data.into(),
    }
}

#[test]
fn an_answered_offer_has_its_lines_before_the_viewer_is_connected() {
    let (session, _) = Viewer::answered(Clock.now(), |config| config.enable_h264(true));
    assert!(!session.is_connected());
    assert_eq!(session.lines(), 3);
    assert_eq!(session.receive.len(), 1, "talk-back comes on the first audio line");
    assert!(
        session.send.iter().all(|line| line.audio.is_some()),
        "{:?}",
        session.send
    );
}

#[test]
fn h265_can_be_sent_to_a_viewer_that_offers_it_alone() {
    let (mut new, _) = Viewer::answered(Clock.now(), both_codecs);
    assert!(new.can_send(0, VideoCodec::H264) && new.can_send(0, VideoCodec::H265));
    let (mut old, _) = Viewer::answered(Clock.now(), |config| config.enable_h264(true));
    assert!(old.can_send(0, VideoCodec::H264) && !old.can_send(0, VideoCodec::H265));
}

#[test]
fn frames_of_both_codecs_reach_the_viewer_on_their_lines() {
    let start = Clock.now();
    let (mut device, mut viewer) = Viewer::answered(start, both_codecs);
    let now = run(start, &mut device, &mut viewer, |device, viewer| {
        device.is_connected() && viewer.rtc.is_connected()
    });
    let h264: [&[u8]; 3] = [&[0x67, 0x42, 0xe0, 0x1f], &[0x68, 0xce], &[0x65, 7, 7, 7]];
    let h265: [&[u8]; 4] = [&[0x40, 1, 1], &[0x42, 1, 2], &[0x44, 1, 3], &[0x26, 1, 9, 9, 9]];
    assert!(device.send(now, 0, VideoCodec::H264, &frame(now, &h264)).unwrap());
    assert!(device.send(now, 1, VideoCodec::H265, &frame(now, &h265)).unwrap());
    run(now, &mut device, &mut viewer, |_, viewer| viewer.frames.len() == 2);
    let got = |codec| {
        let frame = viewer.frames.iter().find(|frame| frame.params.spec().codec == codec);
        frame.map(|frame| frame.data.to_vec()).unwrap_or_default()
    };
    assert!(got(Codec::H264).ends_with(&[0x65, 7, 7, 7]));
    assert!(got(Codec::H265).ends_with(&[0x26, 1, 9, 9, 9]));
}

#[test]
fn messages_go_both_ways_on_the_data_channel() {
    let start = Clock.now();
    let (mut device, mut viewer) = Viewer::answered(start, both_codecs);
    let now = run(start, &mut device, &mut viewer, |device, viewer| {
        device.has_channel() && viewer.is_channel_open
    });
    assert!(device.send_data(now, b"hello viewer").unwrap());
    let id = viewer.channel;
    assert!(viewer.rtc.channel(id).unwrap().write(true, b"hello device").unwrap());
    let now = run(now, &mut device, &mut viewer, |_, viewer| !viewer.messages.is_empty());
    assert_eq!(viewer.messages, [b"hello viewer"]);
    run(now, &mut device, &mut viewer, |device, _| {
        device
            .told
            .iter()
            .any(|told| matches!(told, Told::Data(data) if data == b"hello device"))
    });
}
