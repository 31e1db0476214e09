//! A room of 50,000 WebSocket members on a machine that allows a process fewer file descriptors:
//! `benches/crowd/run`.
//!
//! The server (`serve`) is the real signaling service and SFU. Its members' connections are byte streams in memory
//! that share one TCP connection ([`mux`]). The members (`join`) are in another process, so the server's memory and
//! time are its own.

mod board;
mod crowd;
mod member;
mod mux;
mod publisher;
mod report;
mod server;

use clap::{Args, Parser, Subcommand};

use crate::crowd::Plan;
use crate::server::Streams;

const APP: u32 = 1_400_000_000;
/// Signs the members' UserSigs; both sides belong to one measurement.
const SECRET: &str = "not a secret: both sides of this measurement";

#[derive(Parser)]
#[command(about = "Measures a room of 50,000 WebSocket members")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server; it prints `ready`.
    Serve {
        #[command(flatten)]
        ports: Ports,
        /// Keep each stream after its first byte instead of serving it: measures the streams themselves.
        #[arg(long)]
        hold: bool,
    },
    /// Print the configuration with which `rotunda load` can join too.
    Config,
    /// Run the members, and print the result.
    Join {
        #[command(flatten)]
        ports: Ports,
        #[command(flatten)]
        plan: Plan,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct Ports {
    /// The first of four ports on 127.0.0.1: HTTP, the members' streams, gRPC, media.
    #[arg(long, default_value_t = 18_500)]
    port: u16,
}

impl Ports {
    fn http(self) -> u16 {
        self.port
    }

    fn crowd(self) -> u16 {
        self.port + 1
    }

    fn grpc(self) -> u16 {
        self.port + 2
    }

    fn media(self) -> u16 {
        self.port + 3
    }

    fn url(self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.http())
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve { ports, hold } => {
            let streams = if hold { Streams::Held } else { Streams::Served };
            // Like the server's own runtime.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(server::run(ports, streams))
        }
        Command::Config => {
            println!(
                "[[applications]]\nsdk_app_id = {APP}\nsecret_key = {SECRET:?}\nsecret_id = \"crowd\"\napi_secret = {SECRET:?}"
            );
            Ok(())
        }
        Command::Join { ports, plan } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, crowd::run(ports, plan))
        }
    }
}
