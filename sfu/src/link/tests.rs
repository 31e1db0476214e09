//! Two ends of a link, and a network between them that loses, delays and reorders.

use super::testing::pair;
use super::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

struct Pair {
    now: Instant,
    links: [Link; 2],
    addresses: [SocketAddr; 2],
    flying: Vec<(Instant, usize, SocketAddr, Vec<u8>)>,
    loss: f64,
    seed: u64,
    got: [Vec<(Instant, Received)>; 2],
    /// Nothing comes from this end any more.
    dead: Option<usize>,
}

impl Pair {
    fn new(loss: f64) -> Self {
        let now = rotunda_proto::clock::Clock.now();
        let addresses = [([10, 0, 0, 1], 4000).into(), ([10, 0, 0, 2], 4000).into()];
        Self {
            now,
            links: pair(now, addresses, [100, 101]).unwrap(),
            addresses,
            flying: Vec::new(),
            loss,
            seed: 7,
            got: Default::default(),
            dead: None,
        }
    }

    fn chance(&mut self) -> f64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(1u32 << 31)
    }

    /// 10 ms on the way, and up to 2 ms more.
    fn flush(&mut self) {
        for end in 0..2 {
            self.links[end].handle_timeout(self.now);
            while let Some((_, bytes)) = self.links[end].poll_transmit() {
                let (lost, late) = (self.chance() < self.loss, self.chance() * 2.0);
                if !lost && self.dead != Some(end) {
                    let at = self.now + ms(10) + Duration::from_micros((late * 1000.0) as u64);
                    self.flying.push((at, 1 - end, self.addresses[end], bytes));
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.flush();
            let due = self.links.iter().map(Link::due);
            let next = due
                .chain(self.flying.iter().map(|(at, ..)| *at))
                .fold(end, Instant::min);
            self.now = next.max(self.now + Duration::from_micros(100)).min(end);
            let (due, later) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|(at, ..)| *at <= self.now);
            self.flying = later;
            let mut due: Vec<_> = due;
            due.sort_by_key(|(at, ..)| *at);
            for (_, to, from, bytes) in due {
                let path = Path {
                    proto: Protocol::Udp,
                    from: self.addresses[to],
                    to: from,
                };
                let mut got = Vec::new();
                self.links[to]
                    .handle_datagram(self.now, path, &bytes, &mut got)
                    .unwrap();
                let now = self.now;
                self.got[to].extend(got.into_iter().map(|received| (now, received)));
            }
            if self.now >= end {
                return;
            }
        }
    }
}

#[test]
fn five_percent_of_loss_loses_no_message_and_next_to_no_media_and_delays_it_by_little() {
    let mut pair = Pair::new(0.05);
    pair.run(ms(500));
    let mut sent = Vec::new();
    for index in 0..3000u32 {
        let mut bytes = index.to_be_bytes().to_vec();
        bytes.resize(1000, 0);
        sent.push(pair.now);
        let now = pair.now;
        pair.links[0].send_media(now, &bytes);
        if index % 100 == 0 {
            pair.links[0].send_message(&vec![(index / 100) as u8; 3000]);
        }
        if index % 10 == 9 {
            pair.run(ms(20));
        }
    }
    pair.run(ms(1000));
    let mut messages = Vec::new();
    let mut late = Vec::new();
    let mut media = std::collections::BTreeSet::new();
    for (at, received) in &pair.got[1] {
        match received {
            Received::Message(bytes) => messages.push((bytes[0], bytes.len())),
            Received::Media(bytes) => {
                let index = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                assert!(media.insert(index), "packet {index} twice");
                late.push(*at - sent[index as usize]);
            }
        }
    }
    let expected: Vec<(u8, usize)> = (0..30).map(|index| (index, 3000)).collect();
    assert_eq!(messages, expected);
    assert!(media.len() >= 2999, "{} of 3000", media.len());
    late.sort();
    assert!(
        late[late.len() * 99 / 100] < ms(80),
        "{:?}",
        late[late.len() * 99 / 100]
    );
    let carried = pair.links[0].take_carried();
    assert!((100..400).contains(&carried.retransmitted), "{carried:?}");
    assert!(!pair.links[0].is_lost(pair.now) && !pair.links[1].is_lost(pair.now));
}

#[test]
fn an_end_that_dies_is_noticed_by_the_other_within_three_seconds() {
    let mut pair = Pair::new(0.05);
    pair.run(ms(10_000));
    assert!(pair.links.iter().all(|link| !link.is_lost(pair.now)));
    pair.dead = Some(1);
    pair.run(ms(2000));
    assert!(!pair.links[0].is_lost(pair.now), "a moment of silence");
    pair.run(ms(1000));
    assert!(pair.links[0].is_lost(pair.now));
}

#[test]
fn an_end_that_never_answers_is_given_up() {
    let mut pair = Pair::new(1.0);
    pair.links[0].send_message(b"hello");
    pair.run(ms(5900));
    assert!(!pair.links[0].is_lost(pair.now));
    pair.run(ms(200));
    assert!(pair.links[0].is_lost(pair.now));
}

#[test]
fn times_of_the_other_end_are_understood() {
    let mut pair = Pair::new(0.0);
    pair.run(ms(3000));
    let moment = pair.now - ms(40);
    let told = pair.links[0].micros(moment);
    let understood = pair.links[1].instant(pair.now, told);
    let off = understood
        .saturating_duration_since(moment)
        .max(moment.saturating_duration_since(understood));
    assert!(off < ms(3), "{off:?}");
}
