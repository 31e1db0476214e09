//! The values that the calls of both kinds of task have in common, and their checks. Pure, but for the pictures.

use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomId, RoomKey, RoomName, SdkAppId, UserId};
use rotunda_proto::mix::{Layout, PictureId};
use rotunda_proto::selection::{UserLists, UserPattern};
use rotunda_proto::user_sig::{self, UserSigError};
use url::Url;

use super::Checked;
use crate::api::ApiError;
use crate::api::mix::check::{application, invalid, missing, text_id};
use crate::api::pictures::Pictures;

/// Longest list of users.
const MOST_USERS: usize = 32;
/// Longest address of a picture, bytes.
const MAX_URL: usize = 512;
/// Shortest and longest `MaxIdleTime`, and without it, seconds.
const IDLE: std::ops::RangeInclusive<u64> = 5..=86_400;
const USUAL_IDLE: u64 = 30;

/// The application of the call, which must be that of the key.
pub fn own_application(caller: &Application, number: Option<u64>, absent: &'static str) -> Checked<SdkAppId> {
    let number = number.ok_or_else(|| missing(absent, "SdkAppId"))?;
    let app = application(Some(number))?;
    match caller.sdk_app_id == app {
        true => Ok(app),
        false => Err(invalid(
            "InvalidParameter.SdkAppId",
            "the key belongs to another application than SdkAppId",
        )),
    }
}

/// What a text is: a number, or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomType {
    Number,
    Name,
}

/// `name`: of the field. `code`: of a wrong value.
pub fn room(app: SdkAppId, text: &str, kind: RoomType, code: &'static str, name: &str) -> Checked<RoomKey> {
    let room = match kind {
        RoomType::Name => RoomId::Name(text_id::<RoomName>(text, code, name)?),
        RoomType::Number => {
            let number = text.parse::<u64>().ok().and_then(|number| number.try_into().ok());
            RoomId::Number(number.ok_or_else(|| {
                let text = rotunda_proto::ids::shortened(text);
                invalid(
                    code,
                    &format!("{name} must be a number from 1 to 4294967294 for this RoomIdType, not {text}"),
                )
            })?)
        }
    };
    Ok(RoomKey { app, room })
}

pub fn max_idle(seconds: Option<u64>, code: &'static str, name: &str) -> Checked<u32> {
    let seconds = seconds.unwrap_or(USUAL_IDLE);
    crate::api::mix::check::within(seconds, IDLE, code, name)?;
    Ok(seconds as u32)
}

/// The user of the task, by their `UserSig` if there is one.
pub fn robot(
    caller: &Application,
    user: &str,
    user_sig: Option<&str>,
    code: &'static str,
    name: &str,
) -> Checked<UserId> {
    let user: UserId = text_id(user, code, name)?;
    if let Some(sig) = user_sig {
        let now = Clock.unix();
        let verified = caller.verify(
            |key| user_sig::verify(sig, caller.sdk_app_id, key, &user, now),
            |error| *error == UserSigError::Signature,
        );
        verified.map_err(|error| {
            let message = format!("the UserSig of {user} is refused: {error}; sign one for this application and user");
            ApiError::new("AuthFailure", message)
        })?;
    }
    Ok(user)
}

/// `0xRRGGBB` or `#RRGGBB`.
pub fn colour(text: Option<&str>, prefix: &str, code: &'static str, name: &str) -> Checked<u32> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    let digits = text.strip_prefix(prefix).filter(|digits| digits.len() == 6);
    let colour = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    colour.ok_or_else(|| {
        let text = rotunda_proto::ids::shortened(text);
        invalid(code, &format!("{name} must be {prefix}RRGGBB, not {text}"))
    })
}

/// A list of users and of beginnings of names.
pub fn patterns(users: &[String], code: &'static str, name: &str) -> Checked<Vec<UserPattern>> {
    if users.len() > MOST_USERS {
        let message = format!("{name} must have at most {MOST_USERS} users, not {}", users.len());
        return Err(invalid(code, &message));
    }
    let parse = |(index, text): (usize, &String)| {
        text.parse::<UserPattern>().map_err(|error| {
            let text = rotunda_proto::ids::shortened(text);
            invalid(
                code,
                &format!("{name}.{index}: {text} {error}; write a user id, or user.*$"),
            )
        })
    };
    users.iter().enumerate().map(parse).collect()
}

/// An empty white list is everybody.
pub fn lists(only: Vec<UserPattern>, never: Vec<UserPattern>) -> UserLists {
    UserLists {
        only: (!only.is_empty()).then_some(only),
        never,
    }
}

/// Refuses a value of the contract that this server does not have.
pub fn only(value: Option<u64>, served: u64, name: &str) -> Checked<()> {
    match value {
        Some(value) if value != served => Err(ApiError::new(
            "UnsupportedOperation",
            format!("{name} {value} is not served here; write {served} or leave it out"),
        )),
        _ => Ok(()),
    }
}

/// A picture of a layout that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub place: Place,
    pub url: Url,
    /// The field.
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Background,
    Watermark,
    /// Of the cell of that index.
    Placeholder(usize),
}

/// In the place of an id until the picture has been fetched.
pub const NOT_FETCHED: PictureId = PictureId::new(0);

pub fn picture(place: Place, text: Option<&str>, code: &'static str, name: &str) -> Checked<Option<Fetch>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > MAX_URL {
        let message = format!("{name} must have at most {MAX_URL} bytes, not {}", text.len());
        return Err(invalid(code, &message));
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(Fetch {
            place,
            url,
            name: name.to_owned(),
        })),
        // The address may hold a secret.
        _ => Err(invalid(code, &format!("{name} must be an http or https address"))),
    }
}

/// A picture of a layout that cannot be had.
#[derive(Debug)]
pub struct NotFetched {
    pub url: Url,
    error: ApiError,
}

impl From<NotFetched> for ApiError {
    fn from(not: NotFetched) -> Self {
        not.error
    }
}

/// Fetches the pictures of a layout, each within some seconds.
pub async fn fetch(
    pictures: &Pictures,
    app: SdkAppId,
    layout: &mut Layout,
    wanted: Vec<Fetch>,
    code: &'static str,
) -> Result<(), NotFetched> {
    for Fetch { place, url, name } in wanted {
        let picture = pictures.fetched(app, url.clone(), code, &name).await;
        let picture = picture.map_err(|error| NotFetched { url, error })?;
        match place {
            Place::Background => layout.background = Some(picture),
            Place::Watermark => {
                if let Some(watermark) = &mut layout.watermark {
                    watermark.picture = picture;
                }
            }
            Place::Placeholder(index) => {
                if let Some(cell) = layout.cells.get_mut(index) {
                    cell.placeholder = Some(picture);
                }
            }
        }
    }
    Ok(())
}
