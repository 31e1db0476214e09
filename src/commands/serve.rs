//! `rotunda serve`.

use std::io::Write;

use anyhow::ensure;
use tracing::warn;

use super::{Quiet, StopSignals, load, start_logging};
use crate::cli;
use crate::server::Server;
use crate::tenants::Purpose;

pub async fn run(arguments: cli::Serve) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    start_logging(&config, Quiet::No);
    let scheme = if config.server.tls.is_on() { "https" } else { "http" };
    let server = Server::start(config, &arguments.roles, Purpose::Serve).await?;
    let port = server.http.port();
    // Created before the server announces itself: after that, a signal ends it in order.
    let mut signals = StopSignals::catch();
    // Printed and flushed, so that a parent process can wait for it.
    say(&format!(
        "Rotunda is ready: {scheme}://localhost:{port}/  (Ctrl-C ends it)"
    ));
    if server.demo.is_some() {
        say("Demo mode: anybody who can reach this server gets a ticket. Configure [[applications]] for your own use.");
    }
    let failed = tokio::select! {
        () = signals.asked() => false,
        () = server.failed() => true,
    };
    if !failed {
        tokio::select! {
            () = server.drain() => {}
            () = signals.asked() => warn!("a second signal ends the draining"),
        }
    }
    tokio::select! {
        () = server.finish() => {}
        () = signals.asked() => warn!("a second signal ends the process at once"),
    }
    ensure!(
        !failed,
        "a part of the server has failed; the log says why. Start it again"
    );
    Ok(())
}

/// Writes a line. A reader that has closed the pipe, like `head`, must not end the server.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}
