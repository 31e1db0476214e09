//! The one STUN exchange that is ours: asking a server which address it sees (RFC 8489 §2, binding without credentials).
//! `str0m` reads STUN for ICE alone and refuses an answer without a password.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Chosen at random for each question (RFC 8489 §5): who cannot see it cannot forge the answer.
pub type TransactionId = [u8; 12];

const MAGIC_COOKIE: u32 = 0x2112_A442;
const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// What a server says to a binding request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Where the request came from, as the server sees it.
    Mapped(SocketAddr),
    /// An error code (RFC 8489 §14.8), such as 400 or 401.
    Refused(u16),
}

/// A binding request without attributes.
pub fn binding_request(id: &TransactionId) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..2].copy_from_slice(&BINDING_REQUEST.to_be_bytes());
    bytes[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    bytes[8..].copy_from_slice(id);
    bytes
}

/// None: not an answer to the request of this id, or not understood.
pub fn read_answer(bytes: &[u8], id: &TransactionId) -> Option<Answer> {
    let (header, attributes) = bytes.split_first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[4..8] != MAGIC_COOKIE.to_be_bytes() || header[8..] != *id || length != attributes.len() {
        return None;
    }
    match u16::from_be_bytes([header[0], header[1]]) {
        BINDING_SUCCESS => find(attributes, XOR_MAPPED_ADDRESS)
            .and_then(|value| mapped(value, id))
            .map(Answer::Mapped),
        BINDING_ERROR => find(attributes, ERROR_CODE).and_then(error_code).map(Answer::Refused),
        _ => None,
    }
}

/// The value of the first attribute of a type (RFC 8489 §14: values are padded to four bytes).
fn find(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        if u16::from_be_bytes([head[0], head[1]]) == wanted {
            return Some(value);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
}

/// RFC 8489 §14.2: port and address are XORed with the cookie, those of IPv6 with the id, too.
fn mapped(value: &[u8], id: &TransactionId) -> Option<SocketAddr> {
    let (head, address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([head[2], head[3]]) ^ (MAGIC_COOKIE >> 16) as u16;
    let ip = match head[1] {
        1 => IpAddr::V4(Ipv4Addr::from_bits(
            u32::from_be_bytes(address.try_into().ok()?) ^ MAGIC_COOKIE,
        )),
        2 => {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            key[4..].copy_from_slice(id);
            let bits = u128::from_be_bytes(address.try_into().ok()?) ^ u128::from_be_bytes(key);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// RFC 8489 §14.8: hundreds in three bits, then the rest.
fn error_code(value: &[u8]) -> Option<u16> {
    let head = value.first_chunk::<4>()?;
    Some(u16::from(head[2] & 7) * 100 + u16::from(head[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2: id of the sample messages.
    const ID: TransactionId = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    /// RFC 5769 §2.2.
    const IPV4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
        002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
    /// RFC 5769 §2.3.
    const IPV6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
        002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41\
        80280004c8fb0b4c";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn mapped_to(text: &str) -> Option<Answer> {
        Some(Answer::Mapped(text.parse().unwrap()))
    }

    #[test]
    fn the_sample_answers_of_rfc_5769_are_read() {
        assert_eq!(read_answer(&bytes(IPV4), &ID), mapped_to("192.0.2.1:32853"));
        assert_eq!(
            read_answer(&bytes(IPV6), &ID),
            mapped_to("[2001:db8:1234:5678:11:2233:4455:6677]:32853")
        );
    }

    #[test]
    fn an_answer_to_somebody_else_or_cut_short_is_none() {
        let answer = bytes(IPV4);
        assert_eq!(read_answer(&answer, &[0; 12]), None, "another request");
        for length in 0..answer.len() {
            assert_eq!(read_answer(&answer[..length], &ID), None);
        }
        assert_eq!(read_answer(&binding_request(&ID), &ID), None, "our own request");
    }

    #[test]
    fn a_refusal_has_its_code() {
        let mut refusal = bytes("0111000c2112a442");
        refusal.extend(ID);
        refusal.extend(bytes("000900080000040142616421"));
        assert_eq!(read_answer(&refusal, &ID), Some(Answer::Refused(401)));
    }
}
