//! SFU nodes on a network in memory, for simulations in virtual time (a paused tokio clock): the real control task and the real workers,
//! each in a task in place of its thread and sockets.
//!
//! Sessions of some members may be light: the node opens them, counts them and answers commands for them, but no packet goes to them. So
//! a simulation can have more members than sessions with media.

mod light;
mod network;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_bus::ClusterNode;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{NodeId, UserId};
use rotunda_proto::location::Location;
use rotunda_proto::sfu::control_subject;
use rotunda_proto::ticket::ClusterSecret;
use str0m::net::Protocol;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::advertise::Advertised;
use super::control::Handle;
use super::driver::Driver;
use super::load::Reading;
use super::service::{QUEUE, StartError};
use super::set_up;
use super::tree::{self, Place};
use super::worker_message::{Inbox, WorkerMessage, WorkerMessages, inbox};
use crate::config::Config;
use crate::slab::{Index, WorkerIndex};
use crate::worker::demux::Arrival;
use light::LightSessions;
pub use network::{Datagram, Delays, Endpoint, Network};

/// A worker that has more to do goes on after so long.
const TURN: Duration = Duration::from_micros(100);

/// Which members have light sessions, and how long these take to connect.
#[derive(Debug, Clone, Copy)]
pub struct Light {
    pub is_light: fn(&UserId) -> bool,
    pub handshake: Duration,
}

/// A running node. A drop ends it from one moment to the next, as a kill does.
pub struct Node {
    _tasks: JoinSet<()>,
}

impl Node {
    /// Takes commands on the bus. `config`: its ports are those of the workers at `ip`; its other sockets are not used.
    pub async fn start(
        config: &Config,
        node: ClusterNode,
        secret: ClusterSecret,
        ip: IpAddr,
        network: &Network,
        light: Light,
    ) -> Result<Self, StartError> {
        let mut tasks = JoinSet::new();
        let requests = node.bus().serve(&control_subject(node.name())).await?;
        let (events, event_queue) = mpsc::channel(QUEUE);
        let (mut handles, mut queues) = (Vec::new(), Vec::new());
        let addresses = vec![ip];
        let advertised = Advertised {
            first: addresses.clone(),
            addresses,
        };
        for port in config.ports() {
            let (inbox, messages) = message_queue().map_err(StartError::Thread)?;
            queues.push((port, messages));
            handles.push(Handle {
                inbox,
                advertised: watch::channel(advertised.clone()).1,
                port,
                load: Arc::new(Reading::default()),
            });
        }
        let inboxes: Vec<Inbox> = handles.iter().map(|handle| handle.inbox.clone()).collect();
        for (index, (port, messages)) in queues.into_iter().enumerate() {
            let index = WorkerIndex::at(index);
            let shell = Shell {
                driver: Driver::new(
                    set_up::worker(config, node.name(), index),
                    messages,
                    inboxes.clone(),
                    index,
                    events.clone(),
                ),
                endpoint: network.bind(SocketAddr::new(ip, port)),
                light: LightSessions::new(light),
            };
            tasks.spawn(shell.run());
        }
        let control = set_up::control(config, node, secret, handles).await?;
        tasks.spawn(control.run(requests, event_queue, Default::default()));
        Ok(Self { _tasks: tasks })
    }
}

/// The wake-ups of the queue go nowhere: its reader awaits the messages.
fn message_queue() -> std::io::Result<(Inbox, WorkerMessages)> {
    let poll = mio::Poll::new()?;
    Ok(inbox(mio::Waker::new(poll.registry(), super::shell::MESSAGES)?))
}

/// The parent of each node in an origin's fan-out tree, where all nodes are at one place and see each other.
pub fn parents(origin: &NodeId, nodes: &[NodeId], fan_out: usize) -> HashMap<NodeId, NodeId> {
    let location = Location::default();
    let places = nodes.iter().map(|node| Place {
        node,
        location: &location,
    });
    let places: Vec<Place<'_>> = places.collect();
    let parents = tree::parents(origin, &places, fan_out);
    parents
        .into_iter()
        .map(|(node, parent)| (node.clone(), parent.clone()))
        .collect()
}

/// In place of [`super::shell::Shell`].
struct Shell {
    driver: Driver,
    endpoint: Endpoint,
    light: LightSessions,
}

impl Shell {
    async fn run(mut self) {
        self.finish_turn();
        loop {
            let now = Clock.now();
            let due = self.driver.due(now).into_iter().chain(self.light.due(now)).min();
            let due = due.map(|due| due.max(now + TURN));
            tokio::select! {
                message = self.driver.message() => match message {
                    Some(message) => self.handle_message(Clock.now(), message),
                    None => return,
                },
                () = self.endpoint.arrival() => {}
                () = Clock.until(due) => {}
            }
            self.turn(Clock.now());
        }
    }

    fn turn(&mut self, now: Instant) {
        while let Some(datagram) = self.endpoint.receive(now) {
            let arrival = Arrival {
                proto: Protocol::Udp,
                from: datagram.from,
                to: self.endpoint.address(),
                bytes: &datagram.bytes,
            };
            self.driver.worker.handle_datagram(now, arrival);
        }
        while let Some(message) = self.driver.next_message() {
            self.handle_message(now, message);
        }
        self.light.tell_connected(now, &self.driver);
        self.driver.worker.handle_timeout(now);
        self.finish_turn();
    }

    fn handle_message(&mut self, now: Instant, message: WorkerMessage) {
        if let Some(message) = self.light.take(now, message) {
            self.driver.handle_message(now, message);
        }
    }

    /// As the real shell does.
    fn finish_turn(&mut self) {
        let now = Clock.now();
        self.send_control(now);
        let Self { driver, endpoint, .. } = self;
        driver.worker.send_media(
            || now,
            |path, datagrams, segment| {
                for datagram in datagrams.chunks(segment) {
                    endpoint.send(now, path.to, datagram);
                }
            },
        );
        driver.worker.finish_turn(now);
        self.send_control(now);
        self.driver.hand_over();
    }

    fn send_control(&mut self, now: Instant) {
        while let Some(datagram) = self.driver.worker.poll_control() {
            self.endpoint.send(now, datagram.path.to, &datagram.bytes);
        }
    }
}
