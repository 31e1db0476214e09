//! Over HTTP, and the description against the table of actions.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_proto::applications::{ApplicationSet, Scopes};
use rotunda_proto::config::{Application, Secret};
use rotunda_store::Store;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::api::action::TABLE;
use crate::api::mix::Mixes;
use crate::api::pictures::Pictures;
use crate::config::Config;
use crate::shared::Shared;

/// Answers the node's address. The key `AKID:secret` opens everything, `USAGE:secret` the usage alone.
async fn start() -> String {
    let bus: SharedBus = Arc::new(InProcess::new());
    let application = Application {
        secret_id: "AKID".into(),
        api_secret: Secret::new("secret"),
        ..Application::new(7.try_into().unwrap(), "key")
    };
    let with_usage = Application {
        secret_id: "USAGE".into(),
        scopes: Scopes::Some([Scope::Usage].into()),
        ..application.clone()
    };
    let node = ClusterNode::alone(bus, "node-1".parse().unwrap());
    let store = Store::in_memory().await.unwrap();
    let shared = Shared::for_test(Config::default(), node, Vec::new(), store);
    let all = ApplicationSet::new(vec![application], vec![with_usage]);
    shared.application_list.replace(all);
    let pictures = Arc::new(Pictures::new(&shared).unwrap());
    let mixes = Arc::new(Mixes::new(shared.clone(), pictures.clone()));
    let routes = router(Actions::new(shared, mixes, pictures), None);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn call(url: &str, key: &str, action: &str, body: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{url}/v1/{action}"));
    let request = request
        .header("authorization", format!("Bearer {key}"))
        .body(body.to_owned());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_action_is_called_with_a_json_object() {
    let url = start().await;
    let days = json!({ "StartTime": "2026-01-01", "EndTime": "2026-01-02" }).to_string();
    let (status, answer) = call(&url, "AKID:secret", "DescribeRecordStatistic", &days).await;
    assert_eq!((status, &answer["SdkAppIdUsages"][0]["SdkAppId"]), (200, &json!("7")));
    assert!(answer["RequestId"].is_string());
    let (status, answer) = call(&url, "AKID:secret", "SearchMedia", "").await;
    assert_eq!((status, &answer["TotalCount"]), (200, &json!(0)));
}

#[tokio::test]
async fn usage_is_csv_by_its_address_or_by_what_the_caller_accepts() {
    let url = start().await;
    let days = json!({ "StartTime": "2026-01-01", "EndTime": "2026-01-02" }).to_string();
    let post = async |action: &str, accept: &str| {
        let request = reqwest::Client::new().post(format!("{url}/v1/{action}"));
        let request = request
            .header("authorization", "Bearer AKID:secret")
            .header("accept", accept);
        let answer = request.body(days.clone()).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    };
    for (action, accept) in [("DescribeUsage.csv", "*/*"), ("DescribeUsage", "text/csv")] {
        let (status, kind, text) = post(action, accept).await;
        assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
        assert!(text.starts_with("Day,Measure,Amount\r\n"), "{text}");
    }
    assert_eq!(post("DescribeUsage", "*/*").await.1, "application/json");
    assert_eq!(post("ListRooms.csv", "*/*").await.0, 404);
}

#[tokio::test]
async fn errors_have_a_status_and_a_code() {
    let url = start().await;
    for (key, action, body, status, wanted) in [
        ("AKID:secret", "Nothing", "{}", 404, "InvalidAction"),
        ("AKID:secret", "DescribeTrtcUsage", "{}", 400, "UnsupportedOperation"),
        ("AKID:secret", "DescribeRealtimeScale", "{}", 410, "ActionOffline"),
        ("AKID:wrong", "SearchMedia", "{}", 401, "AuthFailure.SignatureFailure"),
        (
            "NOBODY:secret",
            "SearchMedia",
            "{}",
            401,
            "AuthFailure.SecretIdNotFound",
        ),
        ("USAGE:secret", "SearchMedia", "{}", 403, "UnauthorizedOperation.Scope"),
        ("AKID:secret", "SearchMedia", "[]", 400, "InvalidRequest"),
        ("AKID:secret", "SearchMedia", "{", 400, "InvalidRequest"),
        (
            "AKID:secret",
            "SearchMedia",
            r#"{"Nothing":1}"#,
            400,
            "UnknownParameter",
        ),
        (
            "AKID:secret",
            "SearchMedia",
            r#"{"Limit":"x"}"#,
            400,
            "InvalidParameterValue.Limit",
        ),
        (
            "AKID:secret",
            "DismissRoom",
            r#"{"SdkAppId":7}"#,
            400,
            "MissingParameter.RoomId",
        ),
        (
            "AKID:secret",
            "DismissRoom",
            r#"{"SdkAppId":7,"RoomId":5}"#,
            404,
            "FailedOperation.RoomNotExist",
        ),
    ] {
        let (got, answer) = call(&url, key, action, body).await;
        assert_eq!((got, code(&answer)), (status, wanted), "{action} {body}");
    }
    let (status, _) = call(&url, "USAGE:secret", "DescribeRecordStatistic", "{}").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_description_and_the_page_need_no_key() {
    let url = start().await;
    let document: Value = reqwest::get(format!("{url}/openapi.json"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let page = reqwest::get(format!("{url}/docs")).await.unwrap().text().await.unwrap();
    for definition in TABLE {
        assert!(
            page.contains(&format!("id=\"{}\"", definition.name)),
            "{}",
            definition.name
        );
    }
    assert!(page.contains("at most 4 hours after") && !page.contains("<script"));
}

#[test]
fn the_description_has_every_action_and_resolves() {
    let document = openapi::document();
    for definition in TABLE {
        let operation = &document["paths"][format!("/v1/{}", definition.name)]["post"];
        assert_eq!(operation["operationId"], definition.name);
        assert!(
            !operation["summary"].as_str().unwrap().is_empty(),
            "{}",
            definition.name
        );
        let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(answer["properties"]["RequestId"].is_object(), "{}", definition.name);
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            fields.values().for_each(|inner| collect(inner, references));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, references)),
        _ => {}
    }
}
