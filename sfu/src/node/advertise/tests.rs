use super::*;

fn source(text: &str) -> Source {
    text.parse().unwrap()
}

fn config(bind: &str, advertise: &[&str]) -> Config {
    Config {
        bind: bind.parse().unwrap(),
        advertise: advertise.iter().map(|text| source(text)).collect(),
        // Free: nothing listens there.
        port: 0,
        ..Config::default()
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn here(variable: &(dyn Fn(&str) -> Option<String> + Sync)) -> Surroundings<'_> {
    let interface = |name: &str, ip: &str| (name.to_owned(), ip.parse().unwrap());
    Surroundings {
        interfaces: vec![
            interface("lo", "127.0.0.1"),
            interface("eth0", "10.0.0.5"),
            interface("eth0", "2001:db8::5"),
            interface("eth0", "fe80::1"),
        ],
        variable,
    }
}

fn find(text: &str, bind: &str) -> Result<Vec<IpAddr>, AdvertiseError> {
    let variable = |name: &str| match name {
        "HOST_IP" => Some("192.0.2.10".to_owned()),
        "HOST_IPS" => Some("192.0.2.10,2001:db8::10".to_owned()),
        "HOST" => Some("example.com".to_owned()),
        _ => None,
    };
    known(&source(text), &config(bind, &[]), &here(&variable))
}

#[test]
fn every_source_is_written_as_it_was_read() {
    for text in [
        "203.0.113.7",
        "2001:db8::1",
        "interfaces",
        "interface:eth0",
        "env:HOST_IP",
        "file:/etc/pod/ip",
        "stun:stun.example.com:3478",
        "stun:[2001:db8::2]:3478",
    ] {
        assert_eq!(source(text).to_string(), text);
    }
    assert_eq!(
        source("stun:stun.example.com").to_string(),
        "stun:stun.example.com:3478"
    );
    for wrong in [
        "",
        "example.com",
        "eth0",
        "interface:",
        "stun:",
        "stun:a:b",
        "stun:a:0",
        "turn:x",
    ] {
        assert!(wrong.parse::<Source>().is_err(), "{wrong:?}");
    }
}

#[test]
fn an_interface_gives_the_addresses_that_the_bound_family_takes() {
    assert_eq!(find("interface:eth0", "0.0.0.0").unwrap(), ips(&["10.0.0.5"]));
    assert_eq!(find("interface:eth0", "::").unwrap(), ips(&["10.0.0.5", "2001:db8::5"]));
    let error = find("interface:eth7", "::").unwrap_err().to_string();
    assert!(error.contains("eth7") && error.contains("lo, eth0"), "{error}");
}

#[test]
fn the_downward_api_gives_one_address_or_several() {
    assert_eq!(find("env:HOST_IP", "0.0.0.0").unwrap(), ips(&["192.0.2.10"]));
    assert_eq!(find("env:HOST_IPS", "0.0.0.0").unwrap(), ips(&["192.0.2.10"]));
    assert_eq!(
        find("env:HOST_IPS", "::").unwrap(),
        ips(&["192.0.2.10", "2001:db8::10"])
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ip");
    std::fs::write(&file, "192.0.2.10\n").unwrap();
    let text = format!("file:{}", file.display());
    assert_eq!(find(&text, "0.0.0.0").unwrap(), ips(&["192.0.2.10"]));
}

#[test]
fn a_missing_address_is_named_with_the_next_step() {
    let says = |text: &str, word: &str| {
        let error = find(text, "0.0.0.0").unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    says("env:POD_IP", "status.hostIP");
    says("env:HOST", "example.com");
    says("file:/nowhere/ip", "/nowhere/ip");
}

#[tokio::test]
async fn sources_are_joined_in_their_order_and_each_address_is_told_once() {
    let config = config("0.0.0.0", &["203.0.113.7", "interface:lo", "127.0.0.1", "203.0.113.7"]);
    assert_eq!(
        addresses(&config).await.unwrap().addresses,
        ips(&["203.0.113.7", "127.0.0.1"])
    );
}

#[tokio::test]
async fn without_a_source_a_bound_address_is_told_else_those_of_all_interfaces() {
    assert_eq!(
        addresses(&config("127.0.0.1", &[])).await.unwrap().addresses,
        ips(&["127.0.0.1"])
    );
    let all = addresses(&config("0.0.0.0", &[])).await.unwrap().addresses;
    assert!(all.contains(&"127.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn when_no_stun_server_answers_the_interfaces_stand_in() {
    // Port 1 is closed: the kernel tells so at once.
    let alone = config("127.0.0.1", &["stun:127.0.0.1:1"]);
    assert_eq!(addresses(&alone).await.unwrap().addresses, ips(&["127.0.0.1"]));
    let beside = config("127.0.0.1", &["stun:127.0.0.1:1", "203.0.113.7"]);
    assert_eq!(addresses(&beside).await.unwrap().addresses, ips(&["203.0.113.7"]));
}

/// coturn as it is packaged: `turnserver` with `--stun-only`.
#[tokio::test]
async fn coturn_tells_the_address_that_it_sees() {
    // Below those that the kernel gives away: other tests take and leave them all the time.
    let port = 20_000 + std::process::id() % 10_000;
    let folder = tempfile::tempdir().unwrap();
    let started = tokio::process::Command::new("turnserver")
        .args([
            "-n",
            "--stun-only",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "--listening-ip=127.0.0.1",
        ])
        .arg(format!("--listening-port={port}"))
        .arg(format!("--pidfile={}", folder.path().join("pid").display()))
        .arg("--log-file=stdout")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(_server) = started else {
        assert!(std::env::var_os("CI").is_none(), "CI must have turnserver");
        eprintln!("SKIPPED: turnserver (Debian package coturn) is not installed");
        return;
    };
    let server = format!("127.0.0.1:{port}");
    // It listens for TCP, then for UDP, and tells of neither: until then the port is closed.
    let seen = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while tokio::net::TcpStream::connect(&server).await.is_err() {
            tokio::task::yield_now().await;
        }
        loop {
            match reflexive::ask(&server, "127.0.0.1".parse().unwrap(), 0).await {
                Ok(seen) => return seen,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let seen = seen.await.expect("coturn answers within 20 s");
    assert_eq!(seen.iter().map(SocketAddr::ip).collect::<Vec<_>>(), ips(&["127.0.0.1"]));
}

#[test]
fn an_address_that_has_changed_is_told_and_silence_changes_nothing() {
    let known = Advertised {
        addresses: ips(&["203.0.113.7"]),
        first: ips(&["203.0.113.7"]),
    };
    assert_eq!(known.renewed(None), None, "no server has answered");
    assert_eq!(known.renewed(Some(ips(&["203.0.113.7"]))), None);
    let renewed = known.renewed(Some(ips(&["203.0.113.9"]))).unwrap();
    assert_eq!(renewed.addresses, ips(&["203.0.113.9"]));
    assert_eq!(renewed.first, known.first, "through a NAT it arrives there, as ever");
    assert_eq!(renewed.renewed(Some(ips(&["203.0.113.7"]))).unwrap(), known);
}
