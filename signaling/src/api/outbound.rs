//! Addresses that customers name, checked before a call is accepted.

use std::time::Duration;

use rotunda_proto::outbound::{AllowedNetworks, Refused, ResolveError};
use url::Host;

/// A caller does not wait longer than this for a name server.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);

/// Why a host may not be reached. A name that cannot be resolved now is resolved again by whoever connects to it.
pub async fn refused<S: AsRef<str>>(allowed: &AllowedNetworks, host: &Host<S>, port: u16) -> Option<Refused> {
    if let Err(refused) = allowed.check_host(host) {
        return Some(refused);
    }
    let Host::Domain(name) = host else {
        return None;
    };
    match tokio::time::timeout(RESOLVE_WITHIN, allowed.resolve(name.as_ref(), port)).await {
        Ok(Err(ResolveError::Refused(refused))) => Some(refused),
        _ => None,
    }
}
