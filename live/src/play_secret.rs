//! Playback addresses that only the application's backend can make: `?txSecret=…&txTime=…`, as on Tencent's CDN.
//!
//! `txTime` is the expiry of the address, Unix seconds in hexadecimal. `txSecret` is the MD5 of the application's
//! play key, the stream's name and `txTime`, concatenated.

use std::time::Duration;

use md5::{Digest, Md5};
use rotunda_proto::config::Secret;
use rotunda_proto::ids::StreamId;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Why a player is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlayRefusal {
    #[error("this stream needs txSecret and txTime in its address; the application's backend makes them")]
    Missing,
    #[error("txSecret does not fit the stream and txTime")]
    Wrong,
    #[error("the address has expired; ask the application's backend for a new one")]
    Expired,
}

impl PlayRefusal {
    /// Label of the metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Expired => "expired",
        }
    }
}

/// Whether the query of an address permits playing the stream.
pub fn check(key: &Secret, stream: &StreamId, query: &str, unix_now: Duration) -> Result<(), PlayRefusal> {
    let field = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let (secret, time) = field("txSecret").zip(field("txTime")).ok_or(PlayRefusal::Missing)?;
    let right = secret_of(key, stream, time);
    let same: bool = right.as_bytes().ct_eq(secret.to_ascii_lowercase().as_bytes()).into();
    if !same {
        return Err(PlayRefusal::Wrong);
    }
    let expires = u64::from_str_radix(time, 16).map_err(|_| PlayRefusal::Wrong)?;
    if unix_now.as_secs() < expires {
        Ok(())
    } else {
        Err(PlayRefusal::Expired)
    }
}

fn secret_of(key: &Secret, stream: &StreamId, time: &str) -> String {
    hex::encode(Md5::digest(format!("{}{stream}{time}", key.reveal())))
}

/// The playlist with this query added to each of its addresses, so that an accepted player gets the segments too.
pub fn with_query(playlist: &str, query: &str) -> String {
    let mut out = String::with_capacity(playlist.len() * 2);
    for line in playlist.lines() {
        if let Some((before, rest)) = line.split_once("URI=\"") {
            match rest.split_once('"') {
                Some((uri, after)) => out.push_str(&format!("{before}URI=\"{uri}?{query}\"{after}")),
                None => out.push_str(line),
            }
        } else if line.is_empty() || line.starts_with('#') {
            out.push_str(line);
        } else {
            out.push_str(&format!("{line}?{query}"));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(stream: &str, query: &str, unix_seconds: u64) -> Result<(), PlayRefusal> {
        let (key, stream) = (Secret::new("playkey"), stream.parse().unwrap());
        check(&key, &stream, query, Duration::from_secs(unix_seconds))
    }

    /// `printf playkeygrid-10016553f100 | md5sum`
    const SECRET: &str = "3308d459cbc14993f96605f3156ada42";

    #[test]
    fn an_address_plays_its_stream_until_it_expires() {
        let (query, expires) = (format!("a=b&txSecret={SECRET}&txTime=6553f100"), 0x6553_f100);
        assert_eq!(tried("grid-1001", &query, expires - 1), Ok(()));
        let upper = query.replace(SECRET, &SECRET.to_uppercase());
        assert_eq!(tried("grid-1001", &upper, expires - 1), Ok(()));
        assert_eq!(tried("grid-1001", &query, expires), Err(PlayRefusal::Expired));
        assert_eq!(tried("grid-1002", &query, 0), Err(PlayRefusal::Wrong));
        assert_eq!(
            tried("grid-1001", &query.replace("6553f100", "ffffffff"), 0),
            Err(PlayRefusal::Wrong)
        );
        assert_eq!(tried("grid-1001", "txTime=6553f100", 0), Err(PlayRefusal::Missing));
        assert_eq!(tried("grid-1001", "", 0), Err(PlayRefusal::Missing));
    }

    #[test]
    fn a_playlist_adds_its_query_to_its_addresses() {
        let playlist = "#EXTM3U\n#EXT-X-MAP:URI=\"s/init-0.mp4\"\n#EXTINF:2.0,\ns/1.m4s\n";
        assert_eq!(
            with_query(playlist, "a=b"),
            "#EXTM3U\n#EXT-X-MAP:URI=\"s/init-0.mp4?a=b\"\n#EXTINF:2.0,\ns/1.m4s?a=b\n"
        );
    }
}
