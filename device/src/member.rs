//! A member that the device is: its stay in the room and its media session. One task each.
//!
//! The first member is always there: it hears and says messages, and hears talk-back. Further ones come for one stream and go with it.
//!
//! | part | subject |
//! | --- | --- |
//! | `flow` | what comes out of the media session, and what is sent over it |
//! | `link` | the login, and the connection to the server |
//! | `media` | the media session and its sockets |
//! | `outbox` | fragments of messages that wait for their turn |

mod flow;
mod link;
mod media;
mod outbox;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rotunda_client::SignalingError;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::signaling::{Event, IceServer, KickReason, MediaState, Reply, Request, ServerMessage};
use tokio::sync::mpsc;

use self::link::{Connected, Link, Then};
use self::media::{Media, Progress};
use self::outbox::Outbox;
use crate::log::log;
use crate::message::COMMAND_ID;
use crate::session::Part;
use crate::settings::{System, Ticket};
use crate::streams::{Channel, Streams};

/// An order of the device to a member.
pub enum Order {
    /// A fragment of a message, to the room.
    Say(Vec<u8>),
    /// Publish this channel's frames.
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
    /// The STUN and TURN servers for a new stay.
    IceServers(Vec<IceServer>),
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

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Connect,
    Publish,
    Other,
}

/// See the [module](self).
pub struct Member {
    index: usize,
    config: Arc<Config>,
    news: mpsc::Sender<(usize, News)>,
    link: Link,
    requests: HashMap<u64, Asked>,
    media: Option<Media>,
    wants_media: bool,
    carries: Option<Arc<Channel>>,
    publishing: Publishing,
    audio_slots: Vec<Option<UserId>>,
    outbox: Outbox,
}

/// How far the publication of the carried stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publishing {
    No,
    /// So many requests are not answered yet.
    Asked(u8),
    /// Published, and the engine does not know it yet.
    Done,
    Told,
}

/// The event of one turn of the loop.
enum Turn {
    Order(Option<Order>),
    Link(link::Turn),
    Media(media::Turn),
    Changed,
    Timeout,
}

impl Member {
    pub fn new(index: usize, config: Arc<Config>, ticket: Ticket, news: mpsc::Sender<(usize, News)>) -> Self {
        let now = Clock.now();
        Self {
            index,
            link: Link::new(now, config.clone(), ticket),
            config,
            news,
            requests: HashMap::new(),
            media: None,
            wants_media: false,
            carries: None,
            publishing: Publishing::No,
            audio_slots: Vec::new(),
            outbox: Outbox::new(now),
        }
    }

    /// Runs until the orders end; then leaves the room.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let clock = Clock;
        loop {
            self.reconcile().await;
            if let Some(media) = &mut self.media {
                media.flush();
            }
            let due = self.due(clock.now());
            let turn = tokio::select! {
                order = orders.recv() => Turn::Order(order),
                turn = self.link.next(clock) => Turn::Link(turn),
                turn = next_of_media(self.media.as_mut()) => Turn::Media(turn),
                () = changed(self.carries.as_ref()) => Turn::Changed,
                () = clock.until(due) => Turn::Timeout,
            };
            let now = clock.now();
            match turn {
                Turn::Order(Some(order)) => self.handle_order(order),
                Turn::Order(None) => break,
                Turn::Link(turn) => self.handle_link(now, turn).await,
                Turn::Media(turn) => {
                    if let Some(media) = &mut self.media {
                        let handled = media.handle_turn(now, turn);
                        self.after_session(now, handled).await;
                    }
                }
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
                if !self.outbox.push(bytes) {
                    log!(Warn, "a message was dropped: too many wait to be sent");
                }
            }
            Order::Carry(channel) => {
                self.carries = Some(channel);
                if self.publishing == Publishing::Told {
                    self.publishing = Publishing::Done;
                }
                if self.index > 0 {
                    self.link.forgive();
                }
            }
            Order::Release => self.carries = None,
            Order::Listen(wants) => self.wants_media = wants,
        }
    }

    /// Brings login, media and publication to the wanted state.
    async fn reconcile(&mut self) {
        let now = Clock.now();
        if self.is_wanted() {
            self.link.want();
        } else if !self.link.is_idle() {
            self.leave().await;
            return;
        }
        if !self.link.is_up() {
            return;
        }
        if self.carries.is_none() && self.publishing != Publishing::No {
            self.publishing = Publishing::No;
            for source in [TrackSource::Camera, TrackSource::Audio] {
                self.request(Request::Unpublish { source }, Asked::Other).await;
            }
        }
        let wants_media = self.wants_media || self.carries.is_some();
        if wants_media && self.media.is_none() {
            if let Err(error) = self.begin_media(now).await {
                log!(Error, "media was not set up: {error}");
                self.carry_failed(error).await;
            }
        } else if !wants_media {
            self.lose_media(now);
        }
        if self.carries.is_none() || !self.media.as_ref().is_some_and(Media::is_connected) {
            return;
        }
        match self.publishing {
            Publishing::No => {
                self.publishing = Publishing::Asked(2);
                for source in [TrackSource::Camera, TrackSource::Audio] {
                    self.request(Request::Publish { source, muted: false }, Asked::Publish)
                        .await;
                }
            }
            Publishing::Done => {
                self.publishing = Publishing::Told;
                self.tell(News::Carrying).await;
            }
            Publishing::Asked(_) | Publishing::Told => {}
        }
    }

    async fn handle_link(&mut self, now: Instant, turn: link::Turn) {
        match turn {
            link::Turn::Due => self.link.retry(now),
            link::Turn::Attempted(Ok(connected)) => self.handle_connected(now, *connected).await,
            link::Turn::Attempted(Err(error)) => match self.link.handle_failed(now, &error) {
                Then::Again => {}
                Then::Later { attempt } => {
                    self.tell(News::AttemptFailed(attempt)).await;
                    if self.index > 0 {
                        self.carry_failed(error.to_string()).await;
                    }
                }
                Then::Never(reason) => self.give_up(reason).await,
            },
            link::Turn::Heard(Some(message)) => self.handle_message(now, message).await,
            link::Turn::Heard(None) => {}
            link::Turn::Lost(error) => self.handle_lost(now, &error).await,
        }
    }

    async fn handle_connected(&mut self, now: Instant, connected: Connected) {
        self.requests.clear();
        let entered = self.link.handle_connected(now, connected);
        if entered.is_some() {
            // A new stay: the server knows nothing of earlier media.
            self.media = None;
            self.publishing = Publishing::No;
        } else if matches!(self.publishing, Publishing::Asked(_)) {
            // Requests that were not answered are sent again; twice does no harm.
            self.publishing = Publishing::No;
        }
        self.tell(News::Online).await;
        if let Some(entered) = entered {
            self.tell(News::IceServers(entered.ice_servers)).await;
            self.tell(News::Present(entered.room.members)).await;
        }
    }

    async fn handle_lost(&mut self, now: Instant, error: &SignalingError) {
        match self.link.handle_lost(now, error) {
            Then::Never(reason) => self.give_up(reason).await,
            Then::Again | Then::Later { .. } => self.tell(News::Offline(Offline::Retrying)).await,
        }
    }

    async fn give_up(&mut self, reason: String) {
        self.link.give_up();
        self.media = None;
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
                        self.publishing = match self.publishing {
                            Publishing::Asked(0 | 1) => Publishing::Done,
                            Publishing::Asked(left) => Publishing::Asked(left - 1),
                            other => other,
                        };
                    }
                    _ => {}
                }
            }
            ServerMessage::Failed { id, error } => {
                let asked = id.and_then(|id| self.requests.remove(&id));
                match asked {
                    Some(Asked::Connect) => {
                        self.media = None;
                        // A refusal is final for the stream: it is not asked for again.
                        self.carry_failed(error.message).await;
                    }
                    Some(Asked::Publish) => {
                        self.publishing = Publishing::No;
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
            // When the media server ends soon, a session at another one is opened as after a loss.
            Event::MediaState {
                state: MediaState::Disconnected,
            }
            | Event::MoveMedia {} => self.lose_media(now),
            Event::Kicked { reason } => match reason {
                KickReason::Shutdown | KickReason::RoomDisband => {
                    self.link.forget_stay();
                    self.handle_lost(now, &SignalingError::Closed).await;
                }
                KickReason::Kick | KickReason::Banned => {
                    log!(Error, "{} was removed from its room: {reason:?}", self.link.user());
                    self.give_up("the device was removed from its room".to_owned()).await;
                }
            },
            _ => {}
        }
    }

    async fn begin_media(&mut self, now: Instant) -> Result<(), String> {
        let part = if self.index == 0 { Part::Control } else { Part::Carrier };
        let (media, offer, lines) = Media::begin(now, &self.config, part).await?;
        self.media = Some(media);
        self.publishing = Publishing::No;
        self.audio_slots.clear();
        self.request(Request::Connect { offer, lines }, Asked::Connect).await;
        Ok(())
    }

    async fn handle_timeout(&mut self, now: Instant) {
        self.link.retry(now);
        if self.link.is_silent(now) {
            self.handle_lost(now, &SignalingError::Closed).await;
        }
        let Some(media) = &mut self.media else { return };
        match media.handle_timeout(now) {
            Ok(Progress::Fine) => self.after_session(now, Ok(())).await,
            Ok(Progress::TooLate) => {
                log!(Warn, "media did not get through to the server");
                self.lose_media(now);
                self.carry_failed("media does not get through to the server".to_owned())
                    .await;
            }
            Err(error) => self.after_session(now, Err(error)).await,
        }
    }

    /// When something is to be done though nothing comes.
    fn due(&self, now: Instant) -> Option<Instant> {
        let mut due: Vec<Instant> = self.link.due().into_iter().collect();
        if let Some(media) = &self.media {
            due.push(media.due(now));
            if self.is_published() && media.is_connected() {
                due.extend(self.carries.as_ref().and_then(|channel| channel.due(now)));
            }
        }
        if self.link.is_up() {
            due.extend(self.outbox.due());
        }
        due.into_iter().min()
    }

    async fn request(&mut self, request: Request, asked: Asked) {
        if let Some(id) = self.link.send(request).await {
            self.requests.insert(id, asked);
        }
    }

    async fn carry_failed(&mut self, reason: String) {
        if self.carries.is_some() && self.publishing != Publishing::Told {
            self.carries = None;
            self.tell(News::CarryFailed(reason)).await;
        }
    }

    async fn tell(&self, news: News) {
        // The device has ended: nobody needs to know.
        let _ended = self.news.send((self.index, news)).await;
    }

    async fn leave(&mut self) {
        self.lose_media(Clock.now());
        self.requests.clear();
        self.link.leave().await;
    }
}

async fn next_of_media(media: Option<&mut Media>) -> media::Turn {
    match media {
        Some(media) => media.next().await,
        None => std::future::pending().await,
    }
}

async fn changed(channel: Option<&Arc<Channel>>) {
    match channel {
        Some(channel) => channel.changed.notified().await,
        None => std::future::pending().await,
    }
}
