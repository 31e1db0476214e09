//! Load: publishers and viewers by the thousand, with synthetic packets that say when they were sent, and audience
//! without media by ten thousands.
//!
//! [`run`] carries a [`Plan`] out and answers a [`Report`]. The members of a thread share its runtime; each has a
//! UDP socket and a way in ([`Entrance`]) of its own, as a person would.

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
pub use entrance::{JanusError, WhipError, WhipSession};
pub use link::{Bandwidth, BandwidthError};
pub use memory::resident_bytes;
pub use plan::{Entrance, Flow, Plan, PlanError};
pub use report::{AudienceReport, KindReport, Report};
pub use run::{Access, LoadError, Second, Stage, run};
pub use tally::Counts;
