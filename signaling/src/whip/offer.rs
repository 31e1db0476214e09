//! Finds the purpose of each m-line of a WHIP or WHEP client's offer, before it goes to the SFU. Pure.

use std::borrow::Cow;

use rotunda_proto::sfu::Lines;
use thiserror::Error;

/// Why an offer does not fit the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OfferError {
    #[error("the body is not an SDP offer")]
    NotSdp,
    #[error("a media line has no a=mid (or a strange one); all must be in one BUNDLE group (RFC 9725 §4.4.1)")]
    NoMid,
    #[error("the offer sends nothing: it needs a sendonly audio or video line")]
    SendsNothing,
    #[error("the offer receives nothing: it needs a recvonly audio or video line")]
    ReceivesNothing,
    #[error("at most one audio line and two video lines (camera, screen) can be sent")]
    TooManyLines,
}

/// An offer with one direction for each m-line, and the purpose of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub sdp: String,
    pub lines: Lines,
}

/// A publisher's offer: the first audio line is the microphone, the first two video lines are the camera and the screen.
///
/// Lines that would also receive are made sendonly (RFC 9725 §4.2: the answer must be recvonly).
pub fn publishing(sdp: &str) -> Result<Offer, OfferError> {
    let mut lines = Lines::default();
    let sdp = with_directions(sdp, "a=sendonly", |kind, mid| {
        let place = match kind {
            Kind::Audio if lines.microphone.is_none() => &mut lines.microphone,
            Kind::Video if lines.camera.is_none() => &mut lines.camera,
            Kind::Video if lines.screen.is_none() => &mut lines.screen,
            _ => return Err(OfferError::TooManyLines),
        };
        *place = Some(mid);
        Ok(())
    })?;
    if lines == Lines::default() {
        return Err(OfferError::SendsNothing);
    }
    Ok(Offer { sdp, lines })
}

/// A viewer's offer: the first audio and the first video line carry the publisher; further ones stay empty.
pub fn watching(sdp: &str) -> Result<Offer, OfferError> {
    let mut lines = Lines::default();
    let sdp = with_directions(sdp, "a=recvonly", |kind, mid| {
        let place = match kind {
            Kind::Audio => &mut lines.audio,
            Kind::Video => &mut lines.video,
        };
        if place.is_empty() {
            place.push(mid);
        }
        Ok(())
    })?;
    if lines == Lines::default() {
        return Err(OfferError::ReceivesNothing);
    }
    Ok(Offer { sdp, lines })
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Audio,
    Video,
}

const DIRECTIONS: [&str; 4] = ["a=sendonly", "a=recvonly", "a=sendrecv", "a=inactive"];

/// Calls `take` with each audio and video line that has the wanted direction (or both), and limits those lines to that
/// direction.
fn with_directions(
    sdp: &str,
    wanted: &'static str,
    mut take: impl FnMut(Kind, String) -> Result<(), OfferError>,
) -> Result<String, OfferError> {
    let mut sections = sections(sdp)?.into_iter();
    let session = sections.next().unwrap_or_default();
    // RFC 8866 §6.7: the session's direction is that of lines that have none, and sendrecv the default of all.
    let default = direction(&session).unwrap_or("a=sendrecv");
    let mut out: Vec<Cow<'_, str>> = session.into_iter().map(Cow::Borrowed).collect();
    for mut section in sections {
        let kind = match section[0].get(2..).and_then(|media| media.split(' ').next()) {
            Some("audio") => Some(Kind::Audio),
            Some("video") => Some(Kind::Video),
            _ => None,
        };
        let goes = direction(&section).unwrap_or(default);
        if let Some(kind) = kind
            && (goes == wanted || goes == "a=sendrecv")
        {
            let mid = section.iter().find_map(|line| line.strip_prefix("a=mid:"));
            let is_token = |mid: &&str| !mid.is_empty() && mid.bytes().all(|byte| byte.is_ascii_graphic());
            take(kind, mid.filter(is_token).ok_or(OfferError::NoMid)?.to_owned())?;
            section.retain(|line| !DIRECTIONS.contains(line));
            section.push(wanted);
        }
        let unsaid = h264_without_parameters(&section);
        out.extend(section.into_iter().map(Cow::Borrowed));
        out.extend(unsaid.into_iter().map(Cow::Owned));
    }
    Ok(joined(&out))
}

/// The parameters to add to a line that offers H.264 without any.
///
/// By RFC 6184 §8.1 this is packetization mode 0 (single NAL units), which no client sends. Clients that offer it
/// (GStreamer by default) send and accept mode 1.
fn h264_without_parameters(section: &[&str]) -> Vec<String> {
    let types = section.iter().filter_map(|line| {
        let (number, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        codec.eq_ignore_ascii_case("H264/90000").then_some(number)
    });
    types
        .filter(|number| {
            let named =
                |line: &&str| line.strip_prefix("a=fmtp:").and_then(|rest| rest.split(' ').next()) == Some(number);
            !section.iter().any(named)
        })
        .map(|number| format!("a=fmtp:{number} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"))
        .collect()
}

/// The session part and each media section, as lines. There is at least one media section.
fn sections(sdp: &str) -> Result<Vec<Vec<&str>>, OfferError> {
    let mut sections: Vec<Vec<&str>> = vec![Vec::new()];
    for line in sdp.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.as_bytes().get(1) != Some(&b'=') {
            return Err(OfferError::NotSdp);
        }
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    let begins = sections[0].first() == Some(&"v=0");
    (begins && sections.len() > 1)
        .then_some(sections)
        .ok_or(OfferError::NotSdp)
}

fn direction<'a>(section: &[&'a str]) -> Option<&'a str> {
    section.iter().find(|line| DIRECTIONS.contains(line)).copied()
}

fn joined(lines: &[Cow<'_, str>]) -> String {
    let mut out = lines.join("\r\n");
    out.push_str("\r\n");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHROMIUM: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendrecv\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n";

    #[test]
    fn a_publishers_lines_are_taken_in_order_and_send_only() {
        let Offer { sdp, lines } = publishing(CHROMIUM).unwrap();
        assert_eq!(lines.microphone.as_deref(), Some("0"));
        assert_eq!(lines.camera.as_deref(), Some("1"));
        assert_eq!(lines.screen, None, "an inactive line is for nothing");
        assert!(!sdp.contains("sendrecv"), "{sdp}");
        assert_eq!(sdp.matches("a=sendonly").count(), 2);
    }

    #[test]
    fn a_second_video_line_is_the_screen_and_a_third_is_too_much() {
        let line = |mid| format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{mid}\r\na=sendonly\r\n");
        let two = format!("v=0\r\n{}{}", line(5), line(6));
        let lines = publishing(&two).unwrap().lines;
        assert_eq!(
            (lines.camera.as_deref(), lines.screen.as_deref()),
            (Some("5"), Some("6"))
        );
        assert_eq!(publishing(&format!("{two}{}", line(7))), Err(OfferError::TooManyLines));
    }

    #[test]
    fn a_viewers_first_lines_are_slots() {
        let offer = "v=0\na=recvonly\nm=video 9 X 96\na=mid:v\nm=audio 9 X 111\na=mid:a\nm=audio 9 X 111\na=mid:b\n";
        let lines = watching(offer).unwrap().lines;
        assert_eq!((lines.audio, lines.video), (vec!["a".to_owned()], vec!["v".to_owned()]));
        assert_eq!(publishing(offer), Err(OfferError::SendsNothing));
    }

    #[test]
    fn h264_without_parameters_is_taken_for_what_everybody_sends() {
        let offer = |fmtp: &str| {
            format!("v=0\r\nm=video 9 X 96 97\r\na=mid:v\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 VP8/90000\r\n{fmtp}")
        };
        let added = "\r\na=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";
        for given in [offer(""), offer("a=fmtp:97 max-fs=3600\r\n")] {
            for taken in [watching(&given).unwrap(), publishing(&given).unwrap()] {
                assert!(taken.sdp.contains(added), "{}", taken.sdp);
                assert!(!taken.sdp.contains("a=fmtp:97 level"), "{}", taken.sdp);
            }
        }
        let said = offer("a=fmtp:96 packetization-mode=0\r\n");
        assert!(!watching(&said).unwrap().sdp.contains("packetization-mode=1"));
    }

    #[test]
    fn a_body_that_is_no_offer_is_named() {
        assert_eq!(publishing("hello"), Err(OfferError::NotSdp));
        assert_eq!(publishing(""), Err(OfferError::NotSdp));
        assert_eq!(publishing("v=0\r\n"), Err(OfferError::NotSdp));
        assert_eq!(
            publishing("v=0\r\nm=audio 9 X 1\r\na=sendonly\r\n"),
            Err(OfferError::NoMid)
        );
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "(v=0\r\n)?([ma]=[ -~é]{0,12}(\r\n|\n)|m=|a=mid:[ -~]{0,2}\n){0,8}") {
            let _either = publishing(&body);
            let _either = watching(&body);
        }
    }
}
