//! The client's address behind an HTTP proxy, and protection against forged forwarded headers.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

use crate::trusted::TrustedProxies;

/// Extension of a request: the address of the client itself, even behind trusted proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
const PREFIX: &str = "x-forwarded-";

/// Removes all forwarded headers: for a client that is not a trusted proxy.
pub fn remove(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(PREFIX) || *name == FORWARDED)
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

/// The client in `X-Forwarded-For`: the last address that is not a trusted proxy, because everything before it can
/// be forged. None: the proxy names no client.
pub fn client(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    let lines = headers.get_all(FORWARDED_FOR).into_iter().rev();
    let addresses = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','));
    let mut nearest = None;
    for text in addresses {
        let address = address(text.trim())?;
        nearest = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    nearest
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn seen(lines: &[&str]) -> Option<String> {
        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let lines: Vec<_> = lines.iter().map(|line| (FORWARDED_FOR, *line)).collect();
        client(&headers(&lines), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        assert_eq!(seen(&["192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(&["6.6.6.6, 192.0.2.1, 10.0.0.7"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(&["6.6.6.6", "192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(&["192.0.2.1:4711"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(&["[2001:db8::1]:4711"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(
            seen(&["10.0.0.8"]).as_deref(),
            Some("10.0.0.8"),
            "a client in the internal network"
        );
        assert_eq!(seen(&["6.6.6.6, unknown"]), None, "nothing before it is trusted");
        assert_eq!(seen(&[]), None);
    }

    #[test]
    fn forged_headers_are_removed_and_others_stay() {
        let mut headers = headers(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-host", "a"),
            ("x-forwarded-prefix", "/p"),
            ("forwarded", "for=1.1.1.1"),
            ("host", "b"),
        ]);
        remove(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["host"], "b");
    }
}
