//! Additions to the SDP answer that `str0m` makes.

use rotunda_proto::sfu::Lines;

use crate::wire::dependency;

/// All of it: the answer as the client gets it.
pub fn finish(answer: &str, offer: &str, lines: &Lines) -> String {
    let answer = candidates_in_bundle(answer);
    let answer = pair_slots(&answer, lines);
    stereo(&answer, offer)
}

/// Whether an offer has NACK for Opus (RFC 4585 §4.2). Browsers offer it only when an application adds it.
pub fn asks_for_audio_nack(offer: &str) -> bool {
    let mut types = opus_types(offer).chain(["*"]);
    types.any(|number| {
        offer
            .lines()
            .any(|line| line.trim_end() == format!("a=rtcp-fb:{number} nack"))
    })
}

/// Moves the candidates from a refused line, where clients may not look for them, into the first line of the bundle, whose transport
/// they are of (RFC 8843 §9). `str0m` writes them into the first line, refused or not.
fn candidates_in_bundle(answer: &str) -> String {
    let sections = split_sections(answer);
    let bundled = sections[0]
        .lines()
        .find_map(|line| line.strip_prefix("a=group:BUNDLE "));
    let tagged = bundled.and_then(|mids| mids.split(' ').next()).unwrap_or_default();
    let is_tagged = |section: &&str| section.lines().any(|line| line.strip_prefix("a=mid:") == Some(tagged));
    let is_transport = |line: &&str| line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates");
    let whole_bundle = sections.iter().position(is_tagged);
    let moved: String = match sections.get(1) {
        Some(first) if whole_bundle.is_some_and(|at| at > 1) => {
            first.split_inclusive("\r\n").filter(is_transport).collect()
        }
        _ => return answer.to_owned(),
    };
    let mut out = String::with_capacity(answer.len());
    for (at, section) in sections.into_iter().enumerate() {
        let kept = section
            .split_inclusive("\r\n")
            .filter(|line| at != 1 || !is_transport(line));
        out.extend(kept);
        if Some(at) == whole_bundle {
            out.push_str(&moved);
        }
    }
    out
}

/// Answers each line's wish for stereo (RFC 7587 §7.1), which `str0m` leaves out: a client that sends stereo, or wants to, is told
/// that this end prefers to receive it, and one that prefers to receive it is told that stereo may come. Browsers send mono
/// to a peer who does not say so.
fn stereo(answer: &str, offer: &str) -> String {
    let wishes: Vec<(&str, Wish)> = split_sections(offer)
        .into_iter()
        .filter_map(|section| Some((mid_of(section)?, Wish::of(section))))
        .collect();
    let mut out = String::with_capacity(answer.len());
    for section in split_sections(answer) {
        let wish = mid_of(section).and_then(|mid| wishes.iter().find(|(of, _)| *of == mid));
        let wish = wish.map(|(_, wish)| *wish).unwrap_or_default();
        let Some(opus) = opus_types(section).next().filter(|_| wish != Wish::default()) else {
            out.push_str(section);
            continue;
        };
        let direction = |name: &str| section.lines().any(|line| line == name);
        let (receives, sends) = (!direction("a=sendonly"), !direction("a=recvonly"));
        let mut said = Vec::new();
        if receives && (wish.sends || wish.prefers) {
            said.push("stereo=1");
        }
        if sends && wish.prefers {
            said.push("sprop-stereo=1");
        }
        let said = said.join(";");
        let (map, format) = (format!("a=rtpmap:{opus} "), format!("a=fmtp:{opus} "));
        let has_format = section.lines().any(|line| line.starts_with(&format));
        for line in section.split_inclusive("\r\n") {
            out.push_str(line);
            let is_place = line.starts_with(if has_format { &format } else { &map });
            if is_place && !said.is_empty() {
                if has_format {
                    out.truncate(out.trim_end().len());
                    out.push_str(&format!(";{said}\r\n"));
                } else {
                    out.push_str(&format!("{format}{said}\r\n"));
                }
            }
        }
    }
    out
}

/// The parameters of an offer's line about stereo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wish {
    /// `stereo=1`: the client prefers to receive it.
    prefers: bool,
    /// `sprop-stereo=1`: the client is likely to send it.
    sends: bool,
}

impl Wish {
    fn of(section: &str) -> Self {
        let formats = opus_types(section).flat_map(|number| {
            let prefix = format!("a=fmtp:{number} ");
            section
                .lines()
                .filter_map(move |line| line.trim_end().strip_prefix(&prefix))
        });
        let mut wish = Self::default();
        for parameter in formats.flat_map(|parameters| parameters.split(';')) {
            match parameter.trim().split_once('=') {
                Some(("stereo", "1")) => wish.prefers = true,
                Some(("sprop-stereo", "1")) => wish.sends = true,
                _ => {}
            }
        }
        wish
    }
}

/// The payload types of a line that are Opus.
fn opus_types(section: &str) -> impl Iterator<Item = &str> {
    section.lines().filter_map(|line| {
        let (number, codec) = line.trim_end().strip_prefix("a=rtpmap:")?.split_once(' ')?;
        codec.to_ascii_lowercase().starts_with("opus/").then_some(number)
    })
}

fn mid_of(section: &str) -> Option<&str> {
    section.lines().find_map(|line| line.trim_end().strip_prefix("a=mid:"))
}

/// Puts audio slot i and video slot i into one media stream, and accepts no dependency descriptor from senders of VP8.
///
/// Browsers play audio and video in sync only within one stream (`a=msid`, RFC 8830), and `str0m` gives every line its own.
/// With the descriptor, Chromium leaves picture id, TL0PICIDX and TID out of VP8's own descriptor, which viewers are given.
fn pair_slots(answer: &str, lines: &Lines) -> String {
    let slot_of = |mid: &str| {
        let at = |mids: &[String]| mids.iter().position(|slot| slot == mid);
        at(&lines.audio).or_else(|| at(&lines.video))
    };
    let sections = split_sections(answer);
    let mut out = String::with_capacity(answer.len());
    for section in sections {
        let slot = section
            .lines()
            .find_map(|line| line.strip_prefix("a=mid:"))
            .and_then(slot_of);
        let receives_vp8 = section.contains("\r\na=recvonly\r\n") && prefers_vp8(section);
        for line in section.split_inclusive("\r\n") {
            if receives_vp8 && line.starts_with("a=extmap:") && line.contains(dependency::URI) {
                continue;
            }
            match slot.and_then(|slot| with_stream(line, slot)) {
                Some(changed) => out.push_str(&changed),
                None => out.push_str(line),
            }
        }
    }
    out
}

/// Whether VP8 is the first of the line's codecs: the first one is sent (RFC 8829 §4.2.6).
fn prefers_vp8(section: &str) -> bool {
    let mut lines = section.lines();
    let first = lines.next().and_then(|media| media.split(' ').nth(3));
    first.is_some_and(|first| {
        let map = format!("a=rtpmap:{first} VP8/");
        lines.any(|line| line.starts_with(&map))
    })
}

/// The session part and each media section.
fn split_sections(sdp: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = vec![0];
    starts.extend(sdp.match_indices("\nm=").map(|(at, _)| at + 1));
    starts.push(sdp.len());
    starts.windows(2).map(|range| &sdp[range[0]..range[1]]).collect()
}

/// The line with its stream id replaced, if it names one.
fn with_stream(line: &str, slot: usize) -> Option<String> {
    let (before, after) = match line.strip_prefix("a=msid:") {
        Some(after) => ("a=msid:".to_owned(), after),
        None => {
            let (before, after) = line.strip_prefix("a=ssrc:")?.split_once(" msid:")?;
            (format!("a=ssrc:{before} msid:"), after)
        }
    };
    let (_, track) = after.split_once(' ')?;
    Some(format!("{before}slot-{slot} {track}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_a_refused_first_line_are_in_the_bundles_first_one() {
        let candidates = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
        let answer = |group: &str, first: &str, second: &str| {
            let lines = [("0", first), ("1", second)];
            let lines = lines.map(|(mid, more)| format!("m=video 9 X 96\r\na=mid:{mid}\r\n{more}"));
            format!("v=0\r\na=group:BUNDLE {group}\r\n{}", lines.concat())
        };
        let refused = answer("1", candidates, "");
        assert_eq!(candidates_in_bundle(&refused), answer("1", "", candidates));
        let taken = answer("0 1", candidates, "");
        assert_eq!(candidates_in_bundle(&taken), taken);
    }

    fn audio(mid: u8, format: &str, direction: &str) -> String {
        format!(
            "m=audio 9 X 111 0\r\na=mid:{mid}\r\na={direction}\r\na=rtpmap:111 opus/48000/2\r\n{format}a=rtpmap:0 PCMU/8000\r\n"
        )
    }

    #[test]
    fn stereo_is_answered_line_by_line_as_it_is_asked_for() {
        let plain = "a=fmtp:111 minptime=10;useinbandfec=1\r\n";
        let with = |more: &str| format!("a=fmtp:111 minptime=10;useinbandfec=1{more}\r\n");
        let answered = |wish: &str, direction: &str| {
            let (theirs, ours) = match direction {
                "recvonly" => ("sendonly", "recvonly"),
                "sendonly" => ("recvonly", "sendonly"),
                both => (both, both),
            };
            let offer = ["v=0\r\n", &audio(0, &with(wish), theirs), &audio(1, plain, theirs)].concat();
            let answer = ["v=0\r\n", &audio(0, plain, ours), &audio(1, plain, ours)].concat();
            let finished = stereo(&answer, &offer);
            assert!(
                finished.ends_with(&audio(1, plain, ours)),
                "the other line is left alone: {finished}"
            );
            let changed = split_sections(&finished)[1]
                .lines()
                .find(|line| line.starts_with("a=fmtp:"));
            changed.unwrap().strip_prefix(plain.trim_end()).unwrap().to_owned()
        };
        assert_eq!(answered("", "recvonly"), "");
        assert_eq!(answered(";stereo=0", "recvonly"), "");
        assert_eq!(answered(";stereo=1", "recvonly"), ";stereo=1");
        assert_eq!(
            answered("; sprop-stereo=1", "recvonly"),
            ";stereo=1",
            "a sender that says so is asked for it"
        );
        assert_eq!(answered(";stereo=1", "sendonly"), ";sprop-stereo=1");
        assert_eq!(
            answered(";sprop-stereo=1", "sendonly"),
            "",
            "a viewer who would send stereo does not send"
        );
        assert_eq!(
            answered(";stereo=1;sprop-stereo=1", "sendrecv"),
            ";stereo=1;sprop-stereo=1"
        );
    }

    #[test]
    fn an_answer_without_parameters_of_opus_gets_them() {
        let offer = format!("v=0\r\n{}", audio(0, "a=fmtp:111 stereo=1\r\n", "sendonly"));
        let answer = format!("v=0\r\n{}", audio(0, "", "recvonly"));
        let expected = format!("v=0\r\n{}", audio(0, "a=fmtp:111 stereo=1\r\n", "recvonly"));
        assert_eq!(stereo(&answer, &offer), expected);
    }

    #[test]
    fn the_dependency_descriptor_is_taken_from_all_but_senders_of_vp8() {
        let uri = dependency::URI;
        let line = |codec: &str, direction: &str| {
            format!("m=video 9 X 96 98\r\na=mid:1\r\na=extmap:12 {uri}\r\na=rtpmap:96 {codec}/90000\r\n{direction}\r\n")
        };
        let takes = |codec, direction| {
            pair_slots(&format!("v=0\r\n{}", line(codec, direction)), &Lines::default()).contains(uri)
        };
        assert!(!takes("VP8", "a=recvonly"));
        assert!(takes("VP8", "a=sendonly"), "a slot, which may show AV1");
        assert!(takes("AV1", "a=recvonly"));
    }

    #[test]
    fn audio_and_video_slots_of_one_number_share_a_stream_and_other_lines_keep_theirs() {
        let answer = "v=0\r\nm=audio 9 X 1\r\na=mid:3\r\na=msid:abc t1\r\na=ssrc:5 msid:abc t1\r\n\
                      m=video 9 X 2\r\na=mid:7\r\na=msid:def t2\r\nm=audio 9 X 1\r\na=mid:0\r\na=msid:ghi t3\r\n";
        let lines = Lines {
            audio: vec!["3".into()],
            video: vec!["7".into()],
            ..Lines::default()
        };
        let paired = pair_slots(answer, &lines);
        assert_eq!(
            paired,
            "v=0\r\nm=audio 9 X 1\r\na=mid:3\r\na=msid:slot-0 t1\r\na=ssrc:5 msid:slot-0 t1\r\n\
             m=video 9 X 2\r\na=mid:7\r\na=msid:slot-0 t2\r\nm=audio 9 X 1\r\na=mid:0\r\na=msid:ghi t3\r\n"
        );
    }
}
