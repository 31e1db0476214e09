//! Entry points for fuzzing: each reader of network bytes of this crate, by name. Compiled for tests, which replay the saved
//! inputs, and with the feature `fuzzing`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::grpc::v1;
use rotunda_proto::ids::SdkAppId;

use crate::api::media::SearchMedia;
use crate::api::mix::check;
use crate::api::request::whole;
use crate::api::tencent::call::{self, Call};
use crate::api::tencent::fields::Fields;
use crate::api::tencent::read::{self, RoomKind};
use crate::applications::Applications;
use crate::refused_lines::refused_lines;
use crate::whip::bearer::{Bearer, QueryTokens, Token};
use crate::whip::location::location;
use crate::whip::{fragment, names, offer};

/// Takes any bytes; a panic is a finding.
pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("signaling_whip", whip),
    ("signaling_tencent", tencent),
    ("signaling_grpc", grpc),
    ("signaling_console", console),
];

const NOW: u64 = 1_700_000_000;

fn applications() -> Applications {
    Applications::new(vec![Application {
        secret_id: "AKIDfuzz".to_owned(),
        api_secret: Secret::new("a secret that nobody knows"),
        ..Application::new(SdkAppId::try_from(1_400_000_001).unwrap(), "a key that nobody knows")
    }])
}

/// The first line of an HTTP request without its method, its headers, and its body after an empty line.
fn http(data: &[u8]) -> (String, HeaderMap, &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default().trim_ascii(),
        );
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    (query, headers, body)
}

/// A WHIP or WHEP request: its token, and its body as an offer and as a fragment.
fn whip(data: &[u8]) {
    let (query, headers, body) = http(data);
    let _refused = (
        names::room(&query),
        names::user(&query),
        location("", Some(query.as_str()), "/whip/1/x"),
    );
    let token = Token::of(&headers, Some(query.as_str()), QueryTokens::Permitted);
    let bearer = Bearer::read(token, &applications(), Duration::from_secs(NOW));
    assert!(bearer.is_err(), "a forged ticket was taken");
    let Ok(body) = std::str::from_utf8(body) else {
        return;
    };
    for offer in [offer::publishing(body), offer::watching(body)].into_iter().flatten() {
        let again = offer::Offer {
            lines: offer.lines.clone(),
            ..offer.clone()
        };
        assert_eq!(offer, again);
        assert!(offer.sdp.ends_with("\r\n"));
        let _either = refused_lines(&offer.sdp, body);
    }
    if let Ok(Some(credentials)) = fragment::read(body) {
        let restarted = fragment::restart_offer(body, &credentials);
        assert!(restarted.contains(&credentials.ufrag));
        let _part = fragment::of_answer(&restarted);
    }
}

/// A call in the Tencent envelope: parsed, its signature verified, and its parameters checked.
fn tencent(data: &[u8]) {
    let (query, headers, body) = http(data);
    let applications = applications();
    for method in ["GET", "POST"] {
        let _named = call::credentials(method, &headers, NOW);
        let hosts = ["localhost:8080".to_owned()];
        let Ok(call) = Call::parse(method, &query, &headers, &hosts, body.to_vec()) else {
            continue;
        };
        let known = call.authenticate(NOW, |id| applications.by_secret_id(id));
        assert!(known.is_err(), "a forged signature was taken");
        let searched = call
            .parameters()
            .and_then(|fields| whole::<SearchMedia>(Fields::of(&fields)));
        if let (Ok(search), Some(caller)) = (searched, applications.by_secret_id("AKIDfuzz")) {
            let _refused = search.checked(caller);
        }
        for kind in [RoomKind::Number, RoomKind::Name] {
            let Ok(parameters) = call.parameters() else { break };
            let _refused = read::start(&parameters, kind).and_then(check::start);
            let _refused = read::stop(&parameters, kind).and_then(check::stop);
        }
    }
}

/// The session of the operator console, in a cookie.
fn console(data: &[u8]) {
    let (_, headers, _) = http(data);
    assert!(!crate::console::is_session(&headers), "a forged session was taken");
}

/// Messages of the gRPC face.
fn grpc(data: &[u8]) {
    if let Ok(request) = v1::StartMcuMixTranscodeRequest::decode(data) {
        let _refused = check::start(request.into());
    }
    if let Ok(request) = v1::StopMcuMixTranscodeRequest::decode(data) {
        let _refused = check::stop(request.into());
    }
}

#[cfg(test)]
#[path = "../../fuzz/src/replay.rs"]
mod tests;
