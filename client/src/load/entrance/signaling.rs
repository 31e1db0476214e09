//! In by our signaling: a WebSocket, and all slots of a person.

use std::net::SocketAddr;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role, RoomView};

use super::Entry;
use crate::load::rtp_session::{Part, RtpSession};
use crate::{JoinError, SignalingClient};

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

/// Resolves when the server ends the stay.
pub async fn lost(client: &mut SignalingClient) -> JoinError {
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
