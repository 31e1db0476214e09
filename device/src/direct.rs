//! Direct connections: a viewer's offer is answered with the device's own addresses, and media and messages go past the server.

mod addresses;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{FutureExt, select_all};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::UserId;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use crate::abi;
use crate::engine::Engine;
use crate::log::log;
use crate::message::{DIRECT_FRAGMENT, cut};
use crate::protocol::{Answer, Quality, Refusal};
use crate::relay::{Relayed, Source};
use crate::session::{Session, SessionError, Told};
use crate::streams::{Channel, Coding, Path, StreamKey, Streams, chain};
use crate::transport::Transport;

/// An order of the engine to a connection.
enum Order {
    Data(Vec<u8>),
    Carry { line: usize, channel: Arc<Channel> },
    Release { line: usize },
}

/// A report of a connection.
pub enum News {
    Connected,
    ChannelOpen,
    Data(Vec<u8>),
    Audio(Vec<u8>),
    Closed,
}

/// The number of the connection, of all that there have been.
pub type Number = u64;
pub type Events = mpsc::Sender<(u32, (Number, News))>;

/// A visitor's connection, as the engine holds it; dropping it closes the connection.
pub struct Handle {
    number: Number,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
    is_connected: bool,
    has_channel: bool,
    lines: Vec<Option<StreamKey>>,
    has_h265: bool,
}

impl Handle {
    fn carries_messages(&self) -> bool {
        self.is_connected && self.has_channel
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long a connection may take; after that it is given up, and everything stays with the server.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest offer: a browser's has about 10 kB.
const MAX_OFFER: usize = 48 * 1024;

struct Connection {
    session: Session,
    transport: Transport,
    carried: Vec<Option<Arc<Channel>>>,
    streams: Arc<Streams>,
    waiting: std::collections::VecDeque<Vec<u8>>,
    since: Instant,
}

impl Engine {
    /// Answers a viewer's offer.
    pub async fn connect_directly(self: &Rc<Self>, visitor: u32, offer: &str) -> Result<Answer, Refusal> {
        if offer.len() > MAX_OFFER {
            return Err(Refusal::new(
                "too_large",
                format!("an offer has at most {MAX_OFFER} bytes"),
            ));
        }
        let servers = self.nat_servers.borrow().clone();
        let (transport, local) = addresses::gather(&self.avt, &servers).await;
        let now = Clock.now();
        let offer = without_names(offer);
        let answered = Session::answer(now, self.avt.mtu, &local, &offer);
        let (mut session, answer) = answered.map_err(|error| Refusal::new("bad_request", chain(&error)))?;
        let lines = session.lines();
        let has_h265 = session.can_send(0, crate::access_unit::VideoCodec::H265);
        let connection = Connection {
            carried: (0..lines).map(|_| None).collect(),
            session,
            transport,
            streams: self.streams.clone(),
            waiting: std::collections::VecDeque::new(),
            since: now,
        };
        let number = self.next_id();
        let (orders, waiting) = mpsc::unbounded_channel();
        let events = self.direct.clone();
        let task = spawn_local(connection.run(visitor, number, waiting, events));
        let handle = Handle {
            number,
            orders,
            task,
            is_connected: false,
            has_channel: false,
            lines: vec![None; lines],
            has_h265,
        };
        self.lose_direct(visitor);
        self.visitors.borrow_mut().set_direct(visitor, handle);
        Ok(Answer::of(json!({ "answer": answer })))
    }

    pub fn handle_direct(self: &Rc<Self>, visitor: u32, (number, news): (Number, News)) {
        {
            let mut visitors = self.visitors.borrow_mut();
            let direct = visitors.direct_mut(visitor);
            let Some(direct) = direct.filter(|direct| direct.number == number) else {
                return;
            };
            match news {
                News::Connected => direct.is_connected = true,
                News::ChannelOpen => direct.has_channel = true,
                _ => {}
            }
        }
        let user = self.visitors.borrow().user_of(visitor);
        let Some(user) = user else { return };
        match news {
            News::Connected => {
                log!(Info, "visitor {visitor} is connected directly");
                self.move_to_direct(visitor);
            }
            News::ChannelOpen => {}
            News::Data(bytes) => self.handle_fragment(&user, &bytes),
            News::Audio(packet) => self.hear(visitor, &packet),
            News::Closed => {
                log!(Info, "visitor {visitor} has no direct connection any more");
                self.lose_direct(visitor);
            }
        }
    }

    pub fn has_direct(&self, visitor: u32) -> bool {
        self.visitors
            .borrow()
            .direct(visitor)
            .is_some_and(Handle::carries_messages)
    }

    /// Sends a message by a direct connection, if there is one.
    pub fn say_directly(&self, to: &UserId, message: &[u8], number: u32) -> bool {
        let visitors = self.visitors.borrow();
        let direct = visitors.number_of(to).and_then(|visitor| visitors.direct(visitor));
        let Some(direct) = direct.filter(|direct| direct.carries_messages()) else {
            return false;
        };
        for fragment in cut(message, to, number, DIRECT_FRAGMENT) {
            let _closing = direct.orders.send(Order::Data(fragment));
        }
        true
    }

    /// A direct way for a stream; None: there is none.
    pub fn open_direct(&self, key: StreamKey, coding: Coding) -> Result<Option<Arc<Channel>>, Refusal> {
        let Some(line) = self.take_line(key, coding) else {
            return Ok(None);
        };
        let channel = self.new_channel(Path::Direct, coding)?;
        self.order_direct(
            key.visitor,
            Order::Carry {
                line,
                channel: channel.clone(),
            },
        );
        Ok(Some(channel))
    }

    /// Which line of the direct connection a stream is on.
    pub fn line_of(&self, key: StreamKey, channel: &Channel) -> Option<usize> {
        if channel.path != Path::Direct {
            return None;
        }
        let visitors = self.visitors.borrow();
        visitors
            .direct(key.visitor)?
            .lines
            .iter()
            .position(|line| *line == Some(key))
    }

    pub fn release_direct(&self, key: StreamKey, channel: &Channel) {
        let Some(line) = self.line_of(key, channel) else { return };
        if let Some(direct) = self.visitors.borrow_mut().direct_mut(key.visitor) {
            direct.lines[line] = None;
        }
        self.order_direct(key.visitor, Order::Release { line });
    }

    pub async fn open_relay(&self, source: Source, coding: Coding) -> Result<Relayed, Refusal> {
        let opened = self
            .relays
            .open(source, || self.new_channel(Path::Relayed, coding))
            .await?;
        if opened.channel.coding != coding {
            log!(
                Warn,
                "the program gave other parameters for a stream that another visitor watches"
            );
        }
        Ok(opened)
    }

    /// Moves the direct viewers of this stream to the server, so that the device sends it once.
    pub fn move_to_relay(self: &Rc<Self>, source: Source, relayed: &Relayed) {
        for key in self.streams.of_stream(source.channel, source.quality) {
            let old = self.streams.channel(key);
            let Some(old) = old.filter(|old| old.path == Path::Direct) else {
                continue;
            };
            self.release_direct(key, &old);
            self.change_path(key, &relayed.channel);
        }
    }

    /// Moves the streams that this visitor alone watches to the direct connection.
    pub fn move_to_direct(self: &Rc<Self>, visitor: u32) {
        for key in self.streams.of_visitor(visitor) {
            let Some(old) = self.streams.channel(key) else { continue };
            let is_alone = self.streams.watchers(&old).len() == 1;
            if old.path == Path::Direct || !is_alone {
                continue;
            }
            match self.open_direct(key, old.coding) {
                Ok(Some(channel)) => {
                    self.change_path(key, &channel);
                    self.relays.release_unwatched(&self.streams);
                }
                Ok(None) => {}
                Err(refusal) => log!(Warn, "a stream stays with the server: {}", refusal.message),
            }
        }
    }

    fn change_path(self: &Rc<Self>, key: StreamKey, channel: &Arc<Channel>) {
        self.streams.set(key, channel.clone());
        let event = json!({
            "event": "path", "channel": key.channel, "quality": Quality::name_of(key.quality), "path": channel.path.name(),
            "member": self.relays.member_of(channel), "line": self.line_of(key, channel),
        });
        self.tell(key.visitor, &event);
        self.calls
            .post(move |functions| functions.event(abi::EVENT_PEER_ADDR_CHANGED, key));
        channel.ask_for_keyframe(Clock.now(), key);
    }

    /// The connection is gone (or was never there): its streams go through the server.
    pub fn lose_direct(self: &Rc<Self>, visitor: u32) {
        let direct = self.visitors.borrow_mut().take_direct(visitor);
        let Some(direct) = direct else { return };
        for key in direct.lines.iter().flatten().copied() {
            let Some(old) = self.streams.channel(key) else { continue };
            let engine = self.clone();
            spawn_local(async move {
                let opened = engine.open_relay(Source::of(key), old.coding).await;
                // It may have ended meanwhile.
                let same = engine.streams.channel(key).is_some_and(|now| Arc::ptr_eq(&now, &old));
                match opened {
                    Ok(relayed) if same => engine.change_path(key, &relayed.channel),
                    Ok(_) => engine.relays.release_unwatched(&engine.streams),
                    Err(refusal) if same => {
                        log!(Warn, "a stream ends with its direct connection: {}", refusal.message);
                        engine.tell_ended(key);
                    }
                    Err(_) => {}
                }
            });
        }
    }

    fn new_channel(&self, path: Path, coding: Coding) -> Result<Arc<Channel>, Refusal> {
        let channel = Channel::new(path, coding, 2 * self.avt.max_frame, self.avt.marks, self.calls.clone());
        channel
            .map(Arc::new)
            .map_err(|error| Refusal::new("codec_not_supported", chain(&error)))
    }

    fn take_line(&self, key: StreamKey, coding: Coding) -> Option<usize> {
        let mut visitors = self.visitors.borrow_mut();
        let direct = visitors.direct_mut(key.visitor)?;
        let can = direct.is_connected && (coding.video == crate::access_unit::VideoCodec::H264 || direct.has_h265);
        let line = direct.lines.iter().position(Option::is_none).filter(|_| can)?;
        direct.lines[line] = Some(key);
        Some(line)
    }

    fn order_direct(&self, visitor: u32, order: Order) {
        if let Some(direct) = self.visitors.borrow().direct(visitor) {
            let _closing = direct.orders.send(order);
        }
    }
}

impl Connection {
    async fn run(mut self, visitor: u32, number: Number, mut orders: mpsc::UnboundedReceiver<Order>, events: Events) {
        let clock = Clock;
        let ended = loop {
            self.flush();
            let now = clock.now();
            let due = self.due(now);
            let handled = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => { self.handle_order(order); Ok(()) }
                    None => break Ok(()),
                },
                datagram = self.transport.receive() => self.session.handle_datagram(
                    clock.now(), datagram.protocol, datagram.from, datagram.local, &datagram.bytes),
                () = changed(&self.carried) => Ok(()),
                () = clock.sleep_until(due) => self.session.handle_timeout(clock.now()),
            };
            let now = clock.now();
            let handled = handled.and_then(|()| self.send(now));
            if let Err(error) = handled {
                break Err(error);
            }
            let mut is_over = false;
            while let Some(told) = self.session.poll_told() {
                match self.news(now, told) {
                    Some(News::Closed) => is_over = true,
                    Some(News::Audio(packet)) => {
                        // A packet of audio is not worth waiting for.
                        let _lost = events.try_send((visitor, (number, News::Audio(packet))));
                    }
                    Some(news) => {
                        let _ended = events.send((visitor, (number, news))).await;
                    }
                    None => {}
                }
            }
            let is_late = !self.session.is_connected() && now.saturating_duration_since(self.since) > PATIENCE;
            if is_over || is_late {
                break Ok(());
            }
        };
        if let Err(error) = ended {
            log!(Warn, "a direct connection failed: {}", chain(&error));
        }
        self.session.close(clock.now());
        self.flush();
        let _ended = events.send((visitor, (number, News::Closed))).await;
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Data(bytes) => self.waiting.push_back(bytes),
            Order::Carry { line, channel } => {
                if let Some(carried) = self.carried.get_mut(line) {
                    *carried = Some(channel);
                }
            }
            Order::Release { line } => {
                if let Some(carried) = self.carried.get_mut(line) {
                    *carried = None;
                }
            }
        }
    }

    fn send(&mut self, now: Instant) -> Result<(), SessionError> {
        while let Some(bytes) = self.waiting.front() {
            if !self.session.send_data(now, bytes)? {
                break;
            }
            self.waiting.pop_front();
        }
        if !self.session.is_connected() {
            return Ok(());
        }
        for line in 0..self.carried.len() {
            let Some(channel) = self.carried[line].clone() else {
                continue;
            };
            let watchers = self.streams.watchers(&channel);
            while let Some(frame) = channel.pop(now, &watchers) {
                self.session.send(now, line, channel.coding.video, &frame)?;
                self.flush();
            }
        }
        Ok(())
    }

    fn news(&mut self, now: Instant, told: Told) -> Option<News> {
        match told {
            Told::Connected => Some(News::Connected),
            Told::Disconnected => Some(News::Closed),
            Told::ChannelOpen => Some(News::ChannelOpen),
            Told::Data(bytes) => Some(News::Data(bytes)),
            Told::Audio { data, .. } => Some(News::Audio(data)),
            Told::KeyframeWanted { line } => {
                let channel = self.carried.get(line)?.as_ref()?;
                let first = *self.streams.watchers(channel).first()?;
                channel.ask_for_keyframe(now, first);
                None
            }
            Told::Estimate(rate) => {
                // The streams share the link: each may have an equal part at least.
                let carried = self.carried.iter().flatten().count().max(1) as u64;
                for channel in self.carried.iter().flatten() {
                    channel.set_rate(now, rate / carried);
                }
                None
            }
            Told::Acknowledged { line, bytes, over } => {
                self.carried.get(line)?.as_ref()?.acknowledge(bytes, over);
                None
            }
        }
    }

    fn due(&self, now: Instant) -> Instant {
        let mut due = self.session.poll_timeout();
        if self.session.is_connected() {
            let frames = self.carried.iter().flatten().filter_map(|channel| channel.due(now));
            due = frames.fold(due, Instant::min);
        } else {
            due = due.min(now + Duration::from_millis(500));
        }
        if !self.waiting.is_empty() {
            due = due.min(now + Duration::from_millis(10));
        }
        due
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            self.transport.send(&transmit);
        }
    }
}

async fn changed(carried: &[Option<Arc<Channel>>]) {
    let waits: Vec<_> = carried
        .iter()
        .flatten()
        .map(|channel| channel.changed.notified().boxed_local())
        .collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    select_all(waits).await;
}

/// Without the candidates that are mDNS names of the browser: they are found when it sends from there.
fn without_names(offer: &str) -> String {
    offer
        .split_inclusive('\n')
        .filter(|line| !(line.starts_with("a=candidate:") && line.contains(".local ")))
        .collect()
}
