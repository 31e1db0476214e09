//! The device: its members, its visitors, and what each of them asks. One task on a thread of its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::UserId;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use crate::abi::{self, err};
use crate::audio::FromOpus;
use crate::calls::{Calls, Open};
use crate::log::log;
use crate::member::{Config, Member, News, Offline, Order};
use crate::message::{Assembler, Message, ROOM_FRAGMENT, cut};
use crate::protocol::{self, Answer, Incoming, Refusal, Request};
use crate::relay::Relays;
use crate::requests;
use crate::settings::Avt;
use crate::streams::{StreamKey, Streams};

/// The waiting end of `iv_avt_send_command`.
type Answering = crate::reply::Answer<Result<Vec<u8>, c_int>>;

/// A request of the program's threads to the device.
pub enum Command {
    Send {
        visitor: u32,
        data: Vec<u8>,
        timeout: Duration,
        reply: Answering,
    },
    Finish(StreamKey),
    AnnounceFinish(StreamKey),
    FinishTalk {
        visitor: u32,
        channel: u32,
    },
    Exit,
}

/// A viewer who has said `hello`.
pub struct Visitor {
    pub user: UserId,
    requests: mpsc::Sender<Asked>,
    task: JoinHandle<()>,
    heard: Instant,
    probes: u8,
    pub talk: Option<Talk>,
    pub downloads: BTreeMap<u64, crate::download::Handle>,
    pub direct: Option<crate::direct::Handle>,
}

pub struct Talk {
    pub channel: u32,
    pub from_opus: FromOpus,
    pub seq: u32,
}

/// A request that waits for its turn.
struct Asked {
    id: u64,
    request: Request,
    binary: Vec<u8>,
}

struct Pending {
    visitor: u32,
    reply: oneshot::Sender<Result<Message, Refusal>>,
}

#[derive(Default)]
pub struct State {
    pub visitors: BTreeMap<u32, Visitor>,
    pending: HashMap<u64, Pending>,
    next_message: u32,
    next_id: u64,
    /// Channels that work, by number; None: not asked yet.
    pub channels: Option<Vec<ChannelState>>,
}

#[derive(Debug, Clone)]
pub struct ChannelState {
    pub name: String,
    pub is_online: bool,
}

/// See the [module](self).
pub struct Engine {
    pub config: Arc<Config>,
    pub avt: Avt,
    pub calls: Calls,
    pub streams: Arc<Streams>,
    pub state: RefCell<State>,
    pub relays: Relays,
    pub direct: crate::direct::Events,
    assembler: RefCell<Assembler>,
    own: UserId,
}

/// Requests of one visitor that wait.
const MAX_REQUESTS: usize = 32;
const TICK: Duration = Duration::from_secs(1);
/// Of the window of members that the server tells.
const WINDOW: usize = 50;

/// Runs the device until [`Command::Exit`], or until nobody can give it commands any more.
pub async fn run(
    config: Arc<Config>,
    avt: Avt,
    calls: Calls,
    streams: Arc<Streams>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let (news_sender, mut news) = mpsc::channel(256);
    let (direct_sender, mut direct_news) = mpsc::channel(256);
    let mut members = Vec::new();
    let mut orders = Vec::new();
    for (index, ticket) in config.system.tickets.iter().enumerate() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let member = Member::new(index, config.clone(), ticket.clone(), news_sender.clone());
        members.push(spawn_local(member.run(receiver)));
        orders.push(sender);
    }
    let own = config.system.tickets[0].user.clone();
    let users = config.system.tickets.iter().map(|ticket| ticket.user.clone()).collect();
    let engine = Rc::new(Engine {
        relays: Relays::new(orders, users),
        direct: direct_sender,
        config,
        avt,
        calls,
        streams,
        state: RefCell::default(),
        assembler: RefCell::new(Assembler::new(own.clone())),
        own,
    });
    if engine.avt.local_net {
        engine.calls.event(abi::EVENT_LOCAL_NET_READY);
    }
    let clock = Clock;
    let mut tick = clock.now() + TICK;
    loop {
        tokio::select! {
            Some((index, told)) = news.recv() => engine.handle_news(index, told),
            Some((visitor, told)) = direct_news.recv() => engine.handle_direct(visitor, told),
            command = commands.recv() => match command {
                Some(Command::Exit) | None => break,
                Some(command) => engine.handle_command(command),
            },
            () = clock.sleep_until(tick) => {
                tick = clock.now() + TICK;
                engine.keep_alive(clock.now());
            }
        }
    }
    engine.exit();
    engine.relays.close();
    drop(engine);
    let leave = async {
        for member in members {
            let _panicked = member.await;
        }
    };
    // News of leaving are not waited for.
    news.close();
    let _late = tokio::time::timeout(Duration::from_secs(3), leave).await;
}

impl Engine {
    fn handle_news(self: &Rc<Self>, index: usize, news: News) {
        match news {
            News::Carrying => self.relays.handle_carrying(index),
            News::CarryFailed(reason) => {
                log!(Warn, "a stream does not go through the server: {reason}");
                if let Some(channel) = self.relays.handle_failed(index, &reason) {
                    for key in self.streams.watchers(&channel) {
                        self.tell_ended(key);
                    }
                }
            }
            _ if index > 0 => {}
            News::Online => {
                log!(Info, "online as {}", self.own);
                self.calls.event(abi::EVENT_PEER_READY);
                if let Some(online) = self.config.system.online {
                    let now = Clock.unix().as_millis() as u64;
                    // SAFETY: the program promised such a function.
                    self.calls.post(move |_| unsafe { online(now) });
                }
            }
            News::Offline(offline) => {
                self.calls.event(abi::EVENT_PEER_ERROR);
                let status = match offline {
                    Offline::Retrying => 0,
                    Offline::ForGood => 1,
                };
                if let Some(told) = self.config.system.offline {
                    // SAFETY: the program promised such a function.
                    self.calls.post(move |_| unsafe { told(status) });
                }
                if offline == Offline::ForGood {
                    self.end_all();
                }
            }
            News::AttemptFailed(number) => {
                if number == self.avt.attempts_until_told {
                    self.calls.event(abi::EVENT_PEER_CONNECT_FAIL);
                }
            }
            News::Left(user) => {
                if let Some(visitor) = self.visitor_of(&user) {
                    self.end_visitor(visitor);
                }
            }
            News::Present(members) => {
                if members.len() < WINDOW {
                    let gone = |visitor: &Visitor| !members.contains(&visitor.user);
                    let gone: Vec<u32> = self.visitors(|visitor| gone(visitor));
                    for visitor in gone {
                        self.end_visitor(visitor);
                    }
                }
            }
            News::Fragment { from, bytes } => self.handle_fragment(&from, &bytes),
            News::Audio { from, data } => {
                if let Some(visitor) = self.visitor_of(&from) {
                    self.hear(visitor, &data);
                }
            }
        }
    }

    pub fn handle_fragment(self: &Rc<Self>, from: &UserId, bytes: &[u8]) {
        let whole = self.assembler.borrow_mut().handle_fragment(Clock.now(), from, bytes);
        match whole {
            Some(Ok(message)) => self.handle_message(from, message),
            Some(Err(error)) => log!(Info, "a message of {from} was left alone: {error}"),
            None => {}
        }
    }

    fn handle_message(self: &Rc<Self>, from: &UserId, message: Message) {
        if let Some(number) = self.visitor_of(from)
            && let Some(visitor) = self.state.borrow_mut().visitors.get_mut(&number)
        {
            visitor.heard = Clock.now();
            visitor.probes = 0;
        }
        match protocol::read(&message.json) {
            Some(Incoming::Request {
                id,
                request: Ok(request),
            }) => self.handle_request(from, id, request, message.binary),
            Some(Incoming::Request {
                id,
                request: Err(refusal),
            }) => {
                self.say(from, &protocol::write_reply(id, Err(refusal)));
            }
            Some(Incoming::Reply { id, refused }) => {
                let pending = {
                    let mut state = self.state.borrow_mut();
                    // Somebody else's answer is none.
                    let user = state
                        .pending
                        .get(&id)
                        .and_then(|pending| state.visitors.get(&pending.visitor));
                    if user.is_none_or(|visitor| visitor.user != *from) {
                        return;
                    }
                    state.pending.remove(&id)
                };
                if let Some(pending) = pending {
                    let answered = match refused {
                        Some(reason) => Err(Refusal::new("refused", reason)),
                        None => Ok(message),
                    };
                    let _gone = pending.reply.send(answered);
                }
            }
            Some(Incoming::Event) => {}
            None => log!(Debug, "{from} sent what is no message"),
        }
    }

    fn handle_request(self: &Rc<Self>, from: &UserId, id: u64, request: Request, binary: Vec<u8>) {
        let known = self.visitor_of(from);
        let number = match (&request, known) {
            (Request::Hello {}, known) => {
                if let Some(old) = known {
                    self.end_visitor(old);
                }
                match self.begin_visitor(from) {
                    Ok(number) => number,
                    Err(refusal) => {
                        self.say(from, &protocol::write_reply(id, Err(refusal)));
                        return;
                    }
                }
            }
            (Request::Bye {}, known) => {
                self.say(from, &protocol::write_reply(id, Ok(Answer::done())));
                if let Some(number) = known {
                    self.end_visitor(number);
                }
                return;
            }
            (_, Some(number)) => number,
            (_, None) => {
                let refusal = Refusal::new("hello_first", "the device does not know you: say hello first");
                self.say(from, &protocol::write_reply(id, Err(refusal)));
                return;
            }
        };
        let queue = self
            .state
            .borrow()
            .visitors
            .get(&number)
            .map(|visitor| visitor.requests.clone());
        let Some(queue) = queue else { return };
        if queue.try_send(Asked { id, request, binary }).is_err() {
            let refusal = Refusal::new("busy", format!("{MAX_REQUESTS} requests wait already"));
            self.say(from, &protocol::write_reply(id, Err(refusal)));
        }
    }

    fn begin_visitor(self: &Rc<Self>, user: &UserId) -> Result<u32, Refusal> {
        let mut state = self.state.borrow_mut();
        let free = (0..self.avt.max_viewers).find(|number| !state.visitors.contains_key(number));
        let Some(number) = free else {
            let message = format!(
                "{} viewers are there already, the most of this device",
                self.avt.max_viewers
            );
            return Err(Refusal::new("too_many_visitors", message));
        };
        let (requests, mut waiting) = mpsc::channel::<Asked>(MAX_REQUESTS);
        let engine = Rc::downgrade(self);
        let asker = user.clone();
        let task = spawn_local(async move {
            while let Some(Asked { id, request, binary }) = waiting.recv().await {
                let Some(engine) = engine.upgrade() else { return };
                let answered = requests::handle(&engine, number, request, binary).await;
                engine.say(&asker, &protocol::write_reply(id, answered));
            }
        });
        state.visitors.insert(
            number,
            Visitor {
                user: user.clone(),
                requests,
                task,
                heard: Clock.now(),
                probes: 0,
                talk: None,
                downloads: BTreeMap::new(),
                direct: None,
            },
        );
        log!(Info, "visitor {number} is {user}");
        drop(state);
        self.listen();
        Ok(number)
    }

    /// Ends all that a visitor has, and forgets the visitor.
    pub fn end_visitor(self: &Rc<Self>, number: u32) {
        let Some(visitor) = self.state.borrow_mut().visitors.remove(&number) else {
            return;
        };
        log!(Info, "visitor {number} ({}) has left", visitor.user);
        visitor.task.abort();
        self.state
            .borrow_mut()
            .pending
            .retain(|_, pending| pending.visitor != number);
        self.assembler.borrow_mut().forget(&visitor.user);
        for key in self.streams.of_visitor(number) {
            self.end_stream(key);
        }
        // A start that is on its way has its ledger entry when it has run: it is ended after it, in its turn.
        self.calls.post_end(move |open| match open {
            Open::Play(key) => key.visitor == number,
            Open::Talk { visitor, .. } | Open::Download { visitor, .. } => *visitor == number,
        });
        self.relays.release_unwatched(&self.streams);
        self.listen();
    }

    fn end_all(self: &Rc<Self>) {
        for number in self.visitors(|_| true) {
            self.end_visitor(number);
        }
    }

    /// Takes a stream away from its visitor; the program is told in its turn.
    pub fn end_stream(self: &Rc<Self>, key: StreamKey) {
        let channel = self.streams.channel(key);
        self.streams.remove(key);
        if let Some(channel) = channel {
            self.relays.release_unwatched(&self.streams);
            self.release_direct(key, &channel);
        }
        self.calls.post_end(move |open| *open == Open::Play(key));
    }

    fn handle_command(self: &Rc<Self>, command: Command) {
        match command {
            Command::Send {
                visitor,
                data,
                timeout,
                reply,
            } => self.send_command(visitor, data, timeout, reply),
            Command::Finish(key) => {
                let engine = self.clone();
                spawn_local(async move { engine.finish(key).await });
            }
            Command::AnnounceFinish(key) => self.stream_event("ending", key),
            Command::FinishTalk { visitor, channel } => {
                let ended = self.end_talk(visitor, Some(channel));
                if ended {
                    self.tell(visitor, &json!({"event": "talkEnded", "channel": channel}));
                }
            }
            Command::Exit => {}
        }
    }

    fn send_command(self: &Rc<Self>, visitor: u32, data: Vec<u8>, timeout: Duration, reply: Answering) {
        let is_playing = !self.streams.of_visitor(visitor).is_empty();
        if !is_playing {
            reply.give(Err(err::STATE_ERROR));
            return;
        }
        let engine = Rc::downgrade(self);
        let asked = self.ask(visitor, json!({"op": "command"}), data);
        spawn_local(async move {
            let answered = match tokio::time::timeout(timeout, asked).await {
                Ok(Ok(message)) => Ok(message.binary),
                Ok(Err(refusal)) => {
                    log!(Info, "visitor {visitor} refused a command: {}", refusal.message);
                    Err(err::FAILED)
                }
                Err(_late) => Err(err::SEND_DATA_TIMEOUT),
            };
            drop(engine);
            reply.give(answered);
        });
    }

    /// The stream's rest goes out, then it ends.
    async fn finish(self: Rc<Self>, key: StreamKey) {
        let Some(channel) = self.streams.channel(key) else {
            return;
        };
        let deadline = Clock.now() + Duration::from_secs(5);
        while self.streams.buffered(key) > 0 && Clock.now() < deadline {
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
        // Another one of that name may have begun meanwhile.
        let same = self.streams.channel(key).is_some_and(|now| Arc::ptr_eq(&now, &channel));
        if same {
            self.tell_ended(key);
        }
    }

    /// Ends a stream by the device's will, or because it cannot go on.
    pub fn tell_ended(self: &Rc<Self>, key: StreamKey) {
        self.stream_event("ended", key);
        self.end_stream(key);
    }

    pub fn next_id(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.next_id += 1;
        state.next_id
    }

    fn stream_event(&self, event: &str, key: StreamKey) {
        let quality = protocol::Quality::name_of(key.quality);
        self.tell(
            key.visitor,
            &json!({"event": event, "channel": key.channel, "quality": quality}),
        );
    }

    /// Ends a visitor's talk-back (of this channel); answers whether there was one.
    pub fn end_talk(&self, visitor: u32, channel: Option<u32>) -> bool {
        let talk = {
            let mut state = self.state.borrow_mut();
            let Some(visitor) = state.visitors.get_mut(&visitor) else {
                return false;
            };
            let of_channel = visitor
                .talk
                .as_ref()
                .is_some_and(|talk| channel.is_none_or(|channel| talk.channel == channel));
            if of_channel { visitor.talk.take() } else { None }
        };
        let Some(talk) = talk else { return false };
        let channel = talk.channel;
        self.calls
            .post_end(move |open| *open == Open::Talk { visitor, channel });
        true
    }

    /// A packet of talk-back.
    pub fn hear(&self, number: u32, packet: &[u8]) {
        let mut frames = Vec::new();
        let mut state = self.state.borrow_mut();
        let Some(talk) = state
            .visitors
            .get_mut(&number)
            .and_then(|visitor| visitor.talk.as_mut())
        else {
            return;
        };
        if let Err(error) = talk.from_opus.convert(packet, &mut frames) {
            log!(Debug, "a packet of talk-back was not converted: {error}");
        }
        let channel = talk.channel;
        for (pts, mut data) in frames {
            talk.seq = talk.seq.wrapping_add(1);
            let seq = talk.seq;
            let taken = self.calls.post_audio(move |functions| {
                let mut pack = abi::AudioPack {
                    address: data.as_mut_ptr(),
                    length: data.len() as u32,
                    pts,
                    seq,
                };
                let mut packs = [std::ptr::null_mut(); 8];
                packs[0] = &raw mut pack;
                let mut stream = abi::AudioStream { packs, count: 1 };
                // SAFETY: the program promised such a function; what it gets lives through the call.
                unsafe {
                    (functions.recv_stream)(number, channel, abi::STREAM_TYPE_AUDIO, (&raw mut stream).cast());
                }
            });
            if !taken {
                log!(Debug, "talk-back was dropped: the program does not keep up");
            }
        }
    }

    fn keep_alive(self: &Rc<Self>, now: Instant) {
        self.relays.release_unwatched(&self.streams);
        // A stream that began while the connection was being made, or whose other viewers have left.
        for visitor in self.visitors(|visitor| visitor.direct.is_some()) {
            self.move_to_direct(visitor);
        }
        let Some((interval, most)) = self.avt.keep_alive else {
            return;
        };
        let mut gone = Vec::new();
        let mut probe = Vec::new();
        for (number, visitor) in &mut self.state.borrow_mut().visitors {
            let silent = now.saturating_duration_since(visitor.heard);
            if silent < interval * (u32::from(visitor.probes) + 1) {
                continue;
            }
            if visitor.probes >= most {
                gone.push(*number);
            } else {
                visitor.probes += 1;
                probe.push(*number);
            }
        }
        for visitor in gone {
            log!(Info, "visitor {visitor} does not answer");
            self.end_visitor(visitor);
        }
        for visitor in probe {
            let asked = self.ask(visitor, json!({"op": "ping"}), Vec::new());
            spawn_local(async move {
                // Any answer has been noted when it came.
                let _answered = asked.await;
            });
        }
    }

    /// Sends a request to a visitor; the future is its answer, and may be dropped.
    pub fn ask(
        self: &Rc<Self>,
        visitor: u32,
        mut json: Value,
        binary: Vec<u8>,
    ) -> impl Future<Output = Result<Message, Refusal>> + use<> {
        let (reply, answered) = oneshot::channel();
        let id = {
            let mut state = self.state.borrow_mut();
            state.next_id += 1;
            let id = state.next_id;
            // Requests that were given up: their askers have gone.
            state.pending.retain(|_, pending| !pending.reply.is_closed());
            state.pending.insert(id, Pending { visitor, reply });
            id
        };
        json["id"] = id.into();
        let user = self
            .state
            .borrow()
            .visitors
            .get(&visitor)
            .map(|visitor| visitor.user.clone());
        if let Some(user) = user {
            self.say(&user, &Message { json, binary });
        }
        async move {
            let gone = || Refusal::new("gone", "the viewer has left");
            answered.await.unwrap_or_else(|_| Err(gone()))
        }
    }

    /// Tells a visitor an event.
    pub fn tell(&self, visitor: u32, event: &Value) {
        let user = self
            .state
            .borrow()
            .visitors
            .get(&visitor)
            .map(|visitor| visitor.user.clone());
        if let Some(user) = user {
            self.say(&user, &Message::new(event.clone()));
        }
    }

    /// Sends a message, directly where there is a way.
    pub fn say(&self, to: &UserId, message: &Message) {
        let bytes = match message.write() {
            Ok(bytes) => bytes,
            Err(error) => {
                log!(Warn, "a message to {to} was not sent: {error}");
                return;
            }
        };
        let number = {
            let mut state = self.state.borrow_mut();
            state.next_message = state.next_message.wrapping_add(1);
            state.next_message
        };
        if self.say_directly(to, &bytes, number) {
            return;
        }
        for fragment in cut(&bytes, to, number, ROOM_FRAGMENT) {
            self.relays.order(0, Order::Say(fragment));
        }
    }

    pub fn visitor_of(&self, user: &UserId) -> Option<u32> {
        let state = self.state.borrow();
        state
            .visitors
            .iter()
            .find(|(_, visitor)| visitor.user == *user)
            .map(|(number, _)| *number)
    }

    fn visitors(&self, matches: impl Fn(&Visitor) -> bool) -> Vec<u32> {
        let state = self.state.borrow();
        state
            .visitors
            .iter()
            .filter(|(_, visitor)| matches(visitor))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Media for messages and talk-back is there while somebody is.
    fn listen(&self) {
        let somebody = !self.state.borrow().visitors.is_empty();
        self.relays.order(0, Order::Listen(somebody));
    }

    fn exit(self: &Rc<Self>) {
        for number in self.visitors(|_| true) {
            self.tell(number, &json!({"event": "exit"}));
            if let Some(visitor) = self.state.borrow_mut().visitors.remove(&number) {
                visitor.task.abort();
            }
        }
        self.state.borrow_mut().pending.clear();
    }
}
