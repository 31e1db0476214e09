//! Joins by Rotunda's signaling: a WebSocket, and all slots of an ordinary client.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role, RoomView};

use super::Entry;
use crate::load::rtp_session::{Part, RtpSession};
use crate::load::tally::Meter;
use crate::load::turns::{Turns, Voice};
use crate::{JoinError, SignalingClient, SignalingError};

/// The signaling actions of a publisher during its membership.
pub struct Routine {
    /// It mutes and unmutes its camera throughout the measured time, and is muted afterwards.
    pub mute_interval: Option<Duration>,
    /// It publishes its microphone only in its turns.
    pub turns: Option<Turns>,
    pub meter: Rc<RefCell<Meter>>,
}

/// Logs in, enters, connects, and then publishes or requests every video of the room.
pub async fn enter(
    entry: &Entry<'_>,
    url: &str,
    local: SocketAddr,
) -> Result<(SignalingClient, RtpSession), JoinError> {
    let clock = Clock;
    let mut client = SignalingClient::connect(url).await?;
    let room = enter_room(&mut client, entry).await?;
    let (mut session, offer, lines) = RtpSession::offer(clock.now(), local, entry.part)?;
    match client.request(Request::Connect { offer, lines }).await? {
        Reply::Connected { answer } => session.handle_answer(clock.now(), &answer)?,
        other => return Err(JoinError::Reply(Box::new(other))),
    }
    for request in wishes(entry, &room) {
        client.request(request).await?;
    }
    Ok((client, session))
}

/// Resolves when the server ends the membership; meanwhile a publisher follows its routine.
pub async fn lost(client: &mut SignalingClient, routine: Option<&Routine>) -> JoinError {
    let Some(routine) = routine else {
        return listen(client).await;
    };
    let clock = Clock;
    let mut camera = routine.mute_interval.map(|interval| Camera {
        interval,
        next: clock.now(),
        muted: false,
    });
    // It was published on entry.
    let mut is_open = true;
    let mut next_turn = routine.turns.map(|_| clock.now());
    loop {
        let next = camera.as_ref().map(|camera| camera.next).into_iter().chain(next_turn);
        let Some(next) = next.min() else {
            return listen(client).await;
        };
        tokio::select! {
            error = listen(client) => return error,
            () = clock.sleep_until(next) => {}
        }
        let now = clock.now();
        if let Some(camera) = camera.as_mut().filter(|camera| camera.next <= now)
            && let Err(error) = camera.handle_timeout(client, routine, now).await
        {
            return error.into();
        }
        if let Some(turns) = routine.turns.filter(|_| next_turn.is_some_and(|next| next <= now)) {
            let opens = turns.voice(now) != Voice::Absent;
            if opens != is_open
                && let Err(error) = open_microphone(client, opens).await
            {
                return error.into();
            }
            if opens && !is_open && routine.meter.borrow().measures(now) {
                routine.meter.borrow_mut().turns += 1;
            }
            is_open = opens;
            next_turn = Some(turns.next(now));
        }
    }
}

async fn open_microphone(client: &mut SignalingClient, opens: bool) -> Result<(), SignalingError> {
    let source = TrackSource::Audio;
    let request = match opens {
        true => Request::Publish { source, muted: false },
        false => Request::Unpublish { source },
    };
    client.request(request).await.map(drop)
}

/// A camera in a storm of mutes.
struct Camera {
    interval: Duration,
    next: Instant,
    muted: bool,
}

impl Camera {
    async fn handle_timeout(
        &mut self,
        client: &mut SignalingClient,
        routine: &Routine,
        now: Instant,
    ) -> Result<(), SignalingError> {
        self.next += self.interval;
        let (measures, is_over) = {
            let meter = routine.meter.borrow();
            (meter.measures(now), meter.is_over(now))
        };
        // After the measured time all cameras are muted, and all members should learn that.
        if measures || (is_over && !self.muted) {
            self.muted = !measures || !self.muted;
            let (source, muted) = (TrackSource::Camera, self.muted);
            client.request(Request::Mute { source, muted }).await?;
            if measures {
                routine.meter.borrow_mut().mutes += 1;
            }
        }
        Ok(())
    }
}

/// Resolves when the server ends the membership. Cancel-safe.
async fn listen(client: &mut SignalingClient) -> JoinError {
    loop {
        match client.next_event().await {
            Ok(Event::Kicked { reason }) => return JoinError::Kicked(format!("{reason:?}")),
            Ok(Event::MediaState {
                state: MediaState::Disconnected,
            }) => return JoinError::MediaLost,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

pub async fn leave(mut client: SignalingClient) {
    let _already_out = client.request(Request::ExitRoom {}).await;
    client.close().await;
}

async fn enter_room(client: &mut SignalingClient, entry: &Entry<'_>) -> Result<RoomView, JoinError> {
    let login = Request::Login {
        sdk_app_id: entry.app,
        user_id: entry.member.user.clone(),
        user_sig: entry.ticket.clone(),
        resume_token: None,
    };
    client.request(login).await?;
    let request = Request::EnterRoom {
        room_id: entry.member.room.clone(),
        role: match entry.part {
            Part::Publisher => Role::Anchor,
            Part::Viewer => Role::Audience,
        },
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    match client.request(request).await? {
        Reply::Entered { room, .. } => Ok(room),
        other => Err(JoinError::Reply(Box::new(other))),
    }
}

/// The requests of a member once it is connected.
fn wishes(entry: &Entry<'_>, room: &RoomView) -> Vec<Request> {
    let publish = |source| Request::Publish { source, muted: false };
    match entry.part {
        Part::Publisher if entry.audio => vec![publish(TrackSource::Audio), publish(TrackSource::Camera)],
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
