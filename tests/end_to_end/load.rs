//! `rotunda load` against a real server: its report is correct.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command};

use serde_json::Value;

fn load(server: &crate::support::Server, arguments: &[&str]) -> Value {
    let file = server.folder.path().join("load.json");
    let common = [
        "load",
        "--warm-up",
        "1",
        "--seconds",
        "3",
        "--json",
        file.to_str().unwrap(),
    ];
    let output = server.run(&[&common, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap()
}

#[test]
fn every_viewer_gets_every_packet_of_every_publisher() {
    let server = crate::support::Server::start();
    let pid = server.pid().to_string();
    let report = load(&server, &["--publishers", "2", "--viewers", "5", "--server-pid", &pid]);

    assert_eq!(number(&report, "/publishers_up"), 2.0);
    assert_eq!(number(&report, "/viewers_up"), 5.0);
    assert_eq!(number(&report, "/failed"), 0.0);
    assert_eq!(number(&report, "/foreign"), 0.0);
    // Two publishers, 250 packets per second, 3 seconds, 5 viewers: 7500, with a tolerance for a busy machine's
    // timing.
    let delivered = number(&report, "/delivered");
    assert!((6_750.0..=8_250.0).contains(&delivered), "{report:#}");
    assert!(number(&report, "/loss") < 0.001, "{report:#}");
    assert!(number(&report, "/server_cpu_us_per_packet") > 0.0);
    let p50 = number(&report, "/video/delay_ms/p50");
    assert!(p50 > 0.0, "{report:#}");
}

#[test]
fn whip_and_whep_members_get_every_packet_of_the_publisher_that_they_watch() {
    let server = crate::support::Server::start();
    let (whip, whep) = (server.url("/whip/{room}"), server.url("/whep/{room}/{user}"));
    let entrance = ["--whip", &whip, "--whep", &whep];
    let report = load(
        &server,
        &[&entrance[..], &["--publishers", "2", "--viewers", "5"]].concat(),
    );

    assert_eq!(number(&report, "/publishers_up"), 2.0);
    assert_eq!(number(&report, "/viewers_up"), 5.0);
    assert_eq!(number(&report, "/failed"), 0.0);
    assert_eq!(number(&report, "/foreign"), 0.0);
    // Each of the five watches one of the two publishers: 250 packets per second, 3 seconds, about 3750.
    let delivered = number(&report, "/delivered");
    assert!((3_375.0..=4_125.0).contains(&delivered), "{report:#}");
    assert!(number(&report, "/loss") < 0.001, "{report:#}");
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("rotunda_signaling_whip_sessions 0\n"),
        "all were deleted: {metrics}"
    );
}

#[test]
fn an_endpoint_that_refuses_is_quoted() {
    let server = crate::support::Server::start();
    let (whip, whep) = (server.url("/whip/{room}"), server.url("/whep/{room}/{user}"));
    let output = server.run(&["load", "--whip", &whip, "--whep", &whep, "--token", "nonsense"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("401") && text.contains("user_sig_invalid"), "{text}");
}

#[test]
fn members_of_a_room_of_janus_are_measured_by_the_same_rule() {
    if !crate::support::installed("janus") {
        return;
    }
    let Some(address) = outside_address() else {
        eprintln!("SKIPPED: this machine has only loopback addresses, which Janus does not use");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let janus = Janus::start(folder.path(), address);
    let file = folder.path().join("load.json");
    let (url, pid) = (format!("ws://{address}:{}", janus.port), janus.child.id().to_string());
    let plan = [
        "load",
        "--janus",
        &url,
        "--publishers",
        "2",
        "--viewers",
        "3",
        "--warm-up",
        "1",
        "--seconds",
        "3",
    ];
    let output = ["--server-pid", &pid, "--json", file.to_str().unwrap()];
    let settings = crate::support::settings(folder.path(), crate::support::free_ports());
    let output = crate::support::rotunda(&[&plan[..], &output].concat(), folder.path(), &settings)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();

    assert_eq!(number(&report, "/viewers_up"), 3.0, "{report:#}");
    assert_eq!(number(&report, "/failed"), 0.0);
    // Two publishers, 250 packets per second, 3 seconds, 3 viewers: 4500, with a tolerance for a busy machine's
    // timing.
    let delivered = number(&report, "/delivered");
    assert!((4_050.0..=4_950.0).contains(&delivered), "{report:#}");
    assert!(number(&report, "/loss") < 0.01, "{report:#}");
    assert!(number(&report, "/server_cpu_us_per_packet") > 0.0, "{report:#}");
}

/// The source address of this machine's default route.
fn outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Sends nothing; only looks up the route.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip())
}

struct Janus {
    child: Child,
    port: u16,
}

impl Janus {
    fn start(folder: &std::path::Path, address: IpAddr) -> Self {
        // Below the system's ephemeral ports, so that no other program takes one in between.
        let first = 20_000 + (std::process::id() % 10_000) as u16;
        let is_free = |port: &u16| TcpListener::bind((address, *port)).is_ok();
        let port = (first..).find(is_free).unwrap();
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/janus"))
            .args([folder.to_str().unwrap(), &address.to_string(), &port.to_string()])
            .spawn()
            .unwrap();
        let janus = Self { child, port };
        crate::support::eventually("Janus listens", 10, || TcpStream::connect((address, port)).ok());
        janus
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

#[test]
fn packets_that_viewers_lose_are_retransmitted() {
    let server = crate::support::Server::start();
    let report = load(&server, &["--viewers", "4", "--loss", "0.1", "--audio-packets", "0"]);

    let (delivered, lost) = (number(&report, "/delivered"), number(&report, "/lost"));
    assert!(delivered > 2_000.0, "{report:#}");
    // One packet in ten is dropped on arrival, retransmissions too: after a few attempts almost none is missing.
    assert!(lost / (delivered + lost) < 0.01, "{report:#}");
}

#[test]
fn an_audience_without_media_joins_and_stays_and_the_report_has_its_cost() {
    let server = crate::support::Server::start();
    let pid = server.pid().to_string();
    let nobody_else = ["--publishers", "0", "--viewers", "0"];
    let audience = ["--audience", "300", "--join-rate", "300", "--server-pid", &pid];
    let report = load(&server, &[&nobody_else[..], &audience].concat());

    assert_eq!(number(&report, "/audience/members_up"), 300.0);
    assert_eq!(number(&report, "/failed"), 0.0);
    let rate = number(&report, "/audience/joins_per_second");
    assert!((100.0..=330.0).contains(&rate), "{report:#}");
    assert!(number(&report, "/audience/reply_ms/p50") > 0.0);
    assert!(
        number(&report, "/audience/bytes_per_member_and_minute") < 3_000.0,
        "{report:#}"
    );
    assert!(number(&report, "/audience/server_bytes_per_member") > 0.0, "{report:#}");
}

#[test]
fn a_storm_of_mutes_costs_the_audience_little_and_leaves_nobody_behind() {
    let server = crate::support::Server::start();
    let cast = [
        "--publishers",
        "2",
        "--viewers",
        "0",
        "--audience",
        "300",
        "--join-rate",
        "300",
    ];
    let report = load(&server, &[&cast[..], &["--mutes", "20"]].concat());

    assert_eq!(number(&report, "/audience/members_up"), 300.0);
    let rate = number(&report, "/mutes/per_second");
    assert!((30.0..=42.0).contains(&rate), "{report:#}");
    assert_eq!(number(&report, "/mutes/members_behind"), 0.0, "{report:#}");
    // In its three seconds: the burst that is allowed at once, and 32 bytes per second.
    let bytes = number(&report, "/audience/most_bytes_per_minute") / 20.0;
    assert!((100.0..1_500.0).contains(&bytes), "{report:#}");
}

#[test]
fn publishers_who_take_turns_are_heard_one_after_the_other() {
    let server = crate::support::Server::start();
    let cast = ["--publishers", "2", "--viewers", "3", "--talk-turns", "0.5"];
    let report = load(&server, &cast);

    // Six turns in three seconds, with a tolerance for a busy machine's timing.
    let turns = number(&report, "/turns");
    assert!((4.0..=7.0).contains(&turns), "{report:#}");
    // One microphone at a time, with 50 packets per second; opening it takes a part of each turn.
    let heard = number(&report, "/audio/delivered");
    assert!((225.0..=475.0).contains(&heard), "{report:#}");
    // Video continues all the time: two publishers, 200 packets per second, 3 seconds, 3 viewers.
    let seen = number(&report, "/video/delivered");
    assert!((3_240.0..=3_960.0).contains(&seen), "{report:#}");
    assert_eq!(number(&report, "/lost"), 0.0, "{report:#}");
}

#[test]
fn an_impossible_plan_is_refused_by_name() {
    let server = crate::support::Server::start();
    let output = server.run(&["load", "--publishers", "5"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("publishers"), "{text}");
}
