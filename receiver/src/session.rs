//! The shell of a [`Receiver`]: its socket, and its control over the bus. It opens a new session when one is lost.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rotunda_bus::{BusError, BusExt, Heard, SharedBus, Subscription};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomKey, SessionId, Source};
use rotunda_proto::mix::NotMixable;
use rotunda_proto::room::{RoomInfo, info_key};
use rotunda_proto::sfu::{Command, ControlError, Event, Identity, Reply, SlotMap, control_subject, session_subject};
use rotunda_proto::ticket::ClusterSecret;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::back_off::BackOff;
use crate::receiver::{LineCounts, Polled, Receiver, ReceiverError, first_address};
use crate::sample::{SampleSink, Undecodable};
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

#[derive(Debug, Error)]
enum SessionError {
    #[error("the room has no SFU node")]
    NoRoom,
    #[error("the bus")]
    Bus(#[from] BusError),
    #[error("the SFU refused")]
    Refused(#[from] ControlError),
    #[error("the SFU gave a reply of the wrong kind")]
    WrongReply,
    #[error("the socket")]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    #[error("the connection is lost")]
    Lost,
    #[error("the video of {} was malformed and filled the memory", video.user)]
    Hoarded { video: Source },
}

/// A session that is open at an SFU node.
struct OpenSession {
    receiver: Receiver,
    socket: UdpSocket,
    session: SessionId,
    subject: String,
    /// Events of the SFU for this session alone.
    events: Subscription,
}

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
        let mut open = self.open().await?;
        let (slots, changed_slots) = watch::channel(SlotMap::default());
        let control = Control {
            bus: self.bus.clone(),
            subject: open.subject.clone(),
            session: open.session,
        };
        let leave = control.clone();
        let result = tokio::select! {
            () = stop.cancelled() => Ok(()),
            result = self.receive(&mut open, &slots) => result,
            result = control.follow(changed_slots) => result,
        };
        let close = Command::Close { session: leave.session };
        // The SFU forgets a session by itself when it hears no more of it.
        let _closed_or_gone: Result<Reply, BusError> = leave.bus.call(&leave.subject, &close).await;
        result
    }

    async fn open(&mut self) -> Result<OpenSession, SessionError> {
        self.opened += 1;
        let (info, _) = self
            .bus
            .load::<RoomInfo>(&info_key(&self.room))
            .await?
            .ok_or(SessionError::NoRoom)?;
        let (mut receiver, offer, lines) = Receiver::new(Clock.now(), self.origin, self.opened, self.lines)?;
        let subject = control_subject(&info.sfu);
        let session = SessionId(rand::random());
        let events = self.bus.subscribe(&session_subject(session)).await?;
        let ticket = self.secret.issue_ticket(&self.room, Clock.unix());
        let identity = Identity::Service { ticket };
        let command = Command::Open {
            session,
            room: self.room.clone(),
            identity,
            offer,
            lines,
        };
        let answer = match self.bus.call::<_, Reply>(&subject, &command).await? {
            Reply::Opened { answer } => answer,
            Reply::Refused { error } => return Err(error.into()),
            Reply::Done | Reply::Statistics { .. } => return Err(SessionError::WrongReply),
        };
        let socket = UdpSocket::bind((local_ip_towards(first_address(&answer)?).await?, 0)).await?;
        receiver.handle_answer(&answer, socket.local_addr()?)?;
        Ok(OpenSession {
            receiver,
            socket,
            session,
            subject,
            events,
        })
    }

    async fn receive(&mut self, open: &mut OpenSession, slots: &watch::Sender<SlotMap>) -> Result<(), SessionError> {
        let mut buffer = vec![0; 2048];
        let mut again_at = Some(Clock.now());
        loop {
            let timeout = self.drain(open).await?;
            let next = again_at.map_or(timeout, |at: Instant| at.min(timeout));
            tokio::select! {
                received = open.socket.recv_from(&mut buffer) => {
                    let (length, from) = received?;
                    open.receiver.handle_datagram(Clock.now(), from, &buffer[..length])?;
                }
                Ok(()) = self.wants.changed() => again_at = Some(Clock.now()),
                heard = open.events.next() => self.handle_event(&heard),
                Some(video) = self.key_requests.recv() => open.receiver.handle_key_request(&video),
                () = Clock.sleep_until(next) => {
                    let now = Clock.now();
                    open.receiver.handle_timeout(now)?;
                    if again_at.is_some_and(|at| at <= now) {
                        let mut wants = self.wants.borrow_and_update().of_room(&self.room);
                        wants.video.retain(|want| !self.barred.contains(&want.video));
                        again_at = open.receiver.handle_wants(now, &wants).then(|| now + ASK_AGAIN);
                        let map = open.receiver.slot_map(&wants);
                        slots.send_if_modified(|before| std::mem::replace(before, map.clone()) != map);
                    }
                }
            }
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

    fn handle_event(&self, heard: &Heard) {
        // Whatever is lost of these is told again with the next session.
        let Heard::Message(message) = heard else { return };
        let Some(Event::CodecNotSupported {
            user, source, codec, ..
        }) = message.parse()
        else {
            return;
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
    }

    /// Drains the receiver; answers when it wants to be called again.
    async fn drain(&self, open: &mut OpenSession) -> Result<Instant, SessionError> {
        loop {
            match open.receiver.poll()? {
                Polled::Timeout(at) => return Ok(at),
                Polled::Transmit(transmit) => {
                    // A datagram that the network does not take is lost, as on any other hop.
                    let _sent_or_lost = open.socket.send_to(&transmit.contents, transmit.destination).await;
                }
                Polled::Sample(sample) => {
                    if let Err(sample) = self.samples.try_take(sample) {
                        metrics::counter!("rotunda_receiver_samples_dropped_total").increment(1);
                        open.receiver.handle_dropped(&sample);
                    }
                }
                Polled::Connected => tracing::info!(room = %self.room, "receiving from the SFU"),
                Polled::Lost => return Err(SessionError::Lost),
                Polled::Hoarded(video) => return Err(SessionError::Hoarded { video }),
            }
        }
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
        SessionError::Lost => "lost",
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

/// The own address that packets to `remote` leave from.
async fn local_ip_towards(remote: SocketAddr) -> std::io::Result<std::net::IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let probe = UdpSocket::bind(any).await?;
    probe.connect(remote).await?;
    Ok(probe.local_addr()?.ip())
}
