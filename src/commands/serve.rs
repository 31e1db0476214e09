//! `rotunda serve`.

use std::io::Write;

use anyhow::ensure;

use super::{Quiet, asked_to_stop, load, start_logging};
use crate::cli;
use crate::server::Server;
use crate::tenants::Purpose;

pub async fn run(arguments: cli::Serve) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    start_logging(&config, Quiet::No);
    let scheme = if config.server.tls.is_on() { "https" } else { "http" };
    let server = Server::start(config, &arguments.roles, Purpose::Serve).await?;
    let port = server.http.port();
    // On standard output and flushed, so that a parent process can wait for it.
    println!("Rotunda is ready: {scheme}://localhost:{port}/  (Ctrl-C ends it)");
    if server.demo.is_some() {
        println!(
            "Demo mode: anybody who reaches this server gets a ticket. Configure [[applications]] for your own use."
        );
    }
    std::io::stdout().flush()?;
    let failed = tokio::select! {
        () = asked_to_stop() => false,
        () = server.failed() => true,
    };
    server.finish().await;
    ensure!(
        !failed,
        "a part of the server has failed; the log says why. Start it again"
    );
    Ok(())
}
