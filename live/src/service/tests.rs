use rotunda_bus::{BusExt, InProcess, SharedBus};
use rotunda_listen::{Binding, Listeners, Policy, Security, TrustedProxies};
use rotunda_proto::media_task::TaskRef;
use rotunda_proto::mix::AudioEncode;
use rotunda_proto::program::program_key;

use super::*;
use crate::rtmp_push::tests::{Running, Seen as Received, TestServer, run_program};

fn descriptor(urls: &[&str]) -> ProgramDescriptor {
    ProgramDescriptor {
        stream_id: "s".parse().unwrap(),
        room: serde_json::from_value(serde_json::json!({ "app": 1, "room": 1 })).unwrap(),
        node: "node".parse().unwrap(),
        audio: AudioEncode {
            sample_rate: 48_000,
            bitrate_kbps: 64,
            channels: 2,
        },
        video: None,
        record: None,
        push_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        started_unix_ms: 1,
        single: None,
        task: None,
    }
}

struct Live {
    bus: SharedBus,
    _program: Running,
    _service: Service,
    shutdown: CancellationToken,
}

impl Live {
    async fn start() -> Self {
        let bus: SharedBus = Arc::new(InProcess::new());
        let program = run_program("s");
        let shutdown = CancellationToken::new();
        let second = Duration::from_secs(1);
        let policy = Policy {
            trusted: TrustedProxies::new(Vec::new()),
            proxy_protocol: false,
            per_address: 10,
            header: second,
            body: second,
            idle: second,
        };
        let listeners = Listeners::new(policy, None);
        let rtmp = listeners.bind(Binding {
            name: "rtmp",
            address: "127.0.0.1:0".parse().unwrap(),
            open: 10,
            plain: 10,
            security: Security::Plain,
        });
        let networks = AllowedNetworks::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let table = rotunda_events::Table::new(rotunda_store::Store::in_memory_unopened());
        let access = Access {
            applications: ApplicationList::default(),
            networks,
            signaling_url: String::new(),
            facts: Facts::new("node-1".parse().unwrap(), table.shared()),
        };
        let service = Service::start(
            Config::default(),
            access,
            ClusterNode::alone(bus.clone(), "node".parse().unwrap()),
            AllPrograms::local(program.hub.clone()),
            vec![rtmp.await.unwrap()],
            shutdown.clone(),
        )
        .await
        .unwrap();
        Self {
            bus,
            _program: program,
            _service: service,
            shutdown,
        }
    }

    async fn want(&self, urls: &[&str]) {
        self.want_for(None, urls).await;
    }

    /// `task`: its id.
    async fn want_for(&self, task: Option<&str>, urls: &[&str]) {
        let program = ProgramDescriptor {
            task: task.map(|id| TaskRef {
                id: id.parse().unwrap(),
                robot: "ann".parse().unwrap(),
            }),
            ..descriptor(urls)
        };
        self.bus
            .update(&program_key(&program.stream()), |_: Option<ProgramDescriptor>| {
                Ok::<_, std::convert::Infallible>((Some(program.clone()), ()))
            })
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_running_program_is_pushed_to_the_wanted_addresses() {
    let (mut old, mut new) = (
        TestServer::start("127.0.0.1:0", None).await,
        TestServer::start("127.0.0.1:0", None).await,
    );
    let live = Live::start().await;
    let url = |server: &TestServer| format!("rtmp://{}/live/k", server.address);
    live.want(&[&url(&old)]).await;
    assert_eq!(old.published().await, ("live".into(), "k".into()));

    live.want(&[&url(&new)]).await;
    old.finished().await;
    assert_eq!(new.published().await, ("live".into(), "k".into()));

    live.want(&[]).await;
    new.finished().await;
    while let Ok(seen) = old.seen.try_recv() {
        assert_eq!(seen, Received::Finished, "the old address is no longer tried");
    }
    live.shutdown.cancel();
}

#[tokio::test]
async fn the_push_of_another_task_to_the_same_address_is_another_push() {
    let mut server = TestServer::start("127.0.0.1:0", None).await;
    let live = Live::start().await;
    let url = format!("rtmp://{}/live/k", server.address);
    live.want_for(Some("task-1"), &[&url]).await;
    server.published().await;
    live.want_for(Some("task-2"), &[&url]).await;
    let (mut has_ended, mut has_begun) = (false, false);
    while !(has_ended && has_begun) {
        match server.seen.recv().await.unwrap() {
            Received::Finished => has_ended = true,
            Received::Published { .. } => has_begun = true,
            _ => {}
        }
    }
    live.shutdown.cancel();
}
