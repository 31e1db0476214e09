//! Answers requests of the public API about finished files and running recordings.

use rotunda_bus::{Request, Requests};
use rotunda_proto::clock::Clock;
use rotunda_proto::recording::{MediaCommand, MediaReply};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::files::Files;
use crate::running::{Page, RunningRecordings};

/// Gaps of each running recording, the newest: a page must fit into one message.
const MOST_GAPS: usize = 10;

/// Answers until shutdown, each request in a task of its own.
pub async fn serve(files: Files, running: RunningRecordings, mut requests: Requests, shutdown: CancellationToken) {
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            request = requests.next() => request,
        };
        tokio::spawn(answer(files.clone(), running.clone(), request));
    }
}

async fn answer(files: Files, running: RunningRecordings, request: Request) {
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
        Ok(MediaCommand::Running { app, offset, limit }) => {
            let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            let page = Page {
                offset: whole(offset),
                limit: whole(limit),
            };
            match running.list(app, page).await {
                Ok((mut recordings, total)) => {
                    for recording in &mut recordings {
                        let old = recording.gaps.len().saturating_sub(MOST_GAPS);
                        recording.gaps.drain(..old);
                    }
                    MediaReply::Running { recordings, total }
                }
                Err(error) => {
                    error!(
                        error = &error as &dyn std::error::Error,
                        "list the running recordings for the API"
                    );
                    MediaReply::Failed
                }
            }
        }
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
