//! Memory of processes, from Linux's `/proc`.

use std::io;

/// Resident memory of a process in bytes (`VmRSS` of proc(5)).
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&status).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "does not have the format of proc(5)"))
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(
            parse("Name:\tx\nVmRSS:\t    1024 kB\nRssAnon:\t 1 kB\n"),
            Some(1024 * 1024)
        );
        assert_eq!(parse("Name:\tx\n"), None, "a zombie has none");
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
