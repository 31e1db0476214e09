//! A room whose SFU node takes no more sessions, or is dead, goes on at another one.

use rotunda_proto::room::RoomInfo;
use rotunda_proto::sfu::{self, Command, ControlError, Lines, control_subject, events_subject};
use rotunda_proto::signaling::MediaState;

use super::media::ask;
use super::*;

/// Announces an SFU node.
async fn announce(test: &Test, name: &str, sessions: u64) {
    let info = NodeInfo {
        node: name.parse().unwrap(),
        sessions,
        capacity: 100,
        load_percent: 0,
        open_workers: 1,
        draining: false,
        location: Location::default(),
    };
    test.bus.store(&node_key(&info.node), &info, None).await.unwrap();
}

/// Plays an SFU node: what it answers to sessions, and the nodes that it was told the room is on.
async fn play(test: &Test, name: &str, is_full: bool) -> mpsc::UnboundedReceiver<Vec<String>> {
    let node: NodeId = name.parse().unwrap();
    let mut commands = test.bus.serve(&control_subject(&node)).await.unwrap();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let request = commands.next().await;
            let reply = match request.parse().unwrap() {
                Command::Open { .. } if is_full => sfu::Reply::Refused {
                    error: ControlError::NodeFull,
                },
                Command::Open { nodes, .. } => {
                    let _nobody_looks = tell.send(nodes.iter().map(ToString::to_string).collect());
                    sfu::Reply::Opened {
                        answer: "v=0".to_owned(),
                    }
                }
                _ => sfu::Reply::Done,
            };
            request.answer(&reply);
        }
    });
    told
}

async fn connect(test: &mut Test, id: u64) -> Result<Reply, ErrorCode> {
    let request = Request::Connect {
        offer: "v=0".to_owned(),
        lines: Lines::default(),
    };
    ask(test, id, request).await
}

async fn nodes_of_the_room(test: &Test) -> Vec<String> {
    let (info, _) = test.bus.load::<RoomInfo>(&info_key(&test.room)).await.unwrap().unwrap();
    info.sfu_nodes().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_member_whom_the_rooms_node_refuses_comes_to_another_one_which_is_told_of_both() {
    let mut test = ann_in_the_room().await;
    let _full = play(&test, "node-1", true).await;
    announce(&test, "node-2", 7).await;
    let mut told = play(&test, "node-2", false).await;
    connect(&mut test, 2).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), ["node-1", "node-2"]);
    assert_eq!(nodes_of_the_room(&test).await, ["node-1", "node-2"]);
    connect(&mut test, 3).await.unwrap();
    assert_eq!(told.recv().await.unwrap().len(), 2, "it stays where it was");
    assert_eq!(nodes_of_the_room(&test).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_room_leaves_a_node_that_is_dead() {
    let mut test = ann_in_the_room().await;
    announce(&test, "node-2", 7).await;
    let mut told = play(&test, "node-2", false).await;
    // Nobody serves node-1, and its lease has ended.
    test.bus.remove(&node_key(&"node-1".parse().unwrap())).await.unwrap();
    connect(&mut test, 2).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), ["node-2"]);
    assert_eq!(nodes_of_the_room(&test).await, ["node-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_for_a_moment_keeps_the_room() {
    let mut test = ann_in_the_room().await;
    announce(&test, "node-2", 7).await;
    let mut told = play(&test, "node-2", false).await;
    connect(&mut test, 2).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), ["node-2"], "those that answer");
    assert_eq!(nodes_of_the_room(&test).await, ["node-1", "node-2"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_node_with_capacity_the_member_is_told_that_all_are_full() {
    let mut test = ann_in_the_room().await;
    let _full = play(&test, "node-1", true).await;
    announce(&test, "node-2", 100).await;
    assert_eq!(connect(&mut test, 2).await, Err(ErrorCode::NodeFull));
    assert_eq!(nodes_of_the_room(&test).await, ["node-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_at_a_dead_node_ends_the_session_and_the_next_offer_opens_one_at_another_node() {
    let mut test = ann_in_the_room().await;
    let mut commands = test
        .bus
        .serve(&control_subject(&"node-1".parse().unwrap()))
        .await
        .unwrap();
    let (tell, opened) = oneshot::channel();
    let node = tokio::spawn(async move {
        let request = commands.next().await;
        let Command::Open { session, .. } = request.parse().unwrap() else {
            panic!("nothing else is asked")
        };
        request.answer(&sfu::Reply::Opened {
            answer: "v=0".to_owned(),
        });
        tell.send(session).unwrap();
        loop {
            commands.next().await.answer(&sfu::Reply::Done);
        }
    });
    connect(&mut test, 2).await.unwrap();
    let session = opened.await.unwrap();
    let user = Some("ann".parse().unwrap());
    let connected = sfu::Event::Connected { session, user };
    test.bus.tell(&events_subject(&test.room), &connected).await.unwrap();
    media_becomes(&mut test, MediaState::Connected).await;
    node.abort();
    assert!(node.await.unwrap_err().is_cancelled());

    announce(&test, "node-2", 7).await;
    let mut told = play(&test, "node-2", false).await;
    assert_eq!(connect(&mut test, 3).await, Err(ErrorCode::NoMediaNode), "a restart");
    media_becomes(&mut test, MediaState::Disconnected).await;
    connect(&mut test, 4).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), ["node-2"]);
}

async fn media_becomes(test: &mut Test, wanted: MediaState) {
    loop {
        if let Some(ServerMessage::Event(Event::MediaState { state })) = test.messages.recv().await {
            assert_eq!(state, wanted);
            return;
        }
    }
}
