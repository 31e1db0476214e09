//! A session and the SFU nodes of its room, which the test plays on the bus. The time is virtual.

use std::sync::Arc;

use rotunda_bus::{Bus, InProcess, Request, Requests};
use rotunda_proto::ids::NodeId;
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::sfu::control_subject;

use super::*;
use crate::sample::Sample;

struct Room {
    /// Requests to each node of the room.
    nodes: Vec<Requests>,
    stop: CancellationToken,
    /// What the session reads and writes.
    _ends: (
        watch::Sender<Wants>,
        mpsc::Sender<Source>,
        mpsc::Receiver<Sample>,
        mpsc::Receiver<Undecodable>,
    ),
}

impl Room {
    /// Its session runs until the test ends.
    async fn new(nodes: &[&str]) -> Self {
        let bus = Arc::new(InProcess::new());
        let room = RoomKey {
            app: 1.try_into().unwrap(),
            room: "1".parse().unwrap(),
        };
        let names: Vec<NodeId> = nodes.iter().map(|name| name.parse().unwrap()).collect();
        let info = RoomInfo {
            room: room.clone(),
            sfu: names[0].clone(),
            more_sfu: names[1..].to_vec(),
            created_unix_ms: 0,
        };
        bus.store(&info_key(&room), &info, None).await.unwrap();
        let mut nodes = Vec::new();
        for name in &names {
            nodes.push(bus.serve(&control_subject(name)).await.unwrap());
        }
        let (wants, wanted) = watch::channel(Wants::default());
        let (key_requests, requested) = mpsc::channel(1);
        let (samples, received) = mpsc::channel(1);
        let (undecodable, told) = mpsc::channel(1);
        let session = Session {
            room,
            bus,
            secret: ClusterSecret::new("ours"),
            lines: LineCounts::ROOM,
            origin: Clock.now(),
            gather: None,
            wants: wanted,
            key_requests: requested,
            samples,
            undecodable,
            opened: 0,
            barred: Vec::new(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(session.run(stop.clone()));
        Self {
            nodes,
            stop,
            _ends: (wants, key_requests, received, told),
        }
    }

    /// The next request to open a session at a node, and when it came.
    async fn asked(&mut self, node: usize) -> (Request, Instant) {
        let request = self.nodes[node].next().await;
        assert!(matches!(request.parse(), Ok(Command::Open { .. })));
        (request, Clock.now())
    }
}

fn full() -> Reply {
    Reply::Refused {
        error: ControlError::NodeFull,
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_node_is_asked_again_and_again_and_less_and_less_often() {
    let mut room = Room::new(&["sfu-1"]).await;
    let mut asked = Vec::new();
    for _ in 0..12 {
        let (request, at) = room.asked(0).await;
        request.answer(&full());
        asked.push(at);
    }
    let waits: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] <= Duration::from_millis(260), "{waits:?}");
    assert!(waits[..8].is_sorted_by(|wait, next| wait < next), "{waits:?}");
    let most = Duration::from_secs(45)..Duration::from_millis(60_100);
    assert!(waits[8..].iter().all(|wait| most.contains(wait)), "{waits:?}");
    room.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn another_node_of_the_room_is_asked_at_once_when_the_first_one_is_full() {
    let mut room = Room::new(&["sfu-1", "sfu-2"]).await;
    let (request, first) = room.asked(0).await;
    request.answer(&full());
    let (_, second) = room.asked(1).await;
    assert!(second - first < Duration::from_millis(10));
    room.stop.cancel();
}
