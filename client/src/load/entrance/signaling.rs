//! In by our signaling: a WebSocket, and all slots of a person.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role, RoomView};

use super::Entry;
use crate::load::rtp_session::{Part, RtpSession};
use crate::load::tally::Meter;
use crate::{JoinError, SignalingClient};

/// A publisher's part in a storm: it mutes and unmutes its camera throughout the measured time, and is muted after it.
pub struct Mutes {
    pub interval: Duration,
    pub meter: Rc<RefCell<Meter>>,
}

/// Logs in, enters, connects, and publishes or asks for every picture of the room.
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

/// Resolves when the server ends the stay; meanwhile a publisher mutes and unmutes, if it is to.
pub async fn lost(client: &mut SignalingClient, mutes: Option<&Mutes>) -> JoinError {
    let Some(mutes) = mutes else {
        return listen(client).await;
    };
    let clock = Clock;
    let (mut next, mut muted) = (clock.now(), false);
    loop {
        tokio::select! {
            error = listen(client) => return error,
            () = clock.sleep_until(next) => {}
        }
        let measures = mutes.meter.borrow().measures(clock.now());
        // After the measured time all are muted, which everybody is to know in the end.
        if measures || (mutes.meter.borrow().is_over(clock.now()) && !muted) {
            muted = !measures || !muted;
            let source = TrackSource::Camera;
            if let Err(error) = client.request(Request::Mute { source, muted }).await {
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
    };
    match client.request(request).await? {
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
