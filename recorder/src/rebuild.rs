//! Enters the recordings of a disk into a database that has lost them.

use std::collections::HashSet;
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_store::{Store, StoreError};

use crate::config::Config;
use crate::ledger::{Ledger, State};
use crate::orphans;
use crate::rows::rows;

/// A younger folder may get its rows from a running recorder soon.
const LEAST_AGE: Duration = Duration::from_secs(60);

/// The result of a rebuild.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Recordings that had no row.
    pub recordings: usize,
    pub files: usize,
    /// Recordings that the database knows.
    pub known: usize,
}

/// Enters every recording of the disk that the database does not know. The next running recorder finishes, verifies and announces
/// their files; file ids are those of before.
///
/// Errors: [`StoreError`]; it may be called again.
pub async fn rebuild(config: &Config, store: Store) -> Result<Rebuilt, StoreError> {
    older_than(LEAST_AGE, config, store).await
}

/// `age`: of the folders.
pub async fn older_than(age: Duration, config: &Config, store: Store) -> Result<Rebuilt, StoreError> {
    let ledger = Ledger::new(store, String::new());
    let found = orphans::find(config.clone(), ledger.clone(), HashSet::new(), age).await;
    let mut rebuilt = Rebuilt {
        known: found.known.len(),
        ..Rebuilt::default()
    };
    for orphan in found.orphans {
        let part_rows = orphan
            .parts
            .into_iter()
            .flat_map(|(part, wall)| rows(&orphan.manifest, part, wall, State::Closed));
        let part_rows: Vec<_> = part_rows.collect();
        // Nobody holds the lease: a running recorder takes the rows over.
        ledger.add(&part_rows, Clock.unix()).await?;
        rebuilt.recordings += 1;
        rebuilt.files += part_rows.len();
    }
    Ok(rebuilt)
}
