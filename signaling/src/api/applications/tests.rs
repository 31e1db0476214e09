use std::collections::BTreeSet;
use std::sync::Arc;

use rotunda_bus::{ClusterNode, InProcess};
use rotunda_proto::applications::{Scope, Scopes};
use rotunda_store::Store;
use serde_json::{Value, json};

use super::*;
use crate::api::request::{Request, whole};
use crate::api::tencent::fields::Fields;
use crate::config::Config;

const CONFIGURED: u32 = 7;

struct Fixture {
    shared: Shared,
    operator: Application,
}

impl Fixture {
    async fn new() -> Self {
        let operator = Application {
            secret_id: "operator".to_owned(),
            reach: Reach::All,
            ..Application::new(CONFIGURED.try_into().unwrap(), "key")
        };
        let bus = Arc::new(InProcess::new());
        let node = ClusterNode::alone(bus, "node-1".parse().unwrap());
        let store = Store::in_memory().await.unwrap();
        let shared = Shared::for_test(Config::default(), node, vec![operator.clone()], store);
        Self { shared, operator }
    }

    async fn create(&self, request: Value) -> Checked<ApplicationMade> {
        create(&self.shared, &self.operator, parse(request)?).await
    }

    async fn modify(&self, caller: &Application, request: Value) -> Checked<ApplicationChanged> {
        modify(&self.shared, caller, parse(request)?).await
    }

    async fn rotate(&self, request: Value) -> Checked<SecretRotated> {
        rotate(&self.shared, &self.operator, parse(request)?).await
    }

    async fn list(&self, caller: &Application, request: Value) -> Value {
        let page = list(&self.shared, caller, parse(request).unwrap()).await.unwrap();
        serde_json::to_value(page).unwrap()
    }

    /// A key of the application that opens administration alone.
    fn of(app: u32) -> Application {
        Application {
            secret_id: "own".to_owned(),
            scopes: Scopes::Some(BTreeSet::from([Scope::Admin, Scope::Rooms])),
            ..Application::new(app.try_into().unwrap(), "key")
        }
    }
}

fn parse<T: Request>(request: Value) -> Checked<T> {
    whole(Fields::of(&request))
}

fn code<T>(result: Checked<T>) -> &'static str {
    result.map_or_else(|error| error.code, |_| "ok")
}

#[tokio::test]
async fn an_application_is_made_with_its_secrets_and_listed_without_them() {
    let fixture = Fixture::new().await;
    let settings = json!({
        "CallbackUrl": "https://example.com/c", "MaxMicrophones": 20, "RecordFormats": ["flv", "mp4", "flv"], "RecordFileMinutes": 30,
        "RecordTimeZone": "Asia/Kolkata", "MaxMixes": 3, "RecordPublishers": "all",
        "StreamProfiles": [{ "Platform": "web", "Role": "anchor", "Codec": "h264", "Height": 720, "Bitrate": 1500, "Layers": 2 }],
    });
    let made = fixture
        .create(json!({ "SdkAppId": 9, "Name": "acme", "Settings": settings, "PlayKey": true }))
        .await
        .unwrap();
    assert_eq!((made.sdk_app_id, made.secret_key.len()), (9, 64));
    let (callback_key, play_key) = (made.callback_key.unwrap(), made.play_key.unwrap());
    assert_eq!((callback_key.len(), play_key.len()), (32, 64));
    let listed = fixture.list(&fixture.operator, json!({})).await;
    for secret in [&made.secret_key, &callback_key, &play_key] {
        assert!(!listed.to_string().contains(secret));
    }
    assert_eq!(
        (
            &listed["Applications"][0]["SdkAppId"],
            &listed["Applications"][0]["Origin"]
        ),
        (&json!(CONFIGURED), &json!("configuration"))
    );
    let acme = &listed["Applications"][1];
    assert_eq!(
        (&acme["Name"], &acme["Origin"], &acme["Revision"]),
        (&json!("acme"), &json!("database"), &json!(1))
    );
    let purposes: Vec<_> = acme["Secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| &secret["Purpose"])
        .collect();
    assert_eq!(purposes, ["callback", "play", "user_sig"]);
    assert_eq!(
        acme["Settings"],
        json!({
            "CallbackUrl": "https://example.com/c", "MaxMicrophones": 20, "MaxCameras": 4, "MaxMixes": 3, "RequiresPrivateMapKey": false, "MembersMayPush": false,
            "RecordPublishers": "all", "RelayPublishers": "named", "RecordResumeSeconds": 0, "RecordRetentionDays": 0,
            "RecordQuotaMb": 0, "RecordQuotaFull": "refuse", "RecordFormats": ["flv", "mp4"], "RecordFileMinutes": 30,
            "RecordTimeZone": "Asia/Kolkata", "Disabled": false,
            "StreamProfiles": [{ "Platform": "web", "Role": "anchor", "Codec": "h264", "Height": 720, "Bitrate": 1500, "Layers": 2 }],
        })
    );
    assert_eq!(code(fixture.create(json!({ "SdkAppId": 9 })).await), "ResourceInUse");
    assert_eq!(
        code(fixture.create(json!({ "SdkAppId": CONFIGURED })).await),
        "ResourceInUse"
    );
}

#[tokio::test]
async fn without_a_number_the_next_free_one_is_taken() {
    let fixture = Fixture::new().await;
    let first = fixture.create(json!({})).await.unwrap();
    let second = fixture.create(json!({})).await.unwrap();
    assert_eq!(
        (first.sdk_app_id, second.sdk_app_id),
        (NUMBERS_AFTER + 1, NUMBERS_AFTER + 2)
    );
    fixture.create(json!({ "SdkAppId": u32::MAX })).await.unwrap();
    assert_eq!(code(fixture.create(json!({})).await), "ResourceInUse");
}

#[tokio::test]
async fn a_change_leaves_the_rest_and_names_what_is_wrong() {
    let fixture = Fixture::new().await;
    fixture
        .create(json!({ "SdkAppId": 9, "Settings": { "RecordRetentionDays": 3, "RecordFormats": ["aac"] } }))
        .await
        .unwrap();
    let change = json!({
        "SdkAppId": 9, "Revision": 1,
        "Settings": { "EventCallbackUrl": "https://example.com/e", "RecordFormats": ["default"], "Disabled": true },
    });
    let changed = fixture.modify(&fixture.operator, change.clone()).await.unwrap();
    assert_eq!((changed.revision, changed.callback_key.unwrap().len()), (3, 32));
    let again = fixture.modify(&fixture.operator, change).await;
    assert_eq!(
        code(again),
        "FailedOperation.ApplicationChanged",
        "of an older revision"
    );
    let listed = fixture.list(&fixture.operator, json!({ "Text": "9" })).await;
    let settings = &listed["Applications"][0]["Settings"];
    assert_eq!(
        (
            &settings["RecordRetentionDays"],
            &settings["RecordFormats"],
            &settings["Disabled"]
        ),
        (&json!(3), &json!(["default"]), &json!(true))
    );
    let emptied = json!({ "SdkAppId": 9, "Name": "n", "Settings": { "EventCallbackUrl": "" } });
    assert_eq!(fixture.modify(&fixture.operator, emptied).await.unwrap().revision, 4);
    let listed = fixture.list(&fixture.operator, json!({ "Text": "n" })).await;
    assert!(listed["Applications"][0]["Settings"].get("EventCallbackUrl").is_none());

    for (field, value) in [
        ("CallbackUrl", json!("ftp://example.com")),
        ("CallbackUrl", json!("http://127.0.0.1/")),
        ("MaxMicrophones", json!(5)),
        ("MaxMicrophones", json!(300)),
        ("MaxCameras", json!(3)),
        ("MaxCameras", json!(17)),
        ("RecordPublishers", json!("some")),
        ("RecordResumeSeconds", json!(1801)),
        ("RecordRetentionDays", json!(1501)),
        ("RecordRetentionDays", json!(u64::MAX)),
        ("RecordFileMinutes", json!(121)),
        ("RecordFormats", json!(["mp4", "avi"])),
        ("RecordFormats", json!(["mp4", "default"])),
        ("RecordTimeZone", json!("Asia/Nowhere")),
        ("StreamProfiles", json!([{ "Platform": "amiga" }])),
        ("StreamProfiles", json!([{ "Layers": 4 }])),
        ("RecordQuotaFull", json!("burst")),
        ("Disabled", json!("perhaps")),
    ] {
        let change = json!({ "SdkAppId": 9, "Settings": { field: value } });
        let refused = fixture.modify(&fixture.operator, change).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameter", "{field} {value}");
        assert!(
            refused.message.contains(&format!("Settings.{field}")),
            "{}",
            refused.message
        );
    }
    for (change, wanted) in [
        (json!({ "SdkAppId": 9 }), "MissingParameter"),
        (json!({ "Name": "n" }), "MissingParameter.SdkAppId"),
        (json!({ "SdkAppId": 0, "Name": "n" }), "InvalidParameter.SdkAppId"),
        (json!({ "SdkAppId": 8, "Name": "n" }), "ResourceNotFound"),
        (json!({ "SdkAppId": 9, "Name": "n".repeat(129) }), "InvalidParameter"),
        (json!({ "SdkAppId": 9, "Name": "two\nlines" }), "InvalidParameter"),
        (
            json!({ "SdkAppId": 9, "Settings": { "Nothing": 1 } }),
            "UnknownParameter",
        ),
        (
            json!({ "SdkAppId": CONFIGURED, "Name": "n" }),
            "FailedOperation.ConfiguredApplication",
        ),
    ] {
        let refused = fixture.modify(&fixture.operator, change.clone()).await;
        assert_eq!(code(refused), wanted, "{change}");
    }
}

#[tokio::test]
async fn two_secrets_are_valid_while_one_is_exchanged() {
    let fixture = Fixture::new().await;
    let made = fixture.create(json!({ "SdkAppId": 9 })).await.unwrap();
    let rotated = fixture.rotate(json!({ "SdkAppId": 9 })).await.unwrap();
    let second = rotated.secret.unwrap();
    assert_ne!(second, made.secret_key);
    let secrets = async || {
        let kept = fixture
            .shared
            .vault
            .application(9.try_into().unwrap())
            .await
            .unwrap()
            .unwrap();
        let texts = kept
            .secrets
            .iter()
            .map(|secret| fixture.shared.vault.open_secret(secret).unwrap());
        texts.map(|bytes| String::from_utf8(bytes).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(secrets().await, [second.clone(), made.secret_key]);
    let again = fixture.rotate(json!({ "SdkAppId": 9, "Purpose": "user_sig" })).await;
    assert_eq!(code(again), "FailedOperation.TwoSecretsValid");
    let ended = fixture.rotate(json!({ "SdkAppId": 9, "Finish": true })).await.unwrap();
    assert_eq!((ended.secret, secrets().await), (None, vec![second]));
    assert_eq!(
        code(fixture.rotate(json!({ "SdkAppId": 9, "Purpose": "play" })).await),
        "ok",
        "its first one"
    );
    assert_eq!(
        code(fixture.rotate(json!({ "SdkAppId": 9, "Purpose": "all" })).await),
        "InvalidParameter"
    );
    let configured = fixture.rotate(json!({ "SdkAppId": CONFIGURED })).await;
    assert_eq!(code(configured), "FailedOperation.ConfiguredApplication");
}

#[tokio::test]
async fn a_key_administers_its_own_application_alone() {
    let fixture = Fixture::new().await;
    for app in [9, 10] {
        fixture.create(json!({ "SdkAppId": app })).await.unwrap();
    }
    let own = Fixture::of(9);
    let listed = fixture.list(&own, json!({})).await;
    assert_eq!(listed["Applications"].as_array().unwrap().len(), 1);
    assert_eq!(listed["Applications"][0]["SdkAppId"], 9);
    let named = |app: u32| json!({ "SdkAppId": app, "Name": "n" });
    assert_eq!(code(fixture.modify(&own, named(9)).await), "ok");
    let refused = "UnauthorizedOperation.SdkAppId";
    assert_eq!(code(fixture.modify(&own, named(10)).await), refused);
    assert_eq!(
        code(create(&fixture.shared, &own, CreateApplication::default()).await),
        refused
    );
    let other = DeleteApplication { sdk_app_id: Some(9) };
    assert_eq!(code(delete(&fixture.shared, &own, other.clone()).await), refused);
    assert_eq!(
        code(delete(&fixture.shared, &fixture.operator, other.clone()).await),
        "ok"
    );
    assert_eq!(
        code(delete(&fixture.shared, &fixture.operator, other).await),
        "ResourceNotFound"
    );
}

#[tokio::test]
async fn pages_of_applications_are_in_the_order_of_their_numbers() {
    let fixture = Fixture::new().await;
    for app in [30, 9, 20] {
        fixture.create(json!({ "SdkAppId": app })).await.unwrap();
    }
    let ids = |page: &Value| -> Vec<u64> {
        let applications = page["Applications"].as_array().unwrap().iter();
        applications
            .map(|application| application["SdkAppId"].as_u64().unwrap())
            .collect()
    };
    let first = fixture.list(&fixture.operator, json!({ "PageSize": 3 })).await;
    assert_eq!((ids(&first), &first["Next"]), (vec![7, 9, 20], &json!(20)));
    let second = fixture
        .list(&fixture.operator, json!({ "PageSize": 3, "After": 20 }))
        .await;
    assert_eq!((ids(&second), second.get("Next")), (vec![30], None));
}

#[tokio::test]
async fn nobody_gives_a_key_more_than_they_have() {
    let fixture = Fixture::new().await;
    fixture.create(json!({ "SdkAppId": 9 })).await.unwrap();
    let (shared, own) = (&fixture.shared, Fixture::of(9));
    let key = async |caller: &Application, request: Value| create_key(shared, caller, parse(request)?).await;
    let made = key(&own, json!({ "Scopes": ["rooms"], "Name": "reader", "Days": 30 }))
        .await
        .unwrap();
    assert!(made.secret_id.starts_with("AKID") && made.api_secret.len() == 32);
    for (caller, request, wanted) in [
        (
            &own,
            json!({ "Scopes": ["rooms", "mix"] }),
            "UnauthorizedOperation.Scope",
        ),
        (
            &own,
            json!({ "Scopes": ["rooms"], "SdkAppId": 10 }),
            "UnauthorizedOperation.SdkAppId",
        ),
        (
            &own,
            json!({ "Scopes": ["rooms"], "Operator": true }),
            "UnauthorizedOperation.SdkAppId",
        ),
        (&own, json!({ "Scopes": ["all"] }), "InvalidParameter"),
        (&own, json!({}), "MissingParameter"),
        (&own, json!({ "Scopes": ["rooms"], "Days": 0 }), "InvalidParameter"),
        (
            &fixture.operator,
            json!({ "Scopes": ["rooms"], "SdkAppId": 10 }),
            "ResourceNotFound",
        ),
        (
            &fixture.operator,
            json!({ "Scopes": ["rooms"], "SdkAppId": 9, "Operator": true }),
            "InvalidParameter",
        ),
        (
            &fixture.operator,
            json!({ "Scopes": ["admin"], "Operator": true }),
            "ok",
        ),
    ] {
        assert_eq!(code(key(caller, request.clone()).await), wanted, "{request}");
    }
    let keys = async |caller: &Application| {
        let list = list_keys(shared, caller, ListApiKeys::default()).await.unwrap();
        list.api_keys
            .into_iter()
            .map(|key| (key.sdk_app_id, key.name))
            .collect::<BTreeSet<_>>()
    };
    let readers = (Some(9), "reader".to_owned());
    assert_eq!(keys(&own).await, BTreeSet::from([readers.clone()]));
    assert_eq!(
        keys(&fixture.operator).await,
        BTreeSet::from([(None, String::new()), readers])
    );
    let delete = async |caller: &Application| {
        let id = Some(made.secret_id.clone());
        delete_key(shared, caller, DeleteApiKey { secret_id: id }).await
    };
    assert_eq!(
        code(delete(&Fixture::of(10)).await),
        "ResourceNotFound",
        "another application's"
    );
    assert_eq!(code(delete(&own).await), "ok");
    assert_eq!(code(delete(&own).await), "ResourceNotFound");
}
