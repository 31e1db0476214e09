//! Streams through the server: which member of the device carries which.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use rotunda_proto::ids::UserId;
use tokio::sync::{mpsc, oneshot};

use crate::abi::Enum;
use crate::member::Order;
use crate::protocol::Refusal;
use crate::streams::{Channel, Streams};

/// A stream that visitors share, or a recording that one of them plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub channel: u32,
    pub quality: Enum,
    /// Of a playback.
    pub owner: Option<u32>,
}

struct Relay {
    source: Source,
    channel: Arc<Channel>,
    carries: bool,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// See the [module](self).
pub struct Relays {
    orders: RefCell<Vec<mpsc::UnboundedSender<Order>>>,
    users: Vec<UserId>,
    slots: RefCell<Vec<Option<Relay>>>,
}

/// How long a member may take to publish.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that flows, and whose camera it is.
pub struct Relayed {
    pub channel: Arc<Channel>,
    pub member: UserId,
}

impl Relays {
    pub fn new(orders: Vec<mpsc::UnboundedSender<Order>>, users: Vec<UserId>) -> Self {
        let slots = orders.iter().map(|_| None).collect();
        Self {
            orders: RefCell::new(orders),
            users,
            slots: RefCell::new(slots),
        }
    }

    pub fn order(&self, member: usize, order: Order) {
        if let Some(orders) = self.orders.borrow().get(member) {
            // A member ends with the device.
            let _ended = orders.send(order);
        }
    }

    /// The members leave the room.
    pub fn close(&self) {
        self.orders.borrow_mut().clear();
    }

    /// Has a member carry this stream, or finds the one that does, and waits until it flows.
    pub async fn open(
        &self,
        source: Source,
        make: impl FnOnce() -> Result<Arc<Channel>, Refusal>,
    ) -> Result<Relayed, Refusal> {
        let (index, flows) = self.begin(source, make)?;
        if let Some(flows) = flows {
            match tokio::time::timeout(PATIENCE, flows).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(reason))) => return Err(Refusal::new("internal", reason)),
                Ok(Err(_)) => return Err(Refusal::exiting()),
                Err(_late) => return Err(Refusal::new("internal", "the stream was not published in time")),
            }
        }
        let slots = self.slots.borrow();
        let relay = slots
            .get(index)
            .and_then(Option::as_ref)
            .filter(|relay| relay.source == source);
        match relay {
            Some(relay) => Ok(Relayed {
                channel: relay.channel.clone(),
                member: self.users[index].clone(),
            }),
            None => Err(Refusal::new("internal", "the stream ended before it began")),
        }
    }

    /// The member, and the news that it carries the stream unless it does already.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn begin(
        &self,
        source: Source,
        make: impl FnOnce() -> Result<Arc<Channel>, Refusal>,
    ) -> Result<(usize, Option<oneshot::Receiver<Result<(), String>>>), Refusal> {
        let mut slots = self.slots.borrow_mut();
        let known = slots
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|relay| relay.source == source));
        let (flowing, flows) = oneshot::channel();
        if let Some(index) = known
            && let Some(relay) = &mut slots[index]
        {
            if relay.carries {
                return Ok((index, None));
            }
            relay.waiting.push(flowing);
            return Ok((index, Some(flows)));
        }
        let Some(index) = slots.iter().position(Option::is_none) else {
            let message = format!(
                "{} streams go through the server, as many as the device has tickets for",
                slots.len()
            );
            return Err(Refusal::new("no_free_stream", message));
        };
        let channel = make()?;
        self.order(index, Order::Carry(channel.clone()));
        slots[index] = Some(Relay {
            source,
            channel,
            carries: false,
            waiting: vec![flowing],
        });
        Ok((index, Some(flows)))
    }

    pub fn handle_carrying(&self, member: usize) {
        if let Some(Some(relay)) = self.slots.borrow_mut().get_mut(member) {
            relay.carries = true;
            for waiting in relay.waiting.drain(..) {
                let _gone = waiting.send(Ok(()));
            }
        }
    }

    /// Forgets what the member was to carry; its watchers get it no more.
    pub fn handle_failed(&self, member: usize, reason: &str) -> Option<Arc<Channel>> {
        let relay = self.slots.borrow_mut().get_mut(member)?.take()?;
        for waiting in relay.waiting {
            let _gone = waiting.send(Err(reason.to_owned()));
        }
        Some(relay.channel)
    }

    /// Lets the members go that carry what nobody watches or waits for.
    pub fn release_unwatched(&self, streams: &Streams) {
        let mut slots = self.slots.borrow_mut();
        for (index, slot) in slots.iter_mut().enumerate() {
            let idle = slot.as_ref().is_some_and(|relay| {
                streams.watchers(&relay.channel).is_empty() && relay.waiting.iter().all(oneshot::Sender::is_closed)
            });
            if idle {
                *slot = None;
                self.order(index, Order::Release);
            }
        }
    }
}
