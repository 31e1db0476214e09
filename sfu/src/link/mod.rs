//! A link: the encrypted way between a worker of this node and a worker of another one, over the media port of both. Sans-IO.
//!
//! The nodes have agreed on its [keys](crypto) over the bus. Then each end sends to the addresses of the other, until it hears from one
//! of them. Messages arrive all and in order ([`messages`]); packets of media arrive at once, or after a retransmission, or not at all
//! ([`media`]). Why this is no WebRTC session: `docs/decisions/0005-links-between-nodes.md`.

pub mod crypto;
pub mod datagram;
mod inflow;
pub mod limit;
mod media;
mod messages;
mod remote_clock;
#[cfg(any(test, feature = "fuzzing"))]
pub mod testing;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::net::Protocol;

use crate::downlink::egress::Path;
use crate::units::Bitrate;
use crypto::{LinkError, Opener, Sealer};
use datagram::{FRAME, Frame, Header, read_body};
use inflow::{Arrived, Inflow};
use remote_clock::RemoteClock;

/// Both ends say so often that they are there.
const ALIVE: Duration = Duration::from_millis(100);
/// Before the first datagram has come, each address is tried so often.
const TRY: Duration = Duration::from_millis(100);
/// An end that is silent for so long may be gone: media that comes by it is to come another way.
const DOUBT: Duration = Duration::from_millis(500);
/// An end that is silent for so long is gone.
const SILENCE: Duration = Duration::from_millis(2500);
/// The other end is heard in this time, or the link is given up.
const CONNECT: Duration = Duration::from_secs(6);
/// The other end has moved when it was not heard on the known path for so long.
const MOVED: Duration = Duration::from_millis(600);
/// The other end is told that no more packets have been sent, so long after the last one.
const TAIL: Duration = Duration::from_millis(15);
/// Assumed until it is measured.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// Bytes of the body of a datagram of small frames.
const BODY: usize = 1200;
/// Addresses of the other end that are tried.
pub const MOST_ADDRESSES: usize = 16;

/// What came from the other end.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Message(Vec<u8>),
    Media(Vec<u8>),
}

/// What a link has carried, since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    pub packets: u64,
    pub bytes: u64,
    pub retransmitted: u64,
    /// Packets of the other end that never came.
    pub lost: u64,
}

#[cfg(test)]
impl Carried {
    pub fn add(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.retransmitted += more.retransmitted;
        self.lost += more.lost;
    }
}

pub struct Link {
    /// How the other end knows it.
    remote: u32,
    sealer: Sealer,
    opener: Opener,
    clock: RemoteClock,
    /// Addresses of the other end.
    addresses: Vec<SocketAddr>,
    path: Option<Path>,
    created_at: Instant,
    heard_at: Option<Instant>,
    /// The newest datagram's time of sending, and when it came.
    to_echo: Option<(u64, Instant)>,
    alive_at: Instant,
    tail_at: Option<Instant>,
    messages_out: messages::Outgoing,
    messages_in: messages::Incoming,
    must_confirm: bool,
    media_out: media::Outgoing,
    media_in: media::Incoming,
    inflow: Inflow,
    /// A side has broken the stream of messages.
    is_broken: bool,
    carried: Carried,
    out: VecDeque<(Path, Vec<u8>)>,
}

impl Link {
    /// `remote`: how the other end knows the link. `addresses`: of the other end.
    pub fn new(now: Instant, remote: u32, (sealer, opener): (Sealer, Opener), addresses: &[SocketAddr]) -> Self {
        Self {
            remote,
            sealer,
            opener,
            clock: RemoteClock::new(now),
            addresses: addresses.iter().copied().take(MOST_ADDRESSES).collect(),
            path: None,
            created_at: now,
            heard_at: None,
            to_echo: None,
            alive_at: now,
            tail_at: None,
            messages_out: messages::Outgoing::default(),
            messages_in: messages::Incoming::default(),
            must_confirm: false,
            media_out: media::Outgoing::default(),
            media_in: media::Incoming::default(),
            inflow: Inflow::default(),
            is_broken: false,
            carried: Carried::default(),
            out: VecDeque::new(),
        }
    }

    pub fn is_lost(&self, now: Instant) -> bool {
        let silent = match self.heard_at {
            Some(heard_at) => now.saturating_duration_since(heard_at) >= SILENCE,
            None => now.saturating_duration_since(self.created_at) >= CONNECT,
        };
        silent || self.is_broken
    }

    /// Whether the other end was heard lately.
    pub fn is_heard(&self, now: Instant) -> bool {
        let heard_at = self.heard_at;
        heard_at.is_some_and(|heard_at| now.saturating_duration_since(heard_at) < DOUBT)
    }

    /// The bitrate of what comes from the other end, if the network carries no more and more is sent.
    pub fn limit(&self, now: Instant) -> Option<Bitrate> {
        self.inflow.limit(now)
    }

    pub fn round_trip(&self) -> Duration {
        self.clock.round_trip().unwrap_or(ROUND_TRIP)
    }

    /// A moment as the other end is told it.
    pub fn micros(&self, at: Instant) -> i64 {
        self.clock.micros(at)
    }

    /// A moment that the other end has told.
    pub fn instant(&self, now: Instant, remote: i64) -> Instant {
        self.clock.instant(now, remote)
    }

    /// Counts since the last call.
    pub fn take_carried(&mut self) -> Carried {
        let lost = self.media_in.take_lost();
        Carried {
            lost,
            ..std::mem::take(&mut self.carried)
        }
    }

    /// The other end gets this message after those before. One that is too long, or too many, end the link.
    pub fn send_message(&mut self, message: &[u8]) {
        if self.messages_out.push(message).is_err() {
            self.is_broken = true;
        }
    }

    /// Sends a packet of media now. Without a path it is dropped.
    pub fn send_media(&mut self, now: Instant, bytes: &[u8]) {
        if self.path.is_none() {
            return;
        }
        // A packet comes after the messages that announce it.
        self.send_messages(now);
        let number = self.media_out.push(now, bytes);
        self.carried.packets += 1;
        self.carried.bytes += bytes.len() as u64;
        self.tail_at = Some(now + TAIL);
        self.send(
            now,
            |body| Frame::Media { number, bytes }.write(body),
            FRAME + bytes.len(),
        );
    }

    /// What comes out of a datagram is appended to `out`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: Path,
        datagram: &[u8],
        out: &mut Vec<Received>,
    ) -> Result<(), LinkError> {
        let body = self.opener.open(datagram)?;
        self.follow(now, from);
        self.heard_at = Some(now);
        if let (Some(header), Some(sent)) = (Header::read(datagram), body.first_chunk()) {
            let arrived = Arrived {
                counter: header.counter,
                sent: i64::from_be_bytes(*sent),
                arrived: self.clock.micros(now),
                bytes: datagram.len(),
            };
            self.inflow.handle(now, arrived);
        }
        self.handle_body(now, &body, out)
    }

    /// Of an authentic datagram.
    pub(crate) fn handle_body(&mut self, now: Instant, body: &[u8], out: &mut Vec<Received>) -> Result<(), LinkError> {
        let (sent_at, frames) = read_body(body).ok_or(LinkError::Malformed)?;
        if self.to_echo.is_none_or(|(newest, _)| newest < sent_at) {
            self.to_echo = Some((sent_at, now));
        }
        self.clock.handle_arrival(now, sent_at as i64);
        for frame in frames {
            self.handle_frame(now, frame, out);
        }
        Ok(())
    }

    /// The first authentic datagram chooses the path; later ones only when the known path is silent.
    fn follow(&mut self, now: Instant, from: Path) {
        let is_silent = self
            .heard_at
            .is_none_or(|at| now.saturating_duration_since(at) >= MOVED);
        if self.path.is_none() || is_silent {
            self.path = Some(from);
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame<'_>, out: &mut Vec<Received>) {
        let round_trip = self.round_trip();
        match frame {
            Frame::Media { number, bytes } => {
                if self.media_in.handle(now, number) {
                    out.push(Received::Media(bytes.to_vec()));
                }
            }
            Frame::Messages { offset, bytes } => {
                let mut complete = Vec::new();
                if self.messages_in.handle_chunk(offset, bytes, &mut complete).is_err() {
                    self.is_broken = true;
                }
                self.must_confirm = true;
                out.extend(complete.into_iter().map(Received::Message));
            }
            Frame::Received { offset } => self.messages_out.handle_received(now, offset, round_trip),
            Frame::Missing { ranges } => {
                for number in ranges
                    .into_iter()
                    .flat_map(|(first, count)| (0..u64::from(count)).map(move |at| first.saturating_add(at)))
                {
                    self.retransmit(now, number);
                }
            }
            Frame::Next { number } => self.media_in.skip_to(now, number),
            Frame::Echo { sent_at, held } => {
                let held = Duration::from_micros(held.into());
                self.clock.handle_echo(now, sent_at as i64, held);
            }
        }
    }

    fn retransmit(&mut self, now: Instant, number: u64) {
        let round_trip = self.round_trip();
        let Some(bytes) = self.media_out.again(now, number, round_trip) else {
            return;
        };
        let bytes = bytes.to_vec();
        self.carried.retransmitted += 1;
        self.send(
            now,
            |body| Frame::Media { number, bytes: &bytes }.write(body),
            FRAME + bytes.len(),
        );
    }

    /// Does what is due, and sends the messages that may be sent. Call it after every input.
    pub fn handle_timeout(&mut self, now: Instant) {
        let round_trip = self.round_trip();
        if self.alive_at <= now {
            self.say_alive(now);
        }
        if self.path.is_none() {
            return;
        }
        if self.tail_at.is_some_and(|at| at <= now) {
            self.tail_at = None;
            let number = self.media_out.next();
            self.send(now, |body| Frame::Next { number }.write(body), FRAME);
        }
        let ranges = self.media_in.due_requests(now, round_trip);
        if !ranges.is_empty() {
            self.send(now, |body| Frame::Missing { ranges }.write(body), BODY);
        }
        self.send_messages(now);
        if std::mem::take(&mut self.must_confirm) {
            let offset = self.messages_in.received();
            self.send(now, |body| Frame::Received { offset }.write(body), FRAME);
        }
    }

    fn send_messages(&mut self, now: Instant) {
        let round_trip = self.round_trip();
        while let Some((offset, bytes)) = self.messages_out.next_chunk(now, round_trip) {
            self.send(now, |body| Frame::Messages { offset, bytes: &bytes }.write(body), BODY);
        }
    }

    fn say_alive(&mut self, now: Instant) {
        self.alive_at = now + if self.path.is_some() { ALIVE } else { TRY };
        let number = self.media_out.next();
        let echo = self.to_echo.map(|(sent_at, came_at)| Frame::Echo {
            sent_at,
            held: now.saturating_duration_since(came_at).as_micros() as u32,
        });
        let offset = self.messages_in.received();
        let mut body = self.begin(now, BODY);
        Frame::Next { number }.write(&mut body);
        Frame::Received { offset }.write(&mut body);
        if let Some(echo) = echo {
            echo.write(&mut body);
        }
        match self.path {
            Some(path) => {
                let datagram = self.sealer.seal(self.remote, body);
                self.out.push_back((path, datagram));
            }
            None => {
                for to in self.addresses.clone() {
                    let path = Path {
                        proto: Protocol::Udp,
                        // The system chooses.
                        from: (Ipv4Addr::UNSPECIFIED, 0).into(),
                        to,
                    };
                    let datagram = self.sealer.seal(self.remote, body.clone());
                    self.out.push_back((path, datagram));
                }
            }
        }
    }

    fn begin(&self, now: Instant, capacity: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(8 + capacity);
        body.extend_from_slice(&(self.micros(now) as u64).to_be_bytes());
        body
    }

    fn send(&mut self, now: Instant, write: impl FnOnce(&mut Vec<u8>), capacity: usize) {
        let Some(path) = self.path else { return };
        let mut body = self.begin(now, capacity);
        write(&mut body);
        let datagram = self.sealer.seal(self.remote, body);
        self.out.push_back((path, datagram));
    }

    pub fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        self.out.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn due(&self) -> Instant {
        let lost_at = match self.heard_at {
            Some(heard_at) => heard_at + SILENCE,
            None => self.created_at + CONNECT,
        };
        let due = [
            Some(self.alive_at),
            Some(lost_at),
            self.tail_at,
            self.path.and_then(|_| self.media_in.due()),
            self.path.and_then(|_| self.messages_out.due()),
        ];
        due.into_iter().flatten().fold(self.alive_at, Instant::min)
    }
}

#[cfg(test)]
mod tests;
