//! Load: thousands of publishers and viewers with synthetic packets that carry their send time, and tens of
//! thousands of audience members without media.
//!
//! [`run`] executes a [`Plan`] and returns a [`Report`]. The members of a thread share its runtime. Each has its
//! own UDP socket and its own [`Entrance`], like a real client.

mod audience;
mod cpu;
mod delay;
mod entrance;
mod link;
mod memory;
mod plan;
mod publisher;
mod report;
mod rtp_session;
mod run;
mod schedule;
mod sequence;
mod shard;
mod stamp;
mod stay;
mod tally;
mod turns;
mod udp;
mod viewer;

pub use cpu::CpuClock;
pub use delay::{Delays, Quantiles};
pub use entrance::{JanusError, WhipError};
pub use link::{Bandwidth, BandwidthError};
pub use memory::resident_bytes;
pub use plan::{Entrance, Flow, Plan, PlanError};
pub use report::{AudienceReport, KindReport, Report};
pub use run::{Access, LoadError, Second, Stage, run};
pub use tally::Counts;
