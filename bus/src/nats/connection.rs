//! The connection: its state, and whether messages may have been missed.

use std::sync::Arc;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Event, ServerAddr};
use rotunda_proto::clock::Clock;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{ConnectError, NatsConfig};

/// The interval of pings; after two unanswered ones the connection is abandoned.
const PING_EVERY: Duration = Duration::from_secs(2);
/// The pause between two attempts to connect.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// The time limit of an attempt to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The time limit of a request to the server itself.
const ROUND_TRIP_WITHIN: Duration = Duration::from_secs(2);
/// The largest message that the server must accept.
const MAX_PAYLOAD: usize = 1_048_576;

#[derive(Debug, Clone)]
pub(super) struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// A subject without a service: the server itself answers requests on it.
    nobody: String,
    state: watch::Receiver<Link>,
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    connected: bool,
    /// Grows whenever messages may have been missed.
    losses: u64,
}

impl Connection {
    pub(super) async fn open(config: &NatsConfig, node: &str) -> Result<Self, ConnectError> {
        let unreachable = |source| ConnectError::Unreachable {
            urls: config.urls.join(", "),
            seconds: config.connect_seconds,
            source,
        };
        let mut servers = Vec::new();
        for url in &config.urls {
            servers.push(url.parse::<ServerAddr>().map_err(|error| unreachable(error.into()))?);
        }
        let (link, state) = watch::channel(Link {
            connected: true,
            losses: 0,
        });
        let clock = Clock;
        let deadline = clock.now() + config.connect_timeout();
        let client = loop {
            let link = link.clone();
            let options = config.options().await.map_err(ConnectError::Files)?;
            let options = options
                .name(format!("rotunda {node}"))
                .connection_timeout(CONNECT_WITHIN)
                .ping_interval(PING_EVERY)
                .reconnect_delay_callback(|_| TRY_EVERY)
                .max_reconnects(None)
                .event_callback(move |event| {
                    take(&link, event);
                    std::future::ready(())
                });
            match options.connect(servers.clone()).await {
                Ok(client) => break client,
                Err(error) if clock.now() + TRY_EVERY < deadline => {
                    warn!(error = &error as &dyn std::error::Error, "no connection to NATS yet");
                    clock.sleep_until(clock.now() + TRY_EVERY).await;
                }
                Err(error) => return Err(unreachable(error.into())),
            }
        };
        let found = client.max_payload();
        if found < MAX_PAYLOAD {
            return Err(ConnectError::MaxPayload {
                found,
                needed: MAX_PAYLOAD,
            });
        }
        Ok(Self(Arc::new(Inner {
            client,
            nobody: format!("{}.nobody", config.prefix),
            state,
        })))
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Changes whenever messages may have been missed from now on.
    pub(super) fn losses(&self) -> watch::Receiver<Link> {
        let mut losses = self.0.state.clone();
        losses.mark_unchanged();
        losses
    }

    pub(super) fn is_connected(&self) -> bool {
        self.0.state.borrow().connected
    }

    /// Resolves when the connection is established.
    pub(super) async fn connected(&self) {
        let mut state = self.0.state.clone();
        let _the_client_has_ended = state.wait_for(|link| link.connected).await;
    }

    /// Resolves when the connection is lost, or has been lost since `count` losses.
    pub(super) async fn lost_since(&self, count: u64) {
        let mut state = self.0.state.clone();
        let _the_client_has_ended = state.wait_for(|link| !link.connected || link.losses != count).await;
    }

    pub(super) fn loss_count(&self) -> u64 {
        self.0.state.borrow().losses
    }

    /// Whether the server has processed everything that was sent before.
    pub(super) async fn round_trip(&self) -> bool {
        let asked = self.0.client.request(self.0.nobody.clone(), bytes::Bytes::new());
        match timeout(ROUND_TRIP_WITHIN, asked).await {
            Ok(Err(error)) => error.kind() == RequestErrorKind::NoResponders,
            Ok(Ok(_)) => true,
            Err(_) => false,
        }
    }

    /// Resolves when the connection is established and the server knows all subscriptions.
    pub(super) async fn settled(&self) {
        loop {
            self.connected().await;
            if self.round_trip().await {
                return;
            }
            Clock.sleep_until(Clock.now() + TRY_EVERY).await;
        }
    }
}

fn take(link: &watch::Sender<Link>, event: Event) {
    match event {
        Event::Connected => {
            link.send_if_modified(|link| !std::mem::replace(&mut link.connected, true));
        }
        Event::Disconnected | Event::Closed => {
            warn!("the connection to NATS is lost");
            link.send_modify(|link| {
                link.connected = false;
                link.losses += 1;
            });
        }
        Event::SlowConsumer(_) => {
            warn!("messages from NATS arrived faster than they were processed; some are lost");
            link.send_modify(|link| link.losses += 1);
        }
        other => info!(event = %other, "NATS"),
    }
}
