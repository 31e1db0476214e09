//! Names on the bus: keys, prefixes of keys, subjects and patterns of subjects. The rules are those of NATS.

use crate::BusError;

/// Largest value of a key, and largest payload of a message, request or reply. NATS accepts 1 MiB including
/// headers; the rest is for those.
pub const MAX_BYTES: usize = 1_048_576 - HEADERS;

/// Bytes that the headers of a message may need.
const HEADERS: usize = 4096;
/// Longest name in bytes.
const MAX_NAME: usize = 1024;

/// A key or subject: tokens of letters, digits, `-`, `_`, `=` and `/`, with dots between them.
pub fn check_name(name: &str) -> Result<(), BusError> {
    if name.len() <= MAX_NAME && name.split('.').all(is_token) {
        Ok(())
    } else {
        Err(BusError::Name(name.to_owned()))
    }
}

/// A whole key, which means itself; or tokens with a final dot, which mean every key below; or "", which means
/// every key.
pub fn check_prefix(prefix: &str) -> Result<(), BusError> {
    match prefix {
        "" => Ok(()),
        _ => check_name(prefix.strip_suffix('.').unwrap_or(prefix)),
    }
}

/// A subject in which `*` means any one token, and a final `>` means one or more.
pub fn check_pattern(pattern: &str) -> Result<(), BusError> {
    let tokens = pattern.strip_suffix(".>").unwrap_or(pattern);
    let valid = pattern == ">" || tokens.split('.').all(|token| token == "*" || is_token(token));
    if valid && pattern.len() <= MAX_NAME {
        Ok(())
    } else {
        Err(BusError::Name(pattern.to_owned()))
    }
}

pub fn check_size(what: &str, bytes: usize) -> Result<(), BusError> {
    if bytes <= MAX_BYTES {
        Ok(())
    } else {
        Err(BusError::TooLarge {
            what: what.to_owned(),
            bytes,
        })
    }
}

pub fn is_pattern(pattern: &str) -> bool {
    pattern.split('.').any(|token| token == "*" || token == ">")
}

pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Every prefix that includes `key`, the key itself among them.
pub fn prefixes(key: &str) -> impl Iterator<Item = &str> {
    let dots = key.match_indices('.').map(|(at, _)| &key[..=at]);
    std::iter::once("").chain(dots).chain(std::iter::once(key))
}

/// Whether `prefix` includes `key`.
pub fn covers(prefix: &str, key: &str) -> bool {
    if prefix.is_empty() || prefix.ends_with('.') {
        key.len() > prefix.len() && key.starts_with(prefix)
    } else {
        key == prefix
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty()
        && token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_=/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_token_and_an_arrow_is_the_rest() {
        for (pattern, subject, is) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
        ] {
            assert_eq!(matches(pattern, subject), is, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_tokens() {
        assert!(covers("rooms.1.", "rooms.1.seats"));
        assert!(!covers("rooms.1.", "rooms.12.seats"));
        assert!(covers("mixes.1", "mixes.1"));
        assert!(!covers("mixes.1", "mixes.12"));
        assert_eq!(prefixes("a.b.c").collect::<Vec<_>>(), ["", "a.", "a.b.", "a.b.c"]);
    }

    #[test]
    fn names_that_nats_would_refuse_are_refused() {
        for wrong in ["", ".a", "a.", "a..b", "a b", "a.*", "ä", &"x".repeat(1025)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        assert!(check_prefix("").is_ok() && check_prefix("a.").is_ok() && check_prefix("a").is_ok());
        assert!(check_prefix(".").is_err());
        assert!(check_pattern("a.*.>").is_ok() && check_pattern(">").is_ok());
        assert!(check_pattern("a.>.b").is_err() && check_pattern("a*").is_err());
    }
}
