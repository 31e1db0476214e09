//! Offers finished files to the callback outbox until it accepts them.

use rotunda_bus::{BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT};
use rotunda_store::Store;
use tracing::{error, info};

use crate::files::Files;

/// Offers what has not been accepted yet.
pub async fn announce(store: &Store, files: &Files, bus: &SharedBus) {
    let waiting = match store.unannounced_files().await {
        Ok(waiting) => waiting,
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "read the files to announce");
            return;
        }
    };
    for mut file in waiting {
        file.url = files.url(&file.name, Clock.unix());
        // Each was told when it was shown, and the list of files has them.
        file.layouts.clear();
        match bus.call::<_, Accepted>(FILE_READY_SUBJECT, &file).await {
            Ok(Accepted {}) => {
                if let Err(error) = store.set_announced(&file.file_id).await {
                    error!(
                        error = &error as &dyn std::error::Error,
                        "keep that a file was announced; it is announced twice"
                    );
                }
            }
            Err(error) => {
                info!(
                    error = &error as &dyn std::error::Error,
                    file = file.name,
                    "no callback outbox accepts the file yet"
                );
                return;
            }
        }
    }
}
