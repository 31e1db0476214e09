//! A moderator and three users on two nodes act in random order and at random times. After the last notification all of them, the
//! document and the roster agree on who waits and who is inside.

use proptest::prelude::*;
use rotunda_bus::{Faults, Faulty};
use rotunda_proto::waiting_room::WaitingRoom;

use super::*;

const GUESTS: [&str; 3] = ["bob", "cat", "dan"];

#[derive(Debug, Clone)]
enum Step {
    Knock(usize),
    /// Out of the room or the waiting room.
    Leave(usize),
    LoseSocket(usize),
    ComeBack(usize),
    Answer(bool, usize),
    AnswerAll(bool),
    Switch(bool),
    Turns(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let guest = || 0..GUESTS.len();
    prop_oneof![
        6 => guest().prop_map(Step::Knock),
        2 => guest().prop_map(Step::Leave),
        2 => guest().prop_map(Step::LoseSocket),
        3 => guest().prop_map(Step::ComeBack),
        4 => (any::<bool>(), guest()).prop_map(|(admit, who)| Step::Answer(admit, who)),
        1 => any::<bool>().prop_map(Step::AnswerAll),
        2 => any::<bool>().prop_map(Step::Switch),
        6 => (0..40_usize).prop_map(Step::Turns),
        4 => (0..250_u64).prop_map(Step::Pass),
    ]
}

/// What a client knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Outside,
    Waits,
    Inside,
}

/// A client that enters when it is admitted, as the web SDK does.
struct Client {
    name: &'static str,
    shared: Shared,
    guest: Guest,
    known: Known,
    /// The moderator's.
    waiting_room: WaitingRoomView,
}

impl Client {
    async fn log_in(shared: &Shared, name: &'static str) -> Self {
        Self {
            name,
            shared: shared.clone(),
            guest: Guest::log_in(shared, name).await,
            known: Known::Outside,
            waiting_room: WaitingRoomView::default(),
        }
    }

    async fn send(&mut self, request: Request) {
        if self.guest.messages.is_none() {
            return;
        }
        self.guest.next_id += 1;
        let (number, id) = (self.guest.attachment, self.guest.next_id);
        let request = Box::new(request);
        let sent = ToMember::Request { number, id, request };
        self.guest.member.send(sent).await.unwrap();
    }

    async fn enter(&mut self, pass: Option<String>) {
        let enter = Request::EnterRoom {
            room_id: room().room,
            role: Role::Anchor,
            user_define_record_id: None,
            stream_id: None,
            private_map_key: None,
            pass,
        };
        self.send(enter).await;
    }

    async fn come_back(&mut self) {
        if self.guest.messages.is_some() {
            return;
        }
        self.known = Known::Outside;
        // One who neither waits nor is inside has ended with the WebSocket.
        let (attached, attachment) = oneshot::channel();
        self.guest.member.send(ToMember::Attach { attached }).await.ok();
        match attachment.await {
            Ok(Attachment { number, messages }) => {
                (self.guest.messages, self.guest.attachment) = (Some(Messages(messages)), number);
            }
            Err(_) => self.guest = Guest::log_in(&self.shared, self.name).await,
        }
    }

    async fn read(&mut self) {
        while let Some(Ok(json)) = self.guest.messages.as_mut().map(|messages| messages.0.try_recv()) {
            match serde_json::from_str(json.as_str()).unwrap() {
                ServerMessage::Ok { reply, .. } => match reply {
                    Reply::Entered { waiting_room, .. } => {
                        self.known = Known::Inside;
                        self.waiting_room = waiting_room.map(|view| *view).unwrap_or_default();
                    }
                    Reply::Admission { admission } => self.handle_admission(admission).await,
                    // Of `exitRoom`, the guests' only other request.
                    Reply::Done {} if self.name != "ann" => self.known = Known::Outside,
                    _ => {}
                },
                ServerMessage::Failed { .. } => {}
                ServerMessage::Event(Event::Room { .. }) => self.known = Known::Inside,
                ServerMessage::Event(Event::Admission { admission }) => self.handle_admission(admission).await,
                ServerMessage::Event(Event::WaitingRoom { waiting_room }) => self.waiting_room = waiting_room,
                ServerMessage::Event(_) => {}
            }
        }
    }

    async fn handle_admission(&mut self, admission: Admission) {
        self.known = match admission {
            Admission::Waiting => Known::Waits,
            Admission::Admitted { pass } => {
                self.enter(Some(pass)).await;
                Known::Outside
            }
            Admission::Refused | Admission::Expired | Admission::RoomEnded => Known::Outside,
        };
    }
}

struct Schedule {
    bus: Arc<FailingBus>,
    ann: Client,
    guests: Vec<Client>,
}

impl Schedule {
    async fn open(faults: Faults) -> Self {
        let bus = Arc::new(FailingBus::default());
        announce_sfu(&*bus).await;
        let shared_bus: SharedBus = bus.clone();
        let node = |name: &str| {
            let slow: SharedBus = Arc::new(Faulty::new(shared_bus.clone(), faults));
            node_on(&slow, name)
        };
        let nodes = [node("node-1"), node("node-2")];
        let mut guests = Vec::new();
        for (index, name) in GUESTS.into_iter().enumerate() {
            guests.push(Client::log_in(&nodes[index % 2], name).await);
        }
        let mut ann = Client::log_in(&nodes[0], "ann").await;
        ann.enter(None).await;
        ann.send(Request::SetWaitingRoom { required: true }).await;
        let mut test = Self { bus, ann, guests };
        test.calm().await;
        test
    }

    async fn read(&mut self) {
        self.ann.read().await;
        for guest in &mut self.guests {
            guest.read().await;
        }
    }

    async fn pass(&mut self, milliseconds: u64) {
        Clock
            .sleep_until(Clock.now() + Duration::from_millis(milliseconds))
            .await;
        self.read().await;
    }

    async fn calm(&mut self) {
        for _ in 0..300 {
            self.pass(20).await;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Knock(who) => {
                let (room_id, private_map_key) = (room().room, None);
                let knock = Request::Knock {
                    room_id,
                    private_map_key,
                };
                self.guests[who].send(knock).await;
            }
            Step::Leave(who) => self.guests[who].send(Request::ExitRoom {}).await,
            Step::LoseSocket(who) => {
                if self.guests[who].guest.messages.is_some() {
                    self.guests[who].guest.lose_socket().await;
                }
            }
            Step::ComeBack(who) => self.guests[who].come_back().await,
            Step::Answer(admit, who) => {
                let user_ids = Some(vec![GUESTS[who].parse().unwrap()]);
                self.ann.send(Request::AnswerWaiting { admit, user_ids }).await;
            }
            Step::AnswerAll(admit) => {
                let user_ids = None;
                self.ann.send(Request::AnswerWaiting { admit, user_ids }).await;
            }
            Step::Switch(required) => self.ann.send(Request::SetWaitingRoom { required }).await,
            Step::Turns(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                    self.read().await;
                }
            }
            Step::Pass(milliseconds) => self.pass(milliseconds).await,
        }
        self.read().await;
    }

    /// Errors: the first difference.
    async fn agreement(&self) -> Result<(), String> {
        let document = self.bus.load::<WaitingRoom>(&waiting_key(&room())).await.unwrap();
        let document = document.map(|(document, _)| document).unwrap_or_default();
        let listed: Vec<&str> = document.waiting.iter().map(|user| user.user.as_str()).collect();
        let members = members(&self.bus).await;
        if let Some(answered) = document.waiting.iter().find(|user| user.answer.is_some()) {
            return Err(format!("{answered:?} is still in the document"));
        }
        if !document.required && !listed.is_empty() {
            return Err(format!("{listed:?} wait, and need not"));
        }
        let seen = &self.ann.waiting_room;
        if (names(seen), seen.required) != (listed.clone(), document.required) {
            return Err(format!("ann sees {seen:?}, and the document is {document:?}"));
        }
        for guest in &self.guests {
            let name = guest.name;
            let real = match (listed.contains(&name), members.iter().any(|member| member == name)) {
                (false, false) => Known::Outside,
                (true, false) => Known::Waits,
                (false, true) => Known::Inside,
                (true, true) => return Err(format!("{name} is inside and waits")),
            };
            if guest.known != real {
                return Err(format!("{name} believes {:?} in place of {real:?}", guest.known));
            }
        }
        Ok(())
    }
}

fn play(faults: Faults, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let played = async {
        let mut test = Schedule::open(faults).await;
        for step in steps {
            test.take(step).await;
        }
        for who in 0..GUESTS.len() {
            test.take(Step::ComeBack(who)).await;
        }
        test.calm().await;
        test.agreement().await.unwrap();
    };
    runtime.block_on(async {
        timeout(Duration::from_secs(600), played)
            .await
            .expect("nobody waits for ever")
    });
}

proptest! {
    #[test]
    fn after_the_last_notification_all_agree_on_who_waits(steps in prop::collection::vec(step(), 0..60)) {
        play(Faults::none(1), steps);
    }

    #[test]
    fn also_on_a_slow_bus_that_reorders(steps in prop::collection::vec(step(), 0..40), seed in any::<u64>()) {
        let faults = Faults {
            delay: Duration::from_millis(20),
            reorder: true,
            lose: 0.1,
            ..Faults::none(seed)
        };
        play(faults, steps);
    }
}
