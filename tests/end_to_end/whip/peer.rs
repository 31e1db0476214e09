//! A WebRTC peer on `str0m`, without signaling.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// A WebRTC peer with one audio and one video line.
pub(super) struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    pending: Option<SdpPendingOffer>,
    audio: Mid,
    video: Mid,
    started: Instant,
    frames: HashMap<Mid, usize>,
}

impl Peer {
    pub(super) fn offer(direction: Direction) -> (Self, String) {
        let now = Clock.now();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        let mut changes = rtc.sdp_api();
        let audio = changes.add_media(MediaKind::Audio, direction, None, None, None);
        let video = changes.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = changes.apply().unwrap();
        let peer = Self {
            rtc,
            socket,
            pending: Some(pending),
            audio,
            video,
            started: now,
            frames: HashMap::new(),
        };
        (peer, offer.to_sdp_string())
    }

    pub(super) fn accept(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// Makes new ICE credentials; returns the fragment that contains them.
    pub(super) fn restart_ice(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        changes.ice_restart(true);
        let (offer, pending) = changes.apply().unwrap();
        self.pending = Some(pending);
        let offer = offer.to_sdp_string();
        let of = |name: &str| offer.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        format!("{}\r\n{}\r\n", of("a=ice-ufrag:"), of("a=ice-pwd:"))
    }

    /// Sends what is due, and receives for 2 ms.
    fn turn(&mut self) {
        let clock = Clock;
        self.rtc.handle_input(Input::Timeout(clock.now())).unwrap();
        self.drain();
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let to = self.socket.local_addr().unwrap();
            let Ok(receive) = Receive::new(Protocol::Udp, from, to, &buffer[..length]) else {
                continue;
            };
            let input = Input::Receive(clock.now(), receive);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input).unwrap();
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => {
                    let _lost = self.socket.send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(Event::MediaData(frame)) => *self.frames.entry(frame.mid).or_default() += 1,
                Output::Event(_) => {}
            }
        }
    }

    pub(super) fn received(&self, kind: MediaKind) -> usize {
        let mid = if kind.is_audio() { self.audio } else { self.video };
        self.frames.get(&mid).copied().unwrap_or_default()
    }

    /// A small VP8 keyframe and 20 ms of Opus.
    fn send(&mut self) {
        if !self.rtc.is_connected() {
            return;
        }
        let now = Clock.now();
        let elapsed = now.saturating_duration_since(self.started);
        // RFC 6386 §9.1: keyframe, start code, 320x240.
        let frame = [0x10, 0x02, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0, 1, 2, 3, 4, 5, 6];
        let frames = [
            (self.audio, Codec::Opus, Frequency::FORTY_EIGHT_KHZ, vec![0xfc; 40]),
            (self.video, Codec::Vp8, Frequency::NINETY_KHZ, frame.to_vec()),
        ];
        for (mid, codec, frequency, data) in frames {
            let Some(writer) = self.rtc.writer(mid) else { return };
            let pt = writer
                .payload_params()
                .find(|params| params.spec().codec == codec)
                .unwrap()
                .pt();
            let ticks = elapsed.as_millis() as u64 * u64::from(frequency.get()) / 1000;
            writer.write(pt, now, MediaTime::new(ticks, frequency), data).unwrap();
            self.rtc.handle_input(Input::Timeout(now)).unwrap();
            self.drain();
        }
    }
}

/// Drives both peers until `done`; the publisher sends one video and one audio frame every 20 ms.
pub(super) fn drive(what: &str, publisher: &mut Peer, viewer: &mut Peer, done: impl Fn(&Peer) -> bool) {
    let clock = Clock;
    let deadline = clock.now() + Duration::from_secs(20);
    let mut next = clock.now();
    while !done(viewer) {
        assert!(clock.now() < deadline, "{what}: {:?} after 20 s", viewer.frames);
        publisher.turn();
        viewer.turn();
        if clock.now() >= next {
            publisher.send();
            next += Duration::from_millis(20);
        }
    }
}
