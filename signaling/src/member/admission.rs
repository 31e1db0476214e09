//! A login on its way into a room: the checks before, the waiting room, and the entry. Moderators answer those who wait.

use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, RoomKey, UserId};
use rotunda_proto::room::OwnNames;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::signaling::{Admission, ErrorBody, ErrorCode, Event, Reply, Request, Role};
use rotunda_proto::waiting_room::EntryAnswer;

use super::membership::{self, Membership};
use super::{Member, explain, failure};
use crate::calls;
use crate::room::{Demand, Knocked, Passes, Wait};
use crate::room_documents::Refused;
use crate::turn;
use crate::waiting_room::changes::{self, AnswerBy, Otherwise, Whom};
use crate::waiting_room::pass::ENTER_WITHIN;
use crate::waiting_room::{Pass, list};

/// Users that one request names, and users of a page.
const MOST_USERS: usize = 100;
const USERS_OF_A_PAGE: u32 = 50;

/// A user who has knocked.
pub struct Knock {
    room: RoomKey,
    state: State,
}

enum State {
    Waits {
        wait: Wait,
        until: Instant,
    },
    /// It is kept for a client that is away now.
    Answered {
        admission: Admission,
        at: Instant,
    },
}

impl Knock {
    pub fn room(&self) -> &RoomKey {
        &self.room
    }

    fn admission(&self) -> Admission {
        match &self.state {
            State::Waits { .. } => Admission::Waiting,
            State::Answered { admission, .. } => admission.clone(),
        }
    }

    /// Whether another knock changes nothing.
    fn stands(&self, now: Instant) -> bool {
        match &self.state {
            State::Waits { .. } => true,
            State::Answered { admission, at } => {
                matches!(admission, Admission::Admitted { .. }) && now < *at + ENTER_WITHIN
            }
        }
    }

    /// For the client.
    pub fn event(&self) -> Event {
        Event::Admission {
            admission: self.admission(),
        }
    }

    /// Resolves when the user does not wait any more; never again after that. Cancel-safe.
    pub async fn ended(&mut self) -> End {
        match &mut self.state {
            State::Waits { wait, until } => tokio::select! {
                answer = wait.answered() => End::Answered(answer),
                () = Clock.sleep_until(*until) => End::Expired,
            },
            State::Answered { .. } => std::future::pending().await,
        }
    }

    /// Gives the place up.
    pub async fn stop(self) {
        if let State::Waits { wait, .. } = self.state {
            wait.stop().await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Answered(EntryAnswer),
    /// Nobody has answered in time.
    Expired,
}

/// Resolves at the end of the waiting; never without a knock.
pub async fn ended(knock: &mut Option<Knock>) -> End {
    match knock {
        Some(knock) => knock.ended().await,
        None => std::future::pending().await,
    }
}

/// A request to enter.
pub struct Enter {
    pub room: RoomId,
    pub role: Role,
    pub names: OwnNames,
    pub ticket: Option<String>,
    pub pass: Option<String>,
}

impl Member {
    pub(super) async fn enter_room(&mut self, enter: Enter) -> Result<Reply, ErrorBody> {
        if self.membership.is_some() {
            return Err(failure(ErrorCode::AlreadyInRoom));
        }
        let room = self.key(&enter.room);
        let (rights, of_call) = self.rights_to_enter(&room, enter.ticket.as_deref()).await?;
        let passes = match of_call {
            OfCall::Yes => Passes::Always,
            OfCall::No => self.passes(&room, enter.pass.as_deref()),
        };
        let user = self.identity.user.clone();
        let entered = Membership::enter(&self.shared, room, user, enter.role, rights, passes).await;
        let mut membership = entered.map_err(explain)?;
        self.stop_waiting().await;
        membership.set_names(enter.names);
        let view = membership.view(&enter.room);
        let waiting_room = membership.waiting_room().map(Box::new);
        let now = Clock.unix();
        let pass = membership.created_unix_ms().map(|room_created_unix_ms| {
            let pass = Pass::Member { room_created_unix_ms };
            let key = &self.shared.pass_key;
            key.issue(pass, membership.key(), &self.identity.user, now)
        });
        self.membership = Some(membership);
        let ice_servers = turn::ice_servers(&self.shared.config, &self.identity.user, now);
        let applications = self.shared.applications();
        let of_application = applications.by_id(self.identity.app);
        Ok(Reply::Entered {
            room: view,
            ice_servers,
            stream_profiles: of_application.map(|of| of.stream_profiles.clone()).unwrap_or_default(),
            pass,
            waiting_room,
        })
    }

    /// Waits for admission to a room. Who may enter already is admitted at once.
    pub(super) async fn knock(&mut self, room: RoomId, ticket: Option<&str>) -> Result<Reply, ErrorBody> {
        if self.membership.is_some() {
            return Err(failure(ErrorCode::AlreadyInRoom));
        }
        let room = self.key(&room);
        let (rights, of_call) = self.rights_to_enter(&room, ticket).await?;
        let stands = |knock: &&Knock| *knock.room() == room && knock.stands(Clock.now());
        if let Some(knock) = self.knock.as_ref().filter(stands) {
            let admission = knock.admission();
            return Ok(Reply::Admission { admission });
        }
        self.stop_waiting().await;
        let passes = match of_call {
            OfCall::Yes => Passes::Always,
            OfCall::No => Passes::Never,
        };
        let user = &self.identity.user;
        let knocked = membership::knock(&self.shared, &room, user, rights, passes).await;
        let state = match knocked.map_err(explain)? {
            Knocked::Open => State::Answered {
                admission: self.admitted(&room),
                at: Clock.now(),
            },
            Knocked::Waits(wait) => {
                let within = Duration::from_secs(self.shared.config.waiting_seconds);
                let until = Clock.now() + within;
                State::Waits { wait, until }
            }
        };
        let knock = Knock { room, state };
        let admission = knock.admission();
        self.knock = Some(knock);
        Ok(Reply::Admission { admission })
    }

    /// Tells the client the end of their waiting.
    pub(super) async fn end_knock(&mut self, end: End) {
        let Some(Knock { room, state }) = self.knock.take() else {
            return;
        };
        let admission = match end {
            End::Answered(EntryAnswer::Admitted) => self.admitted(&room),
            End::Answered(EntryAnswer::Refused) => Admission::Refused,
            End::Answered(EntryAnswer::RoomEnded) => Admission::RoomEnded,
            End::Expired => Admission::Expired,
        };
        if let (State::Waits { wait, .. }, End::Expired) = (state, end) {
            wait.stop().await;
        }
        let at = Clock.now();
        let state = State::Answered { admission, at };
        let knock = Knock { room, state };
        self.tell(knock.event());
        self.knock = Some(knock);
    }

    pub(super) async fn stop_waiting(&mut self) {
        if let Some(knock) = self.knock.take() {
            knock.stop().await;
        }
    }

    fn admitted(&self, room: &RoomKey) -> Admission {
        let key = &self.shared.pass_key;
        let pass = key.issue(Pass::Admitted, room, &self.identity.user, Clock.unix());
        Admission::Admitted { pass }
    }

    fn key(&self, room: &RoomId) -> RoomKey {
        RoomKey {
            app: self.identity.app,
            room: room.clone(),
        }
    }

    async fn rights_to_enter(&self, room: &RoomKey, ticket: Option<&str>) -> Result<(Rights, OfCall), ErrorBody> {
        match calls::room_rights(&self.shared, room, &self.identity.user).await {
            Some(rights) => Ok((rights?, OfCall::Yes)),
            None => Ok((self.rights(room, ticket)?, OfCall::No)),
        }
    }

    fn passes(&self, room: &RoomKey, pass: Option<&str>) -> Passes {
        let key = &self.shared.pass_key;
        let read = |text: &str| key.read(text, room, &self.identity.user, Clock.unix());
        match pass.and_then(read) {
            None => Passes::Never,
            Some(Pass::Admitted) => Passes::Always,
            Some(Pass::Member { room_created_unix_ms }) => Passes::IfRoomIsOf {
                created_unix_ms: room_created_unix_ms,
            },
        }
    }

    /// Requests of moderators about those who wait.
    pub(super) async fn moderate(&mut self, request: Request) -> Result<Reply, ErrorBody> {
        let membership = self.in_room()?;
        if !membership.may_moderate() {
            return Err(failure(ErrorCode::NotPermitted));
        }
        let (room, user) = (membership.key().clone(), self.identity.user.clone());
        let bus = &self.shared.bus;
        let by = AnswerBy::Moderator(user.clone());
        match request {
            Request::AnswerWaiting { admit, user_ids } => {
                let whom = whom(user_ids)?;
                let answer = if admit {
                    EntryAnswer::Admitted
                } else {
                    EntryAnswer::Refused
                };
                let answered = changes::answer(bus, &room, &whom, answer, by).await;
                let count = answered.map_err(Refused::from).map_err(explain)?;
                Ok(Reply::Answered { count })
            }
            Request::ListWaiting { after, page_size } => {
                let size = page_size.unwrap_or(USERS_OF_A_PAGE) as usize;
                if !(1..=MOST_USERS).contains(&size) {
                    return Err(failure(ErrorCode::BadWaitingRequest));
                }
                let document = changes::load(bus, &room)
                    .await
                    .map_err(Refused::from)
                    .map_err(explain)?;
                let page = list::page(&document, after.as_deref(), size);
                let list::Page { users, next, total } = page.map_err(|_| failure(ErrorCode::BadWaitingRequest))?;
                Ok(Reply::WaitingUsers { users, next, total })
            }
            Request::SetWaitingRoom { required: true } => {
                let required = changes::require(bus, &room).await;
                required.map_err(Refused::from).map_err(explain)?;
                Ok(Reply::Done {})
            }
            Request::SetWaitingRoom { required: false } => {
                let otherwise = match self.shared.restrictions.demand(&room, &user, Clock.unix()) {
                    Demand::None => Otherwise::Open,
                    Demand::ByApplication => Otherwise::Required,
                };
                let opened = changes::open(bus, &room, otherwise, by).await;
                opened.map_err(Refused::from).map_err(explain)?;
                Ok(Reply::Done {})
            }
            _ => Err(failure(ErrorCode::Internal)),
        }
    }
}

/// Whether the room is that of a call, in which nobody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfCall {
    Yes,
    No,
}

fn whom(users: Option<Vec<UserId>>) -> Result<Whom, ErrorBody> {
    match users {
        None => Ok(Whom::Everybody),
        Some(users) if users.len() <= MOST_USERS => Ok(Whom::Users(users)),
        Some(_) => Err(failure(ErrorCode::BadWaitingRequest)),
    }
}
