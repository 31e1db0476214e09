//! Requests of the official SDKs, replayed byte for byte: clock frozen at 1700000000, keys made for tests.

use super::*;
use crate::api::mix::request::RoomField;
use crate::api::tencent::hosts::signed_hosts;
use crate::api::tencent::read::{self, RoomKind};
use crate::config::Process;
use rotunda_proto::config::Secret;

const NOW: u64 = 1_700_000_000;
const ID: &str = "AKIDTESTONLY000000000000000000000000";

fn stop(call: &Call) -> Result<crate::api::mix::request::StopRequest, ApiError> {
    read::stop(&call.parameters()?, RoomKind::Number)
}

fn application() -> Application {
    Application {
        secret_id: ID.to_owned(),
        api_secret: Secret::new("TestOnlySecretKey000000000000000"),
        ..Application::new(1_400_000_123.try_into().unwrap(), "")
    }
}

fn tc3(method: &'static str, query: &str, host: &str, kind: &str, scope: &str, signature: &str, body: &str) -> Call {
    let mut headers = HeaderMap::new();
    let authorization = format!(
        "TC3-HMAC-SHA256 Credential={ID}/2023-11-14/{scope}/tc3_request, SignedHeaders=content-type;host, \
         Signature={signature}"
    );
    for (name, value) in [
        ("host", host),
        ("content-type", kind),
        ("x-tc-action", "StopMCUMixTranscode"),
        ("x-tc-timestamp", "1700000000"),
        ("x-tc-version", "2019-07-22"),
        ("authorization", &authorization),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    parse(method, query, &headers, body.as_bytes()).unwrap()
}

fn parse(method: &'static str, query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Call, ApiError> {
    let mut request = axum::http::Request::new(());
    *request.headers_mut() = headers.clone();
    let hosts = signed_hosts(&request.into_parts().0, None, &Process::default());
    Call::parse(method, query, headers, &hosts, body.to_vec())
}

fn v1(method: &'static str, host: &str, text: &str) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert("host", host.parse().unwrap());
    let (query, body) = if method == "GET" { (text, "") } else { ("", text) };
    parse(method, query, &headers, body.as_bytes()).unwrap()
}

fn check(call: &Call) -> Result<(), &'static str> {
    let application = application();
    let find = |id: &str| (id == ID).then_some(&application);
    call.authenticate(NOW, find).map(|_| ()).map_err(|error| error.code)
}

const PYTHON_BODY: &str = r#"{"SdkAppId": 1400000123, "RoomId": 1001}"#;
const NODE_BODY: &str = r#"{"SdkAppId":1400000123,"RoomId":1001}"#;
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn tc3_requests_of_the_python_and_node_sdks_verify() {
    for call in [
        tc3(
            "POST",
            "",
            "127.0.0.1:18010",
            JSON,
            "trtc",
            "3bd4e1b237c37479b75b95cb48911381cfeef3ef808c42a8d6bd390ecbc93b8e",
            PYTHON_BODY,
        ),
        // The client's endpoint had a scheme.
        tc3(
            "POST",
            "",
            "http://127.0.0.1:18010",
            JSON,
            "trtc",
            "1c806f6b97274e061c79858fd30eb918fafd4ccca5defd736181e8931d6f0648",
            PYTHON_BODY,
        ),
        // Node signs the host without its port.
        tc3(
            "POST",
            "",
            "127.0.0.1:18010",
            JSON,
            "127",
            "93d64186b2405533c86ef58f8ba0048a120586e96ea6fd7d16e75257af735089",
            NODE_BODY,
        ),
        tc3(
            "POST",
            "",
            "localhost:18010",
            JSON,
            "localhost:18010",
            "7b45a1b5a9309e9e4b55facbcd308684a47ad0f96350e5fb934616450a943834",
            NODE_BODY,
        ),
        tc3(
            "GET",
            "SdkAppId=1400000123&RoomId=1001",
            "127.0.0.1:18010",
            FORM,
            "127",
            "29ac193241977193b95bd309672f79ef6fe46df33b6bc62fd286be09fdcf7a7b",
            "",
        ),
    ] {
        assert_eq!(check(&call), Ok(()));
        let stop = stop(&call).unwrap();
        assert_eq!(
            (stop.sdk_app_id, stop.room),
            (Some(1_400_000_123), RoomField::Number(Some(1001)))
        );
    }
}

const SHA256_GET: &str = "SdkAppId=1400000123&RoomId=1001&Action=StopMCUMixTranscode&RequestClient=SDK_PYTHON_3.1.177\
&Nonce=11886&Timestamp=1700000000&Version=2019-07-22&Region=ap-guangzhou&SecretId=AKIDTESTONLY000000000000000000000000\
&SignatureMethod=HmacSHA256&Language=zh-CN&Signature=IvLR9Grn1esIOIdTZbHs1Us5gpqJ6o03gN%2BcXrlZrvA%3D";
const SHA1_POST: &str = "SdkAppId=1400000123&RoomId=1001&Action=StopMCUMixTranscode&RequestClient=SDK_PYTHON_3.1.177\
&Nonce=11886&Timestamp=1700000000&Version=2019-07-22&Region=ap-guangzhou&SecretId=AKIDTESTONLY000000000000000000000000\
&SignatureMethod=HmacSHA1&Language=zh-CN&Signature=hOb9TzDaIW1AHTi0ZMd15PCLnfI%3D";
const NODE_SHA1_GET: &str = "SdkAppId=1400000123&RoomId=1001&Action=StopMCUMixTranscode&RequestClient=SDK_NODEJS_4.1.313\
&Nonce=32768&Timestamp=1700000000&Version=2019-07-22&SecretId=AKIDTESTONLY000000000000000000000000&Region=ap-guangzhou\
&SignatureMethod=HmacSHA1&Signature=JGq6RbIIJ%2FyoqDONEQm5wLp%2FSLk%3D";
const DEFAULT_SHA1_GET: &str = "Action=StopMCUMixTranscode&Nonce=11886&RoomId=1001&SdkAppId=1400000123\
&SecretId=AKIDTESTONLY000000000000000000000000&Timestamp=1700000000&Version=2019-07-22\
&Signature=yDwbsNpuwxKXqfkhFC8m0oa1ViI%3D";

#[test]
fn requests_with_the_older_signatures_verify() {
    for (method, host, text) in [
        ("GET", "127.0.0.1:18010", SHA256_GET),
        ("POST", "127.0.0.1:18010", SHA1_POST),
        ("GET", "127.0.0.1:18010", NODE_SHA1_GET),
        ("GET", "trtc.example.com", DEFAULT_SHA1_GET),
    ] {
        let call = v1(method, host, text);
        assert_eq!(check(&call), Ok(()), "{text}");
        assert_eq!(stop(&call).unwrap().sdk_app_id, Some(1_400_000_123));
    }
}

#[test]
fn any_change_breaks_the_signature() {
    let good = "3bd4e1b237c37479b75b95cb48911381cfeef3ef808c42a8d6bd390ecbc93b8e";
    let other_room = PYTHON_BODY.replace("1001", "1002");
    for call in [
        tc3("POST", "", "127.0.0.1:18010", JSON, "trtc", good, &other_room),
        tc3("POST", "", "127.0.0.2:18010", JSON, "trtc", good, PYTHON_BODY),
        tc3("POST", "", "127.0.0.1:18010", JSON, "vod", good, PYTHON_BODY),
        v1(
            "GET",
            "127.0.0.1:18010",
            &SHA256_GET.replace("RoomId=1001", "RoomId=1002"),
        ),
        v1("POST", "127.0.0.1:18010", SHA256_GET),
    ] {
        assert_eq!(check(&call), Err("AuthFailure.SignatureFailure"));
    }
}

#[test]
fn a_stale_timestamp_and_an_unknown_key_have_their_own_codes() {
    let call = v1("GET", "127.0.0.1:18010", SHA256_GET);
    let application = application();
    let code = |now, known: bool| {
        call.authenticate(now, |_| known.then_some(&application))
            .map_err(|error| error.code)
            .err()
    };
    assert_eq!(code(NOW + 300, true), None);
    assert_eq!(code(NOW + 301, true), Some("AuthFailure.SignatureExpire"));
    assert_eq!(code(NOW - 301, true), Some("AuthFailure.SignatureExpire"));
    assert_eq!(code(NOW, false), Some("AuthFailure.SecretIdNotFound"));
}

#[test]
fn missing_and_malformed_parts_are_named() {
    let code = |query: &str| {
        parse("GET", query, &HeaderMap::new(), b"")
            .map(|_| ())
            .map_err(|error| error.code)
            .unwrap_err()
    };
    assert_eq!(code(""), "MissingParameter");
    assert_eq!(code("Action=X&Version=1&Timestamp=soon"), "InvalidParameterValue");
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Basic abc".parse().unwrap());
    assert_eq!(
        parse("POST", "", &headers, b"{}").map(|_| ()).unwrap_err().code,
        "AuthFailure.InvalidAuthorization"
    );
}
