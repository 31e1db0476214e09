//! The avatar as a participant of a room: published like anybody, it hears the others, and answers what they say.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rotunda_client::source::Encoded;
use rotunda_client::{JoinError, MediaSession, Received, SignalingClient, Slot};
use rotunda_media::codec::VideoCodec;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, SdkAppId, TrackSource, UserId};
use rotunda_proto::signaling::{Event, MediaState, Reply, Request, Role};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::attempts::Attempts;
use crate::avatar::Handle;
use crate::hearing::{Ears, Utterance};
use crate::peer::QUEUE;
use crate::sockets::Sockets;
use crate::transcribe::Transcribe;

const GOODBYE_WITHIN: Duration = Duration::from_secs(2);
/// Utterances that wait to be understood; more are not answered.
const UTTERANCES: usize = 8;

/// The room to enter, and the user who enters it.
#[derive(Clone)]
pub struct Entry {
    pub url: String,
    pub app: SdkAppId,
    pub user: UserId,
    /// Makes a ticket for each attempt.
    pub ticket: Arc<dyn Fn() -> String + Send + Sync>,
    pub room: RoomId,
}

/// Stays in the room, with back-off after failures, until `stop`.
pub async fn stay(entry: Entry, avatar: Handle, ears: Option<mpsc::Sender<Utterance>>, stop: CancellationToken) {
    let mut attempts = Attempts::new(Clock.now());
    loop {
        match visit(&entry, &avatar, ears.as_ref(), &stop).await {
            Ok(()) => return,
            Err(error) => warn!(
                room = %entry.room, error = &error as &dyn std::error::Error, "the avatar is not in its room; it tries again"
            ),
        }
        counter!("rotunda_avatar_room_failures_total").increment(1);
        if !attempts.wait(&stop).await {
            return;
        }
    }
}

/// Until `stop`.
async fn visit(
    entry: &Entry,
    avatar: &Handle,
    ears: Option<&mpsc::Sender<Utterance>>,
    stop: &CancellationToken,
) -> Result<(), JoinError> {
    let clock = Clock;
    let mut signaling = SignalingClient::connect(&entry.url).await?;
    let login = Request::Login {
        sdk_app_id: entry.app,
        user_id: entry.user.clone(),
        user_sig: (entry.ticket)(),
        resume_token: None,
    };
    signaling.request(login).await?;
    let enter = Request::EnterRoom {
        room_id: entry.room.clone(),
        role: Role::Anchor,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    signaling.request(enter).await?;
    let address = rotunda_client::local_address(&entry.url).await?;
    let mut sockets = Sockets::on(address).await.map_err(JoinError::Socket)?;
    let local = sockets.addresses()[0];
    let (mut session, offer, lines) = MediaSession::offer(clock.now(), local)?;
    match signaling.request(Request::Connect { offer, lines }).await? {
        Reply::Connected { answer } => session.handle_answer(clock.now(), &answer)?,
        other => return Err(JoinError::Reply(Box::new(other))),
    }
    for source in [TrackSource::Audio, TrackSource::Camera] {
        signaling.request(Request::Publish { source, muted: false }).await?;
    }
    info!(room = %entry.room, user = %entry.user, "the avatar is in its room");
    let (sink, mut frames) = mpsc::channel::<Encoded>(QUEUE);
    avatar.add_output(VideoCodec::H264, sink);
    let mut listener = ears.map(|heard| (Ears::default(), heard));
    loop {
        while let Some(transmit) = session.poll_transmit() {
            sockets.send(&transmit);
        }
        let due = session.poll_timeout();
        let silence = listener.as_ref().and_then(|(ears, _)| ears.poll_timeout());
        tokio::select! {
            () = stop.cancelled() => break,
            datagram = sockets.receive() => session.handle_datagram(clock.now(), datagram.from, &datagram.bytes)?,
            frame = frames.recv() => match frame {
                Some(frame) => session.send(clock.now(), frame)?,
                None => break,
            },
            event = signaling.next_event() => match event? {
                Event::Kicked { reason } => return Err(JoinError::Kicked(format!("{reason:?}"))),
                Event::MediaState { state: MediaState::Disconnected } => return Err(JoinError::MediaLost),
                _ => {}
            },
            () = clock.until(silence) => {}
            () = clock.sleep_until(due) => session.handle_timeout(clock.now())?,
        }
        while let Some(received) = session.poll_received() {
            match received {
                Received::Connected | Received::KeyframeWanted => avatar.force_keyframe(),
                Received::Disconnected => return Err(JoinError::MediaLost),
                Received::Frame {
                    slot: Slot::Audio(slot),
                    frame,
                } => {
                    if let Some((ears, heard)) = &mut listener
                        // A packet that is none is not heard.
                        && let Ok(Some(utterance)) = ears.handle_packet(clock.now(), slot, &frame.data)
                    {
                        tell(heard, utterance);
                    }
                }
                Received::Frame { .. } => {}
            }
        }
        if let Some((ears, heard)) = &mut listener {
            for utterance in ears.handle_timeout(clock.now()) {
                tell(heard, utterance);
            }
        }
    }
    let goodbye = signaling.request(Request::ExitRoom {});
    // A server that is gone already does not have to be told.
    let _told = tokio::time::timeout(GOODBYE_WITHIN, goodbye).await;
    session.close(clock.now());
    while let Some(transmit) = session.poll_transmit() {
        sockets.send(&transmit);
    }
    signaling.close().await;
    Ok(())
}

fn tell(heard: &mpsc::Sender<Utterance>, utterance: Utterance) {
    if heard.try_send(utterance).is_err() {
        counter!("rotunda_avatar_utterances_total", "result" => "dropped").increment(1);
    }
}

/// Understands what is heard and has the avatar answer it, one utterance after the other. Ends with the senders.
pub fn listen(avatar: Handle, engine: Arc<dyn Transcribe>) -> mpsc::Sender<Utterance> {
    let (heard, mut utterances) = mpsc::channel::<Utterance>(UTTERANCES);
    tokio::spawn(async move {
        while let Some(utterance) = utterances.recv().await {
            let result = match engine.transcribe(&utterance.pcm).await {
                Ok(text) if text.is_empty() => "empty",
                // A person who speaks interrupts the avatar.
                Ok(text) => match avatar.chat(text, true).await {
                    Ok(()) => "answered",
                    Err(error) => {
                        warn!(%error, "what was said in the room is not answered");
                        "failed"
                    }
                },
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "what was said in the room is not understood"
                    );
                    "failed"
                }
            };
            counter!("rotunda_avatar_utterances_total", "result" => result).increment(1);
        }
    });
    heard
}
