//! Over HTTP: sign-in, and what a session opens at the REST face.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::routing::get;
use reqwest::header::HeaderValue;
use rotunda_bus::{ClusterNode, InProcess, SharedBus};
use rotunda_proto::applications::ApplicationSet;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::config::Config;

const KEY: &str = "ROOMS:secret";

struct Fixture {
    url: String,
    console: Console,
    store: Store,
    password: String,
}

/// Applications 7 and 8; the key `ROOMS:secret` opens the rooms of 7.
async fn start(is_secure: bool) -> Fixture {
    let bus: SharedBus = Arc::new(InProcess::new());
    let node = ClusterNode::alone(bus, "node-1".parse().unwrap());
    let store = Store::in_memory().await.unwrap();
    let password = prepare(&store).await.unwrap().unwrap();
    let shared = Shared::for_test(Config::default(), node, Vec::new(), store.clone());
    let application = |id: u32| Application::new(id.try_into().unwrap(), "key");
    let with_rooms = Application {
        secret_id: "ROOMS".into(),
        api_secret: Secret::new("secret"),
        scopes: Scopes::Some([Scope::Rooms].into()),
        ..application(7)
    };
    let all = ApplicationSet::new(vec![application(7), application(8)], vec![with_rooms]);
    shared.application_list.replace(all);
    let cluster = ClusterSecret::new("of the cluster");
    let console = Console::new(shared.clone(), setup(cluster, is_secure));
    let routes = crate::api::test_router(shared, Some(console.clone()))
        .unwrap()
        .merge(console.router(get(|| async { "page" })));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Fixture {
        url,
        console,
        store,
        password,
    }
}

fn setup(cluster: ClusterSecret, is_secure: bool) -> Setup {
    Setup {
        cluster,
        is_secure,
        open_id: None,
    }
}

struct Answer {
    status: u16,
    cookie: Option<String>,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Fixture {
    async fn post(&self, path: &str, headers: &[(&'static str, &str)], body: &Value) -> Answer {
        let mut request = reqwest::Client::new().post(format!("{}{path}", self.url)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let cookie = response.headers().get("set-cookie");
        Answer {
            status: response.status().as_u16(),
            cookie: cookie.map(|cookie| cookie.to_str().unwrap().to_owned()),
            body: response.json().await.unwrap_or_default(),
        }
    }

    /// The cookie alone, as a browser sends it.
    async fn signed_in(&self, credentials: Value) -> String {
        let answer = self.post("/console/sign-in", &[], &credentials).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.cookie.unwrap().split(';').next().unwrap().to_owned()
    }

    async fn list_rooms(&self, cookie: &str, application: &str) -> Answer {
        let headers = [("cookie", cookie), (ACTS_AS, application)];
        self.post("/v1/ListRooms", &headers, &json!({})).await
    }
}

#[tokio::test]
async fn the_administrator_calls_every_application() {
    let fixture = start(false).await;
    let answer = fixture
        .post("/console/sign-in", &[], &json!({ "password": fixture.password }))
        .await;
    let cookie = answer.cookie.clone().unwrap();
    assert!(
        cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(answer.body["applications"], json!([7, 8]));
    assert_eq!(
        (&answer.body["user"], &answer.body["isAdmin"]),
        (&json!("admin"), &json!(true))
    );
    let cookie = cookie.split(';').next().unwrap();
    for application in ["7", "8"] {
        let rooms = fixture.list_rooms(cookie, application).await;
        assert_eq!((rooms.status, &rooms.body["Total"]), (200, &json!(0)));
    }
    let other = fixture.list_rooms(cookie, "9").await;
    assert_eq!((other.status, other.code()), (404, "ResourceNotFound"));
    let headers = [("cookie", cookie), (ACTS_AS, "7")];
    let made = fixture
        .post("/v1/CreateApplication", &headers, &json!({ "SdkAppId": 9 }))
        .await;
    assert_eq!(
        (made.status, &made.body["SdkAppId"]),
        (200, &json!(9)),
        "as the operator"
    );
}

#[tokio::test]
async fn a_call_without_our_header_is_refused() {
    let fixture = start(false).await;
    let cookie = fixture.signed_in(json!({ "password": fixture.password })).await;
    let answer = fixture
        .post("/v1/ListRooms", &[("cookie", cookie.as_str())], &json!({}))
        .await;
    assert_eq!((answer.status, answer.code()), (400, "MissingParameter.SdkAppId"));
    // A form of another site can send no JSON.
    let form = reqwest::Client::new()
        .post(format!("{}/console/sign-in", fixture.url))
        .header("content-type", "text/plain")
        .body(json!({ "password": fixture.password }).to_string());
    assert_eq!(form.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_key_opens_its_scopes_and_its_application() {
    let fixture = start(true).await;
    let answer = fixture.post("/console/sign-in", &[], &json!({ "key": KEY })).await;
    let shown = (
        &answer.body["user"],
        &answer.body["applications"],
        &answer.body["scopes"],
    );
    assert_eq!(shown, (&json!("ROOMS"), &json!([7]), &json!(["rooms"])));
    assert!(answer.cookie.unwrap().ends_with("; Secure"));
    let cookie = fixture.signed_in(json!({ "key": KEY })).await;
    assert_eq!(fixture.list_rooms(&cookie, "7").await.status, 200);
    assert_eq!(
        fixture.list_rooms(&cookie, "8").await.code(),
        "UnauthorizedOperation.SdkAppId"
    );
    let headers = [("cookie", cookie.as_str()), (ACTS_AS, "7")];
    let nodes = fixture.post("/v1/ListNodes", &headers, &json!({})).await;
    assert_eq!((nodes.status, nodes.code()), (403, "UnauthorizedOperation.Scope"));
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_soon_no_longer_tried() {
    let fixture = start(false).await;
    for wrong in [
        json!({ "key": "ROOMS:wrong" }),
        json!({ "key": "ROOMS" }),
        json!({ "key": ":" }),
    ] {
        let answer = fixture.post("/console/sign-in", &[], &wrong).await;
        assert_eq!((answer.status, answer.code()), (401, "AuthFailure.SignatureFailure"));
        assert_eq!(answer.cookie, None);
    }
    let answer = fixture
        .post("/console/sign-in", &[], &json!({ "password": "not the password" }))
        .await;
    assert_eq!((answer.status, answer.code()), (401, "AuthFailure.SignatureFailure"));
    for malformed in [
        json!({}),
        json!({ "name": "admin" }),
        json!([]),
        json!({ "password": 1 }),
    ] {
        let answer = fixture.post("/console/sign-in", &[], &malformed).await;
        assert_eq!((answer.status, answer.code()), (400, "InvalidRequest"), "{malformed}");
    }
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let wrong = json!({ "key": "NOBODY:wrong" });
        statuses.push(fixture.post("/console/sign-in", &[], &wrong).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429]);
    // Also the right one waits.
    let right = json!({ "password": fixture.password });
    assert_eq!(fixture.post("/console/sign-in", &[], &right).await.status, 429);
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_the_first_is_made_once() {
    let fixture = start(false).await;
    assert_eq!(prepare(&fixture.store).await.unwrap(), None);
    let cookie = fixture.signed_in(json!({ "password": fixture.password })).await;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::COOKIE,
        HeaderValue::from_str(&format!("other=1; {cookie}")).unwrap(),
    );
    headers.insert(ACTS_AS, HeaderValue::from_static("7"));
    let shared = fixture.console.0.shared.clone();
    let permits = async || {
        // A console that has not read the password yet.
        let cluster = ClusterSecret::new("of the cluster");
        let is_secure = false;
        let console = Console::new(shared.clone(), setup(cluster, is_secure));
        let found = console.caller(&headers, &shared.applications(), Scope::Admin).await;
        found.map(|found| found.unwrap().secret_id).map_err(|error| error.code)
    };
    assert_eq!(permits().await.as_deref(), Ok("console"));
    let chosen = set_password(&fixture.store, Some("a password of twelve".to_owned())).await;
    assert_eq!(chosen.unwrap(), "a password of twelve");
    assert_eq!(permits().await, Err("AuthFailure.InvalidAuthorization"));
    assert!(set_password(&fixture.store, Some("short".to_owned())).await.is_err());
}

#[tokio::test]
async fn the_page_asks_who_is_signed_in_and_signs_out() {
    let fixture = start(false).await;
    let cookie = fixture.signed_in(json!({ "password": fixture.password })).await;
    let current = async |cookie: &str| {
        let request = reqwest::Client::new().get(format!("{}/console/session", fixture.url));
        request.header("cookie", cookie).send().await.unwrap().status().as_u16()
    };
    assert_eq!(current(&cookie).await, 200);
    assert_eq!(current("rotunda_console=admin..99999999999.AA").await, 401);
    assert_eq!(current("").await, 401);
    let answer = fixture.post("/console/sign-out", &[], &json!({})).await;
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .cookie
            .unwrap()
            .starts_with("rotunda_console=; Path=/; Max-Age=0;")
    );
    let page = reqwest::get(format!("{}/console", fixture.url)).await.unwrap();
    assert_eq!(page.text().await.unwrap(), "page");
}

#[test]
fn a_generated_password_is_in_groups_and_never_the_same() {
    let password = generate_password();
    assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [6, 6, 6, 6]);
    assert_ne!(generate_password(), password);
}
