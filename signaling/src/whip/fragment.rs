//! `application/trickle-ice-sdpfrag` (RFC 8840): the body and the answer of a PATCH, and the offer of an ICE restart.
//! Pure text work.

use thiserror::Error;

/// Why a fragment was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FragmentError {
    #[error("the body is not an SDP fragment (RFC 8840 §9)")]
    NotSdp,
    #[error("a fragment with a=ice-ufrag needs a=ice-pwd too, of at least 22 characters (RFC 8839 §5.4)")]
    Password,
}

/// ICE user fragment and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub ufrag: String,
    pub pwd: String,
}

impl Credentials {
    /// Those of a whole SDP or of a fragment: in a BUNDLE group all lines have the same. None: it has none.
    pub fn of(sdp: &str) -> Option<Self> {
        let value = |name| sdp.lines().find_map(|line| line.trim_end().strip_prefix(name));
        Some(Self {
            ufrag: value("a=ice-ufrag:")?.to_owned(),
            pwd: value("a=ice-pwd:")?.to_owned(),
        })
    }
}

/// The credentials that a fragment names, if it names any. Its candidates are not looked at: the server is ICE-lite and
/// learns addresses from the client's checks (RFC 8445 §2.5).
pub fn read(fragment: &str) -> Result<Option<Credentials>, FragmentError> {
    let mut any = false;
    for line in fragment.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.as_bytes().get(1) != Some(&b'=') {
            return Err(FragmentError::NotSdp);
        }
        any |= ["a=candidate:", "a=end-of-candidates", "a=ice-ufrag:"]
            .iter()
            .any(|known| line.starts_with(known));
    }
    if !any {
        return Err(FragmentError::NotSdp);
    }
    if !fragment.contains("a=ice-ufrag:") {
        return Ok(None);
    }
    let is_ice = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    };
    let credentials = Credentials::of(fragment).filter(|Credentials { ufrag, pwd }| {
        (4..=256).contains(&ufrag.len()) && (22..=256).contains(&pwd.len()) && is_ice(ufrag) && is_ice(pwd)
    });
    credentials.map(Some).ok_or(FragmentError::Password)
}

/// The first offer again, as a client that could renegotiate would send it to restart ICE.
pub fn restart_offer(first: &str, credentials: &Credentials) -> String {
    let mut out = String::with_capacity(first.len());
    for line in first.lines() {
        let line = line.trim_end();
        if line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates") {
            continue;
        }
        if line.starts_with("a=ice-ufrag:") {
            out.push_str("a=ice-ufrag:");
            out.push_str(&credentials.ufrag);
        } else if line.starts_with("a=ice-pwd:") {
            out.push_str("a=ice-pwd:");
            out.push_str(&credentials.pwd);
        } else {
            out.push_str(line);
        }
        out.push_str("\r\n");
    }
    out
}

/// The ICE part of an answer, for the reply to a restart: that of the BUNDLE group's first line, which carries the whole group.
/// Without a BUNDLE group it is the first line.
pub fn of_answer(answer: &str) -> Option<String> {
    let Credentials { ufrag, pwd } = Credentials::of(answer)?;
    let mut out = format!("a=ice-lite\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n");
    let lines: Vec<&str> = answer.lines().map(str::trim_end).collect();
    let bundled = lines.iter().find_map(|line| line.strip_prefix("a=group:BUNDLE "));
    let first = bundled.and_then(|mids| mids.split(' ').next());
    let starts = |line: &&str| line.starts_with("m=");
    let mut sections = lines
        .chunk_by(|_, next| !starts(next))
        .filter(|lines| starts(&lines[0]));
    let is_first = |lines: &&[&str]| {
        let mid = lines.iter().find_map(|line| line.strip_prefix("a=mid:"));
        first.is_none_or(|first| mid == Some(first))
    };
    for line in sections.find(is_first).unwrap_or_default() {
        if starts(line) || line.starts_with("a=mid:") || line.starts_with("a=candidate:") {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    out.push_str("a=end-of-candidates\r\n");
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRICKLE: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_fragment_names_its_credentials_or_none() {
        let credentials = read(TRICKLE).unwrap().unwrap();
        assert_eq!(credentials.ufrag, "EsAw");
        assert_eq!(credentials.pwd, "P2uYro0UCOQ4zxjKXaWCBui1");
        assert_eq!(
            read("m=audio 9 RTP/AVP 0\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\n"),
            Ok(None)
        );
        assert_eq!(read("a=ice-ufrag:EsAw\n"), Err(FragmentError::Password));
        assert_eq!(
            read("a=ice-ufrag:EsAw\na=ice-pwd:short\n"),
            Err(FragmentError::Password)
        );
        assert_eq!(read("hello"), Err(FragmentError::NotSdp));
        assert_eq!(read(""), Err(FragmentError::NotSdp));
    }

    #[test]
    fn a_restart_offers_the_same_lines_with_other_credentials_and_no_old_candidates() {
        let first = "v=0\r\nm=audio 9 X 1\r\na=ice-ufrag:old1\r\na=ice-pwd:oldoldoldoldoldoldoldold\r\na=mid:0\r\n\
                     a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\nm=video 9 X 2\r\na=ice-ufrag:old1\r\n\
                     a=ice-pwd:oldoldoldoldoldoldoldold\r\na=mid:1\r\n";
        let again = restart_offer(first, &read(TRICKLE).unwrap().unwrap());
        assert_eq!(again.matches("a=ice-ufrag:EsAw").count(), 2);
        assert!(!again.contains("old") && !again.contains("candidate"), "{again}");
        assert!(again.contains("m=audio 9 X 1\r\n") && again.contains("a=mid:1\r\n"));
    }

    #[test]
    fn the_reply_has_the_answers_credentials_and_the_first_lines_candidates() {
        let answer = "v=0\r\nm=audio 9 X 1\r\na=ice-ufrag:u1u1\r\na=ice-pwd:ppppp\r\na=mid:0\r\na=candidate:1 c\r\n\
                      m=video 9 X 2\r\na=ice-ufrag:u1u1\r\na=ice-pwd:ppppp\r\na=mid:1\r\na=candidate:1 c\r\n";
        assert_eq!(
            of_answer(answer).as_deref(),
            Some(
                "a=ice-lite\r\na=ice-ufrag:u1u1\r\na=ice-pwd:ppppp\r\nm=audio 9 X 1\r\na=mid:0\r\na=candidate:1 c\r\n\
                 a=end-of-candidates\r\n"
            )
        );
        assert_eq!(of_answer("v=0\r\n"), None);
        let refused = of_answer(&answer.replacen("v=0\r\n", "v=0\r\na=group:BUNDLE 1\r\n", 1)).unwrap();
        assert!(refused.contains("m=video") && !refused.contains("m=audio"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "(a=ice-(ufrag|pwd):[ -~é]{0,30}(\r\n|\n)|[ -~é]{0,9}\n){0,6}") {
            let _either = read(&body);
            let _either = of_answer(&body);
        }
    }
}
