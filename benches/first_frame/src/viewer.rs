//! A viewer: it enters, connects, asks for the camera, and waits for frames. When its node dies, it connects again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rotunda_client::{Received, Slot};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::sfu::Lines;
use rotunda_proto::signaling::{Event, MediaState, Request, Role, ServerMessage};
use rotunda_sfu::simulated::Network;
use tokio::sync::watch;

use crate::cluster::LIGHT;
use crate::findings::Findings;
use crate::member::{Client, Media, connect, enter};
use crate::plan::Plan;
use crate::publisher;
use crate::stream::Door;

/// A connection that was refused is tried again at once, and then after so long, so many times.
const TRY_AGAIN: Duration = Duration::from_millis(500);
const TRIES: u32 = 40;

/// The death of an SFU node: its number, and when.
pub type Death = Option<(usize, Instant)>;

/// The inputs that are the same for all viewers.
pub struct Audience {
    pub plan: Plan,
    pub doors: Vec<Door>,
    pub network: Network,
    /// The offer of viewers with light sessions.
    pub offer: (String, Lines),
    pub death: watch::Receiver<Death>,
    pub findings: Mutex<Findings>,
}

impl Audience {
    pub fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A viewer in the room.
struct Viewer {
    audience: Arc<Audience>,
    number: usize,
    client: Client,
    /// None: a light session.
    media: Option<Media>,
    /// The SFU node of the session.
    node: usize,
}

/// Views until the process ends. `due`: when it begins to join.
pub async fn view(audience: Arc<Audience>, number: usize, due: Instant) {
    Clock.sleep_until(due).await;
    let viewed = async {
        let viewer = Viewer::enter(Arc::clone(&audience), number, due).await?;
        viewer.run().await
    };
    if let Err(error) = viewed.await {
        audience.findings().handle_failed(number, &error);
    }
}

impl Viewer {
    async fn enter(audience: Arc<Audience>, number: usize, due: Instant) -> anyhow::Result<Self> {
        let Audience { plan, doors, .. } = &*audience;
        let is_real = plan.is_real(number);
        let prefix = if is_real { "viewer-" } else { LIGHT };
        let user: UserId = format!("{prefix}{number}").parse()?;
        let (mut client, publishers) = enter(plan, &doors[number % doors.len()], &user, Role::Audience).await?;
        if !publishers.iter().any(|publisher| publisher.camera.is_some()) {
            wait_for_camera(&mut client).await?;
        }
        let (media, node) = join(&audience, &mut client, number).await?;
        request_video(&mut client).await?;
        let now = Clock.now();
        audience.findings().handle_joined(number, now, due, node);
        Ok(Self {
            audience,
            number,
            client,
            media,
            node,
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut death = self.audience.death.clone();
        loop {
            let due = async {
                match &self.media {
                    Some(media) => media.due().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                frame = self.client.next_frame() => {
                    self.handle_message(frame?.message)?;
                }
                Ok(()) = death.changed() => {
                    let dead = *death.borrow_and_update();
                    if let Some((_, at)) = dead.filter(|(node, _)| *node == self.node) {
                        self.connect_again(at).await?;
                    }
                }
            }
            self.take_frames()?;
        }
    }

    fn handle_message(&self, message: Option<ServerMessage>) -> anyhow::Result<()> {
        match message {
            Some(ServerMessage::Event(Event::Kicked { reason })) => {
                bail!("the server ended the membership: {reason:?}")
            }
            Some(ServerMessage::Event(Event::MediaState {
                state: MediaState::Connected,
            })) => {
                self.audience.findings().handle_connected(self.number, Clock.now());
            }
            _ => {}
        }
        Ok(())
    }

    fn take_frames(&mut self) -> anyhow::Result<()> {
        let now = Clock.now();
        let Some(media) = &mut self.media else { return Ok(()) };
        media.turn(now)?;
        while let Some(received) = media.poll_received() {
            if let Received::Frame {
                slot: Slot::Video(_), ..
            } = received
            {
                self.audience.findings().handle_frame(self.number, now);
            }
        }
        Ok(())
    }

    /// The node of the session is dead since `at`.
    async fn connect_again(&mut self, at: Instant) -> anyhow::Result<()> {
        let Self { audience, number, .. } = self;
        self.media = None;
        audience.findings().handle_lost(*number, at);
        // Not all notice it in one moment.
        let notice = Duration::from_millis(audience.plan.notice);
        let share = (*number * 7919 % 1000) as f64 / 1000.0;
        Clock.sleep_until(Clock.now() + notice.mul_f64(1.0 + share)).await;
        let (media, node) = join(audience, &mut self.client, *number)
            .await
            .context("connect again")?;
        (self.media, self.node) = (media, node);
        request_video(&mut self.client).await?;
        let now = Clock.now();
        self.audience.findings().handle_back(self.number, now, self.node);
        Ok(())
    }
}

/// Connects media, as often as it is refused. Answers the session (None: a light one), and its node.
async fn join(audience: &Audience, client: &mut Client, number: usize) -> anyhow::Result<(Option<Media>, usize)> {
    let mut refused = 0;
    loop {
        let (media, offer, lines) = if audience.plan.is_real(number) {
            let (media, offer, lines) = Media::offer(&audience.network, number)?;
            (Some(media), offer, lines)
        } else {
            let (offer, lines) = audience.offer.clone();
            (None, offer, lines)
        };
        match connect(client, offer, lines).await {
            Ok((answer, node)) => {
                let media = media.map(|mut media| {
                    media.session.handle_answer(Clock.now(), &answer)?;
                    media.turn(Clock.now())?;
                    Ok::<_, anyhow::Error>(media)
                });
                return Ok((media.transpose()?, node));
            }
            Err(error) if refused == TRIES => return Err(error),
            Err(error) => {
                refused += 1;
                audience.findings().handle_refused(&error);
                if refused > 1 {
                    Clock.sleep_until(Clock.now() + TRY_AGAIN).await;
                }
            }
        }
    }
}

async fn wait_for_camera(client: &mut Client) -> anyhow::Result<()> {
    loop {
        if let Event::Publishing { publisher } = client.next_event().await?
            && publisher.camera.is_some()
        {
            return Ok(());
        }
    }
}

async fn request_video(client: &mut Client) -> anyhow::Result<()> {
    let request = Request::RequestVideo {
        user_id: publisher::NAME.parse()?,
        source: TrackSource::Camera,
        max_height: None,
    };
    client.request(request).await.context("request the video")?;
    Ok(())
}
