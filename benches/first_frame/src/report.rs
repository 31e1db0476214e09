//! The result as a table.

use std::fmt;

use rotunda_client::load::Quantiles;

use crate::findings::{Measured, Result};

impl fmt::Display for Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:46}{:>8}  p50 / p95 / p99 / max, ms", "", "viewers")?;
        row(f, "join: video requested (all viewers)", self.asked)?;
        row(f, "join: told that media is connected (all)", self.connected)?;
        row(f, "join: first frame (WebRTC sessions)", self.first_frame)?;
        if let Some(storm) = self.first_frame_in_storm {
            row(f, "  of it around the death of the node", storm)?;
        }
        writeln!(
            f,
            "without a frame {}, failed {}, refused once {}",
            self.without_frame, self.failed, self.refused
        )?;
        for error in [&self.first_failure, &self.first_refusal].into_iter().flatten() {
            writeln!(f, "  first: {error}")?;
        }
        let Some(death) = &self.death else { return Ok(()) };
        writeln!(f, "{}", death.branch)?;
        row(f, "  longest gap behind it", death.gap_behind)?;
        row(f, "  longest gap at the other nodes", death.gap_elsewhere)?;
        row(f, "  its viewers: video requested again (all)", death.asked_again)?;
        row(f, "  its viewers: first frame by another node", death.back)?;
        writeln!(f, "  not back {}", death.not_back)
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, Measured { viewers, ms }: Measured) -> fmt::Result {
    let Quantiles { p50, p95, p99, max } = ms;
    writeln!(f, "{name:46}{viewers:8}  {p50:.0} / {p95:.0} / {p99:.0} / {max:.0}")
}
