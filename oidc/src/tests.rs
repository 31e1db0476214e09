//! With a provider on the loopback interface that signs by keys of these tests.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PkceCodeChallenge, PkceCodeVerifier, PrivateSigningKey};
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Secret;
use rotunda_proto::outbound::AllowedNetworks;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::provider::Token;

const FIRST_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFcNgACia/9BYBoCzw5zOcDI//BiHT5w6wnzz6/1QR8E
-----END PRIVATE KEY-----
";
const SECOND_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAuW8BBXU+28ZAEIH36cBJHIdyY5XAIFbI5nHLCpgPMD
-----END PRIVATE KEY-----
";
/// Unix time of the tests.
const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A provider with a client `rotunda`, whose secret is `hush`.
struct Issuer {
    url: String,
    parts: Arc<Parts>,
}

struct Parts {
    url: String,
    key: Mutex<(&'static str, &'static str)>,
    is_away: AtomicBool,
    discoveries: AtomicUsize,
    /// The challenge and the nonce of the page, by which the token is asked for.
    asked: Mutex<Option<(String, String)>>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let parts = Arc::new(Parts {
            url: url.clone(),
            key: Mutex::new(("first", FIRST_KEY)),
            is_away: AtomicBool::new(false),
            discoveries: AtomicUsize::new(0),
            asked: Mutex::new(None),
        });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(parts.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, parts }
    }

    fn provider(&self, secret: &str) -> Provider {
        let networks = AllowedNetworks::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let http = Http::new(reqwest::Client::builder(), Some(networks)).unwrap();
        let client = Client {
            id: "rotunda".to_owned(),
            secret: Secret::new(secret),
        };
        Provider::new(&self.url, client, http).unwrap()
    }

    fn claims(&self) -> Value {
        let exp = NOW.as_secs() + 60;
        json!({ "iss": self.url, "aud": "rotunda", "sub": "ann", "exp": exp, "iat": NOW.as_secs(), "groups": ["ops"] })
    }

    fn sign(&self, claims: &Value) -> String {
        self.parts.sign(claims)
    }
}

impl Parts {
    fn signing_key(&self) -> CoreEdDsaPrivateSigningKey {
        let (id, pem) = *self.key.lock().unwrap();
        CoreEdDsaPrivateSigningKey::from_ed25519_pem(pem, Some(JsonWebKeyId::new(id.to_owned()))).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let claims = serde_json::from_value(claims.clone()).unwrap();
        let alg = CoreJwsSigningAlgorithm::EdDsa;
        Token::new(claims, &self.signing_key(), alg, None, None)
            .unwrap()
            .to_string()
    }
}

async fn metadata(State(parts): State<Arc<Parts>>) -> Result<Json<Value>, StatusCode> {
    if parts.is_away.load(Ordering::Relaxed) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    parts.discoveries.fetch_add(1, Ordering::Relaxed);
    let at = |path: &str| format!("{}{path}", parts.url);
    Ok(Json(json!({
        "issuer": parts.url, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"), "jwks_uri": at("/keys"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    })))
}

async fn keys(State(parts): State<Arc<Parts>>) -> Json<Value> {
    let key = parts.signing_key().as_verification_key();
    Json(json!({ "keys": [key] }))
}

/// Exchanges the code `good` of somebody who has the verifier of the challenge and the secret of the client.
async fn token(
    State(parts): State<Arc<Parts>>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> (StatusCode, Json<Value>) {
    let field = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let (challenge, nonce) = parts.asked.lock().unwrap().clone().unwrap();
    let verifier = PkceCodeVerifier::new(field("code_verifier").to_owned());
    let is_right = field("code") == "good"
        && PkceCodeChallenge::from_code_verifier_sha256(&verifier).as_str() == challenge
        // `rotunda:hush` (RFC 7617).
        && headers.get("authorization").is_some_and(|value| value == "Basic cm90dW5kYTpodXNo");
    if !is_right {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    }
    let exp = NOW.as_secs() + 60;
    let claims = json!({
        "iss": parts.url, "aud": "rotunda", "sub": "ann", "exp": exp, "iat": NOW.as_secs(), "groups": ["ops"], "nonce": nonce,
    });
    let token = parts.sign(&claims);
    (
        StatusCode::OK,
        Json(json!({ "access_token": "a", "token_type": "Bearer", "id_token": token })),
    )
}

fn start() -> Instant {
    Clock.now()
}

#[tokio::test]
async fn a_token_of_the_provider_for_this_client_is_accepted() {
    let issuer = Issuer::start().await;
    let provider = issuer.provider("");
    let claims = provider
        .claims(&issuer.sign(&issuer.claims()), None, start(), NOW)
        .await
        .unwrap();
    assert_eq!(claims.text("sub"), Some("ann"));
    assert!(claims.has("groups", "ops"));
}

#[tokio::test]
async fn another_token_is_refused() {
    let issuer = Issuer::start().await;
    let provider = issuer.provider("");
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        issuer.sign(&claims)
    };
    let good = issuer.sign(&issuer.claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = signed.split_once('.').unwrap();
    let of_other = with("sub", json!("bob"));
    let (other, _) = of_other.rsplit_once('.').unwrap();
    for (why, token) in [
        ("another client", with("aud", json!("else"))),
        ("another client beside it", with("aud", json!(["rotunda", "else"]))),
        ("another issuer", with("iss", json!("http://127.0.0.1:1"))),
        ("expired", with("exp", json!(NOW.as_secs() - 31))),
        ("another person's signature", format!("{other}.{signature}")),
        ("no algorithm", format!("eyJhbGciOiJub25lIn0.{payload}.")),
        ("no token", "a.b.c".to_owned()),
        ("half a token", good[..good.len() / 2].to_owned()),
    ] {
        let refused = provider.claims(&token, None, start(), NOW).await;
        assert!(matches!(refused, Err(OidcError::Refused(_))), "{why}: {refused:?}");
    }
    let long = format!("{good}{}", "a".repeat(16 * 1024));
    assert!(matches!(
        provider.claims(&long, None, start(), NOW).await,
        Err(OidcError::TooLong)
    ));
}

#[tokio::test]
async fn the_clocks_may_differ_a_little() {
    let issuer = Issuer::start().await;
    let provider = issuer.provider("");
    let mut claims = issuer.claims();
    claims["exp"] = json!(NOW.as_secs() - 29);
    provider
        .claims(&issuer.sign(&claims), None, start(), NOW)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_found_and_an_unknown_one_is_not_asked_for_each_time() {
    let issuer = Issuer::start().await;
    let provider = issuer.provider("");
    let begun = start();
    let at = |seconds: u64| begun + Duration::from_secs(seconds);
    provider
        .claims(&issuer.sign(&issuer.claims()), None, begun, NOW)
        .await
        .unwrap();
    *issuer.parts.key.lock().unwrap() = ("second", SECOND_KEY);
    let token = issuer.sign(&issuer.claims());
    for _ in 0..3 {
        assert!(provider.claims(&token, None, at(29), NOW).await.is_err());
    }
    assert_eq!(issuer.parts.discoveries.load(Ordering::Relaxed), 1);
    provider.claims(&token, None, at(30), NOW).await.unwrap();
    assert_eq!(issuer.parts.discoveries.load(Ordering::Relaxed), 2);
    provider.claims(&token, None, at(31), NOW).await.unwrap();
    assert_eq!(issuer.parts.discoveries.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn while_the_provider_is_away_its_last_keys_count() {
    let issuer = Issuer::start().await;
    let provider = issuer.provider("");
    issuer.parts.is_away.store(true, Ordering::Relaxed);
    let token = issuer.sign(&issuer.claims());
    let begun = start();
    let away = provider.claims(&token, None, begun, NOW).await;
    assert!(matches!(away, Err(OidcError::Away(_))), "{away:?}");
    issuer.parts.is_away.store(false, Ordering::Relaxed);
    let soon = provider.claims(&token, None, begun + Duration::from_secs(4), NOW).await;
    assert!(
        matches!(soon, Err(OidcError::Away(_))),
        "nobody waits for it again at once: {soon:?}"
    );
    let later = begun + Duration::from_secs(5);
    provider.claims(&token, None, later, NOW).await.unwrap();
    issuer.parts.is_away.store(true, Ordering::Relaxed);
    let after_a_day = begun + Duration::from_secs(86_400);
    provider.claims(&token, None, after_a_day, NOW).await.unwrap();
}

#[tokio::test]
async fn an_inner_address_is_refused_unless_it_is_permitted() {
    let issuer = Issuer::start().await;
    let http = Http::new(reqwest::Client::builder(), Some(AllowedNetworks::default())).unwrap();
    let client = Client {
        id: "rotunda".to_owned(),
        secret: Secret::default(),
    };
    let provider = Provider::new(&issuer.url, client, http).unwrap();
    let refused = provider
        .claims(&issuer.sign(&issuer.claims()), None, start(), NOW)
        .await;
    assert!(matches!(refused, Err(OidcError::Away(_))), "{refused:?}");
    assert_eq!(issuer.parts.discoveries.load(Ordering::Relaxed), 0);
}

/// Signs in with these, after the provider's page was shown.
async fn sign_in(secret: &str, state: Option<&str>, code: &str, nonce: Option<&str>) -> Result<Claims, OidcError> {
    let issuer = Issuer::start().await;
    let provider = issuer.provider(secret);
    let redirect: Url = "https://rotunda.example.com/console/oidc/callback".parse().unwrap();
    let begun = provider.begin(&redirect, &["email".to_owned()], start()).await.unwrap();
    let query = |name: &str| {
        begun
            .url
            .query_pairs()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
            .into_owned()
    };
    assert!(begun.url.as_str().starts_with(&format!("{}/authorize?", issuer.url)));
    assert_eq!(query("redirect_uri"), redirect.as_str());
    assert_eq!(
        (query("client_id"), query("scope"), query("code_challenge_method")),
        ("rotunda".to_owned(), "openid email".to_owned(), "S256".to_owned())
    );
    let told = nonce.map_or_else(|| query("nonce"), str::to_owned);
    *issuer.parts.asked.lock().unwrap() = Some((query("code_challenge"), told));
    let state = state.map_or_else(|| query("state"), str::to_owned);
    let pending = Pending::read(&begun.pending.to_text()).unwrap();
    provider.finish(&redirect, pending, &state, code, start(), NOW).await
}

#[tokio::test]
async fn a_person_who_comes_back_from_the_page_is_known() {
    let claims = sign_in("hush", None, "good", None).await.unwrap();
    assert!(claims.has("groups", "ops"));
}

#[tokio::test]
async fn a_sign_in_that_is_not_the_one_that_began_is_refused() {
    let state = sign_in("hush", Some("else"), "good", None).await;
    assert!(matches!(state, Err(OidcError::State)), "{state:?}");
    for (why, refused) in [
        ("code", sign_in("hush", None, "bad", None).await),
        ("secret", sign_in("wrong", None, "good", None).await),
        ("nonce", sign_in("hush", None, "good", Some("else")).await),
    ] {
        assert!(matches!(refused, Err(OidcError::Refused(_))), "{why}: {refused:?}");
    }
}
