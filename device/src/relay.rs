//! Streams through the server: which member of the device carries which.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rotunda_proto::ids::UserId;
use tokio::sync::{mpsc, oneshot};

use crate::abi::{Enum, VIDEO_RES_PB};
use crate::member::Order;
use crate::protocol::Refusal;
use crate::streams::{Channel, StreamKey, Streams};

/// A stream that visitors share, or a recording that one of them plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub channel: u32,
    pub quality: Enum,
    /// Of a playback.
    pub owner: Option<u32>,
}

impl Source {
    /// The stream that this visitor watches.
    pub fn of(key: StreamKey) -> Self {
        Self {
            channel: key.channel,
            quality: key.quality,
            owner: (key.quality == VIDEO_RES_PB).then_some(key.visitor),
        }
    }
}

struct Relay {
    source: Source,
    channel: Arc<Channel>,
    carries: bool,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    /// Cloned by each who opens the stream, until it has its watcher: so long it is not released.
    claim: Rc<()>,
}

/// A stream that is being opened.
struct Opening {
    member: usize,
    /// The news that the member carries the stream; None: it does already.
    flows: Option<oneshot::Receiver<Result<(), String>>>,
    claim: Rc<()>,
}

/// See the [module](self).
pub struct Relays {
    orders: RefCell<Vec<mpsc::UnboundedSender<Order>>>,
    users: Vec<UserId>,
    slots: RefCell<Vec<Option<Relay>>>,
}

/// How long a member may take to publish.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that flows. Its member keeps it while this lives, also without a watcher.
pub struct Relayed {
    pub channel: Arc<Channel>,
    _claim: Rc<()>,
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
        let Opening { member, flows, claim } = self.begin(source, make)?;
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
            .get(member)
            .and_then(Option::as_ref)
            .filter(|relay| relay.source == source);
        match relay {
            Some(relay) => Ok(Relayed {
                channel: relay.channel.clone(),
                _claim: claim,
            }),
            None => Err(Refusal::new("internal", "the stream ended before it began")),
        }
    }

    fn begin(&self, source: Source, make: impl FnOnce() -> Result<Arc<Channel>, Refusal>) -> Result<Opening, Refusal> {
        let mut slots = self.slots.borrow_mut();
        let known = slots
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|relay| relay.source == source));
        let (flowing, flows) = oneshot::channel();
        if let Some(member) = known
            && let Some(relay) = &mut slots[member]
        {
            let claim = relay.claim.clone();
            if relay.carries {
                return Ok(Opening {
                    member,
                    flows: None,
                    claim,
                });
            }
            relay.waiting.push(flowing);
            return Ok(Opening {
                member,
                flows: Some(flows),
                claim,
            });
        }
        let Some(member) = slots.iter().position(Option::is_none) else {
            let message = format!(
                "{} streams go through the server, as many as the device has tickets for",
                slots.len()
            );
            return Err(Refusal::new("no_free_stream", message));
        };
        let channel = make()?;
        self.order(member, Order::Carry(channel.clone()));
        let claim = Rc::new(());
        slots[member] = Some(Relay {
            source,
            channel,
            carries: false,
            waiting: vec![flowing],
            claim: claim.clone(),
        });
        Ok(Opening {
            member,
            flows: Some(flows),
            claim,
        })
    }

    /// The member whose camera this stream is; None: it does not go through the server.
    pub fn member_of(&self, channel: &Arc<Channel>) -> Option<UserId> {
        let slots = self.slots.borrow();
        let is_it = |slot: &Option<Relay>| slot.as_ref().is_some_and(|relay| Arc::ptr_eq(&relay.channel, channel));
        let member = slots.iter().position(is_it)?;
        self.users.get(member).cloned()
    }

    pub fn handle_carrying(&self, member: usize) {
        if let Some(relay) = self.slots.borrow_mut().get_mut(member).and_then(Option::as_mut) {
            relay.carries = true;
            for waiting in relay.waiting.drain(..) {
                let _gone = waiting.send(Ok(()));
            }
        }
    }

    /// Forgets the stream that the member was to carry; its watchers get it no more.
    pub fn handle_failed(&self, member: usize, reason: &str) -> Option<Arc<Channel>> {
        let relay = self.slots.borrow_mut().get_mut(member)?.take()?;
        for waiting in relay.waiting {
            let _gone = waiting.send(Err(reason.to_owned()));
        }
        Some(relay.channel)
    }

    /// Releases the members whose stream nobody watches or opens.
    pub fn release_unwatched(&self, streams: &Streams) {
        let mut slots = self.slots.borrow_mut();
        for (index, slot) in slots.iter_mut().enumerate() {
            let idle = slot.as_ref().is_some_and(|relay| {
                streams.watchers(&relay.channel).is_empty() && Rc::strong_count(&relay.claim) == 1
            });
            if idle {
                *slot = None;
                self.order(index, Order::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_unit::VideoCodec;
    use crate::calls::{Calls, tests::no_functions};
    use crate::streams::{Coding, Path};

    const HD: Source = Source {
        channel: 0,
        quality: 2,
        owner: None,
    };

    fn channel() -> Arc<Channel> {
        let coding = Coding {
            video: VideoCodec::H264,
            audio: None,
        };
        let calls = Calls::idle(no_functions());
        Arc::new(Channel::new(Path::Relayed, coding, 1000, None, calls).unwrap())
    }

    fn relays(tickets: usize) -> (Relays, Vec<mpsc::UnboundedReceiver<Order>>) {
        let (orders, receivers) = (0..tickets).map(|_| mpsc::unbounded_channel()).unzip();
        let users = (0..tickets).map(|number| format!("cam-{number}").parse().unwrap());
        (Relays::new(orders, users.collect()), receivers)
    }

    #[tokio::test]
    async fn viewers_of_one_stream_share_one_member_and_the_stream_ends_with_the_last() {
        let (relays, _orders) = relays(2);
        let streams = Streams::default();
        let (first, second, _) = tokio::join!(
            relays.open(HD, || Ok(channel())),
            relays.open(HD, || panic!("the first one's is shared")),
            async { relays.handle_carrying(0) },
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(Arc::ptr_eq(&first.channel, &second.channel));
        streams.set(StreamKey::new(0, 0, 2), first.channel.clone());
        drop((first, second));
        relays.release_unwatched(&streams);
        assert!(relays.slots.borrow()[0].is_some(), "visitor 0 watches it");
        streams.remove(StreamKey::new(0, 0, 2));
        relays.release_unwatched(&streams);
        assert!(relays.slots.borrow()[0].is_none());
    }

    #[tokio::test]
    async fn a_stream_that_flows_is_not_released_before_the_viewer_who_opened_it_watches() {
        let (relays, _orders) = relays(1);
        let (opened, _) = tokio::join!(relays.open(HD, || Ok(channel())), async {
            relays.handle_carrying(0);
            // The tick of the engine comes before the request goes on.
            relays.release_unwatched(&Streams::default());
        });
        let member = opened.map(|opened| relays.member_of(&opened.channel));
        assert_eq!(member, Ok(Some("cam-0".parse().unwrap())));
    }

    #[tokio::test]
    async fn more_streams_than_tickets_are_refused_by_name() {
        let (relays, _orders) = relays(1);
        let (opened, _) = tokio::join!(relays.open(HD, || Ok(channel())), async { relays.handle_carrying(0) });
        let _opened = opened.map_err(|refusal| refusal.code).unwrap();
        let refused = relays.open(Source { quality: 0, ..HD }, || Ok(channel())).await;
        assert_eq!(
            refused.map(|_| ()).map_err(|refusal| refusal.code),
            Err("no_free_stream")
        );
    }
}
