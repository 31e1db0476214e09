//! The settings of the SFU.

use std::net::{IpAddr, Ipv4Addr};

use rotunda_proto::config::ConfigMistake;
use rotunda_proto::location::Location;
use serde::{Deserialize, Serialize};

use crate::node::advertise::Source;

/// Section `[sfu]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Worker threads, each with a port of its own; 0: one a core. Default 0.
    pub workers: u16,
    /// First media port, UDP and TCP; worker i listens on port + i. Default 40000.
    pub port: u16,
    /// Address that media sockets listen on. Default "0.0.0.0".
    pub bind: IpAddr,
    /// Addresses told to clients, for servers behind NAT, and where to take them from: an address, "interfaces" (the addresses of
    /// all of them, loopback included), "interface:eth0", "env:HOST_IP" or "file:/etc/pod/ip" (Kubernetes downward API), and
    /// "stun:stun.example.com:3478" (asked at the start and every 5 minutes). Several are joined. Default none: as "interfaces".
    pub advertise: Vec<Source>,
    /// Connections of ICE-TCP clients that the node keeps, of all workers together; more are closed at once. Each takes a file
    /// descriptor, and never more than a quarter of those that the process may open are taken. Default 4096.
    pub tcp_connections: usize,
    /// Connections of ICE-TCP clients of one address (IPv6: one /64). A company behind one address needs one for each of
    /// its members who cannot use UDP. Default 256.
    pub tcp_connections_per_address: usize,
    /// Seconds in which a session must get through ICE and DTLS. Default 15.
    pub connect_timeout_seconds: u64,
    /// Sessions that a worker takes. Members inside who need a new session find a tenth more. Default 2000.
    pub max_sessions: usize,
    /// Sessions of one room that a worker takes before the room goes on at another worker as well. Default 200.
    pub room_sessions: usize,
    /// Sessions of one room that the node takes. Further members come to another node, and are refused without one; 0: as many as the
    /// node has capacity for. Default 0.
    pub node_room_sessions: usize,
    /// Nodes of a room to which a node sends its members' media itself. With more of them, the further ones receive it by those that have it
    /// already. The same on all nodes. Default 8; 1 makes a chain of the nodes. Fewer spare the publishers' node and cost delay.
    pub node_fan_out: usize,
    /// Share of a worker thread's time, 0.1 to 1: past it for 3 s the worker takes no more sessions (`node_full`) until it is
    /// less by 0.1, so that the members inside keep their quality. Default 0.85; 1: no limit.
    pub max_load: f64,
    /// Milliseconds in which packets for one viewer are collected to leave in one send, unless a frame is complete
    /// before. Default 2; more saves CPU time and costs delay.
    pub batch_window_milliseconds: u64,
    /// Least microseconds between two reads of the media socket while packets come in. Default 1000; 0: none. More saves
    /// CPU time with many viewers and costs delay.
    pub read_interval_microseconds: u64,
    /// `server.region` and `server.zone`.
    #[serde(skip)]
    pub location: Location,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 0,
            port: 40_000,
            bind: Ipv4Addr::UNSPECIFIED.into(),
            advertise: Vec::new(),
            tcp_connections: 4096,
            tcp_connections_per_address: 256,
            connect_timeout_seconds: 15,
            max_sessions: 2000,
            room_sessions: 200,
            node_room_sessions: 0,
            node_fan_out: 8,
            max_load: 0.85,
            batch_window_milliseconds: 2,
            read_interval_microseconds: 1_000,
            location: Location::default(),
        }
    }
}

impl Config {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if self.port == 0 || self.port.checked_add(self.worker_count() - 1).is_none() {
            mistakes.push(ConfigMistake::new(
                "sfu.port",
                "write a port from 1 that leaves one for each worker",
            ));
        }
        if self.connect_timeout_seconds == 0 {
            mistakes.push(ConfigMistake::new("sfu.connect_timeout_seconds", "write at least 1"));
        }
        if self.tcp_connections == 0 {
            mistakes.push(ConfigMistake::new("sfu.tcp_connections", "write at least 1"));
        }
        if self.tcp_connections_per_address == 0 {
            mistakes.push(ConfigMistake::new(
                "sfu.tcp_connections_per_address",
                "write at least 1",
            ));
        }
        if self.room_sessions == 0 {
            mistakes.push(ConfigMistake::new("sfu.room_sessions", "write at least 1"));
        }
        if self.node_fan_out == 0 {
            mistakes.push(ConfigMistake::new("sfu.node_fan_out", "write at least 1"));
        }
        if self.batch_window_milliseconds > 50 {
            mistakes.push(ConfigMistake::new("sfu.batch_window_milliseconds", "write at most 50"));
        }
        if !(0.1..=1.0).contains(&self.max_load) {
            mistakes.push(ConfigMistake::new("sfu.max_load", "write 0.1 to 1"));
        }
        if self.read_interval_microseconds > 20_000 {
            mistakes.push(ConfigMistake::new(
                "sfu.read_interval_microseconds",
                "write at most 20000",
            ));
        }
        mistakes
    }

    /// The ports that will be bound, UDP and TCP.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let first = self.port;
        (0..self.worker_count()).map(move |worker| first.saturating_add(worker))
    }

    fn worker_count(&self) -> u16 {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX)),
            workers => workers,
        }
    }
}
