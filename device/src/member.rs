//! A member that the device is: its login, its stay in the room, its media session. One task each.
//!
//! The first member is always there: it hears and says messages, and hears talk-back. Further ones come for one stream and go with it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rotunda_client::{SignalingClient, SignalingError};
use rotunda_proto::clock::Clock;
use rotunda_proto::custom_message;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::signaling::{
    ErrorCode, Event, KickReason, MediaState, Reply, Request, Role, RoomView, ServerMessage,
};
use str0m::net::Protocol;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::log::log;
use crate::message::COMMAND_ID;
use crate::session::{Part, Session, SessionError, Told};
use crate::settings::{System, Ticket};
use crate::streams::{Channel, Streams, chain};
use crate::transport::Transport;

/// An order of the device to a member.
pub enum Order {
    /// A fragment of a message, to the room.
    Say(Vec<u8>),
    /// Publish what comes out of this channel.
    Carry(Arc<Channel>),
    /// Publish nothing any more.
    Release,
    /// Have media, for messages and talk-back.
    Listen(bool),
}

/// A report of a member.
#[derive(Debug)]
pub enum News {
    /// In the room.
    Online,
    Offline(Offline),
    /// An attempt to connect has failed, the one with this number.
    AttemptFailed(u32),
    Left(UserId),
    /// Everybody of the window who is here now, after coming back.
    Present(Vec<UserId>),
    Fragment {
        from: UserId,
        bytes: Vec<u8>,
    },
    /// The streams that were to be carried are published and flow.
    Carrying,
    CarryFailed(String),
    Audio {
        from: UserId,
        data: Vec<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// It is being tried again.
    Retrying,
    /// Another login has taken over, or the server refuses this one.
    ForGood,
}

/// The settings that every member of the device needs.
pub struct Config {
    pub system: System,
    pub mtu: usize,
    pub tcp_only: bool,
    pub streams: Arc<Streams>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long media may take to get through before TCP is tried, and before it is begun anew.
const UDP_PATIENCE: Duration = Duration::from_secs(4);
const MEDIA_PATIENCE: Duration = Duration::from_secs(15);
/// How long the WebSocket may block.
const SEND_PATIENCE: Duration = Duration::from_secs(5);
/// A server silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(40);
/// Fragments a second, and at once: a little less than the server takes.
const FRAGMENTS_PER_SECOND: f64 = 25.0;
const FRAGMENTS_AT_ONCE: f64 = 25.0;
/// Fragments that wait for their turn: two whole messages.
const MAX_WAITING: usize = 160;

type Connecting = Pin<Box<dyn Future<Output = Result<Connected, SignalingError>>>>;

struct Connected {
    client: SignalingClient,
    token: String,
    /// Empty after a resume: the event `room` brings it.
    room: Option<RoomView>,
}

enum Link {
    /// Nothing is wanted, or it is over for good.
    Idle,
    Waiting {
        until: Instant,
    },
    Connecting(Connecting),
    Up(Box<SignalingClient>),
}

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Connect,
    Publish,
    Other,
}

struct Media {
    session: Session,
    transport: Transport,
    since: Instant,
    tried_tcp: bool,
    /// The server's TCP candidates.
    tcp: Vec<std::net::SocketAddr>,
    connecting_tcp: Option<Pin<Box<dyn Future<Output = std::io::Result<TcpStream>>>>>,
}

pub struct Member {
    index: usize,
    config: Arc<Config>,
    ticket: Ticket,
    news: mpsc::Sender<(usize, News)>,
    link: Link,
    token: Option<String>,
    attempts: u32,
    requests: HashMap<u64, Asked>,
    media: Option<Media>,
    wants_media: bool,
    carries: Option<Arc<Channel>>,
    /// Publications that are not answered yet; None: not asked for.
    publishing: Option<u8>,
    told_carrying: bool,
    audio_slots: Vec<Option<UserId>>,
    /// When the server was heard last: it pings every 15 s.
    heard: Instant,
    waiting: std::collections::VecDeque<Vec<u8>>,
    allowance: f64,
    allowed_at: Instant,
}

/// The event of one turn of the loop.
enum Turn {
    Order(Option<Order>),
    Connected(Box<Result<Connected, SignalingError>>),
    Frame(Result<rotunda_client::SignalingFrame, SignalingError>),
    Datagram(crate::transport::Datagram),
    Tcp(std::io::Result<TcpStream>),
    Changed,
    Timeout,
}

impl Member {
    pub fn new(index: usize, config: Arc<Config>, ticket: Ticket, news: mpsc::Sender<(usize, News)>) -> Self {
        Self {
            index,
            config,
            ticket,
            news,
            link: Link::Idle,
            token: None,
            attempts: 0,
            requests: HashMap::new(),
            media: None,
            wants_media: false,
            carries: None,
            publishing: None,
            told_carrying: false,
            audio_slots: Vec::new(),
            heard: Clock.now(),
            waiting: std::collections::VecDeque::new(),
            allowance: FRAGMENTS_AT_ONCE,
            allowed_at: Clock.now(),
        }
    }

    /// Runs until the orders end; then leaves the room.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let clock = Clock;
        loop {
            self.reconcile().await;
            self.flush();
            let due = self.due(clock.now());
            let turn = tokio::select! {
                order = orders.recv() => Turn::Order(order),
                turn = next_of_link(&mut self.link, clock) => turn,
                turn = next_of_media(&mut self.media) => turn,
                () = changed(self.carries.as_ref()) => Turn::Changed,
                () = clock.until(due) => Turn::Timeout,
            };
            let now = clock.now();
            match turn {
                Turn::Order(Some(order)) => self.handle_order(order),
                Turn::Order(None) => break,
                Turn::Connected(connected) => match *connected {
                    Ok(connected) => self.handle_connected(connected).await,
                    Err(error) => self.handle_failed_attempt(now, &error).await,
                },
                Turn::Frame(Ok(frame)) => {
                    self.heard = now;
                    if let Some(message) = frame.message {
                        self.handle_message(now, message).await;
                    }
                }
                Turn::Frame(Err(error)) => self.handle_lost(now, &error).await,
                Turn::Datagram(datagram) => self.handle_datagram(now, &datagram).await,
                Turn::Tcp(stream) => self.handle_tcp(now, stream),
                Turn::Changed => {}
                Turn::Timeout => self.handle_timeout(now).await,
            }
            self.send_frames(clock.now()).await;
            self.send_fragments(clock.now()).await;
        }
        self.leave().await;
    }

    fn is_wanted(&self) -> bool {
        self.index == 0 || self.carries.is_some()
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Say(bytes) => {
                if self.waiting.len() < MAX_WAITING {
                    self.waiting.push_back(bytes);
                } else {
                    log!(Warn, "a message was dropped: too many wait to be sent");
                }
            }
            Order::Carry(channel) => {
                self.carries = Some(channel);
                self.told_carrying = false;
                if matches!(self.link, Link::Idle) && self.index > 0 {
                    self.attempts = 0;
                }
            }
            Order::Release => self.carries = None,
            Order::Listen(wants) => self.wants_media = wants,
        }
    }

    /// Does what is wanted and is not so yet.
    async fn reconcile(&mut self) {
        let now = Clock.now();
        if matches!(self.link, Link::Idle) && self.is_wanted() && self.attempts == 0 {
            self.link = Link::Connecting(self.connect());
        }
        if self.index > 0 && !self.is_wanted() && !matches!(self.link, Link::Idle) {
            self.leave().await;
            self.link = Link::Idle;
            return;
        }
        if !matches!(self.link, Link::Up(_)) {
            return;
        }
        let wants_media = self.wants_media || self.carries.is_some();
        if wants_media && self.media.is_none() {
            if let Err(error) = self.begin_media(now).await {
                log!(Error, "media was not set up: {error}");
                self.carry_failed(error).await;
            }
        } else if !wants_media && let Some(mut media) = self.media.take() {
            media.session.close(now);
            flush(&mut media);
        }
        let connected = self.media.as_ref().is_some_and(|media| media.session.is_connected());
        match (self.carries.is_some(), self.publishing) {
            (true, None) if connected => {
                self.publishing = Some(2);
                for source in [TrackSource::Camera, TrackSource::Audio] {
                    self.request(Request::Publish { source, muted: false }, Asked::Publish)
                        .await;
                }
            }
            (true, Some(0)) if connected && !self.told_carrying => {
                self.told_carrying = true;
                self.tell(News::Carrying).await;
            }
            (false, Some(_)) => {
                self.publishing = None;
                for source in [TrackSource::Camera, TrackSource::Audio] {
                    self.request(Request::Unpublish { source }, Asked::Other).await;
                }
            }
            _ => {}
        }
    }

    fn connect(&self) -> Connecting {
        let system = &self.config.system;
        let (url, room) = (system.url.clone(), system.room.clone());
        let (ticket, token, patience) = (self.ticket.clone(), self.token.clone(), system.command_timeout);
        Box::pin(async move {
            let connect = async {
                let mut client = SignalingClient::connect(&url).await?;
                let login = Request::Login {
                    sdk_app_id: ticket.app,
                    user_id: ticket.user,
                    user_sig: ticket.user_sig,
                    resume_token: token,
                };
                let Reply::LoggedIn {
                    resume_token, resumed, ..
                } = client.request(login).await?
                else {
                    return Err(SignalingError::Closed);
                };
                let mut room_view = None;
                if !resumed {
                    let enter = Request::EnterRoom {
                        room_id: room,
                        role: Role::Anchor,
                        user_define_record_id: None,
                        stream_id: None,
                        private_map_key: ticket.private_map_key,
                    };
                    if let Reply::Entered { room, .. } = client.request(enter).await? {
                        room_view = Some(room);
                    }
                }
                Ok(Connected {
                    client,
                    token: resume_token,
                    room: room_view,
                })
            };
            let connected = tokio::time::timeout(2 * patience, connect).await;
            connected.unwrap_or(Err(SignalingError::Closed))
        })
    }

    async fn handle_connected(&mut self, connected: Connected) {
        self.attempts = 0;
        self.heard = Clock.now();
        self.token = Some(connected.token);
        self.requests.clear();
        let resumed = connected.room.is_none();
        self.link = Link::Up(Box::new(connected.client));
        if !resumed {
            // A new stay: the server knows nothing of earlier media.
            self.media = None;
            self.publishing = None;
            self.told_carrying = false;
        } else if self.publishing.is_some_and(|left| left > 0) {
            // Those that were not answered are asked again; twice does no harm.
            self.publishing = None;
        }
        self.tell(News::Online).await;
        if let Some(room) = connected.room {
            self.tell(News::Present(room.members)).await;
        }
    }

    async fn handle_failed_attempt(&mut self, now: Instant, error: &SignalingError) {
        self.attempts += 1;
        if let SignalingError::Refused(body) = error {
            if body.code == ErrorCode::ResumeFailed {
                self.token = None;
                self.link = Link::Connecting(self.connect());
                return;
            }
            if is_final(body.code) {
                log!(Error, "the server refuses {}: {}", self.ticket.user, body.message);
                self.give_up(body.message.clone()).await;
                return;
            }
        }
        log!(
            Warn,
            "attempt {} to reach the server has failed: {}",
            self.attempts,
            chain(error)
        );
        self.tell(News::AttemptFailed(self.attempts)).await;
        if self.index > 0 {
            self.carry_failed(error.to_string()).await;
        }
        self.wait(now);
    }

    async fn handle_lost(&mut self, now: Instant, error: &SignalingError) {
        log!(
            Warn,
            "the connection of {} to the server is lost: {}",
            self.ticket.user,
            chain(error)
        );
        self.attempts = 1;
        if !self.config.system.reconnects {
            self.give_up("the connection to the server is lost".to_owned()).await;
            return;
        }
        self.tell(News::Offline(Offline::Retrying)).await;
        self.wait(now);
    }

    fn wait(&mut self, now: Instant) {
        if !self.config.system.reconnects {
            self.link = Link::Idle;
            return;
        }
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (self.attempts - 1).min(10))
            .min(LONGEST_PAUSE);
        self.link = Link::Waiting { until: now + pause };
    }

    async fn give_up(&mut self, reason: String) {
        self.attempts = self.attempts.max(1);
        self.link = Link::Idle;
        self.media = None;
        self.token = None;
        self.carry_failed(reason).await;
        self.tell(News::Offline(Offline::ForGood)).await;
    }

    async fn handle_message(&mut self, now: Instant, message: ServerMessage) {
        match message {
            ServerMessage::Ok { id, reply, .. } => {
                let asked = self.requests.remove(&id);
                match (asked, reply) {
                    (Some(Asked::Connect), Reply::Connected { answer }) => self.handle_answer(now, &answer).await,
                    (Some(Asked::Publish), _) => {
                        self.publishing = self.publishing.map(|left| left.saturating_sub(1));
                    }
                    _ => {}
                }
            }
            ServerMessage::Failed { id, error } => {
                let asked = id.and_then(|id| self.requests.remove(&id));
                match asked {
                    Some(Asked::Connect) => {
                        self.media = None;
                        // What is refused is not asked again for the same stream.
                        self.carry_failed(error.message).await;
                    }
                    Some(Asked::Publish) => {
                        self.publishing = None;
                        self.carry_failed(error.message).await;
                    }
                    _ => log!(Info, "the server refused a request: {}", error.message),
                }
            }
            ServerMessage::Event(event) => self.handle_event(now, event).await,
        }
    }

    async fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::MemberLeft { user_id } => self.tell(News::Left(user_id)).await,
            Event::Room { room } => self.tell(News::Present(room.members)).await,
            Event::Slots { audio, .. } => self.audio_slots = audio,
            Event::CustomMessage {
                user_id, cmd_id, data, ..
            } if cmd_id == COMMAND_ID => {
                if let Ok(bytes) = BASE64_STANDARD.decode(data) {
                    self.tell(News::Fragment { from: user_id, bytes }).await;
                }
            }
            Event::MediaState {
                state: MediaState::Disconnected,
            } => self.lose_media(now),
            Event::Kicked { reason } => match reason {
                KickReason::Shutdown | KickReason::RoomDisband => {
                    self.token = None;
                    self.handle_lost(now, &SignalingError::Closed).await;
                }
                KickReason::Kick | KickReason::Banned => {
                    log!(Error, "{} was removed from its room: {reason:?}", self.ticket.user);
                    self.give_up("the device was removed from its room".to_owned()).await;
                }
            },
            _ => {}
        }
    }

    async fn begin_media(&mut self, now: Instant) -> Result<(), String> {
        let mut transport = Transport::new();
        let mut local = None;
        if !self.config.tcp_only {
            let ip = address_towards(&self.config.system.url)
                .await
                .map_err(|error| error.to_string())?;
            local = Some(transport.add_udp(ip, 0).await.map_err(|error| error.to_string())?);
        }
        let part = if self.index == 0 { Part::Control } else { Part::Carrier };
        let (session, offer, lines) =
            Session::offer(now, self.config.mtu, local, part).map_err(|error| chain(&error))?;
        self.media = Some(Media {
            session,
            transport,
            since: now,
            tried_tcp: false,
            tcp: Vec::new(),
            connecting_tcp: None,
        });
        self.publishing = None;
        self.told_carrying = false;
        self.audio_slots.clear();
        self.request(Request::Connect { offer, lines }, Asked::Connect).await;
        Ok(())
    }

    async fn handle_answer(&mut self, now: Instant, answer: &str) {
        let tcp_only = self.config.tcp_only;
        let Some(media) = &mut self.media else { return };
        media.tcp = tcp_candidates(answer);
        if let Err(error) = media.session.handle_answer(now, answer) {
            log!(Error, "the server's answer was not understood: {}", chain(&error));
            self.media = None;
            self.carry_failed("the media session failed".to_owned()).await;
            return;
        }
        if tcp_only {
            media.try_tcp();
        }
    }

    async fn handle_datagram(&mut self, now: Instant, datagram: &crate::transport::Datagram) {
        let Some(media) = &mut self.media else { return };
        let handled =
            media
                .session
                .handle_datagram(now, datagram.protocol, datagram.from, datagram.local, &datagram.bytes);
        self.after_session(now, handled).await;
    }

    fn handle_tcp(&mut self, now: Instant, stream: std::io::Result<TcpStream>) {
        let Some(media) = &mut self.media else { return };
        media.connecting_tcp = None;
        let added = stream.and_then(|stream| media.transport.add_tcp(stream));
        match added {
            Ok(local) => {
                log!(Info, "media to the server goes over TCP");
                if let Err(error) = media.session.add_tcp(now, local) {
                    log!(Warn, "TCP cannot be used: {}", chain(&error));
                }
            }
            Err(error) => log!(Warn, "the server's TCP port cannot be reached: {error}"),
        }
    }

    async fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.link, Link::Waiting { until } if until <= now) {
            self.link = Link::Connecting(self.connect());
        }
        if matches!(self.link, Link::Up(_)) && now.saturating_duration_since(self.heard) >= SILENCE {
            self.handle_lost(now, &SignalingError::Closed).await;
        }
        let Some(media) = &mut self.media else { return };
        if !media.session.is_connected() {
            if now.saturating_duration_since(media.since) > MEDIA_PATIENCE {
                log!(Warn, "media did not get through to the server");
                self.lose_media(now);
                self.carry_failed("media does not get through to the server".to_owned())
                    .await;
                return;
            }
            if !media.tried_tcp && now.saturating_duration_since(media.since) > UDP_PATIENCE {
                media.try_tcp();
            }
        }
        let handled = media.session.handle_timeout(now);
        self.after_session(now, handled).await;
    }

    async fn after_session(&mut self, now: Instant, handled: Result<(), SessionError>) {
        if let Err(error) = handled {
            log!(Warn, "the media session failed: {}", chain(&error));
            self.lose_media(now);
            return;
        }
        while let Some(told) = self.media.as_mut().and_then(|media| media.session.poll_told()) {
            self.handle_told(now, told).await;
        }
    }

    async fn handle_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Connected => {
                if let Some(channel) = &self.carries {
                    channel.begin_again(now, &self.config.streams.watchers(channel));
                }
            }
            Told::Disconnected => self.lose_media(now),
            Told::KeyframeWanted { .. } => {
                if let Some(channel) = &self.carries
                    && let Some(first) = self.config.streams.watchers(channel).first()
                {
                    channel.ask_for_keyframe(now, *first);
                }
            }
            Told::Audio { line, data } => {
                if let Some(Some(from)) = self.audio_slots.get(line) {
                    let from = from.clone();
                    // A frame of sound is not worth waiting for.
                    let _lost = self.news.try_send((self.index, News::Audio { from, data }));
                }
            }
            Told::ChannelOpen => {}
            Told::Data(bytes) => {
                if let Some((from, bytes)) = room_message(&bytes) {
                    self.tell(News::Fragment { from, bytes }).await;
                }
            }
            Told::Estimate(rate) => {
                if let Some(channel) = &self.carries {
                    channel.set_rate(now, rate);
                }
            }
            Told::Acknowledged { bytes, over, .. } => {
                if let Some(channel) = &self.carries {
                    channel.acknowledge(bytes, over);
                }
            }
        }
    }

    fn lose_media(&mut self, now: Instant) {
        if let Some(mut media) = self.media.take() {
            media.session.close(now);
            flush(&mut media);
        }
        self.publishing = None;
        self.told_carrying = false;
        self.audio_slots.clear();
    }

    async fn send_frames(&mut self, now: Instant) {
        let (Some(channel), Some(media)) = (&self.carries, &mut self.media) else {
            return;
        };
        if !media.session.is_connected() || self.publishing != Some(0) {
            return;
        }
        let watchers = self.config.streams.watchers(channel);
        let mut sent = Ok(());
        while let Some(frame) = channel.pop(now, &watchers) {
            let one = media.session.send(now, 0, channel.coding.video, &frame);
            flush(media);
            if let Err(error) = one {
                sent = Err(error);
                break;
            }
        }
        self.after_session(now, sent).await;
    }

    async fn send_fragments(&mut self, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        let passed = now.saturating_duration_since(self.allowed_at).as_secs_f64();
        self.allowed_at = now;
        self.allowance = (self.allowance + passed * FRAGMENTS_PER_SECOND).min(FRAGMENTS_AT_ONCE);
        while self.allowance >= 1.0 && matches!(self.link, Link::Up(_)) {
            let Some(fragment) = self.waiting.pop_front() else {
                return;
            };
            self.allowance -= 1.0;
            if let Some(media) = &mut self.media
                && media.session.has_channel()
            {
                let bytes = [&[COMMAND_ID], fragment.as_slice()].concat();
                let sent = media.session.send_data(now, &bytes);
                flush(media);
                if matches!(sent, Ok(true)) {
                    continue;
                }
            }
            let data = BASE64_STANDARD.encode(&fragment);
            self.request(
                Request::SendCustomMessage {
                    cmd_id: COMMAND_ID,
                    data,
                },
                Asked::Other,
            )
            .await;
        }
    }

    /// When something is to be done though nothing comes.
    fn due(&self, now: Instant) -> Option<Instant> {
        let mut due: Vec<Instant> = Vec::new();
        match self.link {
            Link::Waiting { until } => due.push(until),
            Link::Up(_) => due.push(self.heard + SILENCE),
            Link::Idle | Link::Connecting(_) => {}
        }
        if let Some(media) = &self.media {
            due.push(media.session.poll_timeout());
            if !media.session.is_connected() {
                due.push(now + Duration::from_millis(500));
            }
            if self.publishing == Some(0) && media.session.is_connected() {
                due.extend(self.carries.as_ref().and_then(|channel| channel.due(now)));
            }
        }
        if !self.waiting.is_empty() && matches!(self.link, Link::Up(_)) {
            let missing = (1.0 - self.allowance).max(0.0);
            due.push(self.allowed_at + Duration::from_secs_f64(missing / FRAGMENTS_PER_SECOND + 0.001));
        }
        due.into_iter().min()
    }

    async fn request(&mut self, request: Request, asked: Asked) {
        let Link::Up(client) = &mut self.link else { return };
        let sent = tokio::time::timeout(SEND_PATIENCE, client.send(request)).await;
        match sent.unwrap_or(Err(SignalingError::Closed)) {
            Ok(id) => {
                self.requests.insert(id, asked);
            }
            Err(error) => self.handle_lost_later(&error),
        }
    }

    /// As [`handle_lost`](Self::handle_lost), where the loss is seen while sending: the loop's next turn reads it from the socket.
    fn handle_lost_later(&mut self, error: &SignalingError) {
        log!(Debug, "a request was not sent: {}", chain(error));
    }

    async fn carry_failed(&mut self, reason: String) {
        if self.carries.is_some() && !self.told_carrying {
            self.carries = None;
            self.tell(News::CarryFailed(reason)).await;
        }
    }

    async fn tell(&self, news: News) {
        // The device has ended: nobody needs to know.
        let _ended = self.news.send((self.index, news)).await;
    }

    fn flush(&mut self) {
        if let Some(media) = &mut self.media {
            flush(media);
        }
    }

    async fn leave(&mut self) {
        let now = Clock.now();
        self.lose_media(now);
        self.token = None;
        self.attempts = 0;
        self.requests.clear();
        if let Link::Up(mut client) = std::mem::replace(&mut self.link, Link::Idle) {
            let goodbye = async {
                client.request(Request::ExitRoom {}).await?;
                client.close().await;
                Ok::<(), SignalingError>(())
            };
            // A server that is gone already does not have to be told.
            let _told = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
        }
    }
}

impl Media {
    fn try_tcp(&mut self) {
        self.tried_tcp = true;
        if let Some(address) = self.tcp.first().copied() {
            self.connecting_tcp = Some(Box::pin(TcpStream::connect(address)));
        }
    }
}

fn flush(media: &mut Media) {
    while let Some(transmit) = media.session.poll_transmit() {
        media.transport.send(&transmit);
    }
}

async fn next_of_link(link: &mut Link, clock: Clock) -> Turn {
    match link {
        Link::Idle => std::future::pending().await,
        Link::Waiting { until } => {
            clock.sleep_until(*until).await;
            Turn::Timeout
        }
        Link::Connecting(connecting) => Turn::Connected(Box::new(connecting.await)),
        Link::Up(client) => {
            if let Some(event) = client.kept_event() {
                return Turn::Frame(Ok(rotunda_client::SignalingFrame {
                    bytes: 0,
                    message: Some(ServerMessage::Event(event)),
                }));
            }
            Turn::Frame(client.next_frame().await)
        }
    }
}

async fn next_of_media(media: &mut Option<Media>) -> Turn {
    let Some(media) = media else {
        return std::future::pending().await;
    };
    let Media {
        transport,
        connecting_tcp,
        ..
    } = media;
    tokio::select! {
        datagram = transport.receive() => Turn::Datagram(datagram),
        stream = async {
            match connecting_tcp {
                Some(connecting) => connecting.await,
                None => std::future::pending().await,
            }
        } => Turn::Tcp(stream),
    }
}

async fn changed(channel: Option<&Arc<Channel>>) {
    match channel {
        Some(channel) => channel.changed.notified().await,
        None => std::future::pending().await,
    }
}

/// Refusals that the same ticket will get again.
fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownApplication
            | ErrorCode::UserSigInvalid
            | ErrorCode::UserSigExpired
            | ErrorCode::UserSigUserMismatch
            | ErrorCode::UserSigAppMismatch
            | ErrorCode::PrivateMapKeyInvalid
            | ErrorCode::NotPermitted
            | ErrorCode::BadRequest
    )
}

/// Sender and fragment of another member's message on our data channel (`proto/src/custom_message.rs`).
fn room_message(bytes: &[u8]) -> Option<(UserId, Vec<u8>)> {
    let (header, rest) = bytes.split_first_chunk::<7>()?;
    if header[0] != custom_message::Kind::Message as u8 || header[1] != COMMAND_ID {
        if header[0] == custom_message::Kind::Refused as u8 {
            log!(
                Warn,
                "the server refused a message: {}",
                String::from_utf8_lossy(&bytes[1..])
            );
        }
        return None;
    }
    let (user, data) = rest.split_at_checked(usize::from(header[6]))?;
    let user = std::str::from_utf8(user).ok()?.parse().ok()?;
    Some((user, data.to_vec()))
}

/// The server's passive TCP candidates in its SDP (RFC 6544 §4.5).
fn tcp_candidates(sdp: &str) -> Vec<std::net::SocketAddr> {
    let mut found = Vec::new();
    for line in sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, protocol, _, ip, port, ..] = fields.as_slice()
            && protocol.eq_ignore_ascii_case(&Protocol::Tcp.to_string())
            && let (Ok(ip), Ok(port)) = (ip.parse(), port.parse())
        {
            let address = std::net::SocketAddr::new(ip, port);
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    found
}

/// Our address on the way to the server.
async fn address_towards(url: &str) -> std::io::Result<std::net::IpAddr> {
    let authority = url
        .split("://")
        .nth(1)
        .unwrap_or(url)
        .split(['/', '?'])
        .next()
        .unwrap_or_default();
    let default = if url.starts_with("wss") { ":443" } else { ":80" };
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}{default}")
    };
    let servers: Vec<std::net::SocketAddr> = tokio::net::lookup_host(target).await?.collect();
    // Media listens on IPv4 by default.
    let server = servers.iter().find(|server| server.is_ipv4()).or(servers.first());
    let server = server.ok_or_else(|| std::io::Error::other("the server's name has no address"))?;
    let any: std::net::IpAddr = if server.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let probe = tokio::net::UdpSocket::bind((any, 0)).await?;
    // Connecting a UDP socket sends nothing; it only looks the route up.
    probe.connect(server).await?;
    Ok(probe.local_addr()?.ip())
}
