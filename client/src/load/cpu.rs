//! CPU time of processes and threads, from Linux's `/proc`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `USER_HZ`, the unit of times in `/proc` on every supported architecture.
const TICKS_PER_SECOND: u64 = 100;

/// A process or thread whose CPU time can be read repeatedly.
#[derive(Debug, Clone)]
pub struct CpuClock(PathBuf);

impl CpuClock {
    /// All threads of a process.
    pub fn of_process(pid: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{pid}/stat")))
    }

    /// The calling thread.
    pub fn of_this_thread() -> io::Result<Self> {
        let thread = std::fs::read_link("/proc/thread-self")?;
        Ok(Self(Path::new("/proc").join(thread).join("stat")))
    }

    /// Time spent in user mode and in the kernel so far; 10 ms steps.
    pub fn read(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(&self.0)?;
        parse(&stat).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "does not have the format of proc(5)"))
    }
}

/// Source: proc(5), fields 14 (utime) and 15 (stime). Field 2 is a name in parentheses with arbitrary content.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10";
        assert_eq!(parse(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_and_thread_can_be_read() {
        CpuClock::of_process(std::process::id()).read().unwrap();
        CpuClock::of_this_thread().unwrap().read().unwrap();
    }
}
