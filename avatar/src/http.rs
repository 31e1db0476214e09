//! The HTTP API, as clients of it know it: paths, fields and answers of `docs/avatar.md`, and the pages.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tower_http::cors::CorsLayer;

use crate::avatar::Shared;
use crate::decode::decode;
use crate::reply::{self, Refusal};
use crate::request::{AudioType, Human, HumanKind, OfSession, Offer, Record, RecordKind, SessionId};
use crate::sessions::Sessions;

/// Longest body.
const LONGEST_UPLOAD: u64 = 100 * 1024 * 1024;
const LONGEST_JSON: usize = 2 * 1024 * 1024;
/// Uploads that are read and decoded at one time; others wait.
const UPLOADS: usize = 4;

type Answer = Result<Json<Value>, Refusal>;

struct Api {
    sessions: Sessions,
    shared: Shared,
    uploads: Semaphore,
}

/// All routes. The paths have no version; `/v1` before them means the same.
pub fn router(sessions: Sessions, shared: Shared) -> Router {
    let api = Arc::new(Api {
        sessions,
        shared,
        uploads: Semaphore::new(UPLOADS),
    });
    let routes = Router::new()
        .route("/offer", post(offer))
        .route("/human", post(human))
        .route("/interrupt_talk", post(interrupt_talk))
        .route("/humanaudio", post(humanaudio))
        .route("/set_audiotype", post(set_audiotype))
        .route("/is_speaking", post(is_speaking))
        .route("/record", post(record));
    Router::new()
        .nest("/v1", routes.clone())
        .merge(routes)
        .route("/", get(|| async { page("dashboard.html") }))
        .route("/{*path}", get(|Path(path): Path<String>| async move { page(&path) }))
        .method_not_allowed_fallback(|| async {
            Refusal::new("this path is not asked with this method; see docs/avatar.md")
        })
        .fallback(|| async { Refusal::new("there is no such path; see docs/avatar.md") })
        // Every origin, with whatever it sends: the answers depend on nothing that a browser keeps.
        .layer(CorsLayer::very_permissive())
        .with_state(api)
}

async fn offer(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let body = json_body(request).await?;
    let offer = Offer::read(&body)?;
    let (sessionid, sdp) = api.sessions.start(&offer.sdp).await?;
    Ok(Json(json!({ "sdp": sdp, "type": "answer", "sessionid": sessionid })))
}

async fn human(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let body = json_body(request).await?;
    let human = Human::read(&body)?;
    let avatar = api.sessions.find(human.session.0)?;
    match human.kind {
        HumanKind::Echo => {
            let sentences = human.sentences()?;
            api.shared.speech.check().await?;
            avatar.say(sentences, human.interrupt).await?;
        }
        HumanKind::Chat => {
            let question = human.question()?;
            api.shared.words.check()?;
            api.shared.speech.check().await?;
            avatar.chat(question, human.interrupt).await?;
        }
    }
    Ok(reply::ok())
}

async fn interrupt_talk(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let body = json_body(request).await?;
    let asked = OfSession::read(&body)?;
    api.sessions.find(asked.session.0)?.interrupt().await?;
    Ok(reply::ok())
}

async fn set_audiotype(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let body = json_body(request).await?;
    let asked = AudioType::read(&body)?;
    let avatar = api.sessions.find(asked.session.0)?;
    avatar.set_state(asked.audiotype, asked.reinit).await?;
    Ok(reply::ok())
}

async fn is_speaking(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let body = json_body(request).await?;
    let asked = OfSession::read(&body)?;
    Ok(reply::data(api.sessions.find(asked.session.0)?.is_speaking()))
}

async fn record(State(api): State<Arc<Api>>, request: Request) -> Answer {
    let body = json_body(request).await?;
    let asked = Record::read(&body)?;
    let avatar = api.sessions.find(asked.session.0)?;
    match asked.kind {
        RecordKind::Start => avatar.start_record().await?,
        RecordKind::End => avatar.end_record().await?,
    }
    Ok(reply::ok())
}

async fn humanaudio(State(api): State<Arc<Api>>, headers: HeaderMap, request: Request) -> Answer {
    let _turn = api.uploads.acquire().await?;
    let Upload { session, file } = upload(&headers, request.into_body()).await?;
    let avatar = api.sessions.find(session.0)?;
    let longest = api.shared.config.max_samples();
    let decoded = tokio::task::spawn_blocking(move || decode(file, longest)).await;
    let pcm = decoded.map_err(|_| Refusal::new("the file could not be decoded"))??;
    avatar.play(pcm).await?;
    Ok(reply::ok())
}

struct Upload {
    session: SessionId,
    file: Bytes,
}

/// The fields of the form, in any order.
async fn upload(headers: &HeaderMap, body: Body) -> Result<Upload, Refusal> {
    let form = "send multipart/form-data with the fields sessionid and file";
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = kind.and_then(|kind| multer::parse_boundary(kind).ok());
    let boundary = boundary.ok_or_else(|| Refusal::new(form))?;
    let limits = SizeLimit::new().whole_stream(LONGEST_UPLOAD).for_field("sessionid", 64);
    let constraints = Constraints::new().size_limit(limits);
    let mut parts = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let (mut session, mut file) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(told)? {
        let name = part.name().map(str::to_owned);
        match name.as_deref() {
            Some("sessionid") => {
                let text = part.text().await.map_err(told)?;
                let number = text.trim().parse().map_err(|_| {
                    Refusal::new(format!(
                        "sessionid: {:?} is no whole number",
                        text.chars().take(64).collect::<String>()
                    ))
                })?;
                session = Some(SessionId(number));
            }
            Some("file") => file = Some(part.bytes().await.map_err(told)?),
            // Other fields are left out.
            _ => {}
        }
    }
    match (session, file) {
        (Some(session), Some(file)) => Ok(Upload { session, file }),
        (None, _) => Err(Refusal::new(format!("sessionid is missing; {form}"))),
        (_, None) => Err(Refusal::new(format!("file is missing; {form}"))),
    }
}

fn told(error: multer::Error) -> Refusal {
    match error {
        multer::Error::StreamSizeExceeded { limit } => Refusal::new(format!("a body has at most {limit} bytes")),
        error => Refusal::from(error),
    }
}

async fn json_body(request: Request) -> Result<Bytes, Refusal> {
    to_bytes(request.into_body(), LONGEST_JSON).await.map_err(|_| {
        Refusal::new(format!(
            "the body was not received whole; it has at most {LONGEST_JSON} bytes"
        ))
    })
}

/// The pages by their documented names.
fn page(path: &str) -> Response {
    let (kind, text) = match path {
        "dashboard.html" | "index.html" => ("text/html", include_str!("../pages/dashboard.html")),
        "webrtcapi.html" => ("text/html", include_str!("../pages/webrtcapi.html")),
        "rtcpushapi.html" => ("text/html", include_str!("../pages/rtcpushapi.html")),
        "echoapi.html" => ("text/html", include_str!("../pages/echoapi.html")),
        "avatar.js" => ("text/javascript", include_str!("../pages/avatar.js")),
        "avatar.css" => ("text/css", include_str!("../pages/avatar.css")),
        _ => return (StatusCode::NOT_FOUND, "there is no such page\n").into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, text).into_response()
}
