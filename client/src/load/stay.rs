//! A member's time in its room, from its [`Entry`] to the goodbye. Its [`Act`] sends or counts packets.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::entrance::{Entry, Presence, Routine};
use super::link::{Late, Passage};
use super::rtp_session::{RtpSession, Told};
use super::udp::{Read, ReadBuffers, Socket};
use crate::JoinError;

/// The number of batches that one member reads before others get a turn.
const READS_A_TURN: usize = 16;
/// The time limit of a goodbye, because the server may be gone already.
const GOODBYE: Duration = Duration::from_secs(2);

/// The behaviour of a member on its session. Sans-IO.
pub trait Act {
    /// How an arriving datagram is treated.
    fn pass(&mut self, _now: Instant, _from: SocketAddr, _datagram: &[u8]) -> Passage {
        Passage::AtOnce
    }
    /// The next datagram that the link has delayed.
    fn poll_late(&mut self, _now: Instant) -> Option<Late> {
        None
    }
    fn handle_told(&mut self, now: Instant, told: Told);
    /// Call this when [`poll_timeout`](Self::poll_timeout) is due, and after every event.
    fn handle_timeout(&mut self, now: Instant, session: &mut RtpSession);
    fn poll_timeout(&self) -> Option<Instant>;
    /// True once its media flows.
    fn is_up(&self) -> bool;
}

/// A member that has entered.
pub struct Stay {
    presence: Presence,
    session: RtpSession,
    socket: Socket,
    routine: Option<Routine>,
}

impl Stay {
    /// Joins by the entry's protocol.
    pub async fn begin(entry: Entry<'_>) -> Result<Self, JoinError> {
        let socket = Socket::bind(entry.local).map_err(JoinError::Socket)?;
        let local = socket.local_addr().map_err(JoinError::Socket)?;
        let (presence, session) = entry.enter(local).await?;
        Ok(Self {
            presence,
            session,
            socket,
            routine: None,
        })
    }

    /// Also follows this routine.
    pub fn with_routine(mut self, routine: Routine) -> Self {
        self.routine = Some(routine);
        self
    }

    /// Acts until `stop`, then leaves the room. `up` is called once, when media flows.
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
            let lost = self.presence.lost(self.routine.as_ref());
            tokio::pin!(stopped, timer, lost);
            loop {
                let now = clock.now();
                while let Some(told) = self.session.poll_told() {
                    if matches!(told, Told::Disconnected) {
                        return Err(JoinError::MediaLost);
                    }
                    act.handle_told(now, told);
                }
                while let Some(late) = act.poll_late(now) {
                    let waited = now.saturating_duration_since(late.due);
                    take(&mut self.session, &mut act, now, waited, late.from, &late.bytes)?;
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
        let _told = tokio::time::timeout(GOODBYE, self.presence.leave()).await;
        self.session.close(Clock.now());
        while let Some(transmit) = self.session.poll_transmit() {
            self.socket.send(&transmit);
        }
    }
}

/// Reads arrived datagrams; media gets the time at which the kernel received it.
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
            if result.is_ok() && act.pass(now, from, bytes) == Passage::AtOnce {
                result = take(session, act, now, waited, from, bytes);
            }
        });
        result?;
        match read {
            Ok(Read::Some) => {}
            Ok(Read::Drained) => break,
            // This reports an earlier datagram that did not arrive.
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
