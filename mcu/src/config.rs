//! The MCU's configuration.

use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Mixes at one time, at most; further ones are refused. Default 16.
    pub max_tasks: usize,
    /// Thousandths of a CPU core that mixes may be expected to need together; further mixes are refused. A mix of 1280x720 at 15
    /// frames a second is expected to need 190. Default 0: 1000 for each core of the machine.
    pub capacity_millicores: u64,
    /// Where the engine of each mix runs: `process` (a child process for each mix, so that a decoder that crashes or hangs stops this
    /// mix alone, for a second) or `inside` (a thread of the server). Default `process`.
    pub engine: EngineKind,
    /// Memory that the process of an engine may take, MiB; beyond it the engine is started anew. Default 1024.
    pub engine_memory_mb: u64,
    /// Whether everything is played out `play_out_delay_ms` later than captured (`fixed`), or as early as the network permits: from
    /// 60 ms on, and at most `play_out_delay_ms` (`adaptive`). Default `fixed`.
    pub play_out: PlayOutKind,
    /// How much later than captured everything is played out, milliseconds: late packets have this long. Default 350.
    pub play_out_delay_ms: u32,
}

/// Where the engine of a mix runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Process,
    Inside,
}

/// How long a mix waits for late packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlayOutKind {
    Fixed,
    Adaptive,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_tasks: 16,
            capacity_millicores: 0,
            engine: EngineKind::Process,
            engine_memory_mb: 1024,
            play_out: PlayOutKind::Fixed,
            play_out_delay_ms: 350,
        }
    }
}

/// Of each core, where the configuration says nothing.
const MILLICORES_OF_A_CORE: u64 = 1000;

impl Config {
    /// Thousandths of a CPU core for mixes.
    pub fn millicores(&self) -> u64 {
        if self.capacity_millicores > 0 {
            return self.capacity_millicores;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cores as u64 * MILLICORES_OF_A_CORE
    }

    /// Every mistake, empty when there is none.
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if self.max_tasks == 0 {
            mistakes.push(ConfigMistake::new(
                "mcu.max_tasks",
                "is 0; write at least 1, or leave the mcu out",
            ));
        }
        if !(128..=65_536).contains(&self.engine_memory_mb) {
            mistakes.push(ConfigMistake::new("mcu.engine_memory_mb", "write 128 to 65536"));
        }
        if !(50..=2_000).contains(&self.play_out_delay_ms) {
            mistakes.push(ConfigMistake::new("mcu.play_out_delay_ms", "write 50 to 2000"));
        }
        mistakes
    }
}
