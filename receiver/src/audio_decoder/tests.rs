use proptest::prelude::*;
use rotunda_media::codec::OpusEncoder;

use super::*;

const FRAME: usize = PACKET as usize;

/// Packets of a tone that changes its frequency with each packet: concealment would go on with the old one.
fn packets(count: usize, expected_loss: u8) -> Vec<Vec<u8>> {
    let mut encoder = OpusEncoder::new(1, 32).unwrap();
    encoder.set_expected_loss(expected_loss).unwrap();
    let mut phase = 0.0_f32;
    let packet = |number: usize| {
        let hertz = 300.0 + 40.0 * (number % 10) as f32;
        let mut wave = || {
            phase += hertz * std::f32::consts::TAU / 48_000.0;
            phase.sin() * 0.3
        };
        let pcm: Vec<f32> = (0..FRAME).map(|_| wave()).collect();
        encoder.encode(&pcm).unwrap().to_vec()
    };
    (0..count).map(packet).collect()
}

/// A reader that needs 10 ms every 10 ms, `delay` samples later than the audio was captured.
struct Reader {
    decoder: AudioDecoder,
    audio: Vec<f32>,
    is_audible: bool,
    filled: usize,
}

impl Reader {
    fn new() -> Self {
        Self {
            decoder: AudioDecoder::new(2).unwrap(),
            audio: Vec::new(),
            is_audible: false,
            filled: 0,
        }
    }

    fn end(&self) -> i64 {
        (self.audio.len() / 2) as i64
    }

    fn read_until(&mut self, until: i64) {
        let mut piece = Vec::new();
        while self.end() < until {
            let so_far = SoFar {
                end: self.end(),
                is_audible: self.is_audible,
            };
            match self.decoder.poll(so_far, until, &mut piece).unwrap() {
                Piece::Packet(at) => {
                    let beside = at - self.end();
                    assert!(beside >= 0, "nothing is out of order: {beside}");
                    self.audio.resize(2 * at as usize, 0.0);
                }
                Piece::Filled => self.filled += 1,
                Piece::Nothing => {
                    self.audio.resize(2 * until as usize, 0.0);
                    self.is_audible = false;
                    return;
                }
            }
            self.is_audible = true;
            self.audio.extend_from_slice(&piece);
        }
    }
}

/// When each packet comes, in packets' times after it was captured; None: never.
fn heard(packets: &[Vec<u8>], delay: usize, comes: impl Fn(usize) -> Option<usize>) -> Reader {
    let mut reader = Reader::new();
    for now in 0..packets.len() + delay {
        for (number, packet) in packets.iter().enumerate() {
            let at = (number * FRAME) as i64;
            let is_over = !reader.is_audible && at < reader.end();
            if comes(number).is_some_and(|after| number + after == now) && !is_over {
                reader.decoder.handle_packet(at, packet);
            }
        }
        if now >= delay {
            reader.read_until(((now - delay + 1) * FRAME) as i64);
        }
    }
    reader
}

/// How far a reader's audio is from that without loss, mean square.
fn error(lossy: &Reader, whole: &Reader) -> f32 {
    let pairs = lossy.audio.iter().zip(&whole.audio);
    pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>() / whole.audio.len() as f32
}

fn is_lost(number: usize) -> bool {
    number % 7 == 5 && number > 10
}

#[test]
fn a_repaired_packet_is_heard_at_its_place_as_if_it_had_not_been_lost() {
    let packets = packets(100, 0);
    let whole = heard(&packets, 3, |_| Some(0));
    let repaired = heard(&packets, 3, |number| Some(if is_lost(number) { 3 } else { 0 }));
    assert_eq!(repaired.filled, 0);
    assert!(repaired.audio == whole.audio);
    assert!(
        whole.audio[FRAME..]
            .chunks(FRAME)
            .all(|part| part.iter().any(|sample| sample.abs() > 0.1))
    );
}

#[test]
fn forward_error_correction_fills_what_no_repair_came_for() {
    let lossy = |expected_loss: u8| {
        let packets = packets(100, expected_loss);
        let whole = heard(&packets, 3, |_| Some(0));
        // The repair comes when its time is over.
        let lossy = heard(&packets, 3, |number| Some(if is_lost(number) { 6 } else { 0 }));
        assert_eq!(lossy.filled, (0..100).filter(|number| is_lost(*number)).count());
        error(&lossy, &whole)
    };
    let (concealed, corrected) = (lossy(0), lossy(30));
    assert!(corrected * 3.0 < concealed, "{corrected} {concealed}");
}

#[test]
fn three_lost_packets_are_concealed_and_a_fourth_is_corrected() {
    let packets = packets(60, 30);
    let four = heard(&packets, 6, |number| (!(30..34).contains(&number)).then_some(0));
    assert_eq!(four.filled, 4);
    let gap = &four.audio[2 * 30 * FRAME..2 * 34 * FRAME];
    assert!(gap.chunks(FRAME).all(|part| part.iter().any(|sample| *sample != 0.0)));
    let many = heard(&packets, 12, |number| (!(30..38).contains(&number)).then_some(0));
    assert_eq!(many.filled, 3);
    assert_eq!(many.audio[2 * 37 * FRAME], 0.0);
}

#[test]
fn a_packet_that_comes_twice_is_heard_once() {
    let packets = packets(3, 0);
    let mut decoder = AudioDecoder::new(2).unwrap();
    assert_eq!(decoder.handle_packet(960, &packets[1]), Put::Waits);
    assert_eq!(decoder.handle_packet(958, &packets[1]), Put::Twice);
    assert_eq!(decoder.handle_packet(0, &packets[0]), Put::Waits);
    assert_eq!(decoder.handle_packet(3, &packets[0]), Put::Twice);
    let mut out = Vec::new();
    let so_far = SoFar {
        end: 0,
        is_audible: false,
    };
    assert_eq!(decoder.poll(so_far, 480, &mut out).unwrap(), Piece::Packet(0));
    assert_eq!(decoder.handle_packet(0, &packets[0]), Put::Twice);
    assert_eq!(decoder.handle_packet(-960, &packets[0]), Put::TooLate);
}

#[test]
fn a_malformed_packet_is_as_good_as_lost() {
    let mut packets = packets(60, 30);
    // RFC 6716 §3.2.5: a packet of code 3 needs a byte with the count of its frames.
    packets[30] = vec![0x03; 1];
    let mut reader = Reader::new();
    for (number, packet) in packets.iter().enumerate() {
        let at = (number * FRAME) as i64;
        reader.decoder.handle_packet(at, packet);
    }
    let mut errors = 0;
    let mut piece = Vec::new();
    let mut so_far = SoFar {
        end: 0,
        is_audible: false,
    };
    while so_far.end < 59 * PACKET {
        match reader.decoder.poll(so_far, 59 * PACKET, &mut piece) {
            Ok(Piece::Packet(at)) => so_far.end = at + PACKET,
            Ok(Piece::Filled) => so_far.end += PACKET,
            Ok(Piece::Nothing) => panic!("the next packets are there"),
            Err(_) => errors += 1,
        }
        so_far.is_audible = true;
    }
    assert_eq!(errors, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn packets_in_any_order_are_decoded_in_the_order_of_their_time(comes in prop::collection::vec(prop::option::of(0..8_usize), 40)) {
        let packets = packets(40, 10);
        let reader = heard(&packets, 4, |number| comes[number]);
        prop_assert_eq!(reader.end() % PACKET, 0);
    }
}
