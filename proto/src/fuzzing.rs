//! Entry points for fuzzing: each parser of network input of this crate, by name. Compiled for tests, which replay
//! the saved inputs, and with the feature `fuzzing`.

use std::time::Duration;

use crate::call_signaling::CallRequestEnvelope;
use crate::ids::{RoomId, RoomKey, SdkAppId, UserId};
use crate::push_address::{MAX_BYTES, PushAddress, PushAddressError};
use crate::room_ticket::Binding;
use crate::signaling::RequestEnvelope;
use crate::ticket::ClusterSecret;
use crate::user_sig;

/// Accepts any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("proto_request", request),
    ("proto_call_request", call_request),
    ("proto_user_sig", sig),
    ("proto_room_ticket", room_ticket),
    ("proto_ticket", ticket),
    ("proto_push_address", push_address),
];

const NOW: Duration = Duration::from_secs(1_700_000_000);

/// A client's message. A parsed message must parse again after it is written.
fn request(data: &[u8]) {
    if let Ok(envelope) = serde_json::from_slice::<RequestEnvelope>(data) {
        let written = serde_json::to_string(&envelope).unwrap();
        let again: RequestEnvelope = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
}

/// A request of a device for calls. A parsed message must parse again after it is written.
fn call_request(data: &[u8]) {
    if let Ok(envelope) = serde_json::from_slice::<CallRequestEnvelope>(data) {
        let written = serde_json::to_string(&envelope).unwrap();
        let again: CallRequestEnvelope = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
}

/// A UserSig as received, and one whose document is the input.
fn sig(data: &[u8]) {
    let user: UserId = "ann".parse().unwrap();
    let app = SdkAppId::try_from(1_400_000_001).unwrap();
    let mut tickets = vec![user_sig::pack(data)];
    tickets.extend(std::str::from_utf8(data).ok().map(str::to_owned));
    for ticket in tickets {
        let _refused = user_sig::claim(&ticket);
        let verified = user_sig::verify(&ticket, app, "a key that nobody knows", &user, NOW);
        assert!(verified.is_err(), "a forged ticket was accepted");
    }
}

/// Reads a room ticket: no part of it is longer than the whole.
fn room_ticket(data: &[u8]) {
    if let Some(binding) = Binding::read(data) {
        assert!(binding.user.len() < data.len());
    }
}

/// An address of `PublishCdnUrls`. An accepted address can be sent, and its key is not printed.
fn push_address(data: &[u8]) {
    let Some(address) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<PushAddress>().ok())
    else {
        return;
    };
    assert!(!address.app().is_empty() && !address.stream().is_empty() && address.port() != 0);
    let scheme = address.scheme();
    // The port of its scheme is written out here, so a text that just fits becomes too long.
    let written = format!(
        "{scheme}://{}:{}/{}/{}",
        address.host(),
        address.port(),
        address.app(),
        address.stream()
    );
    let again: PushAddress = match written.parse() {
        Err(PushAddressError::TooLong) if written.len() > MAX_BYTES => return,
        again => again.unwrap(),
    };
    assert_eq!(
        (again.host(), again.app(), again.stream()),
        (address.host(), address.app(), address.stream())
    );
    assert!(address.to_string().ends_with("/***"));
}

/// A service ticket.
fn ticket(data: &[u8]) {
    let room = RoomKey {
        app: SdkAppId::try_from(1_400_000_001).unwrap(),
        room: RoomId::Name("fuzz".parse().unwrap()),
    };
    if let Ok(text) = std::str::from_utf8(data) {
        let secret = ClusterSecret::new(*b"a secret that nobody knows");
        assert!(
            secret.verify_ticket(text, &room, NOW).is_err(),
            "a forged ticket was accepted"
        );
        let _refused = text.parse::<UserId>();
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
