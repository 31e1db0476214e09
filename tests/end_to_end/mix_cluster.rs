//! Mixes over several MCU nodes on NATS: a node that is killed or shut down is replaced.

use std::time::{Duration, Instant};

use crate::support::{Server, eventually};
use rotunda_bus::testing::NatsServer;
use rotunda_bus::{Bus, Heard, Nats, Subscription};
use rotunda_proto::clock::Clock;
use rotunda_proto::mix::{EVENTS_SUBJECT, Event};

/// A process with these roles. The mixer, the recorder and live exchange frames inside one process.
fn start(name: &str, roles: &str, nats: &NatsServer, first: Option<&Server>) -> Server {
    let urls = format!("[\"{}\"]", nats.url());
    let settings = [("ROTUNDA__SERVER__NODE", name), ("ROTUNDA__BUS__URLS", urls.as_str())];
    Server::start_role(&["--roles", roles], first, &settings)
}

fn mixes(node: &Server) -> f64 {
    node.metric("rotunda_mcu_tasks")
}

fn frames(node: &Server) -> f64 {
    node.metric("rotunda_mcu_frames_encoded_total")
}

/// The mix's next report: how long its program is.
async fn program_ms(reports: &mut Subscription) -> u64 {
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(10), reports.next()).await;
        if let Heard::Message(message) = heard.expect("a mix reports each second")
            && let Some(Event::Health { health, .. }) = message.parse()
        {
            return health.program_ms;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_outlives_the_node_that_makes_it() {
    let Some(nats) = NatsServer::start() else { return };
    let sfu = start("sfu-1", "sfu", &nats, None);
    let signaling = start("signaling-1", "signaling", &nats, Some(&sfu));
    let one = start("mcu-1", "mcu,recorder,live", &nats, Some(&sfu));
    let two = start("mcu-2", "mcu,recorder,live", &nats, Some(&sfu));
    let _ann = signaling.join(&["1001", "--user", "ann", "--fps", "15", "--audio", "beeps"]);
    eventually("ann is there", 20, || {
        (signaling.metric("rotunda_signaling_members") == 1.0).then_some(())
    });
    let start = ["mix", "start", "1001", "--stream-id", "film", "--size", "320x180"];
    let started = signaling.run(&start);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let (owner, other) = eventually("one node has claimed it", 10, || match (mixes(&one), mixes(&two)) {
        (1.0, 0.0) => Some((&one, &two)),
        (0.0, 1.0) => Some((&two, &one)),
        _ => None,
    });
    eventually("it runs", 20, || (frames(owner) > 30.0).then_some(()));
    assert_eq!(frames(other), 0.0);

    // A new layout reaches the mix wherever it is.
    let grid = ["mix", "start", "1001", "--stream-id", "film", "--size", "640x360"];
    assert!(signaling.run(&grid).status.success());

    let bus = Nats::connect(&nats.config(), "test").await.unwrap();
    let mut reports = bus.subscribe(EVENTS_SUBJECT).await.unwrap();
    let before = program_ms(&mut reports).await;
    assert!(before > 0);
    let killed: Instant = Clock.now();
    std::process::Command::new("kill")
        .args(["-KILL", &owner.pid().to_string()])
        .status()
        .unwrap();
    eventually("the other node carries it on", 15, || {
        (frames(other) > 0.0).then_some(())
    });
    let took = Clock.now() - killed;
    println!("the mix was carried on after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Reports of the dead node may still wait here.
    let mut after = program_ms(&mut reports).await;
    for _ in 0..5 {
        after = after.max(program_ms(&mut reports).await);
    }
    assert!(
        after > before && after < before + 60_000,
        "the program's time goes on: {before} ms, then {after} ms"
    );
    eventually("it is live there", 10, || {
        (other.request("/live/film.m3u8", &[]).0 == 200).then_some(())
    });

    // The last call holds at the other node, too, and a stop ends it there.
    assert!(signaling.run(&["mix", "stop", "1001"]).status.success());
    eventually("it has ended", 10, || (mixes(other) == 0.0).then_some(()));
}
