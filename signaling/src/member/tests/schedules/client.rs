//! A client that watches every video, as the web SDK does.

use rotunda_proto::signaling::{Lines, MediaState, RoomView, SlotView};

use super::*;

fn everything() -> Permissions {
    Permissions {
        send: SOURCES.into(),
        receive: SOURCES.into(),
    }
}

pub struct Client {
    pub user: UserId,
    pub member: mpsc::Sender<ToMember>,
    pub attachment: u64,
    pub messages: Option<Messages>,
    next_id: u64,
    pending: BTreeMap<u64, Request>,
    pub room: RoomView,
    pub slots: Vec<Option<SlotView>>,
    pub permissions: Permissions,
    asked: BTreeSet<(UserId, TrackSource)>,
    /// Its newest request to connect, in this membership.
    connects: Option<u64>,
    /// That has been answered.
    has_media: bool,
}

impl Client {
    pub async fn log_in(shared: &Shared, user: &str) -> Self {
        let user: UserId = user.parse().unwrap();
        let member = log_in(shared, &user).await;
        let (messages, attachment) = attach(&member).await;
        let mut client = Self {
            user,
            member,
            attachment,
            messages: Some(messages),
            next_id: 0,
            pending: BTreeMap::new(),
            room: RoomView {
                room_id: room().room,
                members: Vec::new(),
                member_count: 0,
                publishers: Vec::new(),
                mix: None,
            },
            slots: Vec::new(),
            permissions: everything(),
            asked: BTreeSet::new(),
            connects: None,
            has_media: false,
        };
        client.enter().await;
        client
    }

    pub async fn enter(&mut self) {
        let request = Request::EnterRoom {
            room_id: room().room,
            role: Role::Anchor,
            user_define_record_id: None,
            stream_id: None,
            private_map_key: None,
            pass: None,
        };
        self.ask(request).await;
    }

    /// Resumes the login, or makes a new one: a member who had left the room has nothing to resume.
    pub async fn come_back(&mut self, shared: &Shared) {
        let (attached, attachment) = oneshot::channel();
        // A member that has ended drops it.
        drop(self.member.send(ToMember::Attach { attached }).await);
        let (messages, number) = match attachment.await {
            Ok(Attachment { number, messages }) => (Messages(messages), number),
            Err(_) => {
                self.member = log_in(shared, &self.user).await;
                attach(&self.member).await
            }
        };
        (self.messages, self.attachment) = (Some(messages), number);
        self.pending.clear();
    }

    pub async fn leave(&mut self) {
        if self.messages.is_some() {
            (self.has_media, self.connects) = (false, None);
        }
        self.ask(Request::ExitRoom {}).await;
    }

    async fn connect(&mut self) {
        self.has_media = false;
        let (offer, lines) = ("v=0".to_owned(), Lines::default());
        self.ask(Request::Connect { offer, lines }).await;
        self.connects = Some(self.next_id);
    }

    pub async fn ask(&mut self, request: Request) {
        if self.messages.is_none() {
            return;
        }
        self.next_id += 1;
        let (number, id) = (self.attachment, self.next_id);
        self.pending.insert(id, request.clone());
        let request = Box::new(request);
        self.member
            .send(ToMember::Request { number, id, request })
            .await
            .unwrap();
    }

    /// Reads the messages that have come, and sends the requests that follow from them.
    pub async fn read(&mut self) {
        let mut wants = false;
        while let Some(Ok(json)) = self.messages.as_mut().map(|messages| messages.0.try_recv()) {
            match serde_json::from_str(json.as_str()).unwrap() {
                ServerMessage::Ok { id, reply, .. } => {
                    self.pending.remove(&id);
                    self.has_media |= self.connects == Some(id);
                    if let Reply::Entered { room, .. } = reply {
                        (self.room, self.permissions) = (room, everything());
                        self.asked.clear();
                        wants = true;
                        self.connect().await;
                    }
                }
                ServerMessage::Failed { id, .. } => {
                    if self.connects == id {
                        self.connect().await;
                    }
                    if let Some(Request::RequestVideo { user_id, source, .. }) = self.pending.remove(&id.unwrap()) {
                        self.asked.remove(&(user_id, source));
                    }
                }
                ServerMessage::Event(Event::MediaState {
                    state: MediaState::Disconnected,
                }) => self.connect().await,
                ServerMessage::Event(event) => {
                    // The answer may have been on the connection that was lost.
                    if matches!(event, Event::Room { .. }) && !self.has_media {
                        self.connect().await;
                    }
                    wants |= self.handle_event(event);
                }
            }
        }
        if !wants {
            return;
        }
        let publishers = self.room.publishers.iter().filter(|other| other.user_id != self.user);
        let videos = publishers.flat_map(|publisher| {
            let sources = [
                (TrackSource::Camera, publisher.camera),
                (TrackSource::Screen, publisher.screen),
            ];
            let published = sources.into_iter().filter(|(_, state)| state.is_some());
            published.map(|(source, _)| (publisher.user_id.clone(), source))
        });
        let missing: Vec<_> = videos.filter(|video| !self.asked.contains(video)).collect();
        for (user_id, source) in missing {
            self.asked.insert((user_id.clone(), source));
            self.ask(Request::RequestVideo {
                user_id,
                source,
                max_height: None,
            })
            .await;
        }
    }

    /// Answers whether the wanted videos may have changed.
    fn handle_event(&mut self, event: Event) -> bool {
        let room = &mut self.room;
        match event {
            Event::Room { room } => {
                self.room = room;
                // Any of them may have ended since.
                self.asked.clear();
                return true;
            }
            Event::MemberEntered { user_id } => room.members.push(user_id),
            Event::MemberLeft { user_id } => room.members.retain(|other| *other != user_id),
            Event::MemberCount { count } => room.member_count = count,
            Event::Publishing { publisher } => {
                let user = publisher.user_id.clone();
                let is_shown = |source| match source {
                    TrackSource::Camera => publisher.camera.is_some(),
                    _ => publisher.screen.is_some(),
                };
                self.asked.retain(|(of, source)| *of != user || is_shown(*source));
                room.publishers.retain(|other| other.user_id != user);
                if publisher.audio.or(publisher.camera).or(publisher.screen).is_some() {
                    room.publishers.push(publisher);
                }
                return true;
            }
            Event::Slots { video, .. } => self.slots = video,
            Event::Permissions { send, receive, .. } => {
                self.permissions = Permissions { send, receive };
                return true;
            }
            _ => {}
        }
        false
    }

    /// The sources of the others, as it knows them.
    pub fn publishers(&self) -> BTreeMap<UserId, PublisherView> {
        let others = self.room.publishers.iter().filter(|other| other.user_id != self.user);
        others.map(|other| (other.user_id.clone(), other.clone())).collect()
    }
}
