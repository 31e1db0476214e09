//! How much space is left.

use std::path::Path;

/// Bytes that may still be written where `folder` is; None where the system does not say.
pub fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
