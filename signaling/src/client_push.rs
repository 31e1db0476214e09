//! The push of a member's own media, or of their mix, to another server (`startPublishCdnStream`): its check and its start.

use rotunda_proto::config::Application;
use rotunda_proto::ids::TaskId;
use rotunda_proto::push_address::PushAddress;
use rotunda_proto::signaling::{ErrorBody, ErrorCode};

use crate::api::media_tasks::of_member::{self, AskedByMember};
use crate::api::{ApiError, outbound};
use crate::member::failure;
use crate::shared::Shared;

/// Begins the push in place of an earlier one of the same source; one to this address goes on.
///
/// Errors: [`ErrorCode::PushRefused`] where the application does not permit it, or as many pushes run as may; [`ErrorCode::BadPush`] for
/// a wrong address, or an address in a network that is refused. No message repeats the address, which has a key in it.
pub async fn start(shared: &Shared, asked: AskedByMember<'_>) -> Result<TaskId, ErrorBody> {
    let applications = shared.applications();
    let process = &shared.config.process;
    let application = applications.by_id(asked.room.app);
    let address = check(application, asked.url, &process.public_names)?;
    if let Some(refused) = outbound::refused(&process.outbound, address.host(), address.port()).await {
        return Err(bad(format!("url: {refused}")));
    }
    of_member::begin(shared, asked).await.map_err(explain)
}

/// `own_names`: names of this server.
fn check(application: Option<&Application>, url: &str, own_names: &[String]) -> Result<PushAddress, ErrorBody> {
    if !application.is_some_and(|application| application.members_may_push) {
        let message = "the application does not let its members push to other servers; the operator permits it by MembersMayPush \
                       (members_may_push), or the application's server pushes by StartPublishCdnStream";
        return Err(refused(message.to_owned()));
    }
    let address: PushAddress = url.parse().map_err(|error| bad(format!("url {error}")))?;
    let host = address.host().to_string();
    let is_own = |own: &String| own.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(&host));
    match own_names.iter().any(is_own) {
        true => Err(bad(format!(
            "url: {host} is this server; enter the room with streamId, and the stream is on the air here"
        ))),
        false => Ok(address),
    }
}

fn bad(message: String) -> ErrorBody {
    ErrorBody {
        message,
        ..failure(ErrorCode::BadPush)
    }
}

fn refused(message: String) -> ErrorBody {
    ErrorBody {
        message,
        ..failure(ErrorCode::PushRefused)
    }
}

/// The API's error in the words of the client protocol.
fn explain(error: ApiError) -> ErrorBody {
    match error.code.starts_with("FailedOperation") {
        true => refused(error.message),
        false => failure(ErrorCode::Internal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(members_may_push: bool) -> Application {
        Application {
            members_may_push,
            ..Application::new(1.try_into().unwrap(), "key")
        }
    }

    fn checked(url: &str) -> Result<String, (ErrorCode, String)> {
        let own = ["live.example.com:443".to_owned()];
        let address = check(Some(&application(true)), url, &own);
        let host = address.map(|address| address.host().to_string());
        host.map_err(|error| (error.code, error.message))
    }

    #[test]
    fn an_application_must_permit_pushes() {
        let url = "rtmp://cdn.example.com/live/key";
        for unpermitted in [None, Some(&application(false))] {
            let error = check(unpermitted, url, &[]).unwrap_err();
            assert_eq!(error.code, ErrorCode::PushRefused);
            assert!(error.message.contains("MembersMayPush"), "{}", error.message);
        }
        let permitted = checked(url);
        assert_eq!(permitted.as_deref(), Ok("cdn.example.com"));
    }

    #[test]
    fn a_wrong_field_is_named_and_no_message_has_the_key() {
        for (url, begins) in [
            ("http://a.example/live/secret", "url must begin with rtmp://"),
            ("rtmp://a.example/secret", "url has no"),
            (
                "rtmp://LIVE.example.com/live/secret",
                "url: live.example.com is this server",
            ),
        ] {
            let (code, message) = checked(url).unwrap_err();
            assert_eq!(code, ErrorCode::BadPush);
            assert!(message.to_lowercase().starts_with(begins), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
