//! Announces finished files to the callback outbox until it accepts them.

use rotunda_proto::bus::{BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::{Accepted, FILE_READY_SUBJECT};
use tracing::{error, info};

use crate::catalogue::Catalogue;
use crate::files::Files;

/// Announces the files that have not been accepted yet.
pub async fn announce(catalogue: &Catalogue, files: &Files, bus: &SharedBus) {
    let waiting = match catalogue.unannounced().await {
        Ok(waiting) => waiting,
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "the catalogue could not be read"
            );
            return;
        }
    };
    for mut file in waiting {
        file.url = files.url(&file.name, Clock.unix());
        match bus.call::<_, Accepted>(FILE_READY_SUBJECT, &file).await {
            Ok(Accepted {}) => {
                if let Err(error) = catalogue.set_announced(&file.file_id).await {
                    error!(
                        error = &error as &dyn std::error::Error,
                        "the catalogue could not be written; a file may be announced twice"
                    );
                }
            }
            Err(error) => {
                info!(
                    error = &error as &dyn std::error::Error,
                    file = file.name,
                    "the callback outbox does not accept the announcement yet"
                );
                return;
            }
        }
    }
}
