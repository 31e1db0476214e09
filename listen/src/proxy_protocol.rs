//! The PROXY protocol, versions 1 and 2: a load balancer names the client. Sans-IO.
//!
//! Source: haproxy's proxy-protocol.txt (2020/03/05), §2.1 (text) and §2.2 (binary).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

const V1: &[u8] = b"PROXY ";
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, line end included.
const MOST_V1: usize = 107;
/// Maximum length of the addresses and additional fields of version 2. HAProxy sends less than 200 bytes.
const MOST_V2: usize = 2048;

/// The progress of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Read this many more bytes: never any byte after the header.
    Needs(usize),
    /// The client; None: the connection is the proxy's own, for example a health check.
    Done(Option<SocketAddr>),
}

/// The bytes are not a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyHeaderError {
    #[error("the connection does not begin with a PROXY protocol header, and server.proxy_protocol is on")]
    Missing,
    #[error("the PROXY protocol header is malformed")]
    Malformed,
    #[error("the PROXY protocol header is too long")]
    Long,
}

/// Parses the received part of a header. `bytes`: everything so far, and nothing else.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    // The first bytes of the two versions differ, and both have at least 12 bytes.
    let Some(first) = bytes.first_chunk::<12>() else {
        return Ok(Parsed::Needs(12 - bytes.len()));
    };
    if first == V2 {
        v2(bytes)
    } else if first.starts_with(V1) {
        v1(bytes)
    } else {
        Err(ProxyHeaderError::Missing)
    }
}

fn v1(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        if bytes.len() >= MOST_V1 {
            return Err(ProxyHeaderError::Long);
        }
        if bytes.contains(&b'\n') {
            return Err(ProxyHeaderError::Malformed);
        }
        return Ok(Parsed::Needs(1));
    };
    let line = std::str::from_utf8(line).map_err(|_| ProxyHeaderError::Malformed)?;
    let mut fields = line.split(' ').skip(1);
    let family = fields.next();
    if family == Some("UNKNOWN") {
        return Ok(Parsed::Done(None));
    }
    let fields: Vec<&str> = fields.collect();
    let (Some("TCP4" | "TCP6"), [source, _, port, _]) = (family, fields.as_slice()) else {
        return Err(ProxyHeaderError::Malformed);
    };
    let address: IpAddr = source.parse().map_err(|_| ProxyHeaderError::Malformed)?;
    if address.is_ipv4() != (family == Some("TCP4")) {
        return Err(ProxyHeaderError::Malformed);
    }
    let port = port.parse().map_err(|_| ProxyHeaderError::Malformed)?;
    Ok(Parsed::Done(Some(SocketAddr::new(address, port))))
}

fn v2(bytes: &[u8]) -> Result<Parsed, ProxyHeaderError> {
    let Some((header, rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(Parsed::Needs(16 - bytes.len()));
    };
    let [.., command, family, high, low] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_V2 {
        return Err(ProxyHeaderError::Long);
    }
    if rest.len() < length {
        return Ok(Parsed::Needs(length - rest.len()));
    }
    match (command, family) {
        // LOCAL: the rest does not matter.
        (0x20, _) => Ok(Parsed::Done(None)),
        // TCP over IPv4: source, destination, ports.
        (0x21, 0x11) => {
            let fields = rest.first_chunk::<12>().ok_or(ProxyHeaderError::Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, ..] = *fields;
            let address = Ipv4Addr::new(a, b, c, d).into();
            let port = u16::from_be_bytes([high, low]);
            Ok(Parsed::Done(Some(SocketAddr::new(address, port))))
        }
        // TCP over IPv6.
        (0x21, 0x21) => {
            let fields = rest.first_chunk::<36>().ok_or(ProxyHeaderError::Malformed)?;
            let (source, after) = fields.split_first_chunk::<16>().ok_or(ProxyHeaderError::Malformed)?;
            let port = after.get(16..18).ok_or(ProxyHeaderError::Malformed)?;
            let port = u16::from_be_bytes([port[0], port[1]]);
            Ok(Parsed::Done(Some(SocketAddr::new(
                Ipv6Addr::from(*source).into(),
                port,
            ))))
        }
        // Other families contain no usable address: the connection counts as the proxy's own.
        (0x21, _) => Ok(Parsed::Done(None)),
        _ => Err(ProxyHeaderError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header in pieces as a socket would deliver it, and returns the number of bytes it took.
    fn read(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), ProxyHeaderError> {
        let mut end = 0;
        loop {
            match parse(&bytes[..end])? {
                Parsed::Needs(more) => end += more,
                Parsed::Done(client) => return Ok((client, end)),
            }
        }
    }

    fn v2(command: u8, family: u8, fields: &[u8]) -> Vec<u8> {
        let length = (fields.len() as u16).to_be_bytes();
        [&V2[..], &[command, family], &length, fields].concat()
    }

    #[test]
    fn both_versions_name_the_client_and_nothing_after_the_header_is_read() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
        let request = [&line[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(
            read(&request),
            Ok((Some("192.0.2.7:56324".parse().unwrap()), line.len()))
        );
        let six = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(read(six), Ok((Some("[2001:db8::1]:1".parse().unwrap()), six.len())));

        let four = v2(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 0x04, 1, 187]);
        let request = [&four[..], b"GET"].concat();
        assert_eq!(
            read(&request),
            Ok((Some("192.0.2.7:56324".parse().unwrap()), four.len()))
        );
        let mut fields = [0; 40];
        fields[15] = 1;
        fields[33] = 80;
        let six = v2(0x21, 0x21, &fields);
        assert_eq!(read(&six), Ok((Some("[::1]:80".parse().unwrap()), six.len())));
    }

    #[test]
    fn health_checks_of_the_proxy_are_its_own_connections() {
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Ok((None, 15)));
        assert_eq!(read(&v2(0x20, 0, &[])), Ok((None, 16)));
        assert_eq!(read(&v2(0x21, 0x31, &[0; 216])), Ok((None, 232)), "a Unix socket");
    }

    #[test]
    fn a_malformed_header_is_refused() {
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Err(ProxyHeaderError::Missing));
        for wrong in [
            &b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n"[..],
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 1\r\n",
            b"PROXY TCP4 192.0.2.7\n        ",
            b"PROXY SCTP 192.0.2.7 198.51.100.1 1 1\r\n",
        ] {
            assert_eq!(read(wrong), Err(ProxyHeaderError::Malformed), "{wrong:?}");
        }
        assert_eq!(
            read(&[b"PROXY ".to_vec(), vec![b'x'; 200]].concat()),
            Err(ProxyHeaderError::Long)
        );
        assert_eq!(read(&v2(0x21, 0x11, &[0; 11])), Err(ProxyHeaderError::Malformed));
        assert_eq!(read(&v2(0x31, 0x11, &[0; 12])), Err(ProxyHeaderError::Malformed));
        assert_eq!(read(&v2(0x21, 0x11, &[0; 4000])), Err(ProxyHeaderError::Long));
    }
}
