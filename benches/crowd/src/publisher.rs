//! A publisher: a media session that stays connected, and a camera that is muted and unmuted on request.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, bail};
use rotunda_client::{MediaSession, Received, SignalingClient};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::signaling::{Reply, Request, Role};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::board::PUBLISHER_PREFIX;
use crate::member::{enter, login};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A handle of a publisher in the room; the publisher leaves when it is dropped.
pub struct Publisher {
    orders: mpsc::Sender<Order>,
}

struct Order {
    muted: bool,
    done: oneshot::Sender<()>,
}

impl Publisher {
    /// Enters and publishes audio and camera.
    pub async fn begin(number: usize, url: &str) -> anyhow::Result<Self> {
        let user: UserId = format!("{PUBLISHER_PREFIX}{number}").parse()?;
        let stage = Stage::enter(&user, url).await?;
        let (orders, asked) = mpsc::channel(1);
        let (up, is_up) = oneshot::channel();
        tokio::task::spawn_local(async move {
            if let Err(error) = stage.run(asked, up).await {
                eprintln!("{user}: {error:#}");
            }
        });
        tokio::time::timeout(CONNECT_WITHIN, is_up)
            .await
            .context("connect media")?
            .context("connect media")?;
        Ok(Self { orders })
    }

    /// Resolves when the server has confirmed it.
    pub async fn mute(&self, muted: bool) -> anyhow::Result<()> {
        let (done, is_done) = oneshot::channel();
        let gone = "a publisher has left";
        self.orders.send(Order { muted, done }).await.ok().context(gone)?;
        is_done.await.context(gone)
    }
}

struct Stage {
    client: SignalingClient,
    session: MediaSession,
    socket: UdpSocket,
}

impl Stage {
    async fn enter(user: &UserId, url: &str) -> anyhow::Result<Self> {
        let mut client = SignalingClient::connect(url).await?;
        client.request(login(user)?).await?;
        enter(&mut client, Role::Anchor).await?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (mut session, offer, lines) = MediaSession::offer(Clock.now(), socket.local_addr()?)?;
        match client.request(Request::Connect { offer, lines }).await? {
            Reply::Connected { answer } => session.handle_answer(Clock.now(), &answer)?,
            other => bail!("the server answered {other:?}"),
        }
        for source in [TrackSource::Audio, TrackSource::Camera] {
            client.request(Request::Publish { source, muted: false }).await?;
        }
        Ok(Self {
            client,
            session,
            socket,
        })
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>, up: oneshot::Sender<()>) -> anyhow::Result<()> {
        let clock = Clock;
        let mut buffer = vec![0; 2048];
        let mut up = Some(up);
        loop {
            while let Some(transmit) = self.session.poll_transmit() {
                // A datagram that cannot be sent counts as lost.
                let _lost = self.socket.send_to(&transmit.contents, transmit.destination).await;
            }
            while let Some(received) = self.session.poll_received() {
                match received {
                    Received::Connected => {
                        if let Some(up) = up.take() {
                            // The caller may have stopped waiting.
                            let _unheard = up.send(());
                        }
                    }
                    Received::Disconnected => bail!("the media session was lost"),
                    Received::KeyframeWanted | Received::Frame { .. } => {}
                }
            }
            let due = self.session.poll_timeout();
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, from) = received?;
                    self.session.handle_datagram(clock.now(), from, &buffer[..length])?;
                }
                () = clock.sleep_until(due) => self.session.handle_timeout(clock.now())?,
                event = self.client.next_event() => drop(event?),
                order = orders.recv() => {
                    let Some(Order { muted, done }) = order else { return Ok(()) };
                    let source = TrackSource::Camera;
                    self.client.request(Request::Mute { source, muted }).await?;
                    // The caller may have stopped waiting.
                    let _unheard = done.send(());
                }
            }
        }
    }
}
