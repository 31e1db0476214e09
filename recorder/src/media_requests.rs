//! Answers requests of the public API about finished files.

use rotunda_bus::{Request, Requests};
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::{MediaCommand, MediaReply};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::files::Files;

/// Answers until shutdown, each request in a task of its own.
pub async fn serve(files: Files, mut requests: Requests, shutdown: CancellationToken) {
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            request = requests.next() => request,
        };
        tokio::spawn(answer(files.clone(), request));
    }
}

async fn answer(files: Files, request: Request) {
    let reply = match request.parse() {
        Ok(MediaCommand::Links { names }) => {
            let now = Clock.unix();
            let urls = names.iter().map(|name| files.url(name, now)).collect();
            MediaReply::Links { urls }
        }
        Ok(MediaCommand::Delete { app, file_id }) => match files.delete(app, &file_id).await {
            Ok(true) => MediaReply::Deleted,
            Ok(false) => MediaReply::NoSuchFile,
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    file_id, "delete a file for the API"
                );
                MediaReply::Failed
            }
        },
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "a request about files could not be read"
            );
            return;
        }
    };
    request.answer(&reply);
}
