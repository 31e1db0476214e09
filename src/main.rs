//! Rotunda: rooms, forwarding, mixing, recording and live streams in one binary.
//!
//! This file only connects the parts: command line -> configuration -> roles -> shutdown.

mod cli;
mod commands;
mod config;
mod http;
mod open_files;
mod own_signaling;
mod preflight;
mod public_address;
mod secrets;
mod server;
mod stored_applications;
mod tenants;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // It has a runtime of its own, and ends with its host.
    if let cli::Command::MixEngine(arguments) = &cli.command {
        return commands::mix_engine::run(arguments);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("rotunda: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(commands::run(cli));
    // All required work has ended: a thread that hangs must not keep the process alive.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rotunda: {error:#}");
            ExitCode::FAILURE
        }
    }
}
