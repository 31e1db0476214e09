//! What is done again and again: files are made, uploaded and deleted, leases are renewed, and lost recordings are searched.

use metrics::gauge;
use rotunda_proto::clock::Clock;
use tracing::{error, info};

use super::{Done, Recorder};
use crate::disk;
use crate::expiry::expire;
use crate::finishing::finish;
use crate::ledger::{Row, State};
use crate::orphans::{self, Found, Orphan};
use crate::rows::rows;
use crate::space::make_room;
use crate::uploading::upload;

/// Recordings whose files are made at one time.
const FINISH_AT_ONCE: usize = 2;

impl Recorder {
    pub(super) fn finish_next(&mut self) {
        let next = |recorder: &Self| {
            let free = |id: &&String| !recorder.finishing.contains(*id) && !recorder.uploads.is_running(id);
            recorder.to_finish.keys().find(free).cloned()
        };
        gauge!("rotunda_recorder_finishing").set((self.finishing.len() + self.to_finish.len()) as f64);
        while self.finishing.len() < FINISH_AT_ONCE
            && let Some(id) = next(self)
        {
            let is_over = self.to_finish.remove(&id).unwrap_or_default();
            self.finishing.insert(id.clone());
            let (config, ledger) = (self.config.clone(), self.ledger.clone());
            self.tasks.spawn(async move {
                let finished = finish(config, ledger, id.clone(), is_over).await;
                Done::Finished(id, finished)
            });
        }
    }

    pub(super) fn search(&mut self) {
        if let Some(known) = self.known.take() {
            let (config, ledger, age) = (self.config.clone(), self.ledger.clone(), self.pace.orphan_age);
            self.tasks
                .spawn(async move { Done::Searched(orphans::find(config, ledger, known, age).await) });
        }
    }

    pub(super) fn expire(&mut self) {
        if !std::mem::replace(&mut self.is_expiring, true) {
            let (config, ledger) = (self.config.clone(), self.ledger.clone());
            let (storage, applications) = (self.storage.clone(), self.applications.clone());
            let store = self.store.clone();
            self.tasks.spawn(async move {
                let applications = applications.now();
                expire(&config, &ledger, storage.as_ref(), &applications).await;
                make_room(&config, &store, &ledger, storage.as_ref(), &applications).await;
                Done::Expired
            });
        }
    }

    /// Otherwise their files would stay "recording" for as long as this process renews its lease.
    async fn close_unclosed(&mut self) {
        while let Some(id) = self.unclosed.first().cloned() {
            if self.ledger.close(&id, None).await.is_err() {
                return;
            }
            self.unclosed.remove(0);
            self.again.remove(&id);
            self.to_finish.insert(id, true);
        }
    }

    /// Renews leases, takes over recordings of processes that are gone, and tries unfinished ones again.
    pub(super) async fn look(&mut self) {
        if let Some(free) = disk::free(&self.config.directory) {
            gauge!("rotunda_recorder_disk_free_bytes").set(free as f64);
        }
        self.close_unclosed().await;
        let now = Clock.unix();
        let renewed = self.ledger.renew(now + self.pace.lease).await;
        let open = match renewed {
            Ok(()) => self.ledger.take_over(now, now + self.pace.lease).await,
            Err(error) => Err(error),
        };
        match open {
            Ok(open) => {
                let now = Clock.now();
                self.again.retain(|_, at| *at > now);
                for id in open {
                    let waits = self.again.contains_key(&id) || self.finishing.contains(&id);
                    if !waits && !self.running.contains_key(&id) {
                        self.to_finish.insert(id, true);
                    }
                }
            }
            Err(error) => error!(error = &error as &dyn std::error::Error, "the ledger could not be read"),
        }
        self.finish_next();
        self.upload_next().await;
    }

    async fn upload_next(&mut self) {
        let Some(storage) = &self.storage else { return };
        let waiting = match self.ledger.to_upload().await {
            Ok(waiting) => waiting,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "the ledger could not be read");
                return;
            }
        };
        gauge!("rotunda_recorder_uploads_waiting").set(waiting.len() as f64);
        for (id, progress) in self.uploads.begin(waiting, &self.finishing, Clock.now()) {
            let (config, ledger, storage) = (self.config.clone(), self.ledger.clone(), storage.clone());
            let facts = self.facts.clone();
            self.tasks.spawn(async move {
                let uploaded = upload((config, ledger, facts), storage, id.clone(), progress).await;
                Done::Uploaded(id, uploaded)
            });
        }
        gauge!("rotunda_recorder_upload_bytes_left").set(self.uploads.bytes_left() as f64);
    }

    /// Enters recordings that have a folder and no row, and completes uploads.
    pub(super) async fn handle_orphans(&mut self, found: Found) {
        self.known = Some(found.known);
        self.uploads.resume(found.moved);
        for Orphan { manifest, parts } in found.orphans {
            let id = manifest.recording_id.clone();
            if self.running.contains_key(&id) {
                continue;
            }
            let rows: Vec<Row> = parts
                .into_iter()
                .flat_map(|(part, wall)| rows(&manifest, part, wall, State::Closed))
                .collect();
            info!(
                recording = id,
                files = rows.len(),
                "a recording without a row was found"
            );
            match self.ledger.add(&rows, Clock.unix() + self.pace.lease).await {
                Ok(()) => {
                    self.to_finish.insert(id, true);
                }
                Err(error) => error!(
                    error = &error as &dyn std::error::Error,
                    recording = id,
                    "the ledger could not be written"
                ),
            }
        }
    }
}
