//! A room of 50,000 viewers on ten SFU nodes in virtual time: the time to the first frame of each, and the death of an inner node of the
//! fan-out tree while they join.
//!
//! Signaling (WebSocket, login, rooms, slots), placement, the SFU nodes' control tasks, workers, links and trees are the server's own code
//! (`rotunda_signaling::simulated`, `rotunda_sfu::simulated`), on streams and datagrams in memory with delays. Computing takes no time.

mod cluster;
mod far_bus;
mod findings;
mod member;
mod plan;
mod publisher;
mod report;
mod run;
mod stream;
#[cfg(test)]
mod tests;
mod viewer;

use std::fs;

use anyhow::Context;
use clap::Parser;
use plan::Plan;

const APP: u32 = 1_400_000_000;
const ROOM: &str = "first-frame";
/// Signs the members' UserSigs; both sides belong to one simulation.
const SECRET: &str = "not a secret: both sides of this simulation";

#[derive(Parser)]
#[command(about = "Simulates a room of 50,000 viewers on ten SFU nodes in virtual time")]
struct Cli {
    #[command(flatten)]
    plan: Plan,
}

fn main() -> anyhow::Result<()> {
    let Cli { plan } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    let result = runtime.block_on(run::run(plan.clone()))?;
    print!("{result}");
    if let Some(file) = &plan.json {
        let json = serde_json::json!({ "plan": plan, "result": result });
        fs::write(file, serde_json::to_string_pretty(&json)? + "\n")
            .with_context(|| format!("write {}", file.display()))?;
    }
    // Thousands of tasks need not be ended one by one.
    std::process::exit(0)
}
