//! A repeated signed call has no second effect: it gets the answer of the first one.
//!
//! Signatures with TC3 have no nonce, and a client that calls twice in a second with the same parameters signs both alike. So a repeated
//! TC3 signature is a call of its own for the first two seconds.

use std::time::Duration;

use rotunda_proto::config::Application;
use rotunda_store::Remembered;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::Call;
use crate::api::ApiError;
use crate::shared::Shared;

/// Within this time a client may sign two calls alike.
const SAME_SECOND: Duration = Duration::from_secs(2);

/// The call carried out by `run`, or the answer of the earlier call that it repeats. While the store is away every call is carried out.
pub async fn once(
    shared: &Shared,
    call: &Call,
    caller: &Application,
    now: Duration,
    run: impl Future<Output = Result<Value, ApiError>>,
) -> Result<Value, ApiError> {
    let id = id(caller, call);
    match shared.store.remember_call(&id, now, call.good_until()).await {
        Ok(Remembered::New) => {}
        Ok(Remembered::Seen { first, .. }) if !call.has_nonce() && now.saturating_sub(first) < SAME_SECOND => {
            return run.await;
        }
        Ok(Remembered::Seen { answer: None, .. }) => {
            let message = "the first call with this signature is not answered yet; sign another one";
            return Err(ApiError::new("ResourceInUse", message));
        }
        Ok(Remembered::Seen {
            answer: Some(answer), ..
        }) => {
            metrics::counter!("rotunda_api_repeated_calls_total").increment(1);
            return serde_json::from_str(&answer).map_err(|error| ApiError::internal(&error));
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "remember a signed call");
            return run.await;
        }
    }
    let result = run.await;
    let answer = match &result {
        Ok(answer) => answer.to_string(),
        // As the envelope has it.
        Err(ApiError { code, message }) => json!({ "Error": { "Code": code, "Message": message } }).to_string(),
    };
    if let Err(error) = shared.store.answer_call(&id, &answer).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "keep the answer of a signed call"
        );
    }
    result
}

fn id(caller: &Application, call: &Call) -> String {
    let mut hash = Sha256::new();
    hash.update(caller.secret_id.as_bytes());
    hash.update(b"\n");
    hash.update(call.signature());
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::http::HeaderMap;
    use rotunda_bus::{ClusterNode, InProcess};
    use rotunda_store::Store;

    use super::*;
    use crate::config::Config;

    const NOW: u64 = 1_700_000_000;

    fn node(name: &str, store: &Store) -> Shared {
        let node = ClusterNode::alone(Arc::new(InProcess::new()), name.parse().unwrap());
        Shared::for_test(Config::default(), node, Vec::new(), store.clone())
    }

    fn with_nonce(nonce: u32) -> Call {
        let query = format!(
            "Action=StopMCUMixTranscode&Version=2019-07-22&Timestamp={NOW}&Nonce={nonce}&SecretId=AKID&Signature=AA{nonce:02}"
        );
        Call::parse("GET", &query, &HeaderMap::new(), &["host".to_owned()], Vec::new()).unwrap()
    }

    fn tc3() -> Call {
        let mut headers = HeaderMap::new();
        let authorization = "TC3-HMAC-SHA256 Credential=AKID/2023-11-14/trtc/tc3_request, SignedHeaders=content-type;host, \
                             Signature=00ff";
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-tc-action", "StopMCUMixTranscode"),
            ("x-tc-version", "2019-07-22"),
            ("x-tc-timestamp", "1700000000"),
            ("authorization", authorization),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        Call::parse("POST", "", &headers, &["host".to_owned()], b"{}".to_vec()).unwrap()
    }

    /// The answer counts how often something was done.
    struct Counter(AtomicU32);

    impl Counter {
        async fn call(&self, shared: &Shared, call: &Call, seconds: u64) -> Result<Value, ApiError> {
            let caller = Application {
                secret_id: "AKID".to_owned(),
                ..Application::new(7.try_into().unwrap(), "key")
            };
            let run = async { Ok(json!({ "Done": self.0.fetch_add(1, Ordering::Relaxed) + 1 })) };
            once(shared, call, &caller, Duration::from_secs(NOW + seconds), run).await
        }
    }

    #[tokio::test]
    async fn a_repeated_signature_gets_the_first_answer_on_every_node() {
        let store = Store::in_memory().await.unwrap();
        let (one, two) = (node("node-1", &store), node("node-2", &store));
        let done = Counter(AtomicU32::new(0));
        let first = done.call(&one, &with_nonce(10), 0).await;
        assert_eq!(first, Ok(json!({ "Done": 1 })));
        assert_eq!(done.call(&two, &with_nonce(10), 0).await, first);
        assert_eq!(done.call(&one, &with_nonce(10), 299).await, first);
        assert_eq!(
            done.call(&two, &with_nonce(11), 0).await,
            Ok(json!({ "Done": 2 })),
            "another nonce"
        );
    }

    #[tokio::test]
    async fn a_client_may_sign_two_calls_of_one_second_alike_with_tc3() {
        let shared = node("node-1", &Store::in_memory().await.unwrap());
        let done = Counter(AtomicU32::new(0));
        assert_eq!(done.call(&shared, &tc3(), 0).await, Ok(json!({ "Done": 1 })));
        assert_eq!(done.call(&shared, &tc3(), 1).await, Ok(json!({ "Done": 2 })));
        assert_eq!(
            done.call(&shared, &tc3(), 2).await,
            Ok(json!({ "Done": 1 })),
            "someone repeats it"
        );
    }

    #[tokio::test]
    async fn an_error_is_repeated_too_and_an_unanswered_call_is_not_carried_out_twice() {
        let shared = node("node-1", &Store::in_memory().await.unwrap());
        let caller = Application::new(7.try_into().unwrap(), "key");
        let now = Duration::from_secs(NOW);
        let fails = async { Err(ApiError::new("FailedOperation.RoomNotExist", "nobody")) };
        let first = once(&shared, &with_nonce(10), &caller, now, fails).await;
        assert_eq!(first.unwrap_err().code, "FailedOperation.RoomNotExist");
        let again = once(&shared, &with_nonce(10), &caller, now, async { Ok(json!({})) }).await;
        assert_eq!(again.unwrap()["Error"]["Code"], "FailedOperation.RoomNotExist");
        let inside = async {
            let second = once(&shared, &with_nonce(11), &caller, now, async { Ok(json!({})) }).await;
            assert_eq!(second.unwrap_err().code, "ResourceInUse");
            Ok(json!({}))
        };
        assert!(once(&shared, &with_nonce(11), &caller, now, inside).await.is_ok());
    }

    #[tokio::test]
    async fn calls_are_carried_out_while_the_store_is_away() {
        let shared = node("node-1", &Store::in_memory_unopened());
        let done = Counter(AtomicU32::new(0));
        for times in 1..=2 {
            assert_eq!(
                done.call(&shared, &with_nonce(10), 0).await,
                Ok(json!({ "Done": times }))
            );
        }
    }
}
