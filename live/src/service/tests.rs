use rotunda_bus::{BusExt, InProcess, SharedBus};
use rotunda_listen::{Binding, Listeners, Policy, Security, TrustedProxies};
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
        let program = descriptor(urls);
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
