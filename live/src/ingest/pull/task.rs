//! One pull: the membership of its user, and the source, each of which may come and go.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use rand::Rng;
use rotunda_client::{Entry, JoinError, Member, SignalingError};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::stream_ingest::StreamIngest;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::source::{End, Reach, Reading, SourceError};
use super::tag::{Kind, Piece};
use crate::ingest::core::{Core, MediaRefusal};
use crate::ingest::seat::{Seat, enter};

/// The member must be in the room, and connected, within this time.
const ENTER_WITHIN: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A member whose source is over stays for this time, so that its last packets are sent, again where they were lost.
const LINGER: Duration = Duration::from_millis(500);
/// A pause that is longer ends the task.
const LONGEST_HOLD: Duration = Duration::from_secs(12 * 3600);

/// Why a task is over for good.
#[derive(Debug, Error)]
pub enum Over {
    #[error("the source was played to its end")]
    Finished,
    #[error("the longest time of the task is over")]
    Expired,
    #[error("the task was paused for 12 hours")]
    Paused,
    #[error("no media came for {0} s")]
    Idle(u64),
    #[error("this user's media already comes in by RTMP")]
    Busy,
    #[error("the room does not admit the user: {0}")]
    NotAdmitted(String),
    #[error("the user was removed from the room, or logged in elsewhere")]
    Removed,
    #[error("the source cannot be used: {0}")]
    Source(String),
}

impl Over {
    /// The value of the metric's label, and of the fact.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Expired => "expired",
            Self::Paused => "paused",
            Self::Idle(_) => "idle",
            Self::Busy => "busy",
            Self::NotAdmitted(_) => "not_admitted",
            Self::Removed => "removed",
            Self::Source(_) => "source",
        }
    }
}

/// How a membership ends.
enum Left {
    /// The task is no longer wanted of this process.
    Stopped,
    Over(Over),
    /// The connection to the room is lost.
    Lost(JoinError),
}

/// Does a task until it is over; None: it was stopped.
pub async fn run(
    reach: Reach,
    signaling_url: &str,
    wanted: watch::Receiver<StreamIngest>,
    begun: impl FnOnce(),
    stop: &CancellationToken,
) -> Option<Over> {
    let mut task = Task::new(reach, wanted);
    let (mut pause, mut begun) = (FIRST_PAUSE, Some(begun));
    loop {
        let by = Clock.now() + ENTER_WITHIN;
        let entering = timeout_at(by.into(), enter(entry(&task.ingest, signaling_url)));
        let entered = tokio::select! {
            () = stop.cancelled() => return None,
            entered = entering => entered,
        };
        match entered {
            Ok(Ok(mut member)) => {
                if let Some(begun) = begun.take() {
                    begun();
                }
                pause = FIRST_PAUSE;
                task.seats = seats();
                task.core.restart();
                let left = task.exchange(&mut member, stop).await;
                if matches!(left, Left::Over(Over::Finished)) {
                    linger(&mut member).await;
                }
                member.leave().await;
                match left {
                    Left::Stopped => return None,
                    Left::Over(over) => return Some(over),
                    Left::Lost(JoinError::Kicked(_)) => return Some(Over::Removed),
                    Left::Lost(error) => warn!(error = &error as &dyn Error, "the room was lost; it is entered again"),
                }
            }
            Ok(Err(JoinError::Signaling(SignalingError::Refused(refusal)))) => {
                return Some(Over::NotAdmitted(refusal.message));
            }
            Ok(Err(error)) => warn!(
                error = &error as &dyn Error,
                "the room cannot be entered; it is tried again"
            ),
            Err(_) => warn!("the room did not answer in time; it is tried again"),
        }
        if let Some(over) = task.over(Clock.now()) {
            return Some(over);
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = Clock.sleep_until(Clock.now() + jittered(pause)) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn entry(ingest: &StreamIngest, signaling_url: &str) -> Entry {
    Entry {
        url: signaling_url.to_owned(),
        app: ingest.room.app,
        user: ingest.user.clone(),
        user_sig: ingest.user_sig.clone(),
        room: ingest.room.room.clone(),
        private_map_key: ingest.private_map_key.clone(),
        record_id: None,
        stream_id: ingest.stream_id.clone(),
    }
}

async fn linger(member: &mut Member) {
    let until = Clock.now() + LINGER;
    while let Ok(Ok(_)) = timeout_at(until.into(), member.next()).await {}
}

fn seats() -> [Seat; 2] {
    [Seat::new(TrackSource::Audio), Seat::new(TrackSource::Camera)]
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.75..1.25))
}

struct Task {
    reach: Reach,
    wanted: watch::Receiver<StreamIngest>,
    ingest: StreamIngest,
    core: Core,
    seats: [Seat; 2],
    reading: Option<Reading>,
    /// When the source is read again, if it is not.
    again: Instant,
    pause: Duration,
    /// When the source's last media came, or when it could not come.
    media_at: Instant,
    /// Whether the source that is read has yielded media.
    has_media: bool,
    /// How often a file is still played; None: without end.
    repeats: Option<u32>,
    seek: Duration,
}

impl Task {
    fn new(reach: Reach, mut wanted: watch::Receiver<StreamIngest>) -> Self {
        let now = Clock.now();
        let ingest = wanted.borrow_and_update().clone();
        let mut core = Core::new(now);
        core.set_volume(ingest.volume);
        Self {
            reach,
            wanted,
            core,
            seats: seats(),
            reading: None,
            again: now,
            pause: FIRST_PAUSE,
            media_at: now,
            has_media: false,
            repeats: ingest.repeats,
            seek: Duration::from_secs(ingest.seek_seconds),
            ingest,
        }
    }

    fn is_paused(&self) -> bool {
        self.ingest.paused_unix_ms.is_some()
    }

    /// Sends the source's media into the room.
    async fn exchange(&mut self, member: &mut Member, stop: &CancellationToken) -> Left {
        let clock = Clock;
        loop {
            let now = clock.now();
            while let Some(frame) = self.core.poll_frame(now) {
                if let Err(error) = member.send(now, frame) {
                    return Left::Lost(error);
                }
            }
            if let Some(over) = self.over(now) {
                return Left::Over(over);
            }
            let (is_paused, resume_at, due) = (self.is_paused(), self.core.resume_at(now), self.core.due());
            let is_read = !is_paused && self.reading.is_some() && resume_at.is_none();
            let is_begun = !is_paused && self.reading.is_none() && self.repeats != Some(0);
            let ends_at = self.ends_at(now);
            tokio::select! {
                () = stop.cancelled() => return Left::Stopped,
                received = member.next() => {
                    // A source cannot be asked for a keyframe.
                    if let Err(error) = received {
                        return Left::Lost(error);
                    }
                }
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.change(),
                    Err(_) => return Left::Stopped,
                },
                piece = next(&mut self.reading), if is_read => {
                    if let Err(left) = self.handle(piece, member).await {
                        return left;
                    }
                }
                () = clock.until(due) => {}
                () = clock.until(resume_at) => {}
                () = clock.sleep_until(self.again), if is_begun => {
                    if let Err(error) = self.begin() {
                        return Left::Over(Over::Source(error.to_string()));
                    }
                }
                () = clock.sleep_until(ends_at) => {}
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let seek = std::mem::take(&mut self.seek);
        self.reading = Some(Reading::begin(self.reach.clone(), self.ingest.url.clone(), seek)?);
        self.has_media = false;
        self.core.restart();
        Ok(())
    }

    async fn handle(
        &mut self,
        piece: Result<Piece, Result<End, SourceError>>,
        member: &mut Member,
    ) -> Result<(), Left> {
        let now = Clock.now();
        match piece {
            Ok(Piece::Restart { .. }) => self.core.restart(),
            Ok(Piece::Tag(tag)) => {
                self.media_at = now;
                if !std::mem::replace(&mut self.has_media, true) {
                    info!("the source's media comes");
                    self.pause = FIRST_PAUSE;
                }
                let [audio, camera] = &mut self.seats;
                let seat = if tag.kind == Kind::Audio { audio } else { camera };
                seat.take(member).await.map_err(Left::Lost)?;
                let handled = match tag.kind {
                    Kind::Audio => self.core.handle_audio(now, tag.timestamp_ms, &tag.body),
                    Kind::Video => self.core.handle_video(now, tag.timestamp_ms, &tag.body),
                };
                handled.map_err(|refusal: MediaRefusal| Left::Over(Over::Source(refusal.to_string())))?;
            }
            Err(end) => {
                self.reading = None;
                self.ended(end).map_err(Left::Over)?;
            }
        }
        Ok(())
    }

    /// The source is over: a file is repeated, and anything else is read again after a while.
    fn ended(&mut self, end: Result<End, SourceError>) -> Result<(), Over> {
        let now = Clock.now();
        match end {
            Ok(End::File) if !self.has_media => Err(Over::Source(told(&SourceError::Empty))),
            Ok(End::File) => {
                if let Some(left) = &mut self.repeats {
                    *left = left.saturating_sub(1);
                }
                self.again = now;
                Ok(())
            }
            Err(error) if error.is_final() => Err(Over::Source(told(&error))),
            end => {
                match &end {
                    Err(error) => warn!(error = error as &dyn Error, "the source is read again after a while"),
                    Ok(_) => info!("the stream is over; it is tried again"),
                }
                self.again = now + jittered(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Ok(())
            }
        }
    }

    /// Follows the wish.
    fn change(&mut self) {
        let now = Clock.now();
        let ingest = self.wanted.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.ingest, ingest);
        self.core.set_volume(self.ingest.volume);
        if before.url != self.ingest.url {
            info!("the task has another source");
            self.reading = None;
            self.repeats = self.ingest.repeats;
            self.again = now;
            self.pause = FIRST_PAUSE;
            self.media_at = now;
        }
        if before.paused_unix_ms.is_some() && !self.is_paused() {
            self.core.restart_timestamps();
            self.media_at = now;
        }
    }

    /// Whether the task has come to its end.
    fn over(&self, now: Instant) -> Option<Over> {
        let unix_ms = Clock.unix().as_millis() as u64;
        if self.ingest.until_unix_ms.is_some_and(|until| until <= unix_ms) {
            return Some(Over::Expired);
        }
        if let Some(since) = self.ingest.paused_unix_ms {
            let held = Duration::from_millis(unix_ms.saturating_sub(since));
            return (held >= LONGEST_HOLD).then_some(Over::Paused);
        }
        // The last frames are sent in their time.
        if self.repeats == Some(0) && self.core.due().is_none() {
            return Some(Over::Finished);
        }
        let idle = self.ingest.idle_seconds;
        (now >= self.media_at + Duration::from_secs(idle)).then_some(Over::Idle(idle))
    }

    /// When [`over`](Self::over) is to be asked again at the latest.
    fn ends_at(&self, now: Instant) -> Instant {
        let unix_ms = Clock.unix().as_millis() as u64;
        let after = |until: u64| now + Duration::from_millis(until.saturating_sub(unix_ms));
        let idle = match self.ingest.paused_unix_ms {
            Some(since) => after(since + LONGEST_HOLD.as_millis() as u64),
            None => self.media_at + Duration::from_secs(self.ingest.idle_seconds),
        };
        let until = self.ingest.until_unix_ms.map(after);
        until.map_or(idle, |until| until.min(idle))
    }
}

async fn next(reading: &mut Option<Reading>) -> Result<Piece, Result<End, SourceError>> {
    match reading {
        Some(reading) => reading.next().await,
        None => std::future::pending().await,
    }
}

/// With the causes.
fn told(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
