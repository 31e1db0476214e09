//! A viewer's link: media waits for the link's rate. Packets that find the queue full, or are chosen by chance, are
//! lost. Sans-IO.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use thiserror::Error;

/// A packet that would wait longer is lost, as in a router.
const QUEUE: Duration = Duration::from_millis(300);
/// IPv4 and UDP headers, which count for the link's rate.
const HEADERS: usize = 28;

/// The rate of a link over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Bandwidth(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Step {
    /// Seconds since the viewer began to join.
    from: f64,
    kilobits: u32,
}

/// A bandwidth that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a bandwidth: write kbit/s, and changes as SECONDS:KBIT, for example 2000,20:500,40:2000")]
pub struct BandwidthError(String);

impl FromStr for Bandwidth {
    type Err = BandwidthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || BandwidthError(text.to_owned());
        let mut steps: Vec<Step> = Vec::new();
        for part in text.split(',') {
            let (from, kilobits) = match part.split_once(':') {
                Some((from, kilobits)) => (from.parse().map_err(|_| error())?, kilobits),
                None if steps.is_empty() => (0.0, part),
                None => return Err(error()),
            };
            let kilobits = kilobits.parse().map_err(|_| error())?;
            let is_later = steps.last().is_none_or(|last| from > last.from);
            if !is_later || kilobits == 0 || !(0.0..1e6).contains(&from) {
                return Err(error());
            }
            steps.push(Step { from, kilobits });
        }
        Ok(Self(steps))
    }
}

impl Bandwidth {
    /// Bits per second; None: no limit yet.
    fn at(&self, since: Duration) -> Option<u64> {
        let step = self.0.iter().rev().find(|step| step.from <= since.as_secs_f64())?;
        Some(1000 * u64::from(step.kilobits))
    }
}

/// How the link treats an arriving datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    AtOnce,
    /// [`Link::poll`] returns it when it is due.
    Waits,
    Lost,
}

/// A datagram that has passed the link.
#[derive(Debug, PartialEq, Eq)]
pub struct Late {
    pub due: Instant,
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct Link {
    began: Instant,
    bandwidth: Option<Bandwidth>,
    loss: f64,
    chance: SmallRng,
    /// When the last queued packet has left.
    free_at: Instant,
    queue: VecDeque<Late>,
}

impl Link {
    /// `loss`: share of the media datagrams, 0 to 1.
    pub fn new(now: Instant, bandwidth: Option<Bandwidth>, loss: f64, seed: u64) -> Self {
        Self {
            began: now,
            bandwidth,
            loss,
            chance: SmallRng::seed_from_u64(seed),
            free_at: now,
            queue: VecDeque::new(),
        }
    }

    /// Only RTP and RTCP wait or are lost (RFC 7983 §7), so the link does not affect joining.
    pub fn pass(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Passage {
        let is_media = bytes.first().is_some_and(|first| (128..=191).contains(first));
        if !is_media {
            return Passage::AtOnce;
        }
        if self.loss > 0.0 && self.chance.random_bool(self.loss) {
            return Passage::Lost;
        }
        let bandwidth = self.bandwidth.as_ref();
        let Some(rate) = bandwidth.and_then(|bandwidth| bandwidth.at(now.saturating_duration_since(self.began))) else {
            return Passage::AtOnce;
        };
        let starts = self.free_at.max(now);
        if starts.saturating_duration_since(now) > QUEUE {
            return Passage::Lost;
        }
        let bits = 8 * (bytes.len() + HEADERS);
        self.free_at = starts + Duration::from_secs_f64(bits as f64 / rate as f64);
        self.queue.push_back(Late {
            due: self.free_at,
            from,
            bytes: bytes.to_vec(),
        });
        Passage::Waits
    }

    /// The next datagram that is due.
    pub fn poll(&mut self, now: Instant) -> Option<Late> {
        self.queue.pop_front_if(|late| late.due <= now)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue.front().map(|late| late.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    fn media(bytes: usize) -> Vec<u8> {
        vec![0x80; bytes - HEADERS]
    }

    #[test]
    fn media_leaves_a_link_at_its_rate_and_in_order() {
        let now = rotunda_proto::clock::Clock.now();
        let mut link = Link::new(now, Some("80".parse().unwrap()), 0.0, 1);
        for _ in 0..3 {
            assert_eq!(link.pass(now, FROM, &media(100)), Passage::Waits);
        }
        assert_eq!(link.poll(now + Duration::from_millis(9)), None);
        let due: Vec<_> = (1..=3)
            .map(|turn| link.poll(now + Duration::from_millis(10 * turn)).unwrap().due - now)
            .collect();
        assert_eq!(due, [10, 20, 30].map(Duration::from_millis));
        assert_eq!(link.poll_timeout(), None);
    }

    #[test]
    fn packets_behind_a_queue_of_300_ms_are_lost_and_a_wider_link_takes_more() {
        let now = rotunda_proto::clock::Clock.now();
        let mut link = Link::new(now, Some("80,2:8000".parse().unwrap()), 0.0, 1);
        let mut pass = |at: Instant| {
            (0..100)
                .filter(|_| link.pass(at, FROM, &media(100)) == Passage::Waits)
                .count()
        };
        assert_eq!(pass(now), 31);
        assert_eq!(pass(now + Duration::from_secs(3)), 100);
    }

    #[test]
    fn ice_and_dtls_pass_every_link() {
        let now = rotunda_proto::clock::Clock.now();
        let mut link = Link::new(now, Some("1".parse().unwrap()), 1.0, 1);
        assert_eq!(link.pass(now, FROM, &[0, 1, 0, 0]), Passage::AtOnce);
        assert_eq!(link.pass(now, FROM, &[22, 254, 253]), Passage::AtOnce);
        assert_eq!(link.pass(now, FROM, &media(100)), Passage::Lost);
    }

    #[test]
    fn a_profile_begins_with_a_rate_and_its_changes_are_in_order() {
        for wrong in ["", "0", "fast", "5:", "1000,500", "1000,20:500,10:1000", "1000,20:-1"] {
            let error = wrong.parse::<Bandwidth>().unwrap_err();
            assert!(error.to_string().contains("SECONDS:KBIT"), "{wrong}");
        }
        let profile: Bandwidth = "2000,20:500,40:2000".parse().unwrap();
        let at = |seconds| profile.at(Duration::from_secs(seconds)).unwrap() / 1000;
        assert_eq!([at(0), at(19), at(20), at(39), at(60)], [2000, 2000, 500, 500, 2000]);
        let later: Bandwidth = "5:500".parse().unwrap();
        assert_eq!(later.at(Duration::from_secs(4)), None, "no limit before");
    }
}
