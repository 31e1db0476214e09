//! The settings of a run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

#[derive(Debug, Clone, Args, Serialize)]
pub struct Plan {
    /// Viewers; with the publisher a room takes 50,000 members.
    #[arg(long, default_value_t = 49_999)]
    pub viewers: usize,
    /// Joins that begin per second, whether or not earlier ones have been answered.
    #[arg(long, default_value_t = 1000.0)]
    pub join_rate: f64,
    /// Every so many viewers one has a WebRTC session; the others have a light one: signaling, placement and the opening of the session are
    /// real, and no packet goes to them. 1: all are real.
    #[arg(long, default_value_t = 50)]
    pub real_every: usize,
    /// SFU nodes.
    #[arg(long, default_value_t = 10)]
    pub nodes: usize,
    /// Sessions that a node takes, on all of its workers.
    #[arg(long, default_value_t = 6_000)]
    pub capacity: usize,
    #[arg(long, default_value_t = 4)]
    pub workers: usize,
    /// Children of a node in the fan-out tree (`sfu.node_fan_out`).
    #[arg(long, default_value_t = 3)]
    pub fan_out: usize,
    /// Signaling nodes. The viewers come to them in turn.
    #[arg(long, default_value_t = 2)]
    pub signaling: usize,
    /// One-way delay between two SFU nodes, milliseconds.
    #[arg(long, default_value_t = 20)]
    pub node_delay: u64,
    /// One-way delay between a client and any server, milliseconds.
    #[arg(long, default_value_t = 30)]
    pub client_delay: u64,
    /// One-way delay between any server and the bus, milliseconds.
    #[arg(long, default_value_t = 1)]
    pub bus_delay: u64,
    /// Frames of the publisher's camera per second.
    #[arg(long, default_value_t = 15)]
    pub fps: u64,
    /// An inner node of the tree dies when this share of the viewers have come, 0 to 1; 1: none dies.
    #[arg(long, default_value_t = 0.7)]
    pub kill_after: f64,
    /// Milliseconds until a viewer of the dead node connects again; each viewer waits for a random share more, up to twice as long.
    #[arg(long, default_value_t = 500)]
    pub notice: u64,
    /// Seconds between the last join and the end.
    #[arg(long, default_value_t = 10)]
    pub settle: u64,
    /// Write the plan and the result to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

impl Plan {
    pub fn node_delay(&self) -> Duration {
        Duration::from_millis(self.node_delay)
    }

    pub fn client_delay(&self) -> Duration {
        Duration::from_millis(self.client_delay)
    }

    pub fn client_round_trip(&self) -> Duration {
        2 * self.client_delay()
    }

    pub fn bus_delay(&self) -> Duration {
        Duration::from_millis(self.bus_delay)
    }

    /// The time between two joins.
    pub fn pace(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.join_rate)
    }

    pub fn frame_interval(&self) -> Duration {
        Duration::from_secs(1) / u32::try_from(self.fps.max(1)).unwrap_or(u32::MAX)
    }

    pub fn is_real(&self, viewer: usize) -> bool {
        viewer.is_multiple_of(self.real_every.max(1))
    }
}
