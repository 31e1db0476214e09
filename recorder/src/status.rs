//! Recordings that are not finished: their state, and the orders to pause and resume them. They are answered by the process that
//! has the recording.

use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::recording::{Gap, RecordingState};
use rotunda_proto::running_recording::Uploaded;
use serde::{Deserialize, Serialize};

use crate::ledger::State;

/// Subject of [`Query`] to the process with this ledger's owner id.
pub fn subject(owner: &str) -> String {
    format!("recorder.of.{owner}")
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// Nothing is recorded until it is resumed.
    Pause {
        recording: String,
    },
    Resume {
        recording: String,
    },
    /// The states of these recordings.
    States {
        recordings: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    /// The recording has ended.
    NotRunning,
    /// In the order of the query. None: the process does not work on it now.
    States(Vec<Option<Now>>),
}

/// What the process that has a recording knows of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Now {
    pub state: RecordingState,
    pub gaps: Vec<Gap>,
    /// Bytes of its segments; None: it has ended.
    pub written_bytes: Option<u64>,
    pub upload: Option<Uploaded>,
}

/// The state that follows from the states of a recording's files.
pub fn state_of_files(mut states: impl Iterator<Item = State>) -> RecordingState {
    let mut is_uploading = false;
    let is_made = states.all(|state| {
        is_uploading |= state == State::Uploading;
        state.is_done()
    });
    match is_made && is_uploading {
        true => RecordingState::Uploading,
        false => RecordingState::Finishing,
    }
}

/// Asks the process with this owner id.
pub async fn ask(bus: &SharedBus, owner: &str, query: &Query) -> Result<Answer, BusError> {
    bus.call(&subject(owner), query).await
}
