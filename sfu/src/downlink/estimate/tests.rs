use std::collections::VecDeque;

use super::*;

const MS: i64 = 1000;

/// A link with a queue: packets leave it at its rate, and are lost when the queue is full or by chance.
struct Link {
    bits_a_second: f64,
    delay: i64,
    free_at: f64,
    loss: f64,
    seed: u64,
}

impl Link {
    fn new(bits_a_second: f64) -> Self {
        Self {
            bits_a_second,
            delay: 30 * MS,
            free_at: 0.0,
            loss: 0.0,
            seed: 1,
        }
    }

    fn pass(&mut self, sent: i64, bytes: u16) -> Option<i64> {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (self.seed >> 33) as f64 / f64::from(1u32 << 31) < self.loss {
            return None;
        }
        let start = self.free_at.max(sent as f64);
        // 300 ms of queue.
        if start - sent as f64 > 300_000.0 {
            return None;
        }
        self.free_at = start + f64::from(bytes) * 8e6 / self.bits_a_second;
        Some(self.free_at as i64 + self.delay)
    }
}

/// A sender that obeys the estimate up to what it wants, 30 frames a second, with feedback every 50 ms.
struct Session {
    estimator: Estimator,
    link: Link,
    wanted: f64,
    start: Instant,
    now: i64,
    flying: VecDeque<Report>,
    estimates: Vec<(i64, f64)>,
}

impl Session {
    fn new(link: Link, wanted: f64) -> Self {
        let mut estimator = Estimator::default();
        estimator.set_wanted(Bitrate::bits(wanted as u64));
        Self {
            estimator,
            link,
            wanted,
            start: rotunda_proto::clock::Clock.now(),
            now: 0,
            flying: VecDeque::new(),
            estimates: Vec::new(),
        }
    }

    fn send(&mut self, bytes: u16, cluster: Option<u8>, at: i64) {
        let arrived = self.link.pass(at, bytes);
        self.flying.push_back(Report {
            sent: at,
            arrived,
            bytes,
            cluster,
        });
    }

    fn run(&mut self, seconds: i64) {
        let end = self.now + seconds * 1000 * MS;
        while self.now < end {
            let now = self.start + Duration::from_micros(self.now as u64);
            if self.now % (33 * MS) == 0 {
                let rate = self
                    .wanted
                    .min(self.estimator.estimate().map_or(INITIAL, Bitrate::as_f64));
                let mut left = (rate / 8.0 / 30.0) as i64;
                while left > 0 {
                    let bytes = left.min(1200) as u16;
                    self.send(bytes, None, self.now);
                    left -= 1200;
                }
            }
            if self.now % (5 * MS) == 0
                && let Some(cluster) = self.estimator.poll_probe(now)
            {
                let count = (cluster.bytes / 250).max(cluster.packets);
                for index in 0..count {
                    let apart = 250.0 * 8e6 / cluster.rate;
                    self.send(250, Some(cluster.id), self.now + (index as f64 * apart) as i64);
                    self.estimator.handle_probe_sent(cluster);
                }
            }
            if self.now % (50 * MS) == 0 {
                let mut reports = Vec::new();
                while let Some(first) = self.flying.front().copied()
                    && first.arrived.unwrap_or(first.sent + self.link.delay) <= self.now
                {
                    reports.push(first);
                    self.flying.pop_front();
                }
                self.estimator.handle_reports(now, Duration::from_millis(60), &reports);
                if let Some(estimate) = self.estimator.estimate() {
                    self.estimates.push((self.now, estimate.as_f64()));
                }
            }
            self.now += MS;
        }
    }

    /// Mean of the last seconds.
    fn mean(&self, seconds: i64) -> f64 {
        let since = self.now - seconds * 1000 * MS;
        let last: Vec<f64> = self
            .estimates
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, rate)| *rate)
            .collect();
        last.iter().sum::<f64>() / last.len().max(1) as f64
    }
}

fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 0.2 * expected
}

#[test]
fn the_estimate_finds_a_bottleneck_of_one_megabit() {
    let mut session = Session::new(Link::new(1e6), 4e6);
    session.run(20);
    assert!(near(session.mean(10), 1e6), "{}", session.mean(10));
}

#[test]
fn the_estimate_follows_the_link_down_and_up_again() {
    let mut session = Session::new(Link::new(1e6), 4e6);
    session.run(15);
    session.link.bits_a_second = 5e5;
    session.run(15);
    assert!(near(session.mean(8), 5e5), "down: {}", session.mean(8));
    session.link.bits_a_second = 1e6;
    session.run(25);
    assert!(near(session.mean(8), 1e6), "up: {}", session.mean(8));
}

#[test]
fn a_fast_link_is_known_within_two_seconds() {
    let mut session = Session::new(Link::new(20e6), 4e6);
    session.run(2);
    assert!(session.mean(1) > 3e6, "{}", session.mean(1));
}

#[test]
fn a_little_chance_loss_costs_nothing() {
    let mut link = Link::new(10e6);
    link.loss = 0.03;
    let mut session = Session::new(link, 2e6);
    session.run(20);
    assert!(session.mean(5) > 1.9e6, "{}", session.mean(5));
}

#[test]
fn heavy_loss_limits_the_rate_and_is_forgotten_when_it_ends() {
    let mut link = Link::new(10e6);
    link.loss = 0.3;
    let mut session = Session::new(link, 2e6);
    session.run(20);
    assert!(session.mean(5) < 1e6, "{}", session.mean(5));
    session.link.loss = 0.0;
    session.run(20);
    assert!(session.mean(2) > 1.8e6, "{}", session.mean(2));
}

#[test]
fn without_feedback_there_is_no_estimate() {
    assert_eq!(Estimator::default().estimate(), None);
}

/// Percent that protection is told to be lost, of a link that gets 200 packets of 1000 bytes a second for 10 s.
fn loss_to_protect_from(link: Link) -> u8 {
    let mut session = Session::new(link, 0.0);
    let mut polled = 0;
    for feedback in 0..200 {
        for packet in 0..10 {
            session.send(1000, None, (feedback * 50 + packet * 5) * MS);
        }
        let reports: Vec<Report> = session.flying.drain(..).collect();
        let now = session.start + Duration::from_millis(feedback as u64 * 50 + 100);
        session
            .estimator
            .handle_reports(now, Duration::from_millis(80), &reports);
        polled = session.estimator.poll_loss(now).unwrap_or(polled);
    }
    (u32::from(polled) * 100 / 256) as u8
}

#[test]
fn loss_by_a_full_queue_brings_no_protection() {
    let half = Link::new(800_000.0);
    assert!(loss_to_protect_from(half) < 3);
    let lossy = Link {
        loss: 0.3,
        ..Link::new(8_000_000.0)
    };
    assert!((20..40).contains(&loss_to_protect_from(lossy)));
}

#[test]
fn a_probe_measures_the_link_by_all_that_is_sent_meanwhile() {
    let now = rotunda_proto::clock::Clock.now();
    let mut probes = ProbeController::default();
    probes.set_wanted(Bitrate::bits(4_000_000));
    let cluster = probes.poll(now, 5e5).unwrap();
    // A probe's packet and another one in turn, each ms 250 bytes: twice what the link carries.
    let report = |number: i64| Report {
        sent: number * MS,
        arrived: Some(number * 2 * MS),
        bytes: 250,
        cluster: (number % 2 == 0).then_some(cluster.id),
    };
    let reports: Vec<Report> = (0..2 * cluster.packets as i64).map(report).collect();
    for _ in 0..cluster.packets {
        probes.handle_sent(cluster);
    }
    let found = probes.handle_reports(now, &reports).unwrap();
    assert!((0.9e6..1e6).contains(&found), "{found}");
}
