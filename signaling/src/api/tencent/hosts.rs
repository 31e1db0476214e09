//! The names that a client may have signed as this server's host. Pure.
//!
//! Both signatures cover the `Host` header as the client wrote it. Some SDKs sign it without its port, and a proxy may change it:
//! then `server.public_names`, or `X-Forwarded-Host` of a trusted proxy, name the host that the client wrote.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::uri::Authority;

use crate::config::Process;

/// Most hosts of one `X-Forwarded-Host`, one for each proxy on the way.
const MAX_FORWARDED: usize = 4;

/// Every host that is tried, the likeliest first. `peer`: the address of the connection.
pub fn signed_hosts(parts: &Parts, peer: Option<IpAddr>, process: &Process) -> Vec<String> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has `:authority` in place of the header.
    let written = header("host").or_else(|| parts.uri.authority().map(Authority::as_str));
    let is_trusted = peer.is_some_and(|peer| process.trusted_proxies.iter().any(|network| network.contains(peer)));
    let forwarded = header("x-forwarded-host").filter(|_| is_trusted).unwrap_or_default();
    let forwarded = forwarded.split(',').map(str::trim).filter(|host| !host.is_empty());
    let mut hosts: Vec<String> = Vec::new();
    let names = process.public_names.iter().map(String::as_str);
    for host in written.into_iter().chain(forwarded.take(MAX_FORWARDED)).chain(names) {
        for host in [host, without_port(host)] {
            if !hosts.iter().any(|known| known == host) {
                hosts.push(host.to_owned());
            }
        }
    }
    hosts
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // `[::1]` has no port, `[::1]:80` has one.
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn hosts(headers: &[(&str, &str)], peer: &str, process: &Process) -> Vec<String> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        signed_hosts(&parts, peer.parse().ok(), process)
    }

    fn behind_proxy() -> Process {
        Process {
            public_names: vec!["media.example.com:8443".into()],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Process::default()
        }
    }

    #[test]
    fn the_host_is_tried_as_it_came_and_without_its_port() {
        let none = Process::default();
        assert_eq!(hosts(&[("host", "a:8080")], "1.1.1.1", &none), ["a:8080", "a"]);
        assert_eq!(hosts(&[("host", "a")], "1.1.1.1", &none), ["a"]);
        assert_eq!(hosts(&[("host", "[::1]")], "1.1.1.1", &none), ["[::1]"]);
        assert_eq!(hosts(&[("host", "[::1]:80")], "1.1.1.1", &none), ["[::1]:80", "[::1]"]);
        assert_eq!(
            hosts(&[("host", "http://a:1")], "1.1.1.1", &none),
            ["http://a:1", "http://a"]
        );
    }

    #[test]
    fn public_names_are_tried_and_a_forwarded_host_of_a_trusted_proxy_alone() {
        let headers = [("host", "inner"), ("x-forwarded-host", "a.example:443, inner")];
        let names = ["media.example.com:8443", "media.example.com"];
        assert_eq!(
            hosts(&headers, "10.1.2.3", &behind_proxy()),
            [&["inner", "a.example:443", "a.example"][..], &names].concat()
        );
        assert_eq!(hosts(&headers, "::ffff:10.1.2.3", &behind_proxy())[1], "a.example:443");
        let untrusted = [&["inner"][..], &names].concat();
        assert_eq!(hosts(&headers, "11.1.2.3", &behind_proxy()), untrusted);
        assert_eq!(hosts(&headers, "no peer", &behind_proxy()), untrusted);
    }
}
