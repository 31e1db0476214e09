//! Pulls: the media of URLs becomes that of members of rooms.
//!
//! The server API writes what is wanted ([`StreamIngest`]). All live processes follow it, one of them claims each task ([`Claims`]) and does it
//! ([`task`]). The source ([`source`]) may be RTMP, HTTP-FLV, HLS or MP4; each yields the tags of FLV, from which the same [`Core`](super::core::Core)
//! as for RTMP publishers makes frames. Video with B-frames is encoded anew ([`reorder`]).

mod flv;
mod hls;
mod http;
mod mp4;
mod reorder;
mod rtmp;
mod samples;
mod source;
mod tag;
mod task;
mod ts;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use rotunda_bus::{BusExt, Change, SharedBus, Watch, WatchEvent};
use rotunda_events::{Facts, What};
use rotunda_programs::claims::{Claims, ProgramKey};
use rotunda_proto::clock::Clock;
use rotunda_proto::outbound::AllowedNetworks;
use rotunda_proto::stream_ingest::StreamIngest;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use self::http::Http;
use self::source::Reach;
use self::task::Over;
use super::Ingests;
use crate::rtmp_client::Outbound;

/// After an error of the bus.
const AGAIN: Duration = Duration::from_secs(1);

/// The tasks, as this process knows them. See the [module](self).
pub struct Pulls {
    claims: Claims,
    held: watch::Receiver<BTreeSet<ProgramKey>>,
    worker: Arc<Worker>,
    /// The most tasks of this process.
    most: usize,
    /// By the key of its document.
    known: HashMap<String, Known>,
    tasks: JoinSet<(ProgramKey, Ended)>,
    shutdown: CancellationToken,
}

struct Known {
    program: ProgramKey,
    wanted: watch::Sender<StreamIngest>,
    /// It ends the task in this process.
    stop: Option<CancellationToken>,
    /// This process would do it. A full one leaves it to others.
    is_wanted: bool,
}

/// The parts that all tasks share.
struct Worker {
    bus: SharedBus,
    reach: Reach,
    ingests: Arc<Ingests>,
    facts: Facts,
}

impl Pulls {
    /// `claims`: to ingest. Errors: the HTTP client cannot be set up.
    pub fn new(
        bus: SharedBus,
        claims: Claims,
        rtmp: Outbound,
        ingests: Arc<Ingests>,
        facts: Facts,
        most: usize,
        shutdown: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let networks: AllowedNetworks = rtmp.networks.clone();
        let reach = Reach {
            http: Http::new(networks)?,
            rtmp,
        };
        let worker = Worker {
            bus,
            reach,
            ingests,
            facts,
        };
        Ok(Self {
            held: claims.held(),
            claims,
            worker: Arc::new(worker),
            most,
            known: HashMap::new(),
            tasks: JoinSet::new(),
            shutdown,
        })
    }

    /// Follows the tasks until shutdown. `changes`: of their documents.
    pub async fn run(mut self, mut changes: Watch) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => break,
                event = changes.next() => if let WatchEvent::Change(change) = event {
                    self.handle_change(&change);
                },
                Ok(()) = self.held.changed() => {}
                Some(ended) = self.tasks.join_next() => if let Ok((program, Ended::Stopped)) = ended {
                    self.handle_stopped(&program);
                },
            }
            self.reconcile();
        }
        while self.tasks.join_next().await.is_some() {}
        self.claims.finish().await;
    }

    fn handle_change(&mut self, change: &Change) {
        let ingest = change.parse::<StreamIngest>();
        let program = ingest.as_ref().map(|ingest| (ingest.stream(), ingest.started_unix_ms));
        if let Some(known) = self.known.get(&change.key)
            && Some(&known.program) != program.as_ref()
        {
            self.claims.forget(&known.program);
            if let Some(stop) = &known.stop {
                stop.cancel();
            }
            self.known.remove(&change.key);
        }
        let (Some(ingest), Some(program)) = (ingest, program) else {
            return;
        };
        match self.known.get(&change.key) {
            Some(known) => {
                known.wanted.send_if_modified(|before| {
                    let has_changed = *before != ingest;
                    *before = ingest;
                    has_changed
                });
            }
            None => {
                let (wanted, _) = watch::channel(ingest);
                let known = Known {
                    program,
                    wanted,
                    stop: None,
                    is_wanted: false,
                };
                self.known.insert(change.key.clone(), known);
            }
        }
    }

    /// A task that was stopped may be this process's again.
    fn handle_stopped(&mut self, program: &ProgramKey) {
        for known in self.known.values_mut().filter(|known| known.program == *program) {
            known.stop = None;
        }
    }

    fn reconcile(&mut self) {
        let held = self.held.borrow().clone();
        for known in self.known.values_mut() {
            match (&known.stop, held.contains(&known.program)) {
                (Some(stop), false) => stop.cancel(),
                (None, true) if self.tasks.len() >= self.most => {
                    info!(task = %known.program.0, most = self.most, "this process has as many pulls as it may (live.pulls)");
                    self.claims.forget(&known.program);
                    known.is_wanted = false;
                }
                (None, true) => {
                    let stop = self.shutdown.child_token();
                    known.stop = Some(stop.clone());
                    let (worker, wanted) = (self.worker.clone(), known.wanted.subscribe());
                    let program = known.program.clone();
                    self.tasks.spawn(async move {
                        let ended = worker.run(wanted, stop).await;
                        (program, ended)
                    });
                }
                (None, false) if !known.is_wanted && self.tasks.len() < self.most => {
                    self.claims.want(known.program.clone(), Duration::ZERO);
                    known.is_wanted = true;
                }
                (Some(_), true) | (None, false) => {}
            }
        }
    }
}

/// How this process's work on a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It is not wanted of this process.
    Stopped,
    /// The task is over, and its document is deleted.
    Over,
}

/// A pull counts while it is done.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!("rotunda_live_pulls").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("rotunda_live_pulls").decrement(1.0);
    }
}

impl Worker {
    async fn run(&self, wanted: watch::Receiver<StreamIngest>, stop: CancellationToken) -> Ended {
        let ingest = wanted.borrow().clone();
        let span = info_span!("pull", task = %ingest.id, room = %ingest.room, user = %ingest.user);
        async {
            let _counted = Counted::new();
            let Some(over) = self.pull(&ingest, wanted, &stop).await else {
                return Ended::Stopped;
            };
            self.end(&ingest, &over, &stop).await;
            Ended::Over
        }
        .instrument(span)
        .await
    }

    async fn pull(
        &self,
        ingest: &StreamIngest,
        wanted: watch::Receiver<StreamIngest>,
        stop: &CancellationToken,
    ) -> Option<Over> {
        let Some(_running) = self.ingests.begin(ingest.room.app, ingest.user.clone()) else {
            return Some(Over::Busy);
        };
        let begun = || {
            let (task, user) = (ingest.id.clone(), ingest.user.clone());
            let id = format!("ingest-begun-{}", ingest.stream());
            self.facts.tell_as(id, &ingest.room, What::IngestBegun { task, user });
        };
        task::run(self.reach.clone(), self.ingests.signaling_url(), wanted, begun, stop).await
    }

    /// Tells the end, and deletes the document.
    async fn end(&self, ingest: &StreamIngest, over: &Over, stop: &CancellationToken) {
        counter!("rotunda_live_pulls_ended_total", "reason" => over.reason()).increment(1);
        let message = over.to_string();
        match over {
            Over::Finished | Over::Expired => info!(%message, "the pull has ended"),
            _ => warn!(%message, "the pull has ended"),
        }
        let what = What::IngestEnded {
            task: ingest.id.clone(),
            user: ingest.user.clone(),
            reason: over.reason().to_owned(),
            message,
        };
        let id = format!("ingest-ended-{}", ingest.stream());
        self.facts.tell_as(id, &ingest.room, what);
        loop {
            let delete = |before: Option<StreamIngest>| match before {
                Some(before) if before.id == ingest.id => Ok((None, ())),
                _ => Err(()),
            };
            match self.bus.update(&ingest.key(), delete).await {
                Ok(_) => return,
                Err(error) => warn!(%error, "the task's document was not deleted; it is tried again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = Clock.sleep_until(Clock.now() + AGAIN) => {}
            }
        }
    }
}

/// Any bytes as a source; the first one says of which kind.
#[cfg(any(test, feature = "fuzzing"))]
pub fn fuzz(data: &[u8]) {
    use self::tag::{Piece, Tag};
    use shiguredo_mp4::demux::{Fmp4FileDemuxer, Fmp4SegmentDemuxer, Input, Mp4FileDemuxer};

    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let mut tags: Vec<Tag> = Vec::new();
    match kind % 5 {
        0 => {
            let mut splitter = flv::FlvSplitter::default();
            for chunk in data.chunks(61) {
                splitter.push(chunk);
                while let Ok(Some(tag)) = splitter.next_tag() {
                    tags.push(tag);
                }
            }
        }
        1 => {
            let mut demuxer = ts::TsDemuxer::new();
            let _refused = demuxer.push(data);
            demuxer.flush();
            tags.extend(std::iter::from_fn(|| demuxer.next_tag()));
        }
        2 => {
            if let Ok(m3u8_rs::Playlist::MediaPlaylist(playlist)) = hls::parse(data) {
                let mut position = hls::Position::first(&playlist, Duration::from_secs(3));
                position.take(&playlist);
                assert!(position.take(&playlist).is_empty(), "each segment once");
            }
        }
        // The library's own panics end a source alone, see `Reading`.
        3 => {
            let read = std::panic::catch_unwind(|| {
                let mut demuxer = Mp4FileDemuxer::new();
                demuxer.handle_input(Input { position: 0, data });
                let mut places = Vec::new();
                while let Ok(Some(sample)) = demuxer.next_sample() {
                    places.extend(samples::Place::of(&sample));
                }
                let mut demuxer = Fmp4FileDemuxer::new();
                demuxer.handle_input(Input { position: 0, data });
                let _sample = demuxer.next_sample().is_ok();
            });
            drop(read);
        }
        _ => {
            let mut demuxer = Fmp4SegmentDemuxer::new();
            let (init, segment) = data.split_at(data.len().min(2048));
            let _refused = demuxer.handle_init_segment(init);
            let _refused = hls::fragments(&mut demuxer, segment);
        }
    }
    let mut reorder = reorder::Reorder::default();
    let mut out = Vec::new();
    for tag in tags {
        if reorder.handle(Piece::Tag(tag), &mut out).is_err() {
            break;
        }
    }
    let _refused = reorder.end(&mut out);
}

#[cfg(test)]
mod tests;
