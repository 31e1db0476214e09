//! `rotunda recordings`.

use anyhow::Context;
use rotunda_store::Store;

use super::{Quiet, api, load, start_logging};
use crate::cli;

pub async fn run(arguments: cli::Recordings) -> anyhow::Result<()> {
    match arguments.command {
        cli::RecordingsCommand::List(search) => api::recordings(search).await,
        cli::RecordingsCommand::Delete(target) => api::delete_recording(target).await,
        cli::RecordingsCommand::Rebuild(file) => rebuild(&file).await,
    }
}

async fn rebuild(file: &cli::ConfigFile) -> anyhow::Result<()> {
    let config = load(file)?;
    start_logging(&config, Quiet::Yes);
    let store = Store::open(&config.database_url()).await.context("open the database")?;
    let rebuilt = rotunda_recorder::rebuild(&config.recorder, store)
        .await
        .context("enter the recordings of the disk into the database")?;
    println!(
        "{} recordings with {} files entered; {} were known. A running server finishes and announces them.",
        rebuilt.recordings, rebuilt.files, rebuilt.known
    );
    Ok(())
}
