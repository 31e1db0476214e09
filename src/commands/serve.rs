//! `rotunda serve`.

use std::io::Write;

use super::{Quiet, asked_to_stop, load, start_logging};
use crate::cli;
use crate::server::Server;

pub async fn run(arguments: cli::Serve) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    start_logging(&config, Quiet::No);
    let server = Server::start(config, &arguments.roles).await?;
    let port = server.http.port();
    // On standard output and flushed, so that who started the process can wait for it.
    println!("Rotunda is ready: http://localhost:{port}/  (Ctrl-C ends it)");
    std::io::stdout().flush()?;
    asked_to_stop().await;
    server.finish().await;
    Ok(())
}
