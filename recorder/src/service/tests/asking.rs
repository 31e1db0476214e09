//! Requests to the recorder's HTTP API as its application, and waits for what they and the stream of events tell.

use super::*;

/// Application 1, whose key is `id:secret`.
pub(super) fn application() -> Application {
    let mut application = Application::new(1.try_into().unwrap(), "key");
    application.secret_id = "id".to_owned();
    application.api_secret = rotunda_proto::config::Secret::new("secret");
    application
}

pub(super) async fn request(recorder: &Running, method: &str, path: &str) -> StatusCode {
    respond(recorder, method, path).await.status()
}

pub(super) async fn json(recorder: &Running, path: &str) -> serde_json::Value {
    let response = respond(recorder, "GET", path).await;
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn respond(recorder: &Running, method: &str, path: &str) -> axum::response::Response {
    let request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer id:secret")
        .body(axum::body::Body::empty())
        .unwrap();
    recorder.service.router().oneshot(request).await.unwrap()
}

/// Waits until the only recording that is not finished has this state, and answers its id.
pub(super) async fn wait_for_state(recorder: &Running, state: &str) -> String {
    let reached = async {
        loop {
            let running = json(recorder, "/recordings/running").await;
            if running[0]["state"] == state {
                return running[0]["recordingId"].as_str().unwrap().to_owned();
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), reached).await.expect(state)
}

/// Waits until a fact of this kind with this text in it was told.
pub(super) async fn wait_for_fact(place: &Place, kind: &str, text: &str) {
    let told = async {
        loop {
            let mut connection = sqlx::SqliteConnection::connect(&place.database()).await.unwrap();
            let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM event_stream")
                .fetch_all(&mut connection)
                .await
                .unwrap();
            if bodies.iter().any(|body| body.contains(kind) && body.contains(text)) {
                return;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), told).await.expect(kind);
}
