//! Entry points for fuzzing: each parser of network input of this crate, by name. Compiled for tests, which replay
//! the saved inputs, and with the feature `fuzzing`.

use crate::forwarded;
use crate::proxy_protocol::{self, Parsed};
use crate::trusted::TrustedProxies;

/// Accepts any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[("listen_proxy", proxy)];

/// A PROXY protocol header in pieces as a socket delivers it, and the same bytes as a forwarded header.
fn proxy(data: &[u8]) {
    let mut end = 0;
    while let Ok(Parsed::Needs(more)) = proxy_protocol::parse(&data[..end]) {
        assert!(more > 0, "the parser makes progress");
        end += more;
        if end > data.len() {
            break;
        }
    }
    if let Ok(value) = axum::http::HeaderValue::from_bytes(data) {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("x-forwarded-for", value);
        let _client = forwarded::client(&headers, &TrustedProxies::new(TrustedProxies::this_machine()));
        forwarded::remove(&mut headers);
        assert!(headers.is_empty());
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
