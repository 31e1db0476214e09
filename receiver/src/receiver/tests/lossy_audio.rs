//! Audio that is lost between the SFU and the receiver.

use str0m::rtp::{RedEncoder, RedundantBlock};

use super::*;

/// The first packet of a pair has this sequence number.
const FIRST: u16 = 101;
const PACKETS: u16 = 40;

impl Pair {
    /// Packet `number` of a microphone with so many older ones inside, 20 ms after the packet before. Its second byte is its number.
    fn say(&mut self, number: u16, older: u16) {
        let payload = |number: u16| vec![0xf8, number as u8, 0xfe];
        let time = |number: u16| 960 * u32::from(number);
        let config = self.sfu.codec_config();
        let opus = *config.find(|params| params.spec().codec == Codec::Opus).unwrap();
        let blocks: Vec<RedundantBlock> = (1..=older)
            .rev()
            .filter_map(|before| number.checked_sub(before))
            .map(|other| RedundantBlock {
                pt: *opus.pt(),
                timestamp_offset: time(number) - time(other),
                payload: payload(other),
            })
            .collect();
        let (pt, bytes) = match older {
            0 => (opus.pt(), payload(number)),
            _ => {
                let red = opus.red().expect("the receiver takes redundant audio");
                (red, RedEncoder::encode(*opus.pt(), &payload(number), &blocks))
            }
        };
        let mid = self.receiver.audio_lines[0];
        let mut api = self.sfu.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        let seq = u64::from(FIRST + number);
        stream.write_rtp(RtpWrite::new(pt, seq.into(), time(number), self.now, bytes));
        self.run();
        self.run();
    }

    /// The numbers of the packets in the order in which they came.
    fn heard(&self) -> Vec<u8> {
        let audio = self.samples.iter().map(|sample| match &sample.payload {
            Payload::Audio(packet) => {
                assert_eq!(sample.stamp.rtp, 960 * u32::from(packet[1]), "each has its own time");
                packet[1]
            }
            Payload::Video(_) => panic!("it is audio"),
        });
        audio.collect()
    }
}

/// Packets 10, 20 and 21 are lost. Answers the numbers of those that came, in their order.
fn said(older: u16, resends: bool) -> Vec<u8> {
    let mut pair = Pair::new(&["ann"]);
    pair.lost = [10, 20, 21].map(|number| FIRST + number).to_vec();
    pair.resends = resends;
    for number in 0..PACKETS {
        pair.say(number, older);
    }
    pair.heard()
}

fn sorted(mut numbers: Vec<u8>) -> Vec<u8> {
    numbers.sort_unstable();
    numbers
}

fn all() -> Vec<u8> {
    (0..PACKETS as u8).collect()
}

#[test]
fn a_lost_packet_holds_up_none_that_come_after_it() {
    let mut pair = Pair::new(&["ann"]);
    pair.lost = vec![FIRST + 10];
    for number in 0..13 {
        pair.say(number, 0);
    }
    assert_eq!(pair.heard(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]);
}

#[test]
fn redundancy_inside_the_next_packets_fills_the_gap() {
    // Each comes together with the packet that has it.
    assert_eq!(said(2, false), all());
}

#[test]
fn audio_is_asked_for_again_and_comes_in_time() {
    let heard = said(0, true);
    let before = heard.split(|number| *number == 10).next().unwrap();
    // A NACK waits for 33 ms at most, and audio is played out 60 ms later than it was captured, or later than that.
    assert!(before.contains(&11) && !before.contains(&14), "{heard:?}");
    assert_eq!(sorted(heard), all());
}

#[test]
fn what_both_ways_repair_comes_once() {
    assert_eq!(sorted(said(1, true)), all());
}

#[test]
fn what_nothing_repairs_is_missing_alone() {
    let expected: Vec<u8> = all()
        .into_iter()
        .filter(|number| ![10, 20, 21].contains(number))
        .collect();
    assert_eq!(said(0, false), expected);
}
