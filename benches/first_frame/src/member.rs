//! The way of a client into the room, and its media session.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rotunda_client::{MediaSession, Received, SignalingClient};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::UserId;
use rotunda_proto::sfu::Lines;
use rotunda_proto::signaling::{PublisherView, Reply, Request, Role};
use rotunda_proto::user_sig;
use rotunda_sfu::simulated::{Endpoint, Network};

use crate::cluster::sfu_number;
use crate::plan::Plan;
use crate::stream::{Door, Stream};
use crate::{APP, ROOM, SECRET};

pub type Client = SignalingClient<Stream>;

const TICKET_LIFE: Duration = Duration::from_secs(3600);
/// Round trips of TCP and TLS 1.3.
const HANDSHAKES: u32 = 2;

/// Logs in and enters the room. Answers its publishers.
pub async fn enter(
    plan: &Plan,
    door: &Door,
    user: &UserId,
    role: Role,
) -> anyhow::Result<(Client, Vec<PublisherView>)> {
    Clock
        .sleep_until(Clock.now() + plan.client_round_trip() * HANDSHAKES)
        .await;
    let mut client = SignalingClient::over(door.connect(), "ws://rotunda/ws").await?;
    let app = APP.try_into()?;
    let login = Request::Login {
        sdk_app_id: app,
        user_id: user.clone(),
        user_sig: user_sig::sign(app, SECRET, user, Clock.unix(), TICKET_LIFE),
        resume_token: None,
    };
    client.request(login).await.context("log in")?;
    let enter = Request::EnterRoom {
        room_id: ROOM.parse()?,
        role,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    match client.request(enter).await.context("enter the room")? {
        Reply::Entered { room, .. } => Ok((client, room.publishers)),
        other => bail!("the server answered {other:?}"),
    }
}

/// The offer of a session, and the session.
pub struct Media {
    pub session: MediaSession,
    pub endpoint: Endpoint,
}

impl Media {
    /// `number`: of the client; each has an address of its own. Answers the offer, too.
    pub fn offer(network: &Network, number: usize) -> anyhow::Result<(Self, String, Lines)> {
        let endpoint = network.bind(client_address(number)?);
        let (session, offer, lines) = MediaSession::offer(Clock.now(), endpoint.address())?;
        Ok((Self { session, endpoint }, offer, lines))
    }

    /// Takes what has arrived and what is due, and sends what comes out of it.
    pub fn turn(&mut self, now: Instant) -> anyhow::Result<()> {
        while let Some(datagram) = self.endpoint.receive(now) {
            self.session.handle_datagram(now, datagram.from, &datagram.bytes)?;
        }
        if self.session.poll_timeout() <= now {
            self.session.handle_timeout(now)?;
        }
        while let Some(transmit) = self.session.poll_transmit() {
            self.endpoint.send(now, transmit.destination, &transmit.contents);
        }
        Ok(())
    }

    pub fn poll_received(&mut self) -> Option<Received> {
        self.session.poll_received()
    }

    /// Resolves when the next [`turn`](Self::turn) is due. Cancel-safe.
    pub async fn due(&self) {
        tokio::select! {
            () = self.endpoint.arrival() => {}
            () = Clock.sleep_until(self.session.poll_timeout()) => {}
        }
    }
}

fn client_address(number: usize) -> anyhow::Result<SocketAddr> {
    let number = u32::try_from(number)?;
    Ok(SocketAddr::new(Ipv4Addr::from(0x0a40_0000 + number).into(), 5000))
}

/// Sends the offer. Answers the session's description, and the number of the SFU node that has it.
pub async fn connect(client: &mut Client, offer: String, lines: Lines) -> anyhow::Result<(String, usize)> {
    match client.request(Request::Connect { offer, lines }).await? {
        Reply::Connected { answer } => {
            let node = node_of(&answer).context("the answer has no candidate of a node")?;
            Ok((answer, node))
        }
        other => bail!("the server answered {other:?}"),
    }
}

/// RFC 8839 §5.1: the address is the fifth field of a candidate.
fn node_of(answer: &str) -> Option<usize> {
    let candidates = answer.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
    let mut addresses = candidates.filter_map(|candidate| candidate.split(' ').nth(4)?.parse().ok());
    addresses.find_map(sfu_number)
}
