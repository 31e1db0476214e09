//! The address that a publisher writes: `rtmp://host/push/<room>?sdkappid=<id>&userid=<user>&usersig=<UserSig>`, as with Tencent's
//! RTMP service. `privatemapkey`, `streamid` and `recordid` may follow, which are those of `enterRoom`. Pure.

use std::fmt;
use std::str::FromStr;

use rotunda_proto::ids::{IdError, OwnStreamId, RecordId, RoomId, SdkAppId, UserId, shortened};
use thiserror::Error;
use url::form_urlencoded;

/// The application of RTMP, which is not that of the rooms.
const APP: &str = "push";
/// Longest value: a UserSig has a few hundred bytes.
const MOST_BYTES: usize = 4096;

/// The room, and the member who enters it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub app: SdkAppId,
    pub room: RoomId,
    pub user: UserId,
    pub user_sig: String,
    pub private_map_key: Option<String>,
    /// Live stream of the publisher's own media.
    pub stream_id: Option<OwnStreamId>,
    /// Name of the recording of the publisher's own media.
    pub record_id: Option<RecordId>,
}

/// Without the secrets.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}/{}", self.app, self.room, self.user)
    }
}

/// Why an address names no member.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("publishers write rtmp://host/push/<room>?sdkappid=..&userid=..&usersig=.., not the application {0}")]
    App(String),
    #[error("the address has no {0}; write rtmp://host/push/<room>?sdkappid=..&userid=..&usersig=..")]
    Missing(&'static str),
    #[error("{name} {value} {why}")]
    Invalid {
        name: &'static str,
        value: String,
        why: String,
    },
}

impl Address {
    /// `app_name` and `stream_key` as RTMP carries them. Errors: [`AddressError`].
    pub fn parse(app_name: &str, stream_key: &str) -> Result<Self, AddressError> {
        if app_name.trim_matches('/') != APP {
            return Err(AddressError::App(shortened(app_name)));
        }
        let (room, query) = stream_key.split_once('?').unwrap_or((stream_key, ""));
        let value = |name: &'static str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, value)| key == name && value.len() <= MOST_BYTES);
            found.map(|(_, value)| value.into_owned())
        };
        let needed = |name| value(name).ok_or(AddressError::Missing(name));
        let room = percent_decoded(room);
        if room.is_empty() {
            return Err(AddressError::Missing("room"));
        }
        let app = needed("sdkappid")?;
        let user = needed("userid")?;
        let user_sig = needed("usersig")?;
        Ok(Self {
            app: app
                .parse::<u32>()
                .ok()
                .and_then(|app| app.try_into().ok())
                .ok_or_else(|| invalid("sdkappid", &app, "is not the number of an application"))?,
            room: room.parse().map_err(|error| invalid("room", &room, error))?,
            user: user.parse().map_err(|error| invalid("userid", &user, error))?,
            user_sig,
            private_map_key: value("privatemapkey").filter(|key| !key.is_empty()),
            stream_id: optional("streamid", value("streamid"))?,
            record_id: optional("recordid", value("recordid"))?,
        })
    }
}

fn optional<T: FromStr<Err = IdError>>(name: &'static str, value: Option<String>) -> Result<Option<T>, AddressError> {
    let value = value.filter(|value| !value.is_empty());
    let parsed = value.map(|value| value.parse().map_err(|error| invalid(name, &value, error)));
    parsed.transpose()
}

fn invalid(name: &'static str, value: &str, why: impl fmt::Display) -> AddressError {
    AddressError::Invalid {
        name,
        value: shortened(value),
        why: why.to_string(),
    }
}

fn percent_decoded(text: &str) -> String {
    // A plus sign is one here.
    let text = text.replace('+', "%2B");
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs.next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_room_and_a_member() {
        let address = Address::parse("push", "1001?sdkappid=1400000001&userid=obs&usersig=eJw*-_").unwrap();
        assert_eq!(address.app.to_string(), "1400000001");
        assert_eq!(address.room, "1001".parse().unwrap());
        assert_eq!(address.user, "obs".parse().unwrap());
        assert_eq!(address.user_sig, "eJw*-_");
        assert_eq!(address.private_map_key, None);
        let more = "text%3A7?userid=ab&usersig=s&sdkappid=1&privatemapkey=k&recordid=r&x=y";
        let named = Address::parse("push/", more).unwrap();
        assert_eq!(named.private_map_key.as_deref(), Some("k"));
        assert_eq!(named.record_id, "r".parse().ok());
        assert_eq!(named.stream_id, None);
        assert_ne!(named.room, "7".parse().unwrap(), "a text room");
        assert!(!format!("{named:?}").contains("usersig"));
    }

    #[test]
    fn an_address_that_names_nobody_is_refused_by_the_missing_part() {
        let refusal = |app: &str, key: &str| Address::parse(app, key).unwrap_err().to_string();
        assert!(refusal("live", "1001").contains("rtmp://host/push/<room>"));
        assert!(refusal("push", "?sdkappid=1").contains("no room"));
        assert!(refusal("push", "1").contains("no sdkappid"));
        assert!(refusal("push", "1?sdkappid=1").contains("no userid"));
        assert!(refusal("push", "1?sdkappid=1&userid=a").contains("no usersig"));
        assert!(refusal("push", "1?sdkappid=x&userid=a&usersig=s").contains("sdkappid \"x\""));
        assert!(refusal("push", "1?sdkappid=1&userid=&usersig=s").contains("userid"));
    }
}
