//! `rotunda load` against a real server: what it says of a run is true.

mod support;

use serde_json::Value;

fn load(server: &support::Server, arguments: &[&str]) -> Value {
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
    let server = support::Server::start();
    let pid = server.pid().to_string();
    let report = load(&server, &["--publishers", "2", "--viewers", "5", "--server-pid", &pid]);

    assert_eq!(number(&report, "/publishers_up"), 2.0);
    assert_eq!(number(&report, "/viewers_up"), 5.0);
    assert_eq!(number(&report, "/failed"), 0.0);
    assert_eq!(number(&report, "/foreign"), 0.0);
    // Two publishers, 250 packets a second, 3 seconds, 5 viewers: 7500, more or less as a busy machine keeps time.
    let delivered = number(&report, "/delivered");
    assert!((6_750.0..=8_250.0).contains(&delivered), "{report:#}");
    assert!(number(&report, "/loss") < 0.001, "{report:#}");
    assert!(number(&report, "/server_cpu_us_per_packet") > 0.0);
    let p50 = number(&report, "/video/delay_ms/p50");
    assert!(p50 > 0.0, "{report:#}");
}

#[test]
fn what_viewers_lose_is_sent_again() {
    let server = support::Server::start();
    let report = load(&server, &["--viewers", "4", "--loss", "0.1", "--audio-packets", "0"]);

    let (delivered, lost) = (number(&report, "/delivered"), number(&report, "/lost"));
    assert!(delivered > 2_000.0, "{report:#}");
    // One packet in ten is dropped on arrival, its resends as well: after a few tries next to none is missing.
    assert!(lost / (delivered + lost) < 0.01, "{report:#}");
}

#[test]
fn an_audience_without_media_gets_in_stays_and_its_cost_is_told() {
    let server = support::Server::start();
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
    let server = support::Server::start();
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
    // In three seconds of it: what may come at once, and 32 bytes a second.
    let bytes = number(&report, "/audience/most_bytes_per_minute") / 20.0;
    assert!((100.0..1_500.0).contains(&bytes), "{report:#}");
}

#[test]
fn a_plan_that_cannot_be_is_refused_by_name() {
    let server = support::Server::start();
    let output = server.run(&["load", "--publishers", "5"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("publishers"), "{text}");
}
