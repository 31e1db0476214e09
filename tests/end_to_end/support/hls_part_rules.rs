//! Rules of Low-Latency HLS (RFC 8216bis) for the parts in media playlists.

use super::hls_rules::read;

/// A part as a client reads it, and the number of its segment.
#[derive(Debug, Clone, PartialEq)]
struct ListedPart {
    uri: String,
    seconds: f64,
    segment: u64,
    /// The seconds of its segment, when that is complete.
    of: Option<f64>,
}

/// The violations of the rules for parts (RFC 8216bis, Low-Latency HLS) in a playlist, and in its change from the previous one.
pub fn part_violations(before: Option<&str>, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |right: bool, rule: &str| {
        if !right {
            found.push(rule.to_owned());
        }
    };
    let number = |text: &str, name: &str| -> Option<f64> {
        let (_, rest) = text.split_once(name)?;
        let end = rest.find([',', '\n']).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    let parts = parts(text);
    let Some(target) = number(text, "PART-TARGET=") else {
        check(parts.is_empty(), "4.4.3.7: parts need EXT-X-PART-INF");
        check(!text.contains("PRELOAD-HINT"), "a hint without parts");
        return found;
    };
    let hold_back = number(text, "PART-HOLD-BACK=");
    check(
        hold_back.is_some_and(|hold_back| hold_back >= 3.0 * target),
        "4.4.3.8: PART-HOLD-BACK is at least three times the part target",
    );
    for (at, part) in parts.iter().enumerate() {
        check(
            part.seconds <= target + 0.000_001,
            &format!(
                "4.4.4.9: {} lasts {} s, over the target of {target} s",
                part.uri, part.seconds
            ),
        );
        let is_last = parts.get(at + 1).is_none_or(|next| next.segment != part.segment);
        check(
            is_last || part.seconds >= 0.85 * target,
            &format!(
                "4.4.4.9: {} lasts {} s, less than 85 % of the target",
                part.uri, part.seconds
            ),
        );
        if let Some(of) = part.of
            && is_last
        {
            let own = parts.iter().filter(|other| other.segment == part.segment);
            let sum: f64 = own.map(|part| part.seconds).sum();
            check(
                (sum - of).abs() < 0.001,
                &format!(
                    "the parts of segment {} last {sum} s, and it lasts {of} s",
                    part.segment
                ),
            );
        }
    }
    let hint = |text: &str| {
        let (_, rest) = text.split_once("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"")?;
        rest.split('"').next().map(str::to_owned)
    };
    let now_hint = hint(text);
    check(
        now_hint.is_some() || text.contains("#EXT-X-ENDLIST"),
        "6.2.2: a playlist with parts hints at the next one",
    );
    check(
        parts.iter().all(|part| now_hint.as_ref() != Some(&part.uri)),
        "the hinted part is not there yet",
    );
    let Some(before) = before else { return found };
    for old in self::parts(before) {
        let same = parts.iter().find(|part| part.uri == old.uri);
        check(
            same.is_none_or(|same| (same.seconds, same.segment) == (old.seconds, old.segment)),
            &format!("6.2.1: part {} has changed", old.uri),
        );
    }
    // The hinted part comes, unless its segment ended before it: then the next segment has a first part.
    if let Some(hinted) = hint(before) {
        let is_there = parts.iter().any(|part| part.uri == hinted) || now_hint.as_ref() == Some(&hinted);
        let segment_ended = parts.iter().any(|part| part.of.is_some());
        check(
            is_there || segment_ended || text.contains("#EXT-X-ENDLIST"),
            &format!("6.2.2: the hinted part {hinted} does not come"),
        );
    }
    found
}

fn parts(text: &str) -> Vec<ListedPart> {
    let mut segment = read(text).media_sequence;
    let mut parts: Vec<ListedPart> = Vec::new();
    let mut seconds: Option<f64> = None;
    for line in text.lines() {
        if let Some(attributes) = line.strip_prefix("#EXT-X-PART:") {
            let value = |name: &str| {
                let found = attributes.split(',').find_map(|pair| pair.strip_prefix(name));
                found.unwrap_or_default().trim_matches('"').to_owned()
            };
            parts.push(ListedPart {
                uri: value("URI="),
                seconds: value("DURATION=").parse().unwrap_or(f64::NAN),
                segment,
                of: None,
            });
        } else if let Some(value) = line.strip_prefix("#EXTINF:") {
            seconds = value.trim_end_matches(',').parse().ok();
        } else if !line.starts_with('#') && !line.is_empty() {
            for part in parts.iter_mut().filter(|part| part.segment == segment) {
                part.of = seconds;
            }
            segment += 1;
        }
    }
    parts
}
