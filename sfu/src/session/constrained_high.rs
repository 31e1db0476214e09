//! H.264 Constrained High is High.
//!
//! Constrained High (`profile-level-id=640c..`) is High without interlacing and B slices (H.264 A.2.4.2), which WebRTC encoders
//! never use. Safari and many hardware encoders offer it alone. `str0m` takes it for another profile, so it is shown High, and the
//! answer names the offered profile again: clients refuse an answer with another one (RFC 6184 §8.2.2).

use std::collections::BTreeSet;

const PROFILE: &str = "profile-level-id=";
const HIGH: &str = "6400";
const CONSTRAINED_HIGH: &str = "640c";

/// An offer in which Constrained High is called High.
pub struct AsHigh {
    pub offer: String,
    /// Payload types that were offered as Constrained High.
    renamed: BTreeSet<String>,
}

impl AsHigh {
    /// An offer that has High, too, is left as it is: of two payload types with the same profile one would be lost.
    pub fn new(offer: &str) -> Self {
        let has_high = offer.lines().any(|line| renamed(line, HIGH, HIGH).is_some());
        let mut payload_types = BTreeSet::new();
        let mut rename = |line: &str| {
            let (payload_type, line) = renamed(line, CONSTRAINED_HIGH, HIGH)?;
            payload_types.insert(payload_type);
            Some(line)
        };
        let offer = match has_high {
            true => offer.to_owned(),
            false => each_line(offer, &mut rename),
        };
        Self {
            offer,
            renamed: payload_types,
        }
    }

    /// The answer to [`Self::offer`], with the profiles of the first offer.
    pub fn answer(&self, answer: &str) -> String {
        each_line(answer, &mut |line| {
            let (payload_type, line) = renamed(line, HIGH, CONSTRAINED_HIGH)?;
            self.renamed.contains(&payload_type).then_some(line)
        })
    }
}

fn each_line(sdp: &str, change: &mut dyn FnMut(&str) -> Option<String>) -> String {
    let lines = sdp.split_inclusive('\n');
    lines
        .map(|line| change(line).unwrap_or_else(|| line.to_owned()))
        .collect()
}

/// A line `a=fmtp` whose profile begins with `from`: its payload type, and the line with `to`.
fn renamed(line: &str, from: &str, to: &str) -> Option<(String, String)> {
    let (payload_type, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
    let at = parameters.find(PROFILE)? + PROFILE.len();
    let profile = parameters.get(at..at + from.len())?;
    profile.eq_ignore_ascii_case(from).then(|| {
        let rest = &parameters[at + from.len()..];
        let changed = format!("a=fmtp:{payload_type} {}{to}{rest}", &parameters[..at]);
        (payload_type.to_owned(), changed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(payload_type: u8, profile: &str) -> String {
        format!("a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}\r\n")
    }

    #[test]
    fn constrained_high_is_shown_as_high_and_answered_as_it_was_offered() {
        let offer = format!("v=0\r\n{}{}", line(96, "640C1f"), line(97, "42e01f"));
        let shown = AsHigh::new(&offer);
        assert_eq!(
            shown.offer,
            format!("v=0\r\n{}{}", line(96, "64001f"), line(97, "42e01f"))
        );
        let answer = format!("v=0\r\n{}", line(96, "64001f"));
        assert_eq!(shown.answer(&answer), format!("v=0\r\n{}", line(96, "640c1f")));
    }

    #[test]
    fn an_offer_with_high_stays_as_it_is() {
        let offer = format!("v=0\r\n{}{}", line(96, "640c1f"), line(98, "640028"));
        let shown = AsHigh::new(&offer);
        assert_eq!(shown.offer, offer);
        assert_eq!(shown.answer(&line(98, "64001f")), line(98, "64001f"));
    }
}
