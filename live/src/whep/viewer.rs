//! One viewer's session: the program's frames from its last keyframe on, and its audio.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use metrics::gauge;
use rotunda_client::source::Encoded;
use rotunda_client::{MediaError, SendingSession, Told};
use rotunda_media::codec::{VideoCodec, h264};
use rotunda_media::program::{Frame, ProgramReader, ReadError, Track};
use rotunda_media::time::{MediaTime, VIDEO_RATE};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::Reading;
use super::audio::AudioReader;
use super::media::{Datagrams, Media};
use crate::aac_to_opus::Packet20;

/// A viewer that is not connected within this time never will be.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Time between frames of the past, of which a new viewer gets those since the last keyframe.
const CATCH_UP: Duration = Duration::from_millis(4);
/// Frames come earlier than by the first one's time at most by this.
const EARLY: Duration = Duration::from_millis(500);
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// See the [module](self).
pub struct Viewer {
    pub session: SendingSession,
    pub media: Arc<Media>,
    pub datagrams: Datagrams,
    pub program: Reading,
    pub audio: AudioReader,
}

/// How a session ends.
#[derive(Debug)]
enum Ended {
    Asked,
    Program,
    Closed,
    NotConnected,
}

/// A connected viewer's place in the program.
struct Playing {
    reader: ProgramReader,
    /// The time of the program's zero.
    origin: Option<Instant>,
    needs_key: bool,
    /// When the next frame may be sent.
    next_at: Option<Instant>,
}

impl Viewer {
    /// Until either side ends the session, or the program is over.
    pub async fn run(mut self, stop: &CancellationToken) {
        let clock = Clock;
        let ended = self.exchange(stop).await;
        self.session.close(clock.now());
        self.flush();
        match ended {
            Ok(Ended::NotConnected) => info!(
                seconds = CONNECT_WITHIN.as_secs(),
                "a WHEP viewer was not connected in time; can they reach the UDP port of live (live.whep_port, live.whep_advertise)?"
            ),
            Ok(ended) => debug!(?ended, "a WHEP session has ended"),
            Err(error) => info!(error = &error as &dyn std::error::Error, "a WHEP session failed"),
        }
    }

    async fn exchange(&mut self, stop: &CancellationToken) -> Result<Ended, MediaError> {
        let clock = Clock;
        let mut connect_by = Some(clock.now() + CONNECT_WITHIN);
        let mut playing: Option<Playing> = None;
        let mut counted = None;
        loop {
            self.flush();
            let due = self.session.poll_timeout();
            let next_at = playing.as_ref().and_then(|playing| playing.next_at);
            tokio::select! {
                () = stop.cancelled() => return Ok(Ended::Asked),
                datagram = self.datagrams.receive() => {
                    self.session.handle_datagram(clock.now(), datagram.from, datagram.to, &datagram.bytes)?;
                }
                read = next_frame(&mut playing, next_at) => {
                    if let Some(playing) = &mut playing {
                        let now = clock.now();
                        match playing.handle(now, read) {
                            Next::Send(frame) => self.session.send(now, &frame)?,
                            Next::Nothing => {}
                            Next::Over => return Ok(Ended::Program),
                        }
                    }
                }
                packet = self.audio.next() => {
                    if let Some(origin) = playing.as_ref().and_then(|playing| playing.origin) {
                        let now = clock.now();
                        self.session.send(now, &audio(origin, now, &packet))?;
                    }
                }
                () = clock.until(connect_by) => return Ok(Ended::NotConnected),
                () = clock.sleep_until(due) => self.session.handle_timeout(clock.now())?,
            }
            while let Some(told) = self.session.poll_told() {
                match told {
                    Told::Connected => {
                        connect_by = None;
                        let Some(reader) = (self.program)() else {
                            return Ok(Ended::Program);
                        };
                        playing = Some(Playing::new(clock.now(), reader));
                        counted.get_or_insert_with(Counted::new);
                    }
                    // A program is encoded once for all: its next keyframe comes by itself.
                    Told::KeyframeWanted => {}
                    Told::Closed => return Ok(Ended::Closed),
                }
            }
        }
    }

    fn flush(&mut self) {
        while let Some(transmit) = self.session.poll_transmit() {
            self.media.send(&transmit);
        }
    }
}

/// The next step after a frame was read.
enum Next {
    Send(Encoded),
    Nothing,
    Over,
}

impl Playing {
    fn new(now: Instant, reader: ProgramReader) -> Self {
        Self {
            // Frames of the past come first.
            origin: reader.newest().map(|newest| zero(now, newest)),
            reader,
            needs_key: true,
            next_at: None,
        }
    }

    fn handle(&mut self, now: Instant, read: Result<Arc<Frame>, ReadError>) -> Next {
        let frame = match read {
            Ok(frame) => frame,
            Err(ReadError::Ended) => return Next::Over,
            Err(_) => {
                self.needs_key = true;
                return Next::Nothing;
            }
        };
        let origin = *self.origin.get_or_insert_with(|| zero(now, frame.pts));
        if frame.track != Track::Video || (self.needs_key && !frame.is_key) {
            return Next::Nothing;
        }
        self.needs_key = false;
        self.next_at = (self.reader.behind() > 0).then(|| now + CATCH_UP);
        Next::Send(video(origin, now, &frame))
    }
}

/// When a program's time was 0, if it is this time now. Frames that come a little early are captured in the past, too, because sender
/// reports cannot tell a later time.
fn zero(now: Instant, time: MediaTime) -> Instant {
    now.checked_sub(time.duration() + EARLY).unwrap_or(now)
}

fn video(origin: Instant, now: Instant, frame: &Frame) -> Encoded {
    Encoded {
        source: TrackSource::Camera,
        codec: VideoCodec::H264,
        data: annex_b(frame),
        ticks: frame.pts.rescale(VIDEO_RATE).ticks(),
        captured: now.min(origin + frame.pts.duration()),
        level_dbov: None,
    }
}

fn audio(origin: Instant, now: Instant, packet: &Packet20) -> Encoded {
    // 48 samples are a millisecond.
    let at = Duration::from_micros(packet.ticks * 125 / 6);
    Encoded {
        source: TrackSource::Audio,
        codec: VideoCodec::H264,
        data: packet.data.clone(),
        ticks: packet.ticks,
        captured: now.min(origin + at),
        level_dbov: Some(packet.level_dbov),
    }
}

/// A frame with start codes; a keyframe begins with the parameter sets.
fn annex_b(frame: &Frame) -> Bytes {
    let data = h264::to_annex_b(&frame.data);
    let Some(header) = frame.header.video.as_ref().filter(|_| frame.is_key) else {
        return data;
    };
    let mut out = BytesMut::with_capacity(data.len() + header.sps.len() + header.pps.len() + 8);
    for set in [&header.sps, &header.pps] {
        out.put_slice(&START_CODE);
        out.put_slice(set);
    }
    out.put_slice(&data);
    out.freeze()
}

/// A connected viewer counts among the players.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!("rotunda_live_players", "protocol" => "whep").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("rotunda_live_players", "protocol" => "whep").decrement(1.0);
    }
}

/// The next frame, when it may be sent. Cancel-safe.
async fn next_frame(playing: &mut Option<Playing>, at: Option<Instant>) -> Result<Arc<Frame>, ReadError> {
    match playing {
        Some(playing) => {
            if let Some(at) = at {
                Clock.sleep_until(at).await;
            }
            playing.reader.next().await
        }
        None => std::future::pending().await,
    }
}
