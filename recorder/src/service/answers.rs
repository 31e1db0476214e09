//! What the recorder answers: the list of files, and the states of its recordings.

use std::sync::atomic::Ordering;

use rotunda_bus::Request;
use rotunda_proto::recording::{ListReply, ListRequest, RecordingState};
use tracing::error;

use super::Recorder;
use crate::recording::Wish;
use crate::status::{Answer, Now, Query};

impl Recorder {
    pub(super) async fn list(&self, request: Request) {
        let Ok(ListRequest { app }) = request.parse() else {
            return;
        };
        match self.files.list(app).await {
            Ok(files) => request.answer(&ListReply { files }),
            Err(error) => error!(
                error = &error as &dyn std::error::Error,
                "the recordings could not be listed"
            ),
        }
    }

    pub(super) fn answer(&self, request: Request) {
        let Ok(query) = request.parse::<Query>() else { return };
        let wish = |recording: &str, wish| match self.running.get(recording) {
            Some(running) => {
                running.wish.send_replace(wish);
                Answer::Done
            }
            None => Answer::NotRunning,
        };
        request.answer(&match query {
            Query::Pause { recording } => wish(&recording, Wish::Pause),
            Query::Resume { recording } => wish(&recording, Wish::Record),
            Query::States { recordings } => Answer::States(recordings.iter().map(|id| self.now(id)).collect()),
        });
    }

    fn now(&self, id: &str) -> Option<Now> {
        if let Some(running) = self.running.get(id) {
            return Some(Now {
                state: running.state,
                gaps: running.gaps.clone(),
                written_bytes: Some(running.written.load(Ordering::Relaxed)),
                upload: None,
            });
        }
        let upload = self.uploads.progress(id);
        let is_finishing = self.finishing.contains(id) || self.to_finish.contains_key(id);
        let state = match (&upload, is_finishing) {
            (Some(_), _) => RecordingState::Uploading,
            (None, true) => RecordingState::Finishing,
            (None, false) => return None,
        };
        Some(Now {
            state,
            gaps: Vec::new(),
            written_bytes: None,
            upload,
        })
    }
}
