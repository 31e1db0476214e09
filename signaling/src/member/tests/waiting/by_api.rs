//! The waiting room by the server API. In real time, because the store has threads of its own; each test waits for states.

use rotunda_proto::config::Application;
use rotunda_store::RestrictionKind;
use serde_json::{Value, json};

use super::*;
use crate::api::ApiError;
use crate::api::own;
use crate::api::request::whole;
use crate::api::tencent::fields::Fields;
use crate::restrictions;

fn caller() -> Application {
    Application {
        secret_id: "key".to_owned(),
        ..Application::new(room().app, "")
    }
}

async fn set(shared: &Shared, request: Value) -> Result<(), ApiError> {
    own::set_waiting_room(shared, &caller(), whole(Fields::of(&request))?).await
}

async fn list(shared: &Shared) -> Value {
    let request = json!({ "Room": "1001" });
    let request = whole(Fields::of(&request)).unwrap();
    let listed = own::list_waiting_users(shared, &caller(), request).await.unwrap();
    serde_json::to_value(listed).unwrap()
}

async fn answer(shared: &Shared, request: Value) -> Result<u64, ApiError> {
    let answered = own::answer_waiting_users(shared, &caller(), whole(Fields::of(&request))?).await?;
    Ok(answered.count)
}

#[tokio::test]
async fn the_api_admits_to_a_room_in_which_nobody_is_yet() {
    let (one, two) = crate::member::tests::restrictions::two_nodes().await;
    set(&one, json!({ "Room": "1001", "Required": true })).await.unwrap();
    let mut ann = Guest::log_in(&one, "ann").await;
    assert_eq!(ann.enter(None).await, Err(ErrorCode::AdmissionRequired));
    assert_eq!(ann.knock().await, Ok(Admission::Waiting));
    let listed = list(&two).await;
    assert_eq!(
        (&listed["Total"], &listed["Users"][0]["UserId"]),
        (&json!(1), &json!("ann"))
    );
    let admit = json!({ "Room": "1001", "Admit": true, "UserIds": ["ann", "bob"] });
    assert_eq!(answer(&two, admit).await.unwrap(), 1);
    let pass = ann.pass().await;
    ann.enter(Some(pass)).await.unwrap();
    assert_eq!(list(&one).await, json!({ "Required": true, "Users": [], "Total": 0 }));

    // Ann moderates, and cannot end what the application requires.
    let mut cat = Guest::log_in(&one, "cat").await;
    cat.knock().await.unwrap();
    ann.set_waiting_room(true).await.unwrap();
    ann.set_waiting_room(false).await.unwrap();
    assert_eq!(list(&one).await["Total"], 1, "cat still waits");
    assert_eq!(
        answer(&one, json!({ "Room": "1001", "Admit": false })).await.unwrap(),
        1
    );
    assert_eq!(cat.admission().await, Admission::Refused);
}

#[tokio::test]
async fn when_the_api_ends_it_everybody_is_admitted_also_by_a_lifted_restriction() {
    let (one, two) = crate::member::tests::restrictions::two_nodes().await;
    for lift in [false, true] {
        set(&one, json!({ "Room": "1001", "Required": true, "Seconds": 600 }))
            .await
            .unwrap();
        let mut ann = Guest::log_in(&one, "ann").await;
        ann.knock().await.unwrap();
        if lift {
            let lifted = restrictions::lift(&two, &room(), None, RestrictionKind::Admission).await;
            assert!(lifted.unwrap());
        } else {
            set(&two, json!({ "Room": "1001", "Required": false })).await.unwrap();
        }
        let pass = ann.pass().await;
        ann.enter(Some(pass)).await.unwrap();
        ann.ask(Request::ExitRoom {}).await.unwrap();
    }
}

#[tokio::test]
async fn a_removed_member_needs_admission_again() {
    let (one, _two) = crate::member::tests::restrictions::two_nodes().await;
    let mut ann = ann_moderates(&one).await;
    let mut bob = Guest::log_in(&one, "bob").await;
    bob.knock().await.unwrap();
    ann.answer(true, None).await.unwrap();
    let admitted = bob.pass().await;
    let pass = bob.enter(Some(admitted)).await.unwrap();
    let bobs = Removed::Users(vec!["bob".parse().unwrap()]);
    crate::api::moderation::remove(&one, room(), bobs, "key").await.unwrap();
    bob.member.closed().await;
    let user = "bob".parse().unwrap();
    let lifted = restrictions::lift(&one, &room(), Some(&user), RestrictionKind::Entry).await;
    assert!(lifted.unwrap());
    let mut bob = Guest::log_in(&one, "bob").await;
    assert_eq!(bob.enter(Some(pass)).await, Err(ErrorCode::AdmissionRequired));
    bob.knock().await.unwrap();
    ann.answer(true, None).await.unwrap();
    let admitted = bob.pass().await;
    bob.enter(Some(admitted)).await.unwrap();
}

#[tokio::test]
async fn wrong_requests_name_their_field() {
    let (one, _) = crate::member::tests::restrictions::two_nodes().await;
    for (request, code) in [
        (json!({ "Required": true }), "MissingParameter.RoomId"),
        (json!({ "Room": "1001" }), "MissingParameter"),
        (
            json!({ "Room": "1001", "Required": true, "Seconds": 0 }),
            "InvalidParameter",
        ),
        (
            json!({ "Room": "a/b", "Required": true }),
            "InvalidParameterValue.RoomId",
        ),
    ] {
        assert_eq!(set(&one, request.clone()).await.unwrap_err().code, code, "{request}");
    }
    let many: Vec<String> = (0..101).map(|number| format!("user{number}")).collect();
    for (request, code) in [
        (json!({ "Room": "1001" }), "MissingParameter"),
        (
            json!({ "Room": "1001", "Admit": true, "UserIds": ["no spaces"] }),
            "InvalidParameter.UserIds",
        ),
        (
            json!({ "Room": "1001", "Admit": true, "UserIds": many }),
            "InvalidParameter.UserIds",
        ),
    ] {
        assert_eq!(answer(&one, request.clone()).await.unwrap_err().code, code, "{request}");
    }
}
