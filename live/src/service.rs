//! The shell: follows the running programs, serves players, starts pushes and pulls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rotunda_bus::{BusError, Change, ClusterNode, Watch, WatchEvent};
use rotunda_events::{Facts, SingleRun, What};
use rotunda_listen::{Incoming, Listener};
use rotunda_media::program::ProgramReader;
use rotunda_programs::claims::{Claims, Work};
use rotunda_programs::{Programs as AllPrograms, ReadFrom};
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::StreamKey;
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_proto::program::{PROGRAMS_PREFIX, Playing, ProgramDescriptor, stream_of_key};
use rotunda_proto::stream_ingest::INGESTS_PREFIX;
use serde_json::json;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;
use tracing::{Instrument, debug, info, info_span};

use crate::config::Config;
use crate::hls::{self, Latency, Segmented, Window};
use crate::hls_http::{self, Hls, Piece};
use crate::http_flv;
use crate::ingest::pull::Pulls;
use crate::ingest::{self, Ingests};
use crate::on_air::{OnAir, Seen};
use crate::rtmp_client::Outbound;
use crate::rtmp_play;
use crate::rtmp_session::{self, NOT_UNIQUE, NotPlayed, Programs, RtmpError, Wanted};
use crate::streams::{Found, StreamName, Streams};
use crate::tls::{self, TlsError};
use crate::whep::{self, Reading, Whep};

/// The last segments of an ended stream stay for this time.
const KEEP_ENDED: Duration = Duration::from_secs(60);

/// Why live did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("reach the bus")]
    Bus(#[from] BusError),
    #[error("set up RTMPS")]
    Tls(#[from] TlsError),
    #[error("set up the HTTP client of pulls")]
    Http(#[from] reqwest::Error),
    #[error("open the UDP sockets of WHEP (live.whep_port)")]
    Whep(#[source] std::io::Error),
}

/// The applications whose play keys are checked, the networks that pushes may reach, where streams are told, and where publishers enter.
pub struct Access {
    pub applications: ApplicationList,
    pub networks: AllowedNetworks,
    pub facts: Facts,
    /// The signaling by which RTMP publishers enter their rooms, for example `ws://127.0.0.1:8080/ws`.
    pub signaling_url: String,
}

/// A running live origin.
pub struct Service {
    origin: Origin,
    programs: JoinHandle<()>,
    pulls: JoinHandle<()>,
    rtmp: JoinSet<()>,
}

#[derive(Clone)]
struct Origin {
    config: Config,
    all: AllPrograms,
    /// The programs that run, on whichever node.
    running: Arc<Mutex<HashMap<StreamKey, ProgramDescriptor>>>,
    windows: Arc<Mutex<HashMap<StreamKey, Hls>>>,
    flv_players: Arc<Semaphore>,
    streams: Arc<Streams>,
    ingests: Arc<Ingests>,
    whep: Whep,
    facts: Facts,
    shutdown: CancellationToken,
}

impl Service {
    pub async fn start(
        config: Config,
        access: Access,
        node: ClusterNode,
        programs: AllPrograms,
        rtmp: Vec<Listener>,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let Access {
            applications,
            networks,
            facts,
            signaling_url,
        } = access;
        let outbound = Outbound {
            networks,
            tls: tls::client(config.push_ca_file.as_deref())?,
        };
        let changes = node.bus().watch(PROGRAMS_PREFIX).await?;
        let ingests = Arc::new(Ingests::new(signaling_url));
        let tasks = node.bus().watch(INGESTS_PREFIX).await?;
        let pulls = Pulls::new(
            node.bus().clone(),
            Claims::start(node.clone(), Work::Ingest).await?,
            outbound.clone(),
            ingests.clone(),
            facts.clone(),
            config.pulls,
            shutdown.clone(),
        )?;
        let claims = Claims::start(node, Work::Push).await?;
        let whep = Whep::start(&config, shutdown.clone()).await.map_err(StartError::Whep)?;
        let origin = Origin {
            flv_players: Arc::new(Semaphore::new(config.flv_players.min(Semaphore::MAX_PERMITS))),
            config,
            all: programs,
            running: Arc::default(),
            windows: Arc::default(),
            streams: Arc::new(Streams::new(applications)),
            ingests,
            whep,
            facts,
            shutdown,
        };
        let on_air = OnAir::new(
            origin.all.clone(),
            claims,
            outbound,
            origin.facts.clone(),
            origin.shutdown.clone(),
        );
        let programs = tokio::spawn(origin.clone().follow(changes, on_air));
        let mut accepting = JoinSet::new();
        for listener in rtmp {
            accepting.spawn(origin.clone().accept(listener));
        }
        Ok(Self {
            origin,
            programs,
            pulls: tokio::spawn(pulls.run(tasks)),
            rtmp: accepting,
        })
    }

    /// `/live/<streamId>.flv`, `.m3u8`, `.whep` and the segments below `/live/<streamId>/`; the same with an `<sdkAppId>/`
    /// before the stream's id, where several applications use one.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/live/{*path}", get(serve).post(watch).delete(end))
            .layer(DefaultBodyLimit::max(whep::http::MOST_OFFER_BYTES))
            .layer(CorsLayer::permissive())
            .with_state(self.origin.clone())
    }

    /// Resolves when all pushes have ended in order after shutdown.
    pub async fn finish(self) {
        let _ended = self.pulls.await;
        let _ended = self.programs.await;
        let _ended = self.rtmp.join_all().await;
        self.origin.whep.finish().await;
    }
}

impl Origin {
    /// Keeps a segmenter and the wanted pushes of each program; they end with it.
    async fn follow(self, mut changes: Watch, mut on_air: OnAir) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                () = on_air.step() => {}
                event = changes.next() => if let WatchEvent::Change(change) = event {
                    self.handle_change(&change, &mut on_air);
                },
            }
        }
        on_air.finish().await;
    }

    fn handle_change(&self, change: &Change, on_air: &mut OnAir) {
        if change.entry.is_none()
            && let Some(stream) = stream_of_key(&change.key)
        {
            self.running().remove(&stream);
            on_air.handle_end(&stream);
        }
        let Some(program) = change.parse::<ProgramDescriptor>() else {
            return;
        };
        let is_played = program
            .single
            .as_ref()
            .is_none_or(|single| single.playing == Playing::Live);
        if is_played {
            self.running().insert(program.stream(), program.clone());
            if let Seen::New(over) = on_air.handle_program(&program) {
                self.begin(&program, over, on_air);
            }
        }
    }

    /// `over`: cancelled at the program's end.
    fn begin(&self, program: &ProgramDescriptor, over: CancellationToken, on_air: &mut OnAir) {
        let id = &program.stream();
        self.streams.begin(id);
        let span = info_span!("live", room = %program.room, stream = %id);
        let earlier = self.hls(id).map(|hls| hls.window.borrow().resumed());
        let window = earlier.unwrap_or_else(|| {
            let Config {
                hls_segment_seconds,
                hls_window,
                hls_low_latency,
                ..
            } = self.config;
            // The frame rate of a publisher changes with the network.
            let latency = match hls_low_latency && program.single.is_none() {
                true => Latency::Low,
                false => Latency::Ordinary,
            };
            Window::new(hls_segment_seconds, hls_window, latency, Clock.unix())
        });
        let (window, receiver) = watch::channel(window);
        let (asked, requests) = watch::channel(None);
        let hls = Hls {
            window: receiver.clone(),
            asked,
        };
        self.windows().insert(id.clone(), hls);
        let live = |kind: &str| format!("live-{kind}-{id}-{}", program.started_unix_ms);
        let stream_id = program.stream_id.clone();
        let single = program.single.as_ref().map(|single| SingleRun {
            user: single.user.clone(),
            started_unix_ms: program.started_unix_ms,
        });
        let (begun, ended) = (
            What::LiveBegun {
                stream_id: stream_id.clone(),
                single: single.clone(),
            },
            What::LiveEnded { stream_id, single },
        );
        self.facts.tell_as(live("begun"), &program.room, begun);
        let (ended_id, room) = (live("ended"), program.room.clone());
        let pushes = program.push_urls.len();
        let (origin, stream_id, program) = (self.clone(), id.clone(), program.clone());
        let segmenter = async move {
            origin.segment_on_demand(&program, window, requests, &over).await;
            if !origin.still_runs(&program, &over) {
                origin.facts.tell_as(ended_id, &room, ended);
            }
            tokio::select! {
                () = Clock.sleep_until(Clock.now() + KEEP_ENDED) => {}
                () = origin.shutdown.cancelled() => {}
            }
            let mut windows = origin.windows();
            // A newer program of the same id may have replaced it.
            if windows
                .get(&stream_id)
                .is_some_and(|known| known.window.same_channel(&receiver))
            {
                windows.remove(&stream_id);
                origin.streams.end(&stream_id);
            }
        };
        on_air.spawn(segmenter.instrument(span));
        info!(stream = %id, pushes, "on air");
    }

    /// Makes segments while players ask for playlists, until the program ends.
    async fn segment_on_demand(
        &self,
        program: &ProgramDescriptor,
        window: watch::Sender<Window>,
        mut requests: watch::Receiver<Option<Instant>>,
        over: &CancellationToken,
    ) {
        let idle = Duration::from_secs(self.config.hls_idle_seconds);
        let asked = requests.clone();
        let is_wanted = || {
            let now = Clock.now();
            idle.is_zero()
                || asked
                    .borrow()
                    .is_some_and(|at| now.saturating_duration_since(at) < idle)
        };
        loop {
            if !is_wanted() {
                tokio::select! {
                    () = self.all.ended_here(program) => break,
                    () = over.cancelled() => break,
                    () = self.shutdown.cancelled() => break,
                    Ok(()) = requests.changed() => {}
                }
                continue;
            }
            let Some(reader) = self.all.subscribe(program, ReadFrom::Keyframe) else {
                break;
            };
            let made = hls::segment(reader, &window, is_wanted, self.shutdown.clone()).await;
            if made == Segmented::Ended {
                return;
            }
            debug!("nobody plays HLS; its segments are no longer made");
        }
        window.send_modify(Window::end);
    }

    async fn accept(self, mut listener: Listener) {
        loop {
            let incoming = tokio::select! {
                () = self.shutdown.cancelled() => return,
                incoming = listener.accept() => incoming,
            };
            let origin = self.clone();
            tokio::spawn(async move {
                let from = incoming.peer();
                if let Err(error) = origin.serve_rtmp(incoming).await {
                    debug!(%from, error = &error as &dyn std::error::Error, "an RTMP connection ended");
                }
            });
        }
    }

    async fn serve_rtmp(&self, incoming: Incoming) -> Result<(), RtmpError> {
        let Some((stream, wanted)) = rtmp_session::open(incoming, self).await? else {
            return Ok(());
        };
        let stall = Duration::from_secs(self.config.stall_seconds);
        let shutdown = self.shutdown.clone();
        match wanted {
            Wanted::Play(ready) => rtmp_play::serve(stream, ready, stall, shutdown).await,
            Wanted::Publish(publish) => ingest::serve(stream, publish, self.ingests.clone(), stall, shutdown).await,
        }
    }

    /// A process that shuts down leaves programs of other nodes to the others.
    fn still_runs(&self, program: &ProgramDescriptor, over: &CancellationToken) -> bool {
        !self.all.is_made_here(program) && !over.is_cancelled() && self.shutdown.is_cancelled()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<StreamKey, ProgramDescriptor>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<StreamKey, Hls>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hls(&self, id: &StreamKey) -> Option<Hls> {
        self.windows().get(id).cloned()
    }
}

impl Origin {
    fn serve_flv(&self, reader: ProgramReader) -> Response {
        let Ok(place) = self.flv_players.clone().try_acquire_owned() else {
            return http_flv::too_many_players();
        };
        let stall = Duration::from_secs(self.config.stall_seconds);
        http_flv::serve(reader, stall, place, self.shutdown.clone())
    }
}

impl Origin {
    fn reading(&self, stream: &StreamKey) -> Reading {
        let (origin, stream) = (self.clone(), stream.clone());
        Arc::new(move || origin.read(&stream))
    }

    fn read(&self, stream: &StreamKey) -> Option<ProgramReader> {
        let program = self.running().get(stream).cloned()?;
        self.all.subscribe(&program, ReadFrom::Keyframe)
    }
}

impl Programs for Origin {
    fn play(&self, name: &StreamName, query: &str) -> Result<ProgramReader, NotPlayed> {
        let Found { stream, .. } = self.streams.find(name, query, Clock.unix())?;
        self.read(&stream).ok_or(NotPlayed::NoSuchStream)
    }
}

/// The resource that a path below `/live/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Flv,
    Playlist,
    Whep,
}

/// `<streamId>.flv`, `<streamId>.m3u8` or `<streamId>.whep`, also below `<sdkAppId>/`.
pub fn asked(path: &str) -> Option<(StreamName, Asked)> {
    let (name, kind) = path.rsplit_once('.')?;
    let asked = match kind {
        "flv" => Asked::Flv,
        "m3u8" => Asked::Playlist,
        "whep" => Asked::Whep,
        _ => return None,
    };
    Some((StreamName::parse(name)?, asked))
}

/// `init-<number>.mp4`, `<number>.m4s` or `<number>.<part>.m4s` in the folder `<streamId>/`, also below `<sdkAppId>/`.
pub fn asked_part(path: &str) -> Option<(StreamName, Piece)> {
    let (name, file) = path.rsplit_once('/')?;
    let init = file.strip_prefix("init-").and_then(|name| name.strip_suffix(".mp4"));
    let asked = match (init, file.strip_suffix(".m4s")) {
        (Some(number), _) => Piece::Init(number.parse().ok()?),
        (None, Some(numbers)) => match numbers.split_once('.') {
            Some((number, part)) => Piece::Part(number.parse().ok()?, part.parse().ok()?),
            None => Piece::Segment(numbers.parse().ok()?),
        },
        (None, None) => return None,
    };
    Some((StreamName::parse(name)?, asked))
}

async fn serve(
    State(origin): State<Origin>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    if let Some((name, asked)) = asked(&path) {
        return match asked {
            Asked::Flv => match origin.play(&name, &query) {
                Ok(reader) => origin.serve_flv(reader),
                Err(why) => not_played(why),
            },
            Asked::Playlist => match origin.streams.find(&name, &query, Clock.unix()) {
                Ok(found) => match origin.hls(&found.stream) {
                    Some(hls) => hls_http::playlist(hls, &found, &query, &headers).await,
                    None => http_flv::no_such_stream(),
                },
                Err(why) => not_played(why),
            },
            Asked::Whep => whep::http::not_read(),
        };
    }
    match asked_part(&path) {
        Some((name, asked)) => match origin.streams.find(&name, &query, Clock.unix()) {
            Ok(found) => match origin.hls(&found.stream) {
                Some(hls) => hls_http::piece(hls, asked).await,
                None => http_flv::no_such_stream(),
            },
            Err(why) => not_played(why),
        },
        None => http_flv::no_such_stream(),
    }
}

/// A WHEP viewer's offer.
async fn watch(
    State(origin): State<Origin>,
    OriginalUri(address): OriginalUri,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((name, Asked::Whep)) = asked(&path) else {
        return http_flv::no_such_stream();
    };
    let found = origin.streams.find(&name, &query.unwrap_or_default(), Clock.unix());
    match found {
        Ok(Found { stream, .. }) => {
            let offer = whep::http::offer(&headers, &body);
            let program = origin.reading(&stream);
            let begun = offer.and_then(|offer| origin.whep.begin(&stream, program, offer));
            whep::http::begun(address.path(), begun)
        }
        Err(why) => not_played(why),
    }
}

/// The end of a WHEP session. Its address cannot be guessed, so it needs no other permission.
async fn end(State(origin): State<Origin>, Path(path): Path<String>) -> Response {
    let session = path
        .rsplit_once('/')
        .filter(|(endpoint, _)| endpoint.ends_with(".whep"));
    whep::http::ended(session.is_some_and(|(_, id)| origin.whep.end(id)))
}

fn not_played(why: NotPlayed) -> Response {
    match why {
        NotPlayed::NoSuchStream => http_flv::no_such_stream(),
        NotPlayed::NotUnique => {
            let body = json!({ "error": { "code": "stream_name_not_unique", "message": NOT_UNIQUE } });
            (StatusCode::CONFLICT, axum::Json(body)).into_response()
        }
        NotPlayed::Refused(refusal) => {
            let body = json!({ "error": { "code": "play_not_permitted", "message": refusal.to_string() } });
            (StatusCode::FORBIDDEN, axum::Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
