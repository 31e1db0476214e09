//! STUN messages (RFC 8489), as far as `str0m` does not read them: which session a check is for and whether it is authentic, and
//! asking a server which address it sees (§2, binding without credentials).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::hmac;

/// Chosen at random for each question (RFC 8489 §5): who cannot see it cannot forge the answer.
pub type TransactionId = [u8; 12];

const MAGIC_COOKIE: u32 = 0x2112_A442;
const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const USE_CANDIDATE: u16 = 0x0025;
/// HMAC-SHA1 (RFC 8489 §14.5), and the attribute's header before it.
const INTEGRITY: usize = 20;
const ATTRIBUTE_HEADER: usize = 4;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// The answer of a server to a binding request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Where the request came from, as the server sees it.
    Mapped(SocketAddr),
    /// An error code (RFC 8489 §14.8), such as 400 or 401.
    Refused(u16),
}

/// A message of an ICE peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connectivity check, which is answered.
    Request,
    /// Keeps the path open (RFC 8445 §11); nothing is answered.
    Indication,
    Other,
}

/// RFC 7983 §7: first byte 0 to 3.
pub fn is_stun(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first < 4)
}

pub fn kind(message: &[u8]) -> Kind {
    match message.first_chunk().map(|kind| u16::from_be_bytes(*kind)) {
        Some(BINDING_REQUEST) => Kind::Request,
        Some(BINDING_INDICATION) => Kind::Indication,
        _ => Kind::Other,
    }
}

/// The receiver's half of the user name in a check (RFC 8445 §7.2.2).
pub fn ice_name(message: &[u8]) -> Option<&str> {
    let value = attribute(message, USERNAME)?;
    std::str::from_utf8(value).ok()?.split(':').next()
}

/// Whether a check nominates its pair (RFC 8445 §7.1.2).
pub fn nominates(message: &[u8]) -> bool {
    attribute(message, USE_CANDIDATE).is_some()
}

/// Whether the sender of a message knows this password (RFC 8489 §9.1.3).
pub fn is_authentic(message: &[u8], password: &str) -> bool {
    let attributes = message.get(HEADER..).unwrap_or_default();
    let Some((at, received)) = locate(attributes, MESSAGE_INTEGRITY) else {
        return false;
    };
    // §14.5: the length counts up to this attribute, and no further.
    let Ok(length) = u16::try_from(at + ATTRIBUTE_HEADER + INTEGRITY) else {
        return false;
    };
    let mut signed = message[..HEADER + at].to_vec();
    signed[2..4].copy_from_slice(&length.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    hmac::verify(&key, &signed, received).is_ok()
}

/// The value of the first attribute of a type.
fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    if message.get(4..8)? != MAGIC_COOKIE.to_be_bytes() {
        return None;
    }
    find(message.get(HEADER..)?, wanted)
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

fn find(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    locate(attributes, wanted).map(|(_, value)| value)
}

/// The first attribute of a type: the bytes before it, and its value (RFC 8489 §14: values are padded to four bytes).
fn locate(attributes: &[u8], wanted: u16) -> Option<(usize, &[u8])> {
    let mut rest = attributes;
    loop {
        let (head, after) = rest.split_first_chunk::<ATTRIBUTE_HEADER>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        let found = u16::from_be_bytes([head[0], head[1]]);
        if found == wanted {
            return Some((attributes.len() - rest.len(), value));
        }
        // §14.5: what comes after the proof is not proven.
        if found == MESSAGE_INTEGRITY {
            return None;
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

    /// RFC 5769 §2.1: a check of an ICE agent, and the password that proves it.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
        002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020\
        000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn the_sample_check_of_rfc_5769_is_authentic_by_its_password_alone() {
        let request = bytes(REQUEST);
        assert_eq!(kind(&request), Kind::Request);
        assert_eq!(ice_name(&request), Some("evtj"));
        assert!(is_authentic(&request, PASSWORD));
        assert!(!is_authentic(&request, "VOkJxbRl1RmTxUk/WvJxBT"));
        // All that is proven: up to the integrity attribute's value.
        for at in 0..request.len() - 8 {
            let mut forged = request.clone();
            forged[at] ^= 0x10;
            // The length in the header is replaced by what it has to be.
            assert!((2..4).contains(&at) || !is_authentic(&forged, PASSWORD), "byte {at}");
        }
        for length in 0..request.len() - 8 {
            assert!(!is_authentic(&request[..length], PASSWORD));
        }
    }

    #[test]
    fn a_nomination_counts_only_where_it_is_proven() {
        let nomination = [0, 0x25, 0, 0];
        let mut message = bytes("0001001c2112a442");
        message.extend(ID);
        assert!(!nominates(&message));
        let behind = [&message[..], &[0, 8, 0, 20], &[0; 20], &nomination].concat();
        assert!(!nominates(&behind));
        let before = [&message[..], &nomination, &[0, 8, 0, 20], &[0; 20]].concat();
        assert!(nominates(&before));
    }

    #[test]
    fn the_first_half_of_the_user_name_is_the_receiver_s() {
        let mut message = bytes("000100102112a442");
        message.extend(ID);
        // An unknown attribute of 3 bytes with padding comes first.
        message.extend_from_slice(&[0x80, 0x22, 0, 3, 1, 2, 3, 0]);
        message.extend_from_slice(&[0, 6, 0, 5]);
        message.extend_from_slice(b"us:me\0\0\0");
        assert_eq!(ice_name(&message), Some("us"));
        assert_eq!(ice_name(&message[..20]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_datagram_is_looked_at_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _facts = (is_stun(&bytes), kind(&bytes), ice_name(&bytes), nominates(&bytes), is_authentic(&bytes, "password"));
        }
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
