use rotunda_bus::{Bus, BusExt, InProcess};
use rotunda_proto::applications::ApplicationSet;
use rotunda_proto::config::{Application, Publishers};
use rotunda_proto::ids::MembershipId;
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::program::PROGRAMS_PREFIX;
use rotunda_proto::room::{Holder, Publisher as Seat, TrackState, seats_key};

use super::*;

fn room() -> RoomKey {
    RoomKey {
        app: 1.try_into().unwrap(),
        room: "1001".parse().unwrap(),
    }
}

fn rules(relay_publishers: Publishers) -> Application {
    Application {
        relay_publishers,
        ..Application::new(room().app, "key")
    }
}

/// The next change of a program: its key, and whether it is there now.
async fn next(programs: &mut Watch) -> (String, bool) {
    loop {
        if let WatchEvent::Change(change) = programs.next().await {
            return (change.key, change.entry.is_some());
        }
    }
}

#[tokio::test]
async fn rules_that_change_while_a_member_publishes_take_effect_at_once() {
    let bus = Arc::new(InProcess::new());
    let mut programs = bus.watch(PROGRAMS_PREFIX).await.unwrap();
    let applications = ApplicationList::new(vec![rules(Publishers::None)]);
    let stop = CancellationToken::new();
    let service = Service::start(
        ClusterNode::alone(bus.clone(), "node-1".parse().unwrap()),
        ClusterSecret::new("ours"),
        applications.clone(),
        ProgramHub::new(),
        stop.clone(),
    );
    let service = service.await.unwrap();
    let holder = Holder {
        membership: MembershipId(1),
        node: Incarnation::new("node-1".parse().unwrap(), 1),
    };
    let ann = Seat {
        camera: Some(TrackState::On),
        ..Seat::of("ann".parse().unwrap(), holder)
    };
    let seats = Seats {
        publishers: vec![ann],
        kept: Vec::new(),
    };
    bus.store(&seats_key(&room()), &seats, None).await.unwrap();

    applications.replace(ApplicationSet::new(vec![rules(Publishers::All)], Vec::new()));
    let program = "programs.1.1_1001_ann_main".to_owned();
    assert_eq!(next(&mut programs).await, (program.clone(), true));
    applications.replace(ApplicationSet::new(vec![rules(Publishers::None)], Vec::new()));
    assert_eq!(next(&mut programs).await, (program, false));
    stop.cancel();
    service.finish().await;
}
