use rotunda_bus::{Bus, BusExt, InProcess};
use rotunda_proto::applications::ApplicationSet;
use rotunda_proto::config::{Application, Publishers};
use rotunda_proto::ids::MembershipId;
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::media_task::{Purpose, Singles, SinglesOutput, TaskState};
use rotunda_proto::program::PROGRAMS_PREFIX;
use rotunda_proto::room::{Holder, Publisher as Seat, TrackState, seats_key};
use rotunda_proto::selection::{Selection, Videos};

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

/// The relay of one node, which makes streams by these rules, in a room where ann publishes her camera.
async fn start(bus: &Arc<InProcess>, applications: &ApplicationList, stop: &CancellationToken) -> Service {
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
    service
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
    let service = start(&bus, &applications, &stop).await;

    applications.replace(ApplicationSet::new(vec![rules(Publishers::All)], Vec::new()));
    let program = "programs.1.1_1001_ann_main".to_owned();
    assert_eq!(next(&mut programs).await, (program.clone(), true));
    applications.replace(ApplicationSet::new(vec![rules(Publishers::None)], Vec::new()));
    assert_eq!(next(&mut programs).await, (program, false));
    stop.cancel();
    service.finish().await;
}

#[tokio::test]
async fn a_task_has_its_streams_until_it_ends_whatever_the_rules_say() {
    let bus = Arc::new(InProcess::new());
    let mut programs = bus.watch(PROGRAMS_PREFIX).await.unwrap();
    let stop = CancellationToken::new();
    let applications = ApplicationList::new(vec![rules(Publishers::None)]);
    let service = start(&bus, &applications, &stop).await;
    let task = MediaTask {
        id: "t1".parse().unwrap(),
        purpose: Purpose::Publishing,
        room: room(),
        robot: "robot".parse().unwrap(),
        started_by: "key".to_owned(),
        work: Work::Singles(Singles {
            selection: Selection::of_user(&"ann".parse().unwrap(), Videos::Camera),
            output: SinglesOutput::Publish {
                stream_id: "show".parse().unwrap(),
                push_urls: Vec::new(),
            },
        }),
        // A member who is away is waited for; the end of a task waits for nobody.
        max_idle_seconds: 3600,
        sequence: 0,
        state: TaskState::Running,
        known_until_unix_ms: u64::MAX,
        is_settled: false,
        begun_unix_ms: 0,
        end: None,
        of_member: None,
    };
    let written = bus.store(&task.key(), &task, None).await.unwrap();
    assert_eq!(next(&mut programs).await, ("programs.1.show".to_owned(), true));
    let ended = MediaTask {
        state: TaskState::Ended,
        ..task
    };
    bus.store(&ended.key(), &ended, Some(written)).await.unwrap();
    assert_eq!(next(&mut programs).await, ("programs.1.show".to_owned(), false));
    stop.cancel();
    service.finish().await;
}
