//! HTTP, WebSocket and gRPC over TLS, with a certificate that is replaced while the server runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Server, eventually, free_ports, installed, rotunda, settings};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

#[test]
fn every_protocol_is_served_over_tls_and_a_new_certificate_is_used() {
    if !installed("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = write_certificate(folder.path());
    let tls = format!("{{ certificate = {certificate:?}, key = {key:?} }}");
    let grpc = free_ports::<1>()[0];
    let api = format!("{{ grpc_port = {grpc} }}");
    let server = Server::start_with(&[("ROTUNDA__SERVER__TLS", &tls), ("ROTUNDA__SIGNALING__API", &api)]);

    let https = format!("https://localhost:{}", server.http);
    assert_eq!(
        curl(&certificate, &["--http2", &format!("{https}/healthz")]),
        "ok 2 200"
    );
    assert_eq!(
        curl(&certificate, &["--http1.1", &format!("{https}/healthz")]),
        "ok 1.1 200"
    );
    let key_of_rfc = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let websocket = [
        "--http1.1",
        "--max-time",
        "2",
        "-H",
        "Connection: upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        key_of_rfc,
        &format!("{https}/ws"),
    ];
    assert!(curl(&certificate, &websocket).contains("1.1 101"));

    // An empty message of gRPC's health service.
    let message = folder.path().join("message");
    std::fs::write(&message, [0; 5]).unwrap();
    let health = [
        "--http2",
        "-o",
        "/dev/null",
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        "--data-binary",
        &format!("@{}", message.display()),
        &format!("https://localhost:{grpc}/grpc.health.v1.Health/Check"),
    ];
    assert_eq!(curl(&certificate, &health), " 2 200");
    assert_eq!(
        server.request("/healthz", &[]).0,
        0,
        "no request is answered without TLS"
    );

    let old = folder.path().join("old.crt");
    std::fs::copy(&certificate, &old).unwrap();
    write_certificate(folder.path());
    eventually("the new certificate is used", 20, || {
        (curl(&certificate, &[&format!("{https}/healthz")]).starts_with("ok")).then_some(())
    });
    assert_eq!(curl(&old, &[&format!("{https}/healthz")]), " 0 000");
    assert!(server.stop());
}

#[test]
fn a_publisher_by_rtmps_is_in_its_room() {
    if !installed("curl") || !installed("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = write_certificate(folder.path());
    let tls = format!("{{ certificate = {certificate:?}, key = {key:?} }}");
    let [rtmps] = free_ports();
    let port = rtmps.to_string();
    let server = Server::start_with(&[("ROTUNDA__SERVER__TLS", &tls), ("ROTUNDA__LIVE__RTMPS_PORT", &port)]);
    let user_sig = server.run(&["user-sig", "obs", "--life", "600"]).stdout;
    let user_sig = String::from_utf8(user_sig).unwrap();
    let query = format!("sdkappid=1400000001&userid=obs&usersig={}", user_sig.trim());
    let mut publisher = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-nostdin",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x240:rate=15",
        ])
        .args(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", "0", "-f", "flv"])
        .arg(format!("rtmps://localhost:{rtmps}/push/1001?{query}"))
        .spawn()
        .unwrap();
    let metrics = format!("https://localhost:{}/metrics", server.http);
    eventually("the publisher is in the room", 60, || {
        let page = curl(&certificate, &[&metrics]);
        page.contains("rotunda_live_ingests 1\n").then_some(())
    });
    publisher.kill().unwrap();
    publisher.wait().unwrap();
    assert!(server.stop());
}

#[test]
fn a_key_that_does_not_match_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, _] = write_certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let [_, key] = write_certificate(other.path());
    let mut settings = settings(folder.path(), free_ports());
    settings.push((
        "ROTUNDA__SERVER__TLS".to_owned(),
        format!("{{ certificate = {certificate:?}, key = {key:?} }}"),
    ));
    let output = rotunda(&["serve"], folder.path(), &settings).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("server.tls: the key in"), "{said}");
}

/// The server's answer, the version of HTTP and the status; " 0 000" if TLS or the certificate is wrong.
fn curl(certificate: &Path, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "10",
            "--write-out",
            " %{http_version} %{http_code}",
            "--cacert",
        ])
        .arg(certificate)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A new certificate for localhost and its key, as PEM files.
fn write_certificate(folder: &Path) -> [PathBuf; 2] {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, kind: &str, der: &[u8]| {
        let path = folder.join(name);
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        std::fs::write(
            &path,
            format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n")),
        )
        .unwrap();
        path
    };
    [
        write("server.crt", "CERTIFICATE", made.cert.der()),
        write("server.key", "PRIVATE KEY", &made.signing_key.serialize_der()),
    ]
}
