//! The waiting room: users knock, and moderators or the server API answer them, on any node.

mod by_api;
mod schedules;

use rotunda_proto::signaling::{Admission, Role, WaitingRoomView};
use rotunda_proto::waiting_room::{WaitingRoom, waiting_key};
use tokio::time::timeout;

use super::*;
use crate::config::Process;
use crate::waiting_room::PassKey;

/// A client of one login.
struct Guest {
    member: mpsc::Sender<ToMember>,
    /// None: the WebSocket is lost.
    messages: Option<Messages>,
    attachment: u64,
    /// Events that came before a reply.
    events: Vec<Event>,
    next_id: u64,
}

async fn two_nodes() -> ([Shared; 2], Arc<FailingBus>) {
    let bus = Arc::new(FailingBus::default());
    announce_sfu(&*bus).await;
    let shared_bus: SharedBus = bus.clone();
    let node = |name: &str| node_on(&shared_bus, name);
    ([node("node-1"), node("node-2")], bus)
}

fn node_on(bus: &SharedBus, name: &str) -> Shared {
    let config = Config {
        process: Process {
            pass_key: Some(PassKey::new([7; 32])),
            ..Process::default()
        },
        ..Config::default()
    };
    let node = ClusterNode::alone(bus.clone(), name.parse().unwrap());
    let application = Application::new(room().app, "");
    Shared::for_test(config, node, vec![application], Store::in_memory_unopened())
}

impl Guest {
    async fn log_in(shared: &Shared, user: &str) -> Self {
        let member = log_in(shared, &user.parse().unwrap()).await;
        let (messages, attachment) = attach(&member).await;
        Self {
            member,
            messages: Some(messages),
            attachment,
            events: Vec::new(),
            next_id: 0,
        }
    }

    async fn ask(&mut self, request: Request) -> Result<Reply, ErrorCode> {
        self.next_id += 1;
        let (number, id) = (self.attachment, self.next_id);
        let request = Box::new(request);
        let request = ToMember::Request { number, id, request };
        self.member.send(request).await.unwrap();
        loop {
            match self
                .messages
                .as_mut()
                .unwrap()
                .recv()
                .await
                .expect("the login has ended")
            {
                ServerMessage::Ok { id: of, reply, .. } if of == id => return Ok(reply),
                ServerMessage::Failed { id: of, error } if of == Some(id) => return Err(error.code),
                ServerMessage::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers the pass for a return.
    async fn enter_as(&mut self, role: Role, pass: Option<String>) -> Result<String, ErrorCode> {
        let request = Request::EnterRoom {
            room_id: room().room,
            role,
            user_define_record_id: None,
            stream_id: None,
            private_map_key: None,
            pass,
        };
        match self.ask(request).await? {
            Reply::Entered { pass, .. } => Ok(pass.expect("a member gets a pass")),
            other => panic!("{other:?}"),
        }
    }

    async fn enter(&mut self, pass: Option<String>) -> Result<String, ErrorCode> {
        self.enter_as(Role::Anchor, pass).await
    }

    async fn knock(&mut self) -> Result<Admission, ErrorCode> {
        let request = Request::Knock {
            room_id: room().room,
            private_map_key: None,
        };
        match self.ask(request).await? {
            Reply::Admission { admission } => Ok(admission),
            other => panic!("{other:?}"),
        }
    }

    async fn set_waiting_room(&mut self, required: bool) -> Result<(), ErrorCode> {
        self.ask(Request::SetWaitingRoom { required }).await.map(|_| ())
    }

    async fn answer(&mut self, admit: bool, users: Option<&[&str]>) -> Result<u32, ErrorCode> {
        let user_ids = users.map(|users| users.iter().map(|user| user.parse().unwrap()).collect());
        match self.ask(Request::AnswerWaiting { admit, user_ids }).await? {
            Reply::Answered { count } => Ok(count),
            other => panic!("{other:?}"),
        }
    }

    async fn next_event(&mut self) -> Event {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        let messages = self.messages.as_mut().unwrap();
        let message = timeout(Duration::from_secs(60), messages.recv()).await;
        match message.expect("an event comes").expect("the login goes on") {
            ServerMessage::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    async fn admission(&mut self) -> Admission {
        loop {
            if let Event::Admission { admission } = self.next_event().await {
                return admission;
            }
        }
    }

    /// The pass of an admitted user.
    async fn pass(&mut self) -> String {
        match self.admission().await {
            Admission::Admitted { pass } => pass,
            other => panic!("{other:?}"),
        }
    }

    async fn waiting_room(&mut self) -> WaitingRoomView {
        loop {
            if let Event::WaitingRoom { waiting_room } = self.next_event().await {
                return waiting_room;
            }
        }
    }

    /// Waits until the moderator sees these users.
    async fn sees(&mut self, users: &[&str]) {
        loop {
            if names(&self.waiting_room().await) == users {
                return;
            }
        }
    }

    async fn lose_socket(&mut self) {
        self.messages = None;
        let number = self.attachment;
        self.member.send(ToMember::Detach { number }).await.unwrap();
    }

    async fn come_back(&mut self) {
        let (messages, attachment) = attach(&self.member).await;
        (self.messages, self.attachment) = (Some(messages), attachment);
        self.events.clear();
    }
}

fn names(view: &WaitingRoomView) -> Vec<&str> {
    view.users.iter().map(|user| user.user_id.as_str()).collect()
}

/// Ann moderates room 1001 at the first node, and its waiting room is on.
async fn ann_moderates(shared: &Shared) -> Guest {
    let mut ann = Guest::log_in(shared, "ann").await;
    ann.enter(None).await.unwrap();
    ann.set_waiting_room(true).await.unwrap();
    loop {
        if ann.waiting_room().await.required {
            return ann;
        }
    }
}

async fn members(bus: &FailingBus) -> Vec<String> {
    let roster = bus.load::<Roster>(&roster_key(&room())).await.unwrap();
    let members = roster.map(|(roster, _)| roster.members).unwrap_or_default();
    members.iter().map(|member| member.user.to_string()).collect()
}

async fn waiting(bus: &dyn Bus) -> Vec<String> {
    let document = bus.load::<WaitingRoom>(&waiting_key(&room())).await.unwrap();
    let document = document.map(|(document, _)| document).unwrap_or_default();
    document.waiting.iter().map(|user| user.user.to_string()).collect()
}

async fn eventually_nobody_waits(bus: &dyn Bus) {
    let nobody = async {
        while !waiting(bus).await.is_empty() {
            Clock.sleep_until(Clock.now() + Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), nobody).await.expect("nobody waits");
}

#[tokio::test(start_paused = true)]
async fn a_user_waits_until_a_moderator_at_another_node_admits_them() {
    let ([one, two], bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    assert_eq!(bob.enter(None).await, Err(ErrorCode::AdmissionRequired));
    assert_eq!(bob.knock().await, Ok(Admission::Waiting));
    assert_eq!(bob.knock().await, Ok(Admission::Waiting), "once more changes nothing");
    ann.sees(&["bob"]).await;
    assert_eq!(members(&bus).await, ["ann"], "who waits is no member");
    let refused = bob.ask(Request::GetStats {}).await;
    assert_eq!(refused, Err(ErrorCode::NotInRoom));

    assert_eq!(ann.answer(true, Some(&["bob", "nobody"])).await, Ok(1));
    let pass = bob.pass().await;
    assert!(members(&bus).await == ["ann"], "bob enters when he is ready");
    bob.enter(Some(pass)).await.unwrap();
    assert_eq!(members(&bus).await, ["ann", "bob"]);
    ann.sees(&[]).await;
    eventually_nobody_waits(&*bus).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_user_may_knock_again() {
    let ([one, two], bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    assert_eq!(ann.answer(false, None).await, Ok(1));
    assert_eq!(bob.admission().await, Admission::Refused);
    assert_eq!(bob.enter(None).await, Err(ErrorCode::AdmissionRequired));
    eventually_nobody_waits(&*bus).await;
    assert_eq!(bob.knock().await, Ok(Admission::Waiting));
    ann.sees(&["bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_audience_and_those_who_wait_decide_nothing() {
    let ([one, two], _bus) = two_nodes().await;
    let mut cat = Guest::log_in(&two, "cat").await;
    cat.enter_as(Role::Audience, None).await.unwrap();
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    assert_eq!(bob.answer(true, None).await, Err(ErrorCode::NotInRoom));
    assert_eq!(cat.answer(true, None).await, Err(ErrorCode::NotPermitted));
    assert_eq!(cat.set_waiting_room(false).await, Err(ErrorCode::NotPermitted));
    let (after, page_size) = (None, None);
    let listed = cat.ask(Request::ListWaiting { after, page_size }).await;
    assert_eq!(listed, Err(ErrorCode::NotPermitted));
    assert!(
        !cat.events
            .iter()
            .any(|event| matches!(event, Event::WaitingRoom { .. })),
        "she is told nothing of it"
    );
    let (role, private_map_key) = (Role::Anchor, None);
    cat.ask(Request::SwitchRole { role, private_map_key }).await.unwrap();
    cat.sees(&["bob"]).await;
    assert_eq!(cat.answer(true, None).await, Ok(1));
    ann.sees(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_the_waiting_users_follows_another() {
    let ([one, two], _bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut guests = Vec::new();
    for number in 0..5 {
        let mut guest = Guest::log_in(&two, &format!("guest{number}")).await;
        guest.knock().await.unwrap();
        advance(Duration::from_millis(5)).await;
        guests.push(guest);
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page_size = Some(2);
        match ann.ask(Request::ListWaiting { after, page_size }).await.unwrap() {
            Reply::WaitingUsers { users, next, total } => {
                assert_eq!(total, 5);
                found.extend(users.into_iter().map(|user| user.user_id.to_string()));
                after = next;
            }
            other => panic!("{other:?}"),
        }
        if after.is_none() {
            break;
        }
    }
    found.sort();
    assert_eq!(found, ["guest0", "guest1", "guest2", "guest3", "guest4"]);
    for (after, page_size) in [(Some("nonsense".to_owned()), None), (None, Some(0)), (None, Some(101))] {
        let wrong = ann.ask(Request::ListWaiting { after, page_size }).await;
        assert_eq!(wrong, Err(ErrorCode::BadWaitingRequest));
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_loses_the_connection_keeps_their_place_for_the_resume_time_and_gets_the_answer_when_back() {
    let ([one, two], bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    bob.lose_socket().await;
    advance(Duration::from_secs(20)).await;
    bob.come_back().await;
    assert_eq!(bob.admission().await, Admission::Waiting);
    bob.lose_socket().await;
    assert_eq!(ann.answer(true, None).await, Ok(1));
    advance(Duration::from_secs(10)).await;
    bob.come_back().await;
    let pass = bob.pass().await;
    let again = Admission::Admitted { pass: pass.clone() };
    assert_eq!(bob.knock().await, Ok(again), "a client that knocks after every resume");
    bob.enter(Some(pass)).await.unwrap();

    let mut cat = Guest::log_in(&two, "cat").await;
    cat.knock().await.unwrap();
    cat.lose_socket().await;
    advance(Duration::from_secs(31)).await;
    cat.member.closed().await;
    eventually_nobody_waits(&*bus).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_configured() {
    let ([one, two], bus) = two_nodes().await;
    let _ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    advance(Duration::from_secs(3600)).await;
    assert_eq!(bob.admission().await, Admission::Expired);
    eventually_nobody_waits(&*bus).await;
}

#[tokio::test(start_paused = true)]
async fn a_user_who_gives_up_or_logs_in_anew_has_no_place_any_more() {
    let ([one, two], bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    ann.sees(&["bob"]).await;
    bob.ask(Request::ExitRoom {}).await.unwrap();
    assert!(waiting(&*bus).await.is_empty(), "when it is answered");
    assert_eq!(bob.ask(Request::ExitRoom {}).await, Err(ErrorCode::NotInRoom));
    bob.knock().await.unwrap();
    let mut again = Guest::log_in(&two, "bob").await;
    assert!(waiting(&*bus).await.is_empty(), "the newest login counts");
    again.knock().await.unwrap();
    assert_eq!(waiting(&*bus).await, ["bob"]);
}

#[tokio::test(start_paused = true)]
async fn switching_it_off_admits_everybody_and_the_end_of_the_room_tells_them() {
    let ([one, two], bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    ann.set_waiting_room(false).await.unwrap();
    bob.pass().await;
    bob.enter(None).await.expect("everybody may enter now");
    ann.set_waiting_room(true).await.unwrap();
    let mut cat = Guest::log_in(&two, "cat").await;
    cat.knock().await.unwrap();
    bob.ask(Request::ExitRoom {}).await.unwrap();
    ann.ask(Request::ExitRoom {}).await.unwrap();
    assert_eq!(cat.admission().await, Admission::RoomEnded);
    eventually_nobody_waits(&*bus).await;
    let left = bus.list(&key_prefix(&room())).await.unwrap();
    assert!(left.is_empty(), "nothing of the room is left: {left:?}");
    cat.enter(None).await.expect("a new room has no waiting room");
}

#[tokio::test(start_paused = true)]
async fn a_member_returns_past_the_waiting_room_to_any_node_but_not_to_a_later_room() {
    let ([one, two], _bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    ann.answer(true, None).await.unwrap();
    let admitted = bob.pass().await;
    let pass = bob.enter(Some(admitted)).await.unwrap();
    bob.member.send(ToMember::Kick(KickReason::Shutdown)).await.unwrap();
    bob.member.closed().await;
    let mut bob = Guest::log_in(&one, "bob").await;
    let mut cat = Guest::log_in(&one, "cat").await;
    assert_eq!(
        cat.enter(Some(pass.clone())).await,
        Err(ErrorCode::AdmissionRequired),
        "it is bob's"
    );
    bob.enter(Some(pass.clone())).await.unwrap();
    bob.ask(Request::ExitRoom {}).await.unwrap();
    ann.ask(Request::ExitRoom {}).await.unwrap();
    advance(Duration::from_secs(1)).await;
    ann.enter(None).await.unwrap();
    ann.set_waiting_room(true).await.unwrap();
    while !ann.waiting_room().await.required {}
    assert_eq!(bob.enter(Some(pass)).await, Err(ErrorCode::AdmissionRequired));
}

#[tokio::test(start_paused = true)]
async fn a_removed_user_does_not_wait_any_more() {
    let ([one, two], bus) = two_nodes().await;
    let _ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bob.knock().await.unwrap();
    let removed = Removed::Users(vec!["bob".parse().unwrap()]);
    let done = crate::removals::remove_here(&two, room(), removed).await;
    assert_eq!(done, MemberReply::Done);
    assert!(waiting(&*bus).await.is_empty(), "when it is answered");
}

#[tokio::test(start_paused = true)]
async fn while_the_bus_refuses_a_user_is_told_to_try_later_and_leaves_nothing() {
    let ([one, two], bus) = two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&two, "bob").await;
    bus.set_fault(Some(crate::failing_bus::Fault::Refuses(".waiting")));
    assert_eq!(bob.knock().await, Err(ErrorCode::TryLater));
    assert_eq!(ann.answer(true, None).await, Ok(0), "there is nothing to write");
    bus.set_fault(Some(crate::failing_bus::Fault::LosesAnswers(".waiting")));
    assert_eq!(bob.knock().await, Err(ErrorCode::TryLater));
    bus.set_fault(None);
    eventually_nobody_waits(&*bus).await;
    assert_eq!(bob.knock().await, Ok(Admission::Waiting));
    ann.sees(&["bob"]).await;
}
