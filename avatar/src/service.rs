//! The role: its listener, its sessions, and the avatar that is always there.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use rotunda_listen::Listener;
use rotunda_listen::http::{Bodies, Serving, serve};
use rotunda_proto::applications::ApplicationList;
use rotunda_proto::clock::Clock;
use rotunda_proto::user_sig;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::avatar::{Avatar, AvatarError, Shared};
use crate::config::{Config, Push};
use crate::face::{Clips, ClipsError};
use crate::notify::Notifier;
use crate::room::Entry;
use crate::sessions::{STANDING, Sessions};
use crate::speech;
use crate::transcribe::Endpoint;
use crate::words::ChatEndpoint;
use crate::{http, push, room};

/// A ticket for a room is good for so long; each visit has a new one.
const TICKET_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Notifications that wait when the server ends have this long.
const NOTIFY_WITHIN: Duration = Duration::from_secs(3);

/// Why the role did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("read the clips")]
    Clips(#[from] ClipsError),
    #[error("start the avatar")]
    Avatar(#[from] AvatarError),
    #[error("avatar.room: no application is configured here; set avatar.room.sdk_app_id and avatar.room.user_sig")]
    NoApplication,
}

/// Parts of the process that the role uses.
pub struct Surroundings {
    /// For the ticket of the avatar that enters a room.
    pub applications: ApplicationList,
    /// This server's own WebSocket.
    pub signaling_url: String,
    pub listener: Listener,
}

/// The running role.
pub struct Service {
    sessions: Sessions,
    serving: JoinHandle<()>,
    standing: Option<Avatar>,
    outputs: TaskTracker,
    threads: TaskTracker,
    notifying: Option<JoinHandle<()>>,
    notifier: Notifier,
}

impl Service {
    pub async fn start(
        config: Config,
        surroundings: Surroundings,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let face = config.face.clone();
        let clips = tokio::task::spawn_blocking(move || Clips::load(&face)).await;
        let clips = clips.unwrap_or_else(|_| Ok(Clips::default()))?;
        let threads = TaskTracker::new();
        let (notifier, notifying) = Notifier::start(config.webhook_url.reveal());
        let shared = Shared {
            clips: Arc::new(clips),
            speech: speech::engine(&config.speech),
            words: Arc::new(ChatEndpoint::new(config.chat.clone())),
            notifier: notifier.clone(),
            runtime: tokio::runtime::Handle::current(),
            threads: threads.clone(),
            config: Arc::new(config),
        };
        if let Err(error) = shared.speech.check().await {
            warn!(error = &error as &dyn std::error::Error, "avatars cannot speak text");
        }
        let sessions = Sessions::new(shared.clone(), stop.clone());
        let outputs = TaskTracker::new();
        let standing = match shared.config.has_standing() {
            true => Some(standing(&shared, &surroundings, &sessions, &outputs, &stop)?),
            false => None,
        };
        let serving = Serving {
            router: http::router(sessions.clone(), shared),
            is_of_rooms,
            bodies: Bodies::Short,
        };
        let serving = tokio::spawn(serve(surroundings.listener, serving, stop));
        Ok(Self {
            sessions,
            serving,
            standing,
            outputs,
            threads,
            notifying,
            notifier,
        })
    }

    /// After `stop`: waits until sessions, pushes and files have ended.
    pub async fn finish(self) {
        let _ended = self.serving.await;
        self.sessions.finish().await;
        self.outputs.close();
        self.outputs.wait().await;
        drop(self.standing);
        // Recordings are finished with their avatars.
        self.threads.close();
        self.threads.wait().await;
        drop(self.sessions);
        drop(self.notifier);
        if let Some(notifying) = self.notifying {
            let _late = tokio::time::timeout(NOTIFY_WITHIN, notifying).await;
        }
    }
}

/// The avatar without a client: pushed, in a room, or both.
fn standing(
    shared: &Shared,
    surroundings: &Surroundings,
    sessions: &Sessions,
    outputs: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Avatar, StartError> {
    let config = &shared.config;
    let avatar = Avatar::start(STANDING, shared.clone())?;
    let handle = avatar.handle();
    match config.push() {
        None => {}
        Some(Push::Rtmp(address)) => {
            let pushed = push::rtmp(address, handle.clone(), stop.clone());
            outputs.spawn(async move {
                if let Err(error) = pushed.await {
                    error!(error = &error as &dyn std::error::Error, "the avatar is not pushed");
                }
            });
        }
        Some(Push::Whip(url)) => {
            outputs.spawn(push::whip(url, config.push_token.clone(), handle.clone(), stop.clone()));
        }
    }
    if let Some(entry) = entry(config, surroundings)? {
        let ears = match config.hearing.url.is_empty() {
            true => None,
            false => Some(room::listen(
                handle.clone(),
                Arc::new(Endpoint::new(config.hearing.clone())),
            )),
        };
        outputs.spawn(room::stay(entry, handle.clone(), ears, stop.clone()));
    }
    sessions.add_standing(handle);
    info!("session 0 is there without a client");
    Ok(avatar)
}

fn entry(config: &Config, surroundings: &Surroundings) -> Result<Option<Entry>, StartError> {
    let Some(room) = config.room_id() else { return Ok(None) };
    let settings = &config.room;
    let wanted = settings.app();
    let application = surroundings
        .applications
        .now()
        .iter()
        .find(|application| wanted.is_none_or(|wanted| wanted == application.sdk_app_id))
        .cloned();
    let given = settings.user_sig.clone();
    let (app, ticket): (_, Arc<dyn Fn() -> String + Send + Sync>) = match (wanted, application) {
        (Some(app), _) if !given.reveal().is_empty() => (app, Arc::new(move || given.reveal().to_owned())),
        (_, Some(application)) => {
            let user = settings.user.clone();
            let app = application.sdk_app_id;
            let sign = move || user_sig::sign(app, application.secret_key.reveal(), &user, Clock.unix(), TICKET_LIFE);
            (app, Arc::new(sign))
        }
        _ => return Err(StartError::NoApplication),
    };
    Ok(Some(Entry {
        url: match settings.url.is_empty() {
            true => surroundings.signaling_url.clone(),
            false => settings.url.clone(),
        },
        app,
        user: settings.user.clone(),
        ticket,
        room,
    }))
}

/// No request is worth more than another here.
fn is_of_rooms(_request: &Request) -> bool {
    true
}
