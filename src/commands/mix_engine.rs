//! `rotunda mix-engine`: the process of one mix. The server starts it, and it ends with the server.

use std::process::ExitCode;

use rotunda_mcu::engine::child;

use super::log_to_stderr;
use crate::cli::MixEngine;

pub fn run(arguments: &MixEngine) -> ExitCode {
    log_to_stderr(&arguments.log, arguments.log_json);
    match child::run_process(arguments.memory_mb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a mix engine has ended");
            ExitCode::FAILURE
        }
    }
}
