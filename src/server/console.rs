//! The operator console: its password, its address, and the listener of its own.

use std::net::SocketAddr;

use anyhow::Context;
use rotunda_listen::http::{Bodies, Serving};
use rotunda_listen::{Binding, Listeners, Security};
use rotunda_signaling::console::open_id;
use rotunda_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::is_of_rooms;
use crate::config::Config;
use crate::secrets::Secrets;

/// Connections of the console's own listener.
const CONSOLE_CONNECTIONS: usize = 500;

/// Makes the password at the first start, and logs it, once.
pub async fn prepare(config: &Config, store: &Store) -> anyhow::Result<Option<String>> {
    let made = rotunda_signaling::console::prepare(store).await;
    let made = made.context("prepare the console")?;
    if let Some(password) = &made {
        info!(
            password,
            url = url(config),
            "the operator console has a password now, which is shown only here; `rotunda console password` sets a new one"
        );
    }
    Ok(made)
}

/// Where a person on this machine opens the console.
pub fn url(config: &Config) -> String {
    let scheme = if config.server.tls.is_on() { "https" } else { "http" };
    let port = match config.console.port {
        0 => config.server.port,
        port => port,
    };
    format!("{scheme}://localhost:{port}/console")
}

pub fn setup(config: &Config, secrets: &Secrets) -> anyhow::Result<rotunda_signaling::console::Setup> {
    Ok(rotunda_signaling::console::Setup {
        cluster: secrets.cluster(),
        is_secure: config.server.tls.is_on() || config.server.public_url.starts_with("https:"),
        open_id: open_id(config).context("prepare the sign-in by console.oidc_issuer")?,
    })
}

fn open_id(config: &Config) -> anyhow::Result<Option<open_id::Setup>> {
    let console = &config.console;
    if console.oidc_issuer.is_empty() {
        return Ok(None);
    }
    let page = match console.oidc_redirect_url.strip_suffix(open_id::CALLBACK) {
        Some(page) => page.to_owned(),
        None if config.server.public_url.is_empty() => url(config),
        None => format!("{}/console", config.server.public_url.trim_end_matches('/')),
    };
    Ok(Some(open_id::Setup {
        provider: open_id::provider(
            &console.oidc_issuer,
            &console.oidc_client_id,
            &console.oidc_client_secret,
        )?,
        page: page.parse().context("the address of the console")?,
        scopes: console.oidc_scopes.clone(),
        access: console.oidc_access.clone(),
    }))
}

/// The console on a listener of its own, with all routes that its page needs.
pub async fn serve(
    config: &Config,
    listeners: &Listeners,
    router: axum::Router,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let address = SocketAddr::new(config.console.bind, config.console.port);
    let listener = listeners.bind(Binding {
        name: "console",
        address,
        open: CONSOLE_CONNECTIONS,
        plain: CONSOLE_CONNECTIONS,
        security: Security::Tls,
    });
    let listener = listener
        .await
        .with_context(|| format!("listen for the console on {address}"))?;
    let serving = Serving {
        router,
        is_of_rooms,
        bodies: Bodies::Short,
    };
    info!(%address, "the console is ready");
    Ok(tokio::spawn(rotunda_listen::http::serve(listener, serving, stop)))
}
