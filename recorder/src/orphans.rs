//! Recordings that have a folder and no row: the database was lost, or the process ended in between.

use std::collections::HashSet;
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::name_time_zone::NameTimeZone;
use tracing::error;

use crate::config::Config;
use crate::finisher::Finisher;
use crate::folder::{Folder, Manifest, recordings_in};
use crate::ledger::Ledger;
use crate::uploading::are_moved;

/// A recording to enter.
pub struct Orphan {
    pub manifest: Manifest,
    /// Its parts, and their starts since 1970.
    pub parts: Vec<(u64, Duration)>,
}

/// The result of a search.
#[derive(Default)]
pub struct Found {
    pub orphans: Vec<Orphan>,
    /// Recordings that have a row: they are not looked up again.
    pub known: HashSet<String>,
    /// Of those that were looked up: all files are in the storage, and the folder is still here.
    pub moved: Vec<String>,
}

/// Searches the recordings that have been on the disk for `age`.
pub async fn find(config: Config, ledger: Ledger, known: HashSet<String>, age: Duration) -> Found {
    let directory = config.directory.clone();
    let folders = tokio::task::spawn_blocking(move || recordings_in(&directory, Clock.wall(), age)).await;
    let folders = match folders {
        Ok(Ok(folders)) => folders,
        Ok(Err(error)) => {
            error!(error = &error as &dyn std::error::Error, folder = %config.directory.display(), "the folder of recordings could not be searched");
            return Found {
                known,
                ..Found::default()
            };
        }
        Err(_) => Vec::new(),
    };
    let mut found = Found::default();
    for id in folders {
        if known.contains(&id) {
            found.known.insert(id);
            continue;
        }
        // A database that does not answer does not make orphans, and is not waited for once for each folder: the next search asks again.
        let Ok(rows) = ledger.rows(&id).await else {
            found.known.extend(known);
            break;
        };
        if are_moved(&rows) {
            found.moved.push(id.clone());
        }
        if !rows.is_empty() {
            found.known.insert(id);
            continue;
        }
        let folder = Folder::new(&config.directory, &id);
        let read = tokio::task::spawn_blocking(move || {
            let finisher = Finisher::open(&folder, NameTimeZone::default()).ok()?;
            Some(Orphan {
                manifest: finisher.manifest().clone(),
                parts: finisher.parts(),
            })
        });
        if let Ok(Some(orphan)) = read.await {
            found.orphans.push(orphan);
        }
    }
    found
}
