//! Bodies of known and unknown callers, of every size.

use axum::body::Bytes;
use futures::stream;
use rotunda_proto::config::Secret;

use super::*;

fn application() -> Application {
    Application {
        secret_id: "AKID".into(),
        api_secret: Secret::new("secret"),
        ..Application::new(7.try_into().unwrap(), "key")
    }
}

fn applications() -> Applications {
    Applications::new(vec![application()])
}

/// Of chunks of 1 kB, without a declared length.
fn chunked(text: &str, length: usize) -> Body {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b'x');
    let chunks: Vec<_> = bytes
        .chunks(1024)
        .map(Bytes::copy_from_slice)
        .map(Ok::<_, std::io::Error>)
        .collect();
    Body::from_stream(stream::iter(chunks))
}

async fn form(text: &str, length: usize) -> Result<usize, &'static str> {
    let applications = applications();
    let intake = Intake::default();
    let read = intake
        .form(&applications, &HeaderMap::new(), chunked(text, length))
        .await;
    read.map(|read| read.bytes.len()).map_err(|error| error.code)
}

#[tokio::test]
async fn a_long_form_is_read_only_for_a_key_that_its_first_part_names() {
    let too_large = Err("RequestSizeLimitExceeded");
    assert_eq!(form("A=1", MAX_UNKNOWN).await, Ok(MAX_UNKNOWN));
    assert_eq!(form("A=1", MAX_UNKNOWN + 1024).await, too_large);
    assert_eq!(form("SecretId=OTHER&A=", MAX_UNKNOWN + 1024).await, too_large);
    assert_eq!(form("SecretId=AKID&A=", MAX_FORM).await, Ok(MAX_FORM));
    assert_eq!(form("SecretId=AKID&A=", MAX_FORM + 1024).await, too_large);
}

#[tokio::test]
async fn a_signed_body_has_at_most_ten_megabytes() {
    let intake = Intake::default();
    let (caller, headers) = (application(), HeaderMap::new());
    let read = async |length: usize| {
        let read = intake.signed(&caller, &headers, chunked("{", length)).await;
        read.map(|read| read.bytes.len()).map_err(|error| error.code)
    };
    assert_eq!(read(MAX_BODY).await, Ok(MAX_BODY));
    assert_eq!(read(MAX_BODY + 1).await, Err("RequestSizeLimitExceeded"));
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_anything_is_read() {
    let intake = Intake::default();
    let headers = HeaderMap::from_iter([(CONTENT_LENGTH, "99999999999".parse().unwrap())]);
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let refused = intake.signed(&application(), &headers, never).await.unwrap_err();
    assert_eq!(refused.code, "RequestSizeLimitExceeded");
}

#[tokio::test]
async fn an_application_holds_a_bounded_share_and_releases_it() {
    let applications = applications();
    let intake = Intake::default();
    let (caller, headers) = (application(), HeaderMap::new());
    let read = || intake.signed(&caller, &headers, chunked("{", 8));
    let held = read().await.unwrap();
    assert_eq!(read().await.unwrap_err().code, "RequestLimitExceeded");
    // Other applications are not affected.
    assert!(intake.form(&applications, &headers, chunked("A=1", 8)).await.is_ok());
    drop(held);
    assert!(read().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_refused() {
    let intake = Intake::default();
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let late = intake
        .signed(&application(), &HeaderMap::new(), never)
        .await
        .unwrap_err();
    assert_eq!(late.message, "the body did not arrive within 20 s");
}
