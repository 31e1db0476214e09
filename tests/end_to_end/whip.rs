//! Publishing by WHIP and watching by WHEP. The tests are in the files of the folder:
//!
//! - `sessions`: from the offer to the end of a session
//! - `lines`: codecs and seats of an offer
//! - `requests`: the answer to each wrong request, and clients that differ
//! - `peer`: the WebRTC peer that publishes and watches

mod lines;
mod peer;
mod requests;
mod sessions;

use std::time::Duration;

use peer::{Peer, drive};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use str0m::media::Direction;

use crate::support::{Server, eventually};

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A created session.
struct Session {
    path: String,
    etag: String,
    answer: String,
}

impl Session {
    async fn of(response: Response) -> Self {
        let (status, path, etag) = (
            response.status(),
            header(&response, "location"),
            header(&response, "etag"),
        );
        let kind = header(&response, "content-type");
        let patches = header(&response, "accept-patch");
        let answer = text(response).await;
        assert_eq!((status, kind.as_str()), (StatusCode::CREATED, SDP), "{answer}");
        assert_eq!(patches, FRAGMENT);
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        Self { path, etag, answer }
    }
}

fn request(server: &Server, method: Method, path: &str) -> RequestBuilder {
    Client::new()
        .request(method, server.url(path))
        .timeout(Duration::from_secs(10))
}

async fn post(server: &Server, path: &str, token: &str, offer: &str) -> Response {
    let request = request(server, Method::POST, path)
        .bearer_auth(token)
        .header("content-type", SDP);
    request.body(offer.to_owned()).send().await.unwrap()
}

async fn patch(server: &Server, path: &str, if_match: Option<&str>, fragment: &str) -> Response {
    let request = request(server, Method::PATCH, path).header("content-type", FRAGMENT);
    let request = if_match
        .into_iter()
        .fold(request, |request, tag| request.header("if-match", tag));
    request.body(fragment.to_owned()).send().await.unwrap()
}

async fn text(response: Response) -> String {
    response.text().await.unwrap()
}

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    value
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

fn ticket(server: &Server, user: &str, life: &str) -> String {
    let output = server.run(&["user-sig", user, "--life", life]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn members(server: &Server, count: u32) -> Option<()> {
    let metrics = server.get("/metrics");
    metrics
        .contains(&format!("rotunda_signaling_members {count}\n"))
        .then_some(())
}
