//! Rules of RFC 8216 for media playlists, as one list for all code that makes playlists.

use std::collections::HashSet;

/// A segment as a client reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub uri: String,
    pub seconds: f64,
    pub map: Option<String>,
    pub discontinuity: bool,
}

/// A media playlist as a client reads it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    pub version: Option<u64>,
    pub target: Option<u64>,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    pub kind: Option<String>,
    pub ended: bool,
    pub segments: Vec<Listed>,
}

pub fn read(text: &str) -> Read {
    let mut read = Read::default();
    let (mut seconds, mut map, mut discontinuity) = (None, None, false);
    for line in text.lines() {
        let value = |tag: &str| line.strip_prefix(tag).map(str::to_owned);
        let number = |tag: &str| value(tag).and_then(|value| value.parse().ok());
        read.version = number("#EXT-X-VERSION:").or(read.version);
        read.target = number("#EXT-X-TARGETDURATION:").or(read.target);
        read.media_sequence = number("#EXT-X-MEDIA-SEQUENCE:").unwrap_or(read.media_sequence);
        read.discontinuity_sequence = number("#EXT-X-DISCONTINUITY-SEQUENCE:").unwrap_or(read.discontinuity_sequence);
        read.kind = value("#EXT-X-PLAYLIST-TYPE:").or(read.kind);
        read.ended |= line == "#EXT-X-ENDLIST";
        discontinuity |= line == "#EXT-X-DISCONTINUITY";
        map = value("#EXT-X-MAP:URI=")
            .map(|uri| uri.trim_matches('"').to_owned())
            .or(map);
        seconds = value("#EXTINF:")
            .and_then(|value| value.split(',').next()?.parse().ok())
            .or(seconds);
        if !line.starts_with('#') && !line.is_empty() {
            read.segments.push(Listed {
                uri: line.to_owned(),
                seconds: seconds.take().unwrap_or(f64::NAN),
                map: map.clone(),
                discontinuity: std::mem::take(&mut discontinuity),
            });
        }
    }
    read
}

/// The violations of the RFC in a playlist, and in its change from the previous one.
pub fn violations(before: Option<&str>, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |right: bool, rule: &str| {
        if !right {
            found.push(rule.to_owned());
        }
    };
    let now = read(text);
    check(text.starts_with("#EXTM3U\n"), "4.3.1.1: EXTM3U is the first line");
    check(
        now.version.is_some_and(|version| version >= 6),
        "7: EXT-X-MAP without I-frames-only needs version 6",
    );
    check(
        text.matches("#EXT-X-TARGETDURATION").count() == 1,
        "4.3.3.1: one EXT-X-TARGETDURATION",
    );
    let target = now.target.unwrap_or(0) as f64;
    for segment in &now.segments {
        check(
            segment.seconds.round() <= target,
            &format!(
                "4.3.3.1: {} lasts {} s, rounded over the target of {target} s",
                segment.uri, segment.seconds
            ),
        );
        check(segment.map.is_some(), "4.3.2.5: a segment of MP4 has an EXT-X-MAP");
    }
    let maps_change = now
        .segments
        .windows(2)
        .all(|pair| pair[0].map == pair[1].map || pair[1].discontinuity);
    check(maps_change, "4.3.2.3: another init segment is a discontinuity");
    for tag in ["#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE"] {
        let first = text.find("#EXTINF").unwrap_or(text.len());
        check(
            text.find(tag).is_none_or(|at| at < first),
            &format!("4.3.3: {tag} comes before the first segment"),
        );
    }
    let uris: HashSet<&str> = now.segments.iter().map(|segment| segment.uri.as_str()).collect();
    check(uris.len() == now.segments.len(), "no name appears twice");
    if now.kind.as_deref() == Some("VOD") {
        check(now.ended, "4.3.3.5: a VOD playlist has its end");
        check(now.media_sequence == 0, "a VOD playlist has its beginning");
    }
    if !now.ended && now.kind.is_none() && now.media_sequence > 0 && before.is_some() {
        let seconds: f64 = now.segments.iter().map(|segment| segment.seconds).sum();
        check(
            before.is_some_and(|before| read(before).media_sequence == now.media_sequence) || seconds >= 3.0 * target,
            "6.2.2: a segment is not removed when less than three target durations stay",
        );
    }
    let Some(before) = before.map(read) else { return found };
    check(
        before.target == now.target,
        "6.2.1: the target duration does not change",
    );
    check(
        now.media_sequence >= before.media_sequence,
        "6.2.2: the media sequence never goes back",
    );
    check(
        now.discontinuity_sequence >= before.discontinuity_sequence,
        "6.2.2: the discontinuity sequence never goes back",
    );
    let number = |read: &Read, at: usize| read.media_sequence + at as u64;
    for (at, old) in before.segments.iter().enumerate() {
        for (new_at, new) in now.segments.iter().enumerate() {
            let same_number = number(&before, at) == number(&now, new_at);
            let same = (&old.uri, old.seconds, &old.map) == (&new.uri, new.seconds, &new.map);
            check(
                !same_number || same,
                &format!("6.2.1: segment {} has changed", number(&now, new_at)),
            );
            check(
                same_number || old.uri != new.uri,
                &format!("6.2.1: the name {} is used again", new.uri),
            );
        }
    }
    let removed = now.media_sequence.saturating_sub(before.media_sequence) as usize;
    let gone = before
        .segments
        .iter()
        .skip(1)
        .take(removed)
        .filter(|segment| segment.discontinuity);
    check(
        now.discontinuity_sequence == before.discontinuity_sequence + gone.count() as u64,
        "6.2.2: each removed discontinuity is counted",
    );
    found
}
