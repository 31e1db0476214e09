//! The device: its members, its visitors, and what each of them asks. One task on a thread of its own.

use std::cell::RefCell;
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::UserId;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::abi::{self, err};
use crate::calls::{Calls, Open};
use crate::ice_servers::{self, NatServer};
use crate::log::log;
use crate::mailbox::{Mailbox, Reply};
use crate::member::{Config, Member, News, Offline, Order};
use crate::message::{Message, ROOM_FRAGMENT, cut};
use crate::protocol::{self, Answer, Incoming, Refusal, Request};
use crate::relay::Relays;
use crate::requests::{self, ChannelState};
use crate::settings::Avt;
use crate::streams::{StreamKey, Streams};
use crate::visitors::{Asked, MAX_REQUESTS, Visitor, Visitors};

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

/// See the [module](self).
pub struct Engine {
    pub config: Arc<Config>,
    pub avt: Avt,
    pub calls: Calls,
    pub streams: Arc<Streams>,
    pub relays: Relays,
    pub direct: crate::direct::Events,
    pub visitors: RefCell<Visitors>,
    mailbox: RefCell<Mailbox>,
    /// By number, as the program told the newest visitor; empty before the first one.
    channels: RefCell<Vec<ChannelState>>,
    /// As the server named them when the device entered its room.
    pub nat_servers: RefCell<Vec<NatServer>>,
    own: UserId,
}

const TICK: Duration = Duration::from_secs(1);
/// Of the window of members that the server tells.
const WINDOW: usize = 50;
/// How long the rest of a finished stream may take to leave.
const REST_PATIENCE: Duration = Duration::from_secs(5);
/// How long the members may take to leave the room.
const LEAVE_PATIENCE: Duration = Duration::from_secs(3);

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
        calls,
        streams,
        visitors: RefCell::new(Visitors::new(avt.max_viewers)),
        mailbox: RefCell::new(Mailbox::new(own.clone(), Clock.unix().as_millis() as u32)),
        channels: RefCell::default(),
        nat_servers: RefCell::default(),
        avt,
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
    let _late = tokio::time::timeout(LEAVE_PATIENCE, leave).await;
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
            News::IceServers(servers) => *self.nat_servers.borrow_mut() = ice_servers::usable(&servers),
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
                    let gone = self.visitors.borrow().missing_in(&members);
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
        let whole = self.mailbox.borrow_mut().handle_fragment(Clock.now(), from, bytes);
        match whole {
            Some(Ok(message)) => self.handle_message(from, message),
            Some(Err(error)) => log!(Info, "a message of {from} was left alone: {error}"),
            None => {}
        }
    }

    fn handle_message(self: &Rc<Self>, from: &UserId, message: Message) {
        self.visitors.borrow_mut().note_heard(Clock.now(), from);
        match protocol::read(&message.json) {
            Some(Incoming::Request { id, request }) => {
                let done = request.and_then(|request| self.handle_request(from, id, request, message.binary));
                if let Err(refusal) = done {
                    self.say(from, &protocol::write_reply(id, Err(refusal)));
                }
            }
            Some(Incoming::Reply { id, refused }) => {
                let reply = match refused {
                    Some(reason) => Err(Refusal::new("refused", reason)),
                    None => Ok(message),
                };
                self.mailbox.borrow_mut().settle(from, id, reply);
            }
            Some(Incoming::Event) => {}
            None => log!(Debug, "{from} sent no message of this protocol"),
        }
    }

    /// Does a request, or queues it among its visitor's.
    fn handle_request(
        self: &Rc<Self>,
        from: &UserId,
        id: u64,
        request: Request,
        binary: Vec<u8>,
    ) -> Result<(), Refusal> {
        let known = self.visitor_of(from);
        let number = match (&request, known) {
            (Request::Hello {}, known) => {
                if let Some(old) = known {
                    self.end_visitor(old);
                }
                self.begin_visitor(from)?
            }
            (Request::Bye {}, known) => {
                self.say(from, &protocol::write_reply(id, Ok(Answer::done())));
                if let Some(number) = known {
                    self.end_visitor(number);
                }
                return Ok(());
            }
            (_, Some(number)) => number,
            (_, None) => {
                return Err(Refusal::new(
                    "hello_first",
                    "the device does not know you: say hello first",
                ));
            }
        };
        self.visitors.borrow().queue(number, Asked { id, request, binary })
    }

    fn begin_visitor(self: &Rc<Self>, user: &UserId) -> Result<u32, Refusal> {
        let number = self.visitors.borrow().free()?;
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
        let visitor = Visitor::new(Clock.now(), user.clone(), requests, task);
        self.visitors.borrow_mut().insert(number, visitor);
        log!(Info, "visitor {number} is {user}");
        self.listen();
        Ok(number)
    }

    /// Ends all that a visitor has, and forgets the visitor.
    pub fn end_visitor(self: &Rc<Self>, number: u32) {
        let Some(visitor) = self.visitors.borrow_mut().remove(number) else {
            return;
        };
        log!(Info, "visitor {number} ({}) has left", visitor.user());
        self.mailbox.borrow_mut().forget(visitor.user());
        drop(visitor);
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
        for number in self.numbers() {
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
                if self.end_talk(visitor, Some(channel)) {
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
        let deadline = Clock.now() + REST_PATIENCE;
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
        self.mailbox.borrow_mut().next_id()
    }

    fn stream_event(&self, event: &str, key: StreamKey) {
        let quality = protocol::Quality::name_of(key.quality);
        self.tell(
            key.visitor,
            &json!({"event": event, "channel": key.channel, "quality": quality}),
        );
    }

    fn keep_alive(self: &Rc<Self>, now: Instant) {
        self.relays.release_unwatched(&self.streams);
        // A stream that began while the connection was being made, or whose other viewers have left.
        let with_direct = self.visitors.borrow().with_direct();
        for visitor in with_direct {
            self.move_to_direct(visitor);
        }
        let Some((interval, most)) = self.avt.keep_alive else {
            return;
        };
        let (probe, gone) = self.visitors.borrow_mut().silent(now, interval, most);
        for visitor in gone {
            log!(Info, "visitor {visitor} does not answer");
            self.end_visitor(visitor);
        }
        for visitor in probe {
            // Any answer is noted when it comes.
            drop(self.ask(visitor, json!({"op": "ping"}), Vec::new()));
        }
    }

    /// Sends a request to a visitor; the future is its answer, and may be dropped.
    pub fn ask(self: &Rc<Self>, visitor: u32, fields: Value, binary: Vec<u8>) -> impl Future<Output = Reply> + use<> {
        let user = self.visitors.borrow().user_of(visitor);
        let answered = user.map(|user| {
            let (message, answered) = self.mailbox.borrow_mut().ask(user.clone(), fields, binary);
            self.say(&user, &message);
            answered
        });
        async move {
            let gone = || Refusal::new("gone", "the viewer has left");
            answered.ok_or_else(gone)?.await.unwrap_or_else(|_| Err(gone()))
        }
    }

    /// Tells a visitor an event.
    pub fn tell(&self, visitor: u32, event: &Value) {
        let user = self.visitors.borrow().user_of(visitor);
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
        let number = self.mailbox.borrow_mut().number();
        if self.say_directly(to, &bytes, number) {
            return;
        }
        for fragment in cut(&bytes, to, number, ROOM_FRAGMENT) {
            self.relays.order(0, Order::Say(fragment));
        }
    }

    pub fn visitor_of(&self, user: &UserId) -> Option<u32> {
        self.visitors.borrow().number_of(user)
    }

    pub fn set_channels(&self, channels: Vec<ChannelState>) {
        *self.channels.borrow_mut() = channels;
    }

    /// Whether the channel is online; a refusal where there is none.
    pub fn is_online(&self, channel: u32) -> Result<bool, Refusal> {
        let channels = self.channels.borrow();
        let known = channels.get(channel as usize).map(|state| state.is_online);
        known.ok_or_else(|| Refusal::new("no_such_channel", format!("there is no channel {channel}")))
    }

    fn numbers(&self) -> Vec<u32> {
        self.visitors.borrow().numbers()
    }

    /// Media for messages and talk-back is there while somebody is.
    fn listen(&self) {
        let somebody = !self.visitors.borrow().is_empty();
        self.relays.order(0, Order::Listen(somebody));
    }

    fn exit(self: &Rc<Self>) {
        for number in self.numbers() {
            self.tell(number, &json!({"event": "exit"}));
            let visitor = self.visitors.borrow_mut().remove(number);
            drop(visitor);
        }
        self.mailbox.borrow_mut().close();
    }
}
