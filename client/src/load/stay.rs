//! A member's stay in its room, from the WebSocket to the goodbye; what it sends or counts is its [`Act`].

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SdkAppId, TrackSource};
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role, RoomView};
use tokio_util::sync::CancellationToken;

use super::plan::Member;
use super::rtp_session::{Part, RtpSession, Told};
use super::tally::Meter;
use super::udp::{Read, ReadBuffers, Socket};
use crate::{JoinError, SignalingClient};

/// Batches that one member reads before others have their turn.
const READS_A_TURN: usize = 16;
/// A server that is gone already does not have to be told.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a member does with its session. Sans-IO.
pub trait Act {
    /// Whether an arriving datagram is to be lost.
    fn loses(&mut self, _datagram: &[u8]) -> bool {
        false
    }
    fn handle_told(&mut self, now: Instant, told: Told);
    /// Call when [`poll_timeout`](Self::poll_timeout) is due, and after everything that was told.
    fn handle_timeout(&mut self, now: Instant, session: &mut RtpSession);
    fn poll_timeout(&self) -> Option<Instant>;
    /// True once its media flows.
    fn is_up(&self) -> bool;
}

/// How a member gets in.
pub struct Entry<'a> {
    pub url: &'a str,
    /// Our address on the way to the server.
    pub local: IpAddr,
    pub app: SdkAppId,
    pub member: Member,
    pub ticket: String,
    pub part: Part,
    /// Whether publishers publish sound.
    pub sound: bool,
}

/// A publisher's part in a storm: it mutes and unmutes its camera throughout the measured time, and is muted after it.
pub struct Mutes {
    pub interval: Duration,
    pub meter: Rc<RefCell<Meter>>,
}

/// A member that has entered.
pub struct Stay {
    signaling: SignalingClient,
    session: RtpSession,
    socket: Socket,
    mutes: Option<Mutes>,
}

impl Stay {
    /// Logs in, enters, connects, and publishes or asks for every picture of the room.
    pub async fn begin(entry: Entry<'_>) -> Result<Self, JoinError> {
        let clock = Clock;
        let mut signaling = SignalingClient::connect(entry.url).await?;
        let room = enter(&mut signaling, &entry).await?;
        let socket = Socket::bind(entry.local).map_err(JoinError::Socket)?;
        let local = socket.local_addr().map_err(JoinError::Socket)?;
        let (mut session, offer, lines) = RtpSession::offer(clock.now(), local, entry.part)?;
        match signaling.request(Request::Connect { offer, lines }).await? {
            Reply::Connected { answer } => session.handle_answer(clock.now(), &answer)?,
            other => return Err(JoinError::Reply(Box::new(other))),
        }
        for request in wishes(&entry, &room) {
            signaling.request(request).await?;
        }
        Ok(Self {
            signaling,
            session,
            socket,
            mutes: None,
        })
    }

    pub fn muting(mut self, mutes: Mutes) -> Self {
        self.mutes = Some(mutes);
        self
    }

    /// Acts until `stop`, then leaves in order. `up` is called once, when media flows.
    pub async fn run(
        mut self,
        mut act: impl Act,
        buffers: &RefCell<ReadBuffers>,
        stop: &CancellationToken,
        up: impl FnOnce(),
    ) -> Result<(), JoinError> {
        let clock = Clock;
        let mut up = Some(up);
        let stopped = stop.cancelled();
        let timer = tokio::time::sleep_until(clock.now().into());
        let ended = {
            let lost = follow(&mut self.signaling, self.mutes.as_ref());
            tokio::pin!(stopped, timer, lost);
            loop {
                let now = clock.now();
                while let Some(told) = self.session.poll_told() {
                    if matches!(told, Told::Disconnected) {
                        return Err(JoinError::MediaLost);
                    }
                    act.handle_told(now, told);
                }
                if act.poll_timeout().is_some_and(|due| due <= now) {
                    act.handle_timeout(now, &mut self.session);
                    self.session.handle_timeout(now)?;
                }
                while let Some(transmit) = self.session.poll_transmit() {
                    self.socket.send(&transmit);
                }
                if act.is_up()
                    && let Some(up) = up.take()
                {
                    up();
                }
                let due = self.session.poll_timeout();
                let due = act.poll_timeout().map_or(due, |other| other.min(due));
                if timer.deadline().into_std() != due {
                    timer.as_mut().reset(due.into());
                }
                tokio::select! {
                    biased;
                    () = &mut stopped => break Ok(()),
                    readable = self.socket.readable() => {
                        readable.map_err(JoinError::Socket)?;
                        read(&self.socket, &mut self.session, &mut act, &mut buffers.borrow_mut())?;
                    }
                    () = &mut timer => self.session.handle_timeout(clock.now())?,
                    error = &mut lost => break Err(error),
                }
            }
        };
        ended?;
        self.leave().await;
        Ok(())
    }

    async fn leave(mut self) {
        let goodbye = self.signaling.request(Request::ExitRoom {});
        let _told = tokio::time::timeout(GOODBYE, goodbye).await;
        self.session.close(Clock.now());
        while let Some(transmit) = self.session.poll_transmit() {
            self.socket.send(&transmit);
        }
        self.signaling.close().await;
    }
}

async fn enter(signaling: &mut SignalingClient, entry: &Entry<'_>) -> Result<RoomView, JoinError> {
    let login = Request::Login {
        sdk_app_id: entry.app,
        user_id: entry.member.user.clone(),
        user_sig: entry.ticket.clone(),
        resume_token: None,
    };
    signaling.request(login).await?;
    let request = Request::EnterRoom {
        room_id: entry.member.room.clone(),
        role: match entry.part {
            Part::Publisher => Role::Anchor,
            Part::Viewer => Role::Audience,
        },
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
    };
    match signaling.request(request).await? {
        Reply::Entered { room, .. } => Ok(room),
        other => Err(JoinError::Reply(Box::new(other))),
    }
}

/// What a member asks for once it is connected.
fn wishes(entry: &Entry<'_>, room: &RoomView) -> Vec<Request> {
    let publish = |source| Request::Publish { source, muted: false };
    match entry.part {
        Part::Publisher if entry.sound => vec![publish(TrackSource::Audio), publish(TrackSource::Camera)],
        Part::Publisher => vec![publish(TrackSource::Camera)],
        Part::Viewer => {
            let cameras = room.publishers.iter().filter(|publisher| publisher.camera.is_some());
            let ask = |user_id| Request::RequestVideo {
                user_id,
                source: TrackSource::Camera,
                max_height: None,
            };
            cameras.map(|publisher| ask(publisher.user_id.clone())).collect()
        }
    }
}

/// Resolves when the server ends the stay.
async fn follow(signaling: &mut SignalingClient, mutes: Option<&Mutes>) -> JoinError {
    let Some(mutes) = mutes else {
        return listen(signaling).await;
    };
    let clock = Clock;
    let (mut next, mut muted) = (clock.now(), false);
    loop {
        tokio::select! {
            error = listen(signaling) => return error,
            () = clock.sleep_until(next) => {}
        }
        let measures = mutes.meter.borrow().measures(clock.now());
        // After the measured time all are muted, which everybody is to know in the end.
        if measures || (mutes.meter.borrow().is_over(clock.now()) && !muted) {
            muted = !measures || !muted;
            let source = TrackSource::Camera;
            if let Err(error) = signaling.request(Request::Mute { source, muted }).await {
                return error.into();
            }
            if measures {
                mutes.meter.borrow_mut().mutes += 1;
            }
        }
        next += mutes.interval;
    }
}

/// Resolves when the server ends the stay. Cancel-safe.
async fn listen(signaling: &mut SignalingClient) -> JoinError {
    loop {
        match signaling.next_event().await {
            Ok(Event::Kicked { reason }) => return JoinError::Kicked(format!("{reason:?}")),
            Ok(Event::MediaState {
                state: MediaState::Disconnected,
            }) => return JoinError::MediaLost,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

/// Takes what has arrived; media has the time at which the kernel got it.
fn read(
    socket: &Socket,
    session: &mut RtpSession,
    act: &mut impl Act,
    buffers: &mut ReadBuffers,
) -> Result<(), JoinError> {
    for _ in 0..READS_A_TURN {
        let mut result = Ok(());
        let (now, unix) = (Clock.now(), Clock.unix());
        let read = socket.read(unix, buffers, |from, waited, bytes| {
            if result.is_ok() && !act.loses(bytes) {
                result = take(session, act, now, waited, from, bytes);
            }
        });
        result?;
        match read {
            Ok(Read::Some) => {}
            Ok(Read::Drained) => break,
            // Told of an earlier datagram that did not arrive.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(JoinError::Socket(error)),
        }
    }
    Ok(())
}

fn take(
    session: &mut RtpSession,
    act: &mut impl Act,
    now: Instant,
    waited: Duration,
    from: SocketAddr,
    bytes: &[u8],
) -> Result<(), JoinError> {
    session.handle_datagram(now, from, bytes)?;
    while let Some(told) = session.poll_told() {
        if matches!(told, Told::Disconnected) {
            return Err(JoinError::MediaLost);
        }
        act.handle_told(now - waited, told);
    }
    Ok(())
}
