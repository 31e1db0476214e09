//! The MCU's configuration.

use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Mix tasks at one time, at most; further ones are refused. Default 16.
    pub max_tasks: usize,
    /// How much later than captured everything is played out, milliseconds: late packets have this long. Default 350.
    pub play_out_delay_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_tasks: 16,
            play_out_delay_ms: 350,
        }
    }
}

impl Config {
    /// Every mistake, empty when there is none.
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if self.max_tasks == 0 {
            mistakes.push(ConfigMistake::new(
                "mcu.max_tasks",
                "is 0; write at least 1, or leave the mcu out",
            ));
        }
        if !(50..=2_000).contains(&self.play_out_delay_ms) {
            mistakes.push(ConfigMistake::new("mcu.play_out_delay_ms", "write 50 to 2000"));
        }
        mistakes
    }
}
