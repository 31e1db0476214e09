//! Settings of calls.

use std::time::Duration;

use rotunda_proto::call_signaling::MAX_RING_SECONDS;
use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};

/// Calls between users: section `[signaling.calls]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// Seconds after which an invitation has no answer, 1 to 3600, unless the caller chooses. Default 30.
    pub ring_seconds: u32,
    /// Users of one call, 2 to 300. A larger call makes its document larger, which every signaling node follows. Default 100.
    pub max_parties: usize,
    /// Devices of one user that are registered at one time, 1 to 100. Default 10.
    pub max_devices: usize,
    /// Users whom one user may invite in a minute by one node, 1 to 10000. Default 60.
    pub invitations_per_minute: u32,
    /// Seconds for which a call waits for a device that has lost its WebSocket, or its node, 1 to 300. Default 15.
    pub return_seconds: u32,
    /// Missed calls that a device is told when it registers, the newest ones, 0 to 1000. Default 100.
    pub missed_calls: u32,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            ring_seconds: 30,
            max_parties: 100,
            max_devices: 10,
            invitations_per_minute: 60,
            return_seconds: 15,
            missed_calls: 100,
        }
    }
}

impl Calls {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let checks = [
            (
                "ring_seconds",
                (1..=MAX_RING_SECONDS).contains(&self.ring_seconds),
                "write 1 to 3600",
            ),
            ("max_parties", (2..=300).contains(&self.max_parties), "write 2 to 300"),
            ("max_devices", (1..=100).contains(&self.max_devices), "write 1 to 100"),
            (
                "invitations_per_minute",
                (1..=10_000).contains(&self.invitations_per_minute),
                "write 1 to 10000",
            ),
            (
                "return_seconds",
                (1..=300).contains(&self.return_seconds),
                "write 1 to 300",
            ),
            ("missed_calls", self.missed_calls <= 1000, "write 0 to 1000"),
        ];
        let wrong = checks.into_iter().filter(|(_, is_right, _)| !is_right);
        wrong
            .map(|(key, _, message)| ConfigMistake::new(format!("signaling.calls.{key}"), message))
            .collect()
    }

    pub fn return_time(&self) -> Duration {
        Duration::from_secs(self.return_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_out_of_its_range_is_named() {
        let wrong = Calls {
            ring_seconds: 0,
            max_parties: 1,
            max_devices: 0,
            invitations_per_minute: 0,
            return_seconds: 301,
            missed_calls: 1001,
        };
        let mistakes = wrong.validate();
        let keys: Vec<_> = mistakes
            .iter()
            .filter_map(|mistake| mistake.key.rsplit('.').next())
            .collect();
        assert_eq!(
            keys,
            [
                "ring_seconds",
                "max_parties",
                "max_devices",
                "invitations_per_minute",
                "return_seconds",
                "missed_calls"
            ]
        );
        assert_eq!(Calls::default().validate(), []);
    }
}
