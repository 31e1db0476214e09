//! The sessions of a service in a room, one after the other: another one is opened when one is lost, and before the node of one ends.

use std::pin::Pin;
use std::time::{Duration, Instant};

use rotunda_bus::{BusExt, Heard, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, SessionId, Source};
use rotunda_proto::mix::NotMixable;
use rotunda_proto::sfu::{Command, ControlError, Event, Moved, Reply, SlotMap};
use rotunda_proto::ticket::ClusterSecret;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::back_off::BackOff;
use crate::open_session::{OpenSession, Opener, SessionError};
use crate::receiver::{LineCounts, Polled};
use crate::sample::{Sample, SampleSink, Undecodable};
use crate::wants::Wants;

/// Wants that found no slot are looked at again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Parameters and channels of a session.
pub struct Session<S> {
    pub room: RoomKey,
    pub bus: SharedBus,
    pub secret: ClusterSecret,
    pub lines: LineCounts,
    /// The mix clock's 0.
    pub origin: Instant,
    /// Packets are taken together once in this time; None: each as it comes.
    pub gather: Option<Duration>,
    /// Those of other rooms are left out.
    pub wants: watch::Receiver<Wants>,
    pub key_requests: mpsc::Receiver<Source>,
    pub samples: S,
    pub undecodable: mpsc::Sender<Undecodable>,
    /// Sessions opened so far.
    pub opened: u64,
    /// Videos that are not asked for any more, as they were malformed in a way that fills the memory.
    pub barred: Vec<Source>,
}

/// A session at another node that is about to take over.
type Preparing = Pin<Box<dyn Future<Output = Result<OpenSession, SessionError>> + Send>>;

impl<S: SampleSink> Session<S> {
    /// Receives until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut back_off = BackOff::default();
        while !stop.is_cancelled() {
            let opened_at = Clock.now();
            let result = tokio::select! {
                () = stop.cancelled() => Ok(()),
                result = self.run_session(&stop) => result,
            };
            if let Err(error) = result {
                if let SessionError::Hoarded { video } = &error {
                    self.bar(video);
                }
                let is_full = matches!(error, SessionError::Refused(ControlError::NodeFull));
                let lived = Clock.now().saturating_duration_since(opened_at);
                let wait = back_off.after(lived, is_full, rand::random());
                metrics::counter!("rotunda_receiver_sessions_lost_total", "reason" => reason(&error)).increment(1);
                tracing::warn!(room = %self.room, error = &error as &dyn std::error::Error, ?wait, "no session with the SFU");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = Clock.sleep_until(Clock.now() + wait) => {}
                }
            }
        }
    }

    async fn run_session(&mut self, stop: &CancellationToken) -> Result<(), SessionError> {
        let mut open = self.opener().open(self.next_number()).await?;
        loop {
            let (slots, changed_slots) = watch::channel(SlotMap::default());
            let control = Control {
                bus: self.bus.clone(),
                subject: open.subject.clone(),
                session: open.session,
            };
            let result = tokio::select! {
                () = stop.cancelled() => Ok(None),
                result = self.receive(&mut open, &slots) => result.map(Some),
                result = control.follow(changed_slots) => result.map(|()| None),
            };
            let next = result.as_ref().ok().and_then(Option::as_ref);
            let moved = next.map(|(next, asked_at)| Moved {
                node: next.node.clone(),
                took_ms: Clock.now().saturating_duration_since(*asked_at).as_millis() as u64,
                pause_ms: 0,
            });
            open.close(&self.bus, moved).await;
            match result? {
                Some((next, _)) => open = next,
                None => return Ok(()),
            }
        }
    }

    fn opener(&self) -> Opener {
        Opener {
            room: self.room.clone(),
            bus: self.bus.clone(),
            secret: self.secret.clone(),
            lines: self.lines,
            origin: self.origin,
            gather: self.gather,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }

    /// Receives until another session is ready to go on, because the node of this one ends soon. Answers it, and when it was asked for.
    async fn receive(
        &mut self,
        open: &mut OpenSession,
        slots: &watch::Sender<SlotMap>,
    ) -> Result<(OpenSession, Instant), SessionError> {
        let mut again_at = Some(Clock.now());
        let mut preparing: Option<(Preparing, Instant)> = None;
        if let Some(first) = open.first.take() {
            self.pass(open, first);
        }
        loop {
            tokio::select! {
                polled = open.connection.next() => match polled? {
                    Polled::Sample(sample) => self.pass(open, sample),
                    Polled::Connected => tracing::info!(room = %self.room, node = %open.node, "receiving from the SFU"),
                    Polled::Hoarded(video) => return Err(SessionError::Hoarded { video }),
                    Polled::Lost => return Err(SessionError::Lost),
                    // Done there.
                    Polled::Transmit(_) | Polled::Timeout(_) => {}
                },
                Ok(()) = self.wants.changed() => again_at = Some(Clock.now()),
                heard = open.events.next() => if self.handle_event(&heard) == Told::Move && preparing.is_none() {
                    let prepared = self.opener().prepare(self.next_number(), self.wanted());
                    preparing = Some((Box::pin(prepared), Clock.now()));
                },
                prepared = ready(&mut preparing) => match prepared {
                    (Ok(next), asked_at) => return Ok((next, asked_at)),
                    // The node asks again.
                    (Err(error), _) => {
                        preparing = None;
                        tracing::info!(room = %self.room, error = &error as &dyn std::error::Error, "no session at another node yet");
                    }
                },
                Some(video) = self.key_requests.recv() => open.connection.receiver.handle_key_request(&video),
                () = Clock.until(again_at) => {
                    let now = Clock.now();
                    self.wants.mark_unchanged();
                    let wants = self.wanted();
                    again_at = open.connection.receiver.handle_wants(now, &wants).then(|| now + ASK_AGAIN);
                    let map = open.connection.receiver.slot_map(&wants);
                    slots.send_if_modified(|before| std::mem::replace(before, map.clone()) != map);
                }
            }
        }
    }

    /// What is wanted of this room.
    fn wanted(&self) -> Wants {
        let mut wants = self.wants.borrow().of_room(&self.room);
        wants.video.retain(|want| !self.barred.contains(&want.video));
        wants
    }

    fn pass(&self, open: &mut OpenSession, sample: Sample) {
        if let Err(sample) = self.samples.try_take(sample) {
            metrics::counter!("rotunda_receiver_samples_dropped_total").increment(1);
            open.connection.receiver.handle_dropped(&sample);
        }
    }

    /// Never asks for a video again. A new user would need a new ticket, so these do not grow without end.
    fn bar(&mut self, video: &Source) {
        metrics::counter!("rotunda_receiver_barred_videos_total").increment(1);
        let _told_or_full = self.undecodable.try_send(Undecodable {
            source: video.clone(),
            codec: NotMixable::MALFORMED.to_owned(),
        });
        self.barred.push(video.clone());
    }

    fn handle_event(&self, heard: &Heard) -> Told {
        // Whatever is lost of these is told again, with the next session at the latest.
        let Heard::Message(message) = heard else {
            return Told::Nothing;
        };
        let (user, source, codec) = match message.parse() {
            Some(Event::Move { .. }) => return Told::Move,
            Some(Event::CodecNotSupported {
                user, source, codec, ..
            }) => (user, source, codec),
            _ => return Told::Nothing,
        };
        metrics::counter!("rotunda_mcu_not_mixable_total", "codec" => codec_label(&codec)).increment(1);
        tracing::warn!(room = %self.room, %user, ?source, codec, "a track cannot be mixed, as its codec is not decoded here");
        // A task that does not read has been told of many others.
        let source = Source {
            room: self.room.clone(),
            user,
            track: source,
        };
        let _told_or_full = self.undecodable.try_send(Undecodable { source, codec });
        Told::Nothing
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// The node of the session ends soon.
    Move,
}

/// Never, while nothing is being prepared. Cancel-safe.
async fn ready(preparing: &mut Option<(Preparing, Instant)>) -> (Result<OpenSession, SessionError>, Instant) {
    match preparing {
        Some((prepared, asked_at)) => (prepared.await, *asked_at),
        None => std::future::pending().await,
    }
}

#[derive(Clone)]
struct Control {
    bus: SharedBus,
    subject: String,
    session: SessionId,
}

impl Control {
    /// Tells the SFU every change of the slots, the latest only.
    async fn follow(self, mut slots: watch::Receiver<SlotMap>) -> Result<(), SessionError> {
        while slots.changed().await.is_ok() {
            let slots = slots.borrow_and_update().clone();
            let set = Command::SetSlots {
                session: self.session,
                slots,
            };
            if let Reply::Refused { error } = self.bus.call::<_, Reply>(&self.subject, &set).await? {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// A label of bounded variety.
fn reason(error: &SessionError) -> &'static str {
    match error {
        SessionError::NoRoom => "no_room",
        SessionError::Bus(_) => "bus",
        SessionError::Refused(ControlError::NodeFull) => "full",
        SessionError::Refused(_) | SessionError::WrongReply => "refused",
        SessionError::Socket(_) => "socket",
        SessionError::Receiver(_) => "protocol",
        SessionError::Lost | SessionError::NotConnected => "lost",
        SessionError::Hoarded { .. } => "malformed",
    }
}

/// A label of bounded variety.
fn codec_label(codec: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["H265", "H266", "AV1", "VP9", "H264", "VP8"];
    KNOWN
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(codec))
        .unwrap_or("other")
}

#[cfg(test)]
mod tests;
