//! The commands of the command line.

mod api;
mod apps;
mod console;
mod demo;
mod join;
mod keys;
mod load;
mod mix;
pub mod mix_engine;
mod recordings;
mod serve;

use anyhow::Context;
use clap::CommandFactory;
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::user_sig;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Cli, Command, ConfigFile};
use crate::config::Config;
use crate::secrets::Secrets;

/// Runs the given command.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Join(arguments) => join::run(arguments).await,
        Command::Load(arguments) => load::run(*arguments).await,
        Command::Mix(arguments) => mix::run(arguments).await,
        Command::Apps(command) => apps::run(*command).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Console(command) => console::run(command).await,
        Command::Rooms(command) => api::rooms(command).await,
        Command::Members(command) => api::members(command).await,
        Command::Mixes(server) => api::mixes(server).await,
        Command::Live(server) => api::live(server).await,
        Command::Nodes(server) => api::nodes(server).await,
        Command::Usage(usage) => api::usage(usage).await,
        Command::Callbacks(command) => api::callbacks(command).await,
        Command::MixEngine(_) => anyhow::bail!("an engine runs without the runtime of the other commands"),
        Command::Recordings(arguments) => recordings::run(arguments).await,
        Command::UserSig(arguments) => {
            let application = local_application(&load(&arguments.file)?)?;
            let life = Duration::from_secs(arguments.life);
            println!("{}", sign(&application, &arguments.user, life));
            Ok(())
        }
        Command::Config(file) => {
            print!("{}", toml::to_string(&load(&file)?).context("print the configuration")?);
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "rotunda", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// The configuration from the file and the environment.
fn load(file: &ConfigFile) -> anyhow::Result<Config> {
    // A variable that is not UTF-8 cannot be a setting.
    let env = std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    Ok(Config::load(file.config.as_deref(), env)?)
}

/// The first configured application, or the one that the first start generated.
fn local_application(config: &Config) -> anyhow::Result<Application> {
    match config.applications.first() {
        Some(application) => Ok(application.clone()),
        None => {
            std::fs::create_dir_all(&config.server.data)
                .with_context(|| format!("make {}", config.server.data.display()))?;
            Ok(Secrets::load_or_make(&config.server.data)?.application())
        }
    }
}

fn sign(application: &Application, user: &rotunda_proto::ids::UserId, life: Duration) -> String {
    user_sig::sign(
        application.sdk_app_id,
        application.secret_key.reveal(),
        user,
        Clock.unix(),
        life,
    )
}

/// Sets up logging; `quiet` shows only warnings, so that the screen stays free for progress lines.
fn start_logging(config: &Config, quiet: Quiet) {
    let directives = match quiet {
        Quiet::No => config.server.log.as_str(),
        Quiet::Yes => "warn",
    };
    log_to_stderr(directives, config.server.log_json);
}

fn log_to_stderr(directives: &str, is_json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| EnvFilter::new(directives));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for people, not for files.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if is_json {
        subscriber.json().init()
    } else {
        subscriber.init()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    No,
    Yes,
}

/// Ctrl-C and SIGTERM, caught from the creation of this value on.
struct StopSignals {
    interrupted: Option<Signal>,
    terminated: Option<Signal>,
}

impl StopSignals {
    fn catch() -> Self {
        let catch = |kind| signal(kind).ok();
        Self {
            interrupted: catch(SignalKind::interrupt()),
            terminated: catch(SignalKind::terminate()),
        }
    }

    /// Resolves when the process is asked to stop.
    async fn asked(&mut self) {
        tokio::select! {
            () = received(&mut self.interrupted) => {}
            () = received(&mut self.terminated) => {}
        }
    }
}

async fn received(signals: &mut Option<Signal>) {
    match signals {
        Some(signals) => {
            signals.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Resolves on Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    StopSignals::catch().asked().await;
}

/// Resolves on Ctrl-C or SIGTERM, or when the seconds are over.
async fn asked_to_stop_within(seconds: Option<u64>) {
    match seconds {
        None => asked_to_stop().await,
        Some(seconds) => {
            let _over = tokio::time::timeout(Duration::from_secs(seconds), asked_to_stop()).await;
        }
    }
}
