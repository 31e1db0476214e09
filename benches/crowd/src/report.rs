//! The result, for people and for programs.

use std::fmt;

use rotunda_client::load::Quantiles;
use serde::Serialize;

use crate::board::{EachMinute, Reached};
use crate::crowd::Plan;

#[derive(Debug, Serialize)]
pub struct Report {
    pub plan: Plan,
    pub entered: u32,
    pub failed: u32,
    pub first_failure: Option<String>,
    pub joins_per_second: f64,
    /// From the scheduled start of a join to the reply to `enterRoom`.
    pub join_ms: Quantiles,
    /// The part of `enterRoom`.
    pub reply_ms: Quantiles,
    pub joining: Cost,
    /// The server's memory before the members joined.
    pub bytes_before: u64,
    /// The growth until all were in and knew it, per member.
    pub bytes_per_member_joined: f64,
    /// The same at the end.
    pub bytes_per_member: f64,
    pub quiet: Option<Phase>,
    /// One change after the other: a camera is muted or back.
    pub changes: Vec<Reached>,
    pub storm: Option<Storm>,
}

/// Shares of a core.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    pub server: f64,
    pub members: f64,
}

#[derive(Debug, Serialize)]
pub struct Phase {
    pub each_minute: EachMinute,
    pub cost: Cost,
}

#[derive(Debug, Serialize)]
pub struct Storm {
    pub mutes_per_second: f64,
    #[serde(flatten)]
    pub phase: Phase,
    /// The end of the storm: all muted.
    pub last: Reached,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:34}{:>12}{:>10}", "", "found", "bar")?;
        row(f, "members", f64::from(self.entered), "", "")?;
        row(f, "failed", f64::from(self.failed), "0", "")?;
        if let Some(failure) = &self.first_failure {
            writeln!(f, "  first failure: {failure}")?;
        }
        row(f, "joins per second", self.joins_per_second, "", "")?;
        quantiles(f, "join, p50/p95/p99/max", self.join_ms, "p95 200")?;
        quantiles(f, "  of it enterRoom", self.reply_ms, "")?;
        row(
            f,
            "server memory per member",
            self.bytes_per_member / 1000.0,
            "20",
            "kB",
        )?;
        row(
            f,
            "  when all had joined",
            self.bytes_per_member_joined / 1000.0,
            "",
            "kB",
        )?;
        cost(f, "joining", self.joining)?;
        if let Some(quiet) = &self.quiet {
            signaled(f, "quiet", quiet)?;
        }
        for (number, change) in self.changes.iter().enumerate() {
            let name = format!("change {} reached {}", number + 1, change.members);
            quantiles(f, &name, change.delay_ms, "")?;
        }
        if let Some(storm) = &self.storm {
            row(f, "mutes per second", storm.mutes_per_second, "", "")?;
            signaled(f, "storm", &storm.phase)?;
            let name = format!("its end reached {}", storm.last.members);
            quantiles(f, &name, storm.last.delay_ms, "")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, found: f64, bar: &str, unit: &str) -> fmt::Result {
    writeln!(f, "{name:34}{found:12.1}{bar:>10} {unit}")
}

fn quantiles(f: &mut fmt::Formatter<'_>, name: &str, found: Quantiles, bar: &str) -> fmt::Result {
    let Quantiles { p50, p95, p99, max } = found;
    let found = format!("{p50:.1} / {p95:.1} / {p99:.1} / {max:.1}");
    writeln!(f, "{name:34}{found:>38}{bar:>10} ms")
}

fn signaled(f: &mut fmt::Formatter<'_>, name: &str, phase: &Phase) -> fmt::Result {
    let each = phase.each_minute;
    row(f, &format!("{name}: signaling per minute"), each.bytes, "3000", "bytes")?;
    row(f, "  of the member with most", each.most_bytes, "3000", "bytes")?;
    cost(f, name, phase.cost)
}

fn cost(f: &mut fmt::Formatter<'_>, name: &str, cost: Cost) -> fmt::Result {
    let name = format!("{name}: server, members' process");
    let shares = format!("{:.1}, {:.1}", cost.server * 100.0, cost.members * 100.0);
    writeln!(f, "{name:34}{shares:>12}{:>10} % of a core", "")
}
