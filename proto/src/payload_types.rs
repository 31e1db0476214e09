//! Payload types in session descriptions. Pure.

use std::collections::HashMap;

use thiserror::Error;

/// The parameters of a codec that make it another codec (RFC 6184 §8.1, RFC 7798 §7.1, RFC 9628 §6.1, the RTP payload formats of AV1,
/// RFC 4588 §8.1). Others, such as a bitrate to start with, may differ between lines.
const OF_CODEC: [&str; 9] = [
    "apt",
    "level-idx",
    "packetization-mode",
    "profile",
    "profile-id",
    "profile-level-id",
    "tier",
    "tier-flag",
    "level-id",
];

/// See [`check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("payload type {0} stands for two codecs; the lines of one session share their payload types (RFC 9143 §9.1)")]
pub struct PayloadTypeReused(u8);

/// What a payload type stands for in one line (`m=`).
#[derive(Debug, Default, PartialEq, Eq)]
struct Meaning {
    codecs: Vec<String>,
    parameters: Vec<String>,
}

/// A payload type of a session stands for one codec, in all of its lines. WebRTC stacks rely on that.
///
/// Errors: [`PayloadTypeReused`].
pub fn check(description: &str) -> Result<(), PayloadTypeReused> {
    let mut session: HashMap<u8, Meaning> = HashMap::new();
    // What comes before the first line of media is none.
    let mut rest = description;
    while let Some(begin) = next_media(rest) {
        let line = &rest[begin..];
        let end = next_media(&line[2..]).map_or(line.len(), |next| next + 2);
        for (payload_type, meaning) in meanings(&line[..end]) {
            if meaning.codecs.len() > 1 || session.get(&payload_type).is_some_and(|known| *known != meaning) {
                return Err(PayloadTypeReused(payload_type));
            }
            session.insert(payload_type, meaning);
        }
        rest = &line[end..];
    }
    Ok(())
}

/// Where the next `m=` begins a line.
fn next_media(text: &str) -> Option<usize> {
    if text.starts_with("m=") {
        return Some(0);
    }
    text.find("\nm=").map(|at| at + 1)
}

fn meanings(line: &str) -> HashMap<u8, Meaning> {
    let mut meanings: HashMap<u8, Meaning> = HashMap::new();
    for attribute in line.lines().map(str::trim) {
        if let Some((payload_type, codec)) = numbered(attribute, "a=rtpmap:") {
            let codecs = &mut meanings.entry(payload_type).or_default().codecs;
            // Two are enough to refuse it: an offer may have thousands.
            if codecs.len() < 2 && !codecs.iter().any(|known| known.eq_ignore_ascii_case(codec)) {
                codecs.push(codec.to_ascii_lowercase());
            }
        } else if let Some((payload_type, parameters)) = numbered(attribute, "a=fmtp:") {
            let known = &mut meanings.entry(payload_type).or_default().parameters;
            let of_codec = |parameter: &&str| {
                let name = parameter.split('=').next().unwrap_or_default();
                OF_CODEC.iter().any(|of| name.eq_ignore_ascii_case(of))
            };
            let parameters = parameters.split(';').map(str::trim).filter(of_codec);
            known.extend(parameters.map(str::to_ascii_lowercase));
        }
    }
    for meaning in meanings.values_mut() {
        meaning.parameters.sort_unstable();
    }
    meanings
}

/// The payload type of an attribute, and what follows.
fn numbered<'a>(attribute: &'a str, name: &str) -> Option<(u8, &'a str)> {
    let (number, rest) = attribute.strip_prefix(name)?.split_once(' ')?;
    Some((number.trim().parse().ok()?, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&[&str]]) -> Result<(), PayloadTypeReused> {
        let lines = lines.iter().map(|attributes| {
            let attributes: String = attributes
                .iter()
                .map(|attribute| format!("a={attribute}\r\n"))
                .collect();
            format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{attributes}")
        });
        check(&format!("v=0\r\ns=-\r\n{}", lines.collect::<String>()))
    }

    #[test]
    fn lines_that_agree_may_share_a_payload_type() {
        let h264 = [
            "rtpmap:99 H264/90000",
            "fmtp:99 packetization-mode=1;profile-level-id=42e01f",
        ];
        let faster = [
            "rtpmap:99 h264/90000",
            "fmtp:99 profile-level-id=42E01F;packetization-mode=1;x-google-start-bitrate=2000",
        ];
        let rtx = ["rtpmap:100 rtx/90000", "fmtp:100 apt=99"];
        assert_eq!(of(&[&h264, &faster, &rtx, &rtx]), Ok(()));
        assert_eq!(of(&[]), Ok(()));
    }

    #[test]
    fn a_payload_type_that_stands_for_two_codecs_is_named() {
        let plain = ["rtpmap:99 H264/90000"];
        let base = ["rtpmap:99 H264/90000", "fmtp:99 profile-level-id=42e01f"];
        let vp8 = ["rtpmap:99 VP8/90000"];
        let rtx_of = |of: &str| ["rtpmap:99 rtx/90000".to_owned(), format!("fmtp:99 apt={of}")];
        let (one, other) = (rtx_of("96"), rtx_of("97"));
        for lines in [[&plain[..], &base[..]], [&base[..], &vp8[..]], [&vp8[..], &base[..]]] {
            assert_eq!(of(&lines), Err(PayloadTypeReused(99)), "{lines:?}");
        }
        let (one, other) = (one.each_ref().map(String::as_str), other.each_ref().map(String::as_str));
        assert_eq!(of(&[&one, &other]), Err(PayloadTypeReused(99)));
        assert_eq!(of(&[&[plain[0], vp8[0]]]), Err(PayloadTypeReused(99)), "in one line");
    }
}
