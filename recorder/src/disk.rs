//! The free space of a disk.

use std::path::Path;

/// Free bytes on the disk of `folder`; None if the system does not report it.
pub fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
