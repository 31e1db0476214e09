//! The server's process, when it runs on this machine and the plan names it.

use std::time::Duration;

use super::error::LoadError;
use crate::load::cpu::CpuClock;
use crate::load::memory::resident_bytes;

pub struct Server(Option<(u32, CpuClock)>);

impl Server {
    pub fn new(pid: Option<u32>) -> Self {
        Self(pid.map(|pid| (pid, CpuClock::of_process(pid))))
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<Option<Duration>, LoadError> {
        self.read(|_, clock| clock.read())
    }

    /// Resident memory.
    pub fn bytes(&self) -> Result<Option<u64>, LoadError> {
        self.read(|pid, _| resident_bytes(pid))
    }

    fn read<T>(&self, read: impl Fn(u32, &CpuClock) -> std::io::Result<T>) -> Result<Option<T>, LoadError> {
        let Some((pid, clock)) = &self.0 else {
            return Ok(None);
        };
        let read = read(*pid, clock).map_err(|source| LoadError::ServerPid { pid: *pid, source })?;
        Ok(Some(read))
    }
}
