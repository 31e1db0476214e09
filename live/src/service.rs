//! The shell: follows the running programs, serves players, pushes.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rotunda_bus::{BusError, SharedBus, Watch, WatchEvent};
use rotunda_media::program::ProgramHub;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamId;
use rotunda_proto::program::{PROGRAMS_PREFIX, ProgramDescriptor};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::config::Config;
use crate::hls::{self, Window};
use crate::http_flv;
use crate::rtmp_play;
use crate::rtmp_push::{self, Target};

/// An ended stream's last segments stay this long.
const KEEP_ENDED: Duration = Duration::from_secs(60);
/// A playlist that has no segment yet is waited for this long.
const FIRST_SEGMENT_WITHIN: Duration = Duration::from_secs(8);

/// Pause after a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Why live did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("listen for RTMP on {address}")]
    Rtmp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("reach the bus")]
    Bus(#[from] BusError),
}

/// A running live origin.
pub struct Service {
    origin: Origin,
    programs: JoinHandle<()>,
    rtmp: JoinHandle<()>,
}

#[derive(Clone)]
struct Origin {
    config: Config,
    hub: ProgramHub,
    windows: Arc<Mutex<HashMap<StreamId, watch::Receiver<Window>>>>,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        bus: SharedBus,
        hub: ProgramHub,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let changes = bus.watch(PROGRAMS_PREFIX).await?;
        let address = SocketAddr::new(config.bind, config.rtmp_port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Rtmp { address, source })?;
        let origin = Origin {
            config,
            hub,
            windows: Arc::default(),
            shutdown,
        };
        let programs = tokio::spawn(origin.clone().follow(changes));
        let rtmp = tokio::spawn(origin.clone().accept(listener));
        Ok(Self { origin, programs, rtmp })
    }

    /// `/live/<streamId>.flv`, `/live/<streamId>.m3u8` and the segments below `/live/<streamId>/`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/live/{file}", get(stream))
            .route("/live/{stream_id}/{file}", get(part))
            .layer(CorsLayer::permissive())
            .with_state(self.origin.clone())
    }

    /// Resolves when, after shutdown, pushes have ended in order.
    pub async fn finish(self) {
        let _ended = self.programs.await;
        let _ended = self.rtmp.await;
    }
}

impl Origin {
    /// Starts a segmenter and the pushes of each program; they end with it.
    async fn follow(self, mut changes: Watch) {
        let mut tasks: JoinSet<()> = JoinSet::new();
        loop {
            let event = tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(_ended) = tasks.join_next() => continue,
                event = changes.next() => event,
            };
            let WatchEvent::Change(change) = event else { continue };
            if let Some(program) = change.parse::<ProgramDescriptor>() {
                self.begin(&program, &mut tasks);
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    fn begin(&self, program: &ProgramDescriptor, tasks: &mut JoinSet<()>) {
        let id = &program.stream_id;
        let running = |window: &watch::Receiver<Window>| window.has_changed().is_ok();
        if self.windows().get(id).is_some_and(running) {
            return;
        }
        let Some(reader) = self.hub.subscribe(id) else {
            warn!(stream = %id, "the program is not in this process");
            return;
        };
        let span = info_span!("live", room = %program.room, stream = %id);
        let (window, receiver) = watch::channel(Window::new(self.config.hls_segment_seconds, self.config.hls_window));
        self.windows().insert(id.clone(), receiver.clone());
        let (origin, stream_id) = (self.clone(), id.clone());
        let segmenter = async move {
            hls::segment(reader, window, origin.shutdown.clone()).await;
            tokio::select! {
                () = Clock.sleep_until(Clock.now() + KEEP_ENDED) => {}
                () = origin.shutdown.cancelled() => {}
            }
            let mut windows = origin.windows();
            // A newer program of the same id may have taken the place.
            if windows
                .get(&stream_id)
                .is_some_and(|known| known.same_channel(&receiver))
            {
                windows.remove(&stream_id);
            }
        };
        tasks.spawn(segmenter.instrument(span.clone()));
        for url in &program.push_urls {
            match (Target::parse(url), self.hub.subscribe(id)) {
                (Ok(target), Some(reader)) => {
                    let push = rtmp_push::push(target, reader, self.shutdown.clone());
                    tasks.spawn(push.instrument(span.clone()));
                }
                (Err(error), _) => error!(stream = %id, error = &error as &dyn std::error::Error, "push"),
                (Ok(_), None) => {}
            }
        }
        info!(stream = %id, pushes = program.push_urls.len(), "on air");
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: the next attempt would fail at once too.
                    warn!(%error, "accept an RTMP connection");
                    Clock.sleep_until(Clock.now() + ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let stall = Duration::from_secs(self.config.stall_seconds);
            let player = rtmp_play::serve(socket, self.hub.clone(), stall, self.shutdown.clone());
            tokio::spawn(async move {
                if let Err(error) = player.await {
                    debug!(%from, error = &error as &dyn std::error::Error, "an RTMP player was let go");
                }
            });
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<StreamId, watch::Receiver<Window>>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self, id: &StreamId) -> Option<watch::Receiver<Window>> {
        self.windows().get(id).cloned()
    }
}

/// What a path below `/live/` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Flv,
    Playlist,
}

/// What a path below `/live/<streamId>/` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedPart {
    Init(usize),
    Segment(u64),
}

/// `<streamId>.flv` or `<streamId>.m3u8`.
pub fn asked(file: &str) -> Option<(StreamId, Asked)> {
    let (id, kind) = file.rsplit_once('.')?;
    let asked = match kind {
        "flv" => Asked::Flv,
        "m3u8" => Asked::Playlist,
        _ => return None,
    };
    Some((id.parse().ok()?, asked))
}

/// `init-<number>.mp4` or `<number>.m4s`.
pub fn asked_part(id: &str, file: &str) -> Option<(StreamId, AskedPart)> {
    let init = file.strip_prefix("init-").and_then(|name| name.strip_suffix(".mp4"));
    let asked = match (init, file.strip_suffix(".m4s")) {
        (Some(number), _) => AskedPart::Init(number.parse().ok()?),
        (None, Some(number)) => AskedPart::Segment(number.parse().ok()?),
        (None, None) => return None,
    };
    Some((id.parse().ok()?, asked))
}

async fn stream(State(origin): State<Origin>, Path(file): Path<String>) -> Response {
    match asked(&file) {
        Some((id, Asked::Flv)) => http_flv::serve(&origin.hub, &id, origin.shutdown.clone()),
        Some((id, Asked::Playlist)) => playlist(&origin, &id).await,
        None => http_flv::no_such_stream(),
    }
}

/// Right after the start it waits for the first segment: players give up on a playlist that is missing.
async fn playlist(origin: &Origin, id: &StreamId) -> Response {
    let Some(mut window) = origin.window(id) else {
        return http_flv::no_such_stream();
    };
    let first = window.wait_for(|window| !window.is_empty());
    let text = match timeout(FIRST_SEGMENT_WITHIN, first).await {
        Ok(Ok(window)) => window.playlist(id.as_str()),
        Ok(Err(_)) | Err(_) => return http_flv::no_such_stream(),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

async fn part(State(origin): State<Origin>, Path((id, file)): Path<(String, String)>) -> Response {
    let window = id.parse().ok().and_then(|id| origin.window(&id));
    let Some(window) = window else {
        return http_flv::no_such_stream();
    };
    let window = window.borrow().clone();
    let bytes = asked_part(&id, &file).and_then(|(_, asked)| match asked {
        AskedPart::Init(number) => window.init(number),
        AskedPart::Segment(number) => window.segment(number),
    });
    match bytes {
        Some(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "video/mp4"),
                (header::CACHE_CONTROL, "public, max-age=60"),
            ];
            (headers, bytes).into_response()
        }
        None => (StatusCode::NOT_FOUND, "the segment is not in the window any more").into_response(),
    }
}
