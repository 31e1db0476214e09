//! Names, avatars and ring tones of users.

use rotunda_proto::call_signaling::{MAX_NICKNAME, MAX_URL, Profile};
use rotunda_proto::ids::UserId;
use rotunda_store::CallProfile;
use url::Url;

/// The profile as its user sees it (`own`), or as others do.
pub fn view(profile: CallProfile, own: bool) -> Option<Profile> {
    Some(Profile {
        user_id: profile.user_id.parse().ok()?,
        nickname: profile.nickname,
        avatar_url: profile.avatar_url,
        bell_url: own.then_some(profile.bell_url),
    })
}

/// The profile of a user who has none.
pub fn empty(user: &UserId) -> CallProfile {
    CallProfile {
        user_id: user.to_string(),
        ..CallProfile::default()
    }
}

/// A user's change of their profile.
#[derive(Debug)]
pub struct Change {
    pub nickname: Option<String>,
    pub avatar_url: Option<String>,
    pub bell_url: Option<String>,
}

impl Change {
    /// The profile after the change. Errors: what is wrong, for people.
    pub fn apply(self, before: CallProfile) -> Result<CallProfile, String> {
        Ok(CallProfile {
            user_id: before.user_id,
            nickname: self.nickname.map_or(Ok(before.nickname), nickname)?,
            avatar_url: self
                .avatar_url
                .map_or(Ok(before.avatar_url), |text| address("avatarUrl", text))?,
            bell_url: self
                .bell_url
                .map_or(Ok(before.bell_url), |text| address("bellUrl", text))?,
        })
    }
}

fn nickname(text: String) -> Result<String, String> {
    if text.chars().count() > MAX_NICKNAME || text.chars().any(char::is_control) {
        return Err(format!(
            "nickname must have at most {MAX_NICKNAME} characters, and no control characters"
        ));
    }
    Ok(text)
}

fn address(name: &str, text: String) -> Result<String, String> {
    let is_web = |url: Url| matches!(url.scheme(), "http" | "https");
    if text.is_empty() || (text.len() <= MAX_URL && Url::parse(&text).is_ok_and(is_web)) {
        return Ok(text);
    }
    Err(format!(
        "{name} must be an http or https address of at most {MAX_URL} bytes, or empty"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(nickname: Option<&str>, avatar_url: Option<&str>) -> Result<CallProfile, String> {
        let before = CallProfile {
            nickname: "Ann".to_owned(),
            bell_url: "https://example.com/bell.mp3".to_owned(),
            ..empty(&"ann".parse().unwrap())
        };
        let change = Change {
            nickname: nickname.map(str::to_owned),
            avatar_url: avatar_url.map(str::to_owned),
            bell_url: None,
        };
        change.apply(before)
    }

    #[test]
    fn what_is_not_named_stays_and_an_empty_text_removes() {
        let changed = change(None, Some("https://example.com/a.png")).unwrap();
        assert_eq!(
            (changed.nickname.as_str(), changed.bell_url.as_str()),
            ("Ann", "https://example.com/bell.mp3")
        );
        assert_eq!(change(Some(""), None).unwrap().nickname, "");
        assert_eq!(
            change(Some(&"安".repeat(64)), None).unwrap().nickname.chars().count(),
            64
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        for wrong in [
            "javascript:alert(1)",
            "data:image/png;base64,",
            "a.png",
            &format!("https://e/{}", "x".repeat(1024)),
        ] {
            assert!(
                change(None, Some(wrong)).unwrap_err().starts_with("avatarUrl must be"),
                "{wrong}"
            );
        }
        assert!(
            change(Some(&"x".repeat(65)), None)
                .unwrap_err()
                .starts_with("nickname must have")
        );
        assert!(change(Some("a\nb"), None).is_err());
    }
}
