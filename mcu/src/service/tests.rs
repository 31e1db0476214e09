//! Nodes in this process, on a bus without members' media: [`Fixture`] starts one, and plays the API. The tests are in the files
//! of the folder:
//!
//! - `life`: a mix from its start to each of its ends
//! - `nodes`: which node runs a mix
//! - `layouts`: revisions and previews of layouts
//! - `facts`: what is told of a mix
//! - `not_mixable`: tracks that no mix can decode

mod facts;
mod layouts;
mod life;
mod nodes;
mod not_mixable;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rotunda_bus::{Bus, Faults, Faulty, Heard, InProcess, Incarnation, Revision, SharedBus, Subscription};
use rotunda_events::{Fact, Facts};
use rotunda_media::program::{ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{MembershipId, MixId, NodeId, RoomId, RoomKey, RoomUser, SdkAppId, StreamKey};
use rotunda_proto::mix::{
    AudioEncode, EVENTS_SUBJECT, Event, Layout, MixSpec, RecordSpec, Refusal, RunningMix, StopReason, Template,
    VideoEncode, running_key,
};
use rotunda_proto::mix_task::{self, NoMix, Origin, Wish, started, task_key};
use rotunda_proto::program::{ProgramDescriptor, program_key};
use rotunda_proto::room::{
    Holder, Publisher, RoomInfo, Roster, RosterMember, Seats, TrackState, info_key, roster_key, seats_key,
};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

struct Fixture {
    bus: Arc<InProcess>,
    hub: ProgramHub,
    facts: Facts,
    shutdown: CancellationToken,
    service: Service,
}

fn node() -> NodeId {
    "mcu-1".parse().unwrap()
}

fn room(number: u64) -> RoomKey {
    RoomKey {
        app: SdkAppId::try_from(1).unwrap(),
        room: RoomId::Number(number.try_into().unwrap()),
    }
}

fn stream(id: &str) -> StreamKey {
    StreamKey {
        app: room(1).app,
        id: id.parse().unwrap(),
    }
}

fn spec(number: u64, stream_id: &str) -> MixSpec {
    MixSpec {
        room: room(number),
        stream_id: stream_id.parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 44_100,
            bitrate_kbps: 64,
            channels: 1,
        },
        video: Some(VideoEncode {
            width: 320,
            height: 180,
            bitrate_kbps: 200,
            framerate: 15,
            gop_seconds: 1,
            background_rgb: 0,
        }),
        layout: Layout::default(),
        record: None,
        push_urls: Vec::new(),
        task: None,
    }
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        Self::on(Arc::new(InProcess::new()), "mcu-1", config).await
    }

    async fn on(bus: Arc<InProcess>, name: &str, config: Config) -> Self {
        Self::with_view(bus.clone(), bus, name, config).await
    }

    /// `view`: the bus as the node sees it.
    async fn with_view(bus: Arc<InProcess>, view: SharedBus, name: &str, config: Config) -> Self {
        let store = Store::in_memory().await.unwrap();
        let facts = Facts::new(
            name.parse().unwrap(),
            rotunda_events::Table::new(store.clone()).shared(),
        );
        let (hub, shutdown) = (ProgramHub::new(), CancellationToken::new());
        let secret = ClusterSecret::new("ours");
        let service = Service::start(
            config,
            ClusterNode::alone(view, name.parse().unwrap()),
            secret,
            Resources {
                hub: hub.clone(),
                store,
                facts: facts.clone(),
                launcher: Launcher::inside(),
            },
            shutdown.clone(),
        )
        .await
        .unwrap();
        Self {
            bus,
            hub,
            facts,
            shutdown,
            service,
        }
    }

    async fn open_room(&self, number: u64) {
        let info = RoomInfo {
            room: room(number),
            sfu: "sfu-1".parse().unwrap(),
            more_sfu: Vec::new(),
            created_unix_ms: 0,
        };
        self.bus.store(&info_key(&room(number)), &info, None).await.unwrap();
        let alice = RosterMember {
            user: "alice".parse().unwrap(),
            entered_unix_ms: 0,
            holder: Holder {
                membership: MembershipId(1),
                node: Incarnation::new("node-1".parse().unwrap(), 1),
            },
        };
        self.bus
            .store(&roster_key(&room(number)), &Roster { members: vec![alice] }, None)
            .await
            .unwrap();
    }

    /// Writes a wish down, and waits for nothing. Answers the revisions of the task and of its document.
    async fn wish(&self, spec: MixSpec) -> (u64, Option<Revision>) {
        let key = task_key(&spec.room, &Origin::Api);
        let wish = Wish {
            id: MixId(rand::random()),
            origin: Origin::Api,
            started_by: "key".to_owned(),
            spec,
        };
        let written = self.bus.update_at(&key, |before: Option<MixTask>| {
            let after = started(before, &wish);
            let revision = after.revision;
            Ok::<_, Infallible>((Some(after), revision))
        });
        let Ok(written) = written.await.unwrap();
        (written.result, written.revision)
    }

    /// As the API does it: writes the wish down and waits until a revision of it is carried out or refused.
    async fn start(&self, spec: &MixSpec) -> Result<(), Refusal> {
        let key = task_key(&spec.room, &Origin::Api);
        let mut watch = self.bus.watch(&key).await.unwrap();
        let (revision, document) = self.wish(spec.clone()).await;
        let wait = async {
            loop {
                let WatchEvent::Change(change) = watch.next().await else {
                    continue;
                };
                if Some(change.revision) < document {
                    continue;
                }
                let Some(task) = change.parse::<MixTask>() else {
                    return Err(Refusal::RoomNotExist);
                };
                match task.refused {
                    Some(refused) if refused.revision == revision => return Err(refused.error),
                    _ if task.reached >= revision => return Ok(()),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    }

    /// Writes down that the room's mix is to stop; answers whether there was one.
    async fn ask_to_stop(&self, number: u64) -> bool {
        let key = task_key(&room(number), &Origin::Api);
        let written = self.bus.update(&key, |before: Option<MixTask>| {
            Ok::<_, NoMix>((mix_task::stopped(before)?, ()))
        });
        written.await.unwrap().is_ok()
    }

    /// Waits until the room has no task.
    async fn gone(&self, number: u64) {
        let key = task_key(&room(number), &Origin::Api);
        let gone = async {
            while self.bus.get(&key).await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, gone).await.unwrap();
    }

    async fn stopped(&self, mut events: Subscription) -> StopReason {
        let wait = async {
            loop {
                let Heard::Message(message) = events.next().await else {
                    continue;
                };
                if let Event::Stopped { reason, .. } = message.parse().unwrap() {
                    return reason;
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    }
}
