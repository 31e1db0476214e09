//! The recordings whose files are uploaded now, and how far they are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rotunda_proto::running_recording::Uploaded;

/// Recordings whose files are uploaded at one time.
const AT_ONCE: usize = 2;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Uploads {
    running: HashMap<String, UploadProgress>,
    /// When to try others again.
    again: HashMap<String, Instant>,
    /// Recordings whose upload was not completed, although all of their files may be in the storage: they have a folder on the disk.
    left: BTreeSet<String>,
}

/// How far the upload of a recording's files is. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct UploadProgress(Arc<Mutex<Uploaded>>);

impl UploadProgress {
    pub fn begin(&self, total_bytes: u64) {
        *self.lock() = Uploaded {
            done_bytes: 0,
            total_bytes,
        };
    }

    /// More bytes are in the storage.
    pub fn add(&self, bytes: u64) {
        let mut uploaded = self.lock();
        uploaded.done_bytes = (uploaded.done_bytes + bytes).min(uploaded.total_bytes);
    }

    pub fn now(&self) -> Uploaded {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Uploaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Uploads {
    /// Whether files of the recording are uploaded now.
    pub fn is_running(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    /// The recordings to upload now, of those that wait; they count as begun. Files of a recording in `finishing` are still being made: the
    /// two must not work in one folder.
    pub fn begin(
        &mut self,
        waiting: Vec<String>,
        finishing: &HashSet<String>,
        now: Instant,
    ) -> Vec<(String, UploadProgress)> {
        self.again.retain(|_, at| *at > now);
        let mut begun = Vec::new();
        for id in waiting.into_iter().chain(self.left.clone()) {
            if self.running.len() >= AT_ONCE {
                break;
            }
            if finishing.contains(&id) || self.again.contains_key(&id) || self.is_running(&id) {
                continue;
            }
            let progress = UploadProgress::default();
            self.running.insert(id.clone(), progress.clone());
            begun.push((id, progress));
        }
        begun
    }

    /// `again`: when to try it again, if it has failed.
    pub fn end(&mut self, id: &str, again: Option<Instant>) {
        self.running.remove(id);
        match again {
            Some(at) => {
                self.again.insert(id.to_owned(), at);
                self.left.insert(id.to_owned());
            }
            None => {
                self.left.remove(id);
            }
        }
    }

    /// Recordings whose upload a process before this one did not complete.
    pub fn resume(&mut self, ids: Vec<String>) {
        self.left.extend(ids);
    }

    /// None: it is not being uploaded.
    pub fn progress(&self, id: &str) -> Option<Uploaded> {
        self.running.get(id).map(UploadProgress::now)
    }

    /// Bytes of all running uploads that are not in the storage yet.
    pub fn bytes_left(&self) -> u64 {
        let left = |progress: &UploadProgress| {
            let Uploaded {
                done_bytes,
                total_bytes,
            } = progress.now();
            total_bytes - done_bytes
        };
        self.running.values().map(left).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rotunda_proto::clock::Clock;

    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_few_recordings_are_uploaded_at_a_time_and_failed_ones_wait() {
        let now = Clock.now();
        let mut uploads = Uploads::default();
        let finishing: HashSet<String> = [String::from("b")].into();
        let begin = |uploads: &mut Uploads, now| -> Vec<String> {
            let begun = uploads.begin(ids(&["a", "b", "c", "d"]), &finishing, now);
            begun.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(begin(&mut uploads, now), ["a", "c"]);
        assert_eq!(begin(&mut uploads, now), Vec::<String>::new());
        let later = now + Duration::from_secs(60);
        uploads.end("a", Some(later));
        assert_eq!(begin(&mut uploads, now), ["d"]);
        uploads.end("c", None);
        assert_eq!(begin(&mut uploads, later), ["a"]);
    }

    /// All of its files are in the storage, so that it does not wait: its folder is still on the disk.
    #[test]
    fn an_upload_that_has_failed_is_tried_again_until_it_is_complete() {
        let now = Clock.now();
        let mut uploads = Uploads::default();
        let begin = |uploads: &mut Uploads, now| uploads.begin(Vec::new(), &HashSet::new(), now).len();
        uploads.begin(ids(&["a"]), &HashSet::new(), now);
        let later = now + Duration::from_secs(60);
        uploads.end("a", Some(later));
        assert_eq!((begin(&mut uploads, now), begin(&mut uploads, later)), (0, 1));
        uploads.end("a", None);
        assert_eq!(begin(&mut uploads, later), 0);
        uploads.resume(ids(&["b"]));
        assert_eq!((begin(&mut uploads, later), begin(&mut uploads, later)), (1, 0));
    }

    #[test]
    fn the_progress_is_seen_while_it_runs() {
        let mut uploads = Uploads::default();
        let begun = uploads.begin(ids(&["a"]), &HashSet::new(), Clock.now());
        begun[0].1.begin(100);
        begun[0].1.add(60);
        let expected = Uploaded {
            done_bytes: 60,
            total_bytes: 100,
        };
        assert_eq!((uploads.progress("a"), uploads.bytes_left()), (Some(expected), 40));
        // A part that is sent again is not counted beyond the whole.
        begun[0].1.add(60);
        assert_eq!(uploads.bytes_left(), 0);
        uploads.end("a", None);
        assert_eq!(uploads.progress("a"), None);
    }
}
