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
    Ok(builder.install_recorder()?)
}

/// The routes that belong to the whole process.
///
/// `/healthz` answers as long as the process runs; `/readyz` only while the database answers too. A node without the bus is still
/// ready: it keeps its members and tells new ones to try later, which a closed door would not.
pub fn router(metrics: PrometheusHandle, store: Store, bus: SharedBus) -> Router {
    let presence = bus.presence();
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/readyz",
            get(move || async move {
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
    (
        [(header::CONTENT_TYPE, kind.as_ref()), (header::CACHE_CONTROL, caching)],
        file.data,
    )
        .into_response()
}
