//! The free space of a disk.

use std::io;
use std::path::Path;

/// Free bytes on the disk of `folder`; None if the system does not report it.
pub fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Whether the disk of `folder` has at least this many free bytes. An unknown disk has them.
pub fn has(folder: &Path, bytes: u64) -> bool {
    free(folder).is_none_or(|free| free >= bytes)
}

/// Whether a write failed because there was no space for it.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
