//! Limits of an engine's process.

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

/// The share of the limit, in hundredths, beyond which a process counts as out of memory. C code goes on without what it was not given.
const FULL: u64 = 95;

/// Limits the memory of this process to so many MiB, and ends it with its parent.
pub fn confine(memory_mb: u64) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let bytes = Some(memory_mb << 20);
    let limit = Rlimit {
        current: bytes,
        maximum: bytes,
    };
    setrlimit(Resource::Data, limit)?;
    // When the machine's memory is short, the kernel takes an engine before anything else. Where it may not be said, it is not.
    let _said_or_not = std::fs::write("/proc/self/oom_score_adj", "500");
    Ok(())
}

/// Whether this process has almost all the memory that its limit permits.
pub fn is_out_of_memory() -> bool {
    let Some(limit) = getrlimit(Resource::Data).current else {
        return false;
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    data_bytes(&status) >= limit / 100 * FULL
}

/// The memory that the limit counts: see proc(5), `status`.
fn data_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_data_is_read_of_the_process_status() {
        assert_eq!(data_bytes("VmPeak:\t 9 kB\nVmData:\t     12 kB\n"), 12 << 10);
        assert_eq!(data_bytes(""), 0);
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(data_bytes(&own) > 0);
    }
}
