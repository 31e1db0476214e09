use std::sync::Arc;

use rotunda_proto::bus::{InProcess, SharedBus};
use rotunda_proto::config::{Application, Microphones, Secret};
use sqlx::any::AnyPoolOptions;

use super::*;
use crate::config::Config;

/// A node with one application and one room, 1001, in which the SFU knows ann alone.
async fn shared() -> Shared {
    sqlx::any::install_default_drivers();
    let db = AnyPoolOptions::new().connect_lazy("sqlite::memory:").unwrap();
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application {
        sdk_app_id: 7.try_into().unwrap(),
        secret_key: Secret::new("key"),
        secret_id: "AKID".into(),
        api_secret: Secret::new("secret"),
        callback_url: None,
        callback_key: Secret::default(),
        max_microphones: Microphones::default(),
        requires_private_map_key: false,
    };
    let room = RoomKey {
        app: application.sdk_app_id,
        room: "1001".parse().unwrap(),
    };
    let info = RoomInfo {
        room: room.clone(),
        sfu: "node-2".parse().unwrap(),
        created_unix_ms: 0,
    };
    bus.store(&info_key(&room), &info, None).await.unwrap();
    let mut commands = bus.serve(&sfu::control_subject(&info.sfu)).await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = commands.recv().await {
            let reply = match request.parse().unwrap() {
                Command::Statistics { room: of, user } if of == room && user.as_str() == "ann" => {
                    let mut statistics = Box::new(Statistics::default());
                    statistics.downlink_wanted = 42;
                    sfu::Reply::Statistics { statistics }
                }
                _ => sfu::Reply::Refused {
                    error: sfu::ControlError::NoSuchSession,
                },
            };
            request.answer(&reply);
        }
    });
    Shared::new(Config::default(), "node-1".parse().unwrap(), bus, vec![application], db)
}

async fn ask(keys: Option<&str>, room: &str, user: &str) -> Result<Statistics, (StatusCode, &'static str)> {
    let mut headers = HeaderMap::new();
    if let Some(keys) = keys {
        let value = format!("Bearer {keys}").parse().unwrap();
        headers.insert(header::AUTHORIZATION, value);
    }
    let path = Path((room.to_owned(), user.to_owned()));
    match member(State(shared().await), path, headers).await {
        Ok(Json(statistics)) => Ok(statistics),
        Err(failure) => {
            let code = failure.0.code;
            Err((failure.into_response().status(), code))
        }
    }
}

#[tokio::test]
async fn an_operator_with_the_application_s_key_is_given_a_member_s_statistics() {
    let statistics = ask(Some("AKID:secret"), "1001", "ann").await.unwrap();
    assert_eq!(statistics.downlink_wanted, 42);
}

#[tokio::test]
async fn without_the_right_key_nothing_is_told() {
    let unauthorized = |code| Err((StatusCode::UNAUTHORIZED, code));
    assert_eq!(
        ask(None, "1001", "ann").await,
        unauthorized("AuthFailure.InvalidAuthorization")
    );
    assert_eq!(
        ask(Some("AKID:wrong"), "1001", "ann").await,
        unauthorized("AuthFailure.SignatureFailure")
    );
    assert_eq!(
        ask(Some("other:secret"), "1001", "ann").await,
        unauthorized("AuthFailure.SecretIdNotFound")
    );
}

#[tokio::test]
async fn a_room_and_a_member_that_are_not_there_have_names_of_their_own() {
    let missing = |code| Err((StatusCode::NOT_FOUND, code));
    let keys = Some("AKID:secret");
    assert_eq!(ask(keys, "1002", "ann").await, missing("FailedOperation.RoomNotExist"));
    assert_eq!(ask(keys, "1001", "bob").await, missing("FailedOperation.UserNotExist"));
    let bad = ask(keys, "1001", &"x".repeat(200)).await;
    assert_eq!(bad, Err((StatusCode::BAD_REQUEST, "InvalidParameterValue.UserId")));
}
