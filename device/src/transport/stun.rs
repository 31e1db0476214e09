//! The address that a NAT gives a socket, told by a STUN server (RFC 8489 §12: Binding). Sans-IO.

use std::net::SocketAddr;

use turn_client_proto::stun::types::attribute::XorMappedAddress;
use turn_client_proto::stun::types::message::{BINDING, Message, MessageHeader, MessageWriteVec, TransactionId};
use turn_client_proto::stun::types::prelude::*;

/// A question to a STUN server, and how its answer is known.
pub struct Binding {
    id: TransactionId,
    request: Vec<u8>,
}

impl Binding {
    pub fn new() -> Self {
        let message = Message::builder_request(BINDING, MessageWriteVec::new());
        let request = message.finish();
        let id = MessageHeader::from_bytes(&request).map(|header| header.transaction_id());
        Self {
            id: id.unwrap_or_else(|_| TransactionId::generate()),
            request,
        }
    }

    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The address, if this is the answer.
    pub fn read(&self, bytes: &[u8]) -> Option<SocketAddr> {
        let message = Message::from_bytes(bytes).ok()?;
        if message.transaction_id() != self.id || !message.is_response() {
            return None;
        }
        let address = message.attribute::<XorMappedAddress>().ok()?;
        Some(address.addr(self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_with_our_transaction_tells_the_address() {
        let (ours, other) = (Binding::new(), Binding::new());
        let address: SocketAddr = "203.0.113.7:41000".parse().unwrap();
        let request = Message::from_bytes(ours.request()).unwrap();
        let mut answer = Message::builder_success(&request, MessageWriteVec::new());
        answer
            .add_attribute(&XorMappedAddress::new(address, request.transaction_id()))
            .unwrap();
        let answer = answer.finish();
        assert_eq!(ours.read(&answer), Some(address));
        assert_eq!(other.read(&answer), None, "another request's answer");
        assert_eq!(ours.read(ours.request()), None, "a request is no answer");
        for cut in 0..answer.len() {
            assert_eq!(ours.read(&answer[..cut]), None);
        }
    }
}
