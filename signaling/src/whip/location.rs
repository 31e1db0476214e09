//! The address of a session as the client must use it, also where a proxy serves this server below a path of its own. Pure.

/// The `Location` of the session at `path` (absolute, as this server sees it).
///
/// `public_url`: `server.public_url`, empty where it is not set. `prefix`: `X-Forwarded-Prefix` of a proxy that is trusted: the
/// part of the client's path that the proxy has taken away. Without both it is the path, which is right where no proxy changes it.
pub fn location(public_url: &str, prefix: Option<&str>, path: &str) -> String {
    if !public_url.is_empty() {
        return format!("{}{path}", public_url.trim_end_matches('/'));
    }
    match prefix.and_then(usable) {
        Some(prefix) => format!("{prefix}{path}"),
        None => path.to_owned(),
    }
}

/// A prefix that is a path and nothing else; `//host` would name another server.
fn usable(prefix: &str) -> Option<&str> {
    const LONGEST: usize = 256;
    let prefix = prefix.trim().trim_end_matches('/');
    let is_path = prefix.starts_with('/') && !prefix.starts_with("//") && prefix.len() <= LONGEST;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
    (is_path && prefix.bytes().all(fits)).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/whip/1001/0123";

    #[test]
    fn a_session_below_a_proxys_path_has_an_address_that_the_client_can_use() {
        assert_eq!(location("", None, PATH), PATH);
        assert_eq!(location("", Some("/rtc/"), PATH), "/rtc/whip/1001/0123");
        let url = "https://media.example.com/rtc";
        assert_eq!(
            location(url, Some("/other"), PATH),
            "https://media.example.com/rtc/whip/1001/0123"
        );
        assert_eq!(location(&format!("{url}/"), None, PATH), format!("{url}{PATH}"));
    }

    #[test]
    fn a_prefix_that_is_no_path_is_not_used() {
        for prefix in [
            "",
            "/",
            "rtc",
            "//evil.example",
            "https://evil.example",
            "/a b",
            "/a\"b",
            &"/x".repeat(200),
        ] {
            assert_eq!(location("", Some(prefix), PATH), PATH, "{prefix}");
        }
    }
}
