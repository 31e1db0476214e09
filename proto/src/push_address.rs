//! Addresses to push a program to: `rtmp[s]://host[:port]/app[/instance]/stream[?query]`. Pure.
//!
//! The API checks a request with [`PushAddress`], and the push uses the same value, so an accepted address can
//! always be pushed to.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::Host;

/// Longest address, in bytes.
pub const MAX_BYTES: usize = 2048;

/// The target of a push. `Display` and `Debug` omit the stream name and the query, because they contain the key of
/// the push.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushAddress {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
    app: String,
    stream: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
}

/// Why a text is not a push address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushAddressError {
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("has a space or a control character")]
    Character,
    #[error("must begin with rtmp:// or rtmps://")]
    Scheme,
    #[error("has a user name or password, which is not supported; write the key as stream name or query")]
    Credentials,
    #[error("has no valid host; write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    #[error("has no valid port; write 1 to 65535")]
    Port,
    #[error("has no application; write rtmp://host/application/stream")]
    App,
    #[error("has no stream name; write rtmp://host/application/stream")]
    Stream,
}

impl PushAddress {
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The written port, otherwise 1935 for `rtmp` and 443 for `rtmps`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything between the host and the stream name, without outer slashes.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Stream name and query as RTMP sends them. Secret. With an empty name it begins with `?`.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// `tcUrl` of RTMP's `connect`: the address without stream name and query.
    pub fn tc_url(&self) -> String {
        format!("{}://{}:{}/{}", self.scheme, self.host, self.port, self.app)
    }
}

impl FromStr for PushAddress {
    type Err = PushAddressError;

    fn from_str(text: &str) -> Result<Self, PushAddressError> {
        use PushAddressError as Error;
        if text.len() > MAX_BYTES {
            return Err(Error::TooLong);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(Error::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => Scheme::Rtmp,
            "rtmps" => Scheme::Rtmps,
            _ => return Err(Error::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('@') {
            return Err(Error::Credentials);
        }
        let (host, port) = host_and_port(authority, scheme)?;
        // Keys are often signatures in the query, where they may contain slashes.
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let path = path.trim_start_matches('/');
        let (app, name) = match (path.rsplit_once('/'), query) {
            (Some(split), _) => split,
            // `rtmp://host/app?streamname=..`: everything about the stream is in the query.
            (None, Some(_)) => (path, ""),
            (None, None) if path.is_empty() => return Err(Error::App),
            (None, None) => return Err(Error::Stream),
        };
        let app = app.trim_end_matches('/');
        if app.is_empty() {
            return Err(Error::App);
        }
        let stream = match query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{name}?{query}"),
            None if name.is_empty() => return Err(Error::Stream),
            None => name.to_owned(),
        };
        Ok(Self {
            scheme,
            host,
            port,
            app: app.to_owned(),
            stream,
        })
    }
}

fn host_and_port(authority: &str, scheme: Scheme) -> Result<(Host<String>, u16), PushAddressError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(PushAddressError::Host)?;
            let address = address.parse().map_err(|_| PushAddressError::Host)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(PushAddressError::Host),
            };
            (Host::Ipv6(address), port)
        }
        None => {
            let (name, port) = match authority.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (authority, None),
            };
            (named_host(name)?, port)
        }
    };
    let port = match port {
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(PushAddressError::Port)?,
        None => match scheme {
            Scheme::Rtmp => 1935,
            Scheme::Rtmps => 443,
        },
    };
    Ok((host, port))
}

fn named_host(name: &str) -> Result<Host<String>, PushAddressError> {
    if let Ok(address) = name.parse() {
        return Ok(Host::Ipv4(address));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    // Some resolvers accept `127.1` and `0x7f000001` as addresses; a name's last label is never a number (RFC 3696
    // §2).
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    if name.len() > 253 || is_number || !name.bytes().all(allowed) {
        return Err(PushAddressError::Host);
    }
    Ok(Host::Domain(name.to_ascii_lowercase()))
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
        })
    }
}

impl fmt::Display for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some servers expect the key in the application's path, so only its first part is shown.
        let app = self.app.split('/').next().unwrap_or_default();
        write!(f, "{}://{}:{}/{app}/***", self.scheme, self.host, self.port)
    }
}

impl fmt::Debug for PushAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PushAddress, PushAddressError> {
        text.parse()
    }

    #[test]
    fn an_address_is_host_application_and_stream_with_its_query() {
        for (text, host, port, app, stream) in [
            (
                "rtmp://a.example:1936/live/inst/key?txSecret=1",
                "a.example",
                1936,
                "live/inst",
                "key?txSecret=1",
            ),
            ("rtmps://A.Example/rtmp/FB-1", "a.example", 443, "rtmp", "FB-1"),
            ("RTMP://192.0.2.1/live/k", "192.0.2.1", 1935, "live", "k"),
            ("rtmp://[2001:db8::1]:19350/live/k", "[2001:db8::1]", 19350, "live", "k"),
            ("rtmp://[::1]/live/k", "[::1]", 1935, "live", "k"),
            // The query contains the stream's name and key.
            (
                "rtmp://h/live-bvc/?streamname=x&key=y",
                "h",
                1935,
                "live-bvc",
                "?streamname=x&key=y",
            ),
            ("rtmp://h/live?streamname=x/y", "h", 1935, "live", "?streamname=x/y"),
            // Characters that a URL library would escape are sent unchanged.
            ("rtmp://h//live/a%2Fb{c}.|d", "h", 1935, "live", "a%2Fb{c}.|d"),
            ("rtmp://h/live/k?", "h", 1935, "live", "k"),
        ] {
            let address = parse(text).unwrap();
            let parts = (
                address.host().to_string(),
                address.port(),
                address.app().to_owned(),
                address.stream().to_owned(),
            );
            assert_eq!(
                parts,
                (host.to_owned(), port, app.to_owned(), stream.to_owned()),
                "{text}"
            );
        }
        assert_eq!(
            parse("rtmps://[::1]/live/k").unwrap().tc_url(),
            "rtmps://[::1]:443/live"
        );
    }

    #[test]
    fn each_mistake_is_named() {
        use PushAddressError as Error;
        let long = format!("rtmp://h/live/{}", "k".repeat(MAX_BYTES));
        for (text, error) in [
            (long.as_str(), Error::TooLong),
            ("rtmp://h/live/a b", Error::Character),
            ("rtmp://h/live/a\r\nb", Error::Character),
            ("", Error::Scheme),
            ("h/live/k", Error::Scheme),
            ("http://h/live/k", Error::Scheme),
            ("rtmp://user:password@h/live/k", Error::Credentials),
            ("rtmp://@h/live/k", Error::Credentials),
            ("rtmp:///live/k", Error::Host),
            ("rtmp://:1935/live/k", Error::Host),
            ("rtmp://[::1/live/k", Error::Host),
            ("rtmp://[::1]x/live/k", Error::Host),
            ("rtmp://::1/live/k", Error::Host),
            ("rtmp://127.1/live/k", Error::Host),
            ("rtmp://2130706433/live/k", Error::Host),
            ("rtmp://0x7f000001/live/k", Error::Host),
            ("rtmp://h:0/live/k", Error::Port),
            ("rtmp://h:65536/live/k", Error::Port),
            ("rtmp://h:/live/k", Error::Port),
            ("rtmp://h", Error::App),
            ("rtmp://h/", Error::App),
            ("rtmp://h/?k=1", Error::App),
            ("rtmp://h/live", Error::Stream),
            ("rtmp://h/live/", Error::Stream),
            ("rtmp://h/live/?", Error::Stream),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_key_is_never_printed() {
        let address = parse("rtmp://h/live/SECRET/inst/SECRET?key=SECRET").unwrap();
        assert_eq!(address.to_string(), "rtmp://h:1935/live/***");
        assert_eq!(format!("{address:?}"), "rtmp://h:1935/live/***");
    }
}
