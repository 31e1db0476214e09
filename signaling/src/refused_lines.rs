//! The m-lines of an offer that the answer refuses, and the codecs that they offered. Pure text work.

use std::fmt;

/// The codecs that the SFU accepts, for error texts.
const TAKEN: &str = "video: VP8, VP9, AV1, H264 (packetization-mode 1), H265; audio: opus";
/// Codecs of one line that are named in an error text.
const NAMED: usize = 8;

/// An m-line without a codec that the server accepts: nothing can be sent on it in either direction (RFC 3264 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    pub mid: String,
    /// As the offer writes them, with the parameters that decide: `H264 profile-level-id=f4001f`.
    codecs: Vec<String>,
}

impl fmt::Display for RefusedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mid, codecs } = self;
        let offered = match codecs.is_empty() {
            true => "no codec".to_owned(),
            false => codecs.join(", "),
        };
        write!(
            f,
            "the line with mid {mid:?} offers {offered}; this server takes {TAKEN}"
        )
    }
}

/// The lines of `offer` that `answer` refuses with port 0. RFC 3264 §6: an answer has as many lines, in the same order.
pub fn refused_lines(offer: &str, answer: &str) -> Vec<RefusedLine> {
    let pairs = media_sections(offer).zip(media_sections(answer));
    let refused = pairs.filter(|(_, answered)| port(answered) == Some("0"));
    let named = refused.filter_map(|(offered, _)| {
        Some(RefusedLine {
            mid: value(&offered, "a=mid:")?.to_owned(),
            codecs: codecs(&offered),
        })
    });
    named.collect()
}

fn media_sections(sdp: &str) -> impl Iterator<Item = Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections.into_iter()
}

fn port<'a>(section: &[&'a str]) -> Option<&'a str> {
    section.first()?.split(' ').nth(1)
}

fn value<'a>(section: &[&'a str], name: &str) -> Option<&'a str> {
    section.iter().find_map(|line| line.strip_prefix(name))
}

/// Without retransmission and error correction formats.
fn codecs(section: &[&str]) -> Vec<String> {
    const REPAIR: [&str; 5] = ["rtx", "red", "ulpfec", "flexfec-03", "CN"];
    const DECISIVE: [&str; 4] = ["profile-level-id=", "packetization-mode=", "profile-id=", "profile="];
    let maps = section
        .iter()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '));
    let mut found = Vec::new();
    for (number, map) in maps {
        let name = map.split('/').next().unwrap_or(map);
        if REPAIR.iter().any(|repair| repair.eq_ignore_ascii_case(name)) {
            continue;
        }
        let parameters = value(section, &format!("a=fmtp:{number} ")).unwrap_or_default();
        let decisive = parameters.split(';').map(str::trim);
        let decisive = decisive.filter(|one| DECISIVE.iter().any(|name| one.starts_with(name)));
        let mut text = name.to_owned();
        for parameter in decisive {
            text.push(' ');
            text.push_str(parameter);
        }
        if found.len() < NAMED && !found.contains(&text) {
            found.push(shortened(text));
        }
    }
    found
}

fn shortened(mut text: String) -> String {
    const LONGEST: usize = 80;
    if let Some((cut, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\na=mid:1\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=f4001f\r\n\
        a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 H266/90000\r\n";

    #[test]
    fn a_line_that_is_answered_with_port_0_is_named_with_its_codecs() {
        let answer =
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n";
        let refused = refused_lines(OFFER, answer);
        assert_eq!(refused.len(), 1);
        let text = refused[0].to_string();
        assert!(
            text.starts_with(
                "the line with mid \"1\" offers H264 packetization-mode=0 profile-level-id=f4001f, H266; this server takes "
            ),
            "{text}"
        );
    }

    #[test]
    fn an_answer_that_accepts_every_line_refuses_none() {
        assert_eq!(refused_lines(OFFER, OFFER), []);
        assert_eq!(refused_lines("v=0", "v=0"), []);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(offer in "(m=[ -~é]{0,12}\n|a=(mid:|rtpmap:|fmtp:)[ -~é]{0,90}\n){0,8}") {
            for line in refused_lines(&offer, &offer.replace("m=", "m=x 0 ")) {
                prop_assert!(line.codecs.len() <= NAMED);
            }
        }
    }
}
