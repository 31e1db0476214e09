//! The process's HTTP listener: embedded pages, health, metrics, and the routes of the services.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rotunda_bus::{Presence, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_store::Store;
use rust_embed::RustEmbed;
use tokio_util::sync::CancellationToken;

/// The built web pages.
#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Pages;

/// Upper bounds of the buckets of every `_seconds` histogram.
const SECONDS_BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// Starts collecting metrics; call it once per process.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?;
    let handle = builder.install_recorder()?;
    metrics::gauge!("rotunda_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// The routes that belong to the whole process.
///
/// `/healthz` answers as long as the process runs; `/readyz` only while the database answers too. A node without the bus is still
/// ready: it keeps its members and tells new ones to try later, which a closed door would not. A node that drains is not ready.
pub fn router(metrics: PrometheusHandle, store: Store, bus: SharedBus, draining: CancellationToken) -> Router {
    let presence = bus.presence();
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/readyz",
            get(move || async move {
                if draining.is_cancelled() {
                    return (StatusCode::SERVICE_UNAVAILABLE, "draining".to_owned());
                }
                let presence = *presence.borrow();
                match store.ping().await {
                    Ok(()) => (StatusCode::OK, readiness(presence)),
                    Err(_) => (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "the database does not answer".to_owned(),
                    ),
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                (
                    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
                    metrics.render(),
                )
            }),
        )
        .route("/{*path}", get(|Path(path): Path<String>| async move { page(&path) }))
}

fn readiness(presence: Presence) -> String {
    match presence {
        Presence::Here => "ready".to_owned(),
        Presence::Away { since } => format!(
            "ready; the bus is away since {} s: media goes on, new members are told to try later",
            Clock.now().saturating_duration_since(since).as_secs()
        ),
    }
}

/// The demo room's page.
pub async fn index() -> Response {
    page("index.html")
}

/// What the console's page may load: its own scripts and styles, media and playlists of any place, such as a bucket with recordings.
const CONSOLE_POLICY: &str = "default-src 'self'; img-src 'self' data: blob: http: https:; media-src 'self' blob: http: https:; \
    connect-src 'self' http: https:; worker-src 'self' blob:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'";

/// The page of the operator console.
pub async fn console() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONSOLE_POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, page("console.html")).into_response()
}

fn page(path: &str) -> Response {
    let Some(file) = Pages::get(path) else {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    };
    // The bundler names assets by their content, so they never change; browsers revalidate pages.
    let caching = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let headers = [
        (header::CONTENT_TYPE, kind.as_ref()),
        (header::CACHE_CONTROL, caching),
        // Pages of other sites load the component of calls. The files are the same for everybody.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, file.data).into_response()
}
