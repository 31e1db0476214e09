//! Decides the next step of a node for one mix task, from the task's document and from what the node runs. Pure.

use std::collections::BTreeSet;

use rotunda_proto::ids::MixId;
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::mix::{MixSpec, StopReason};
use rotunda_proto::mix_task::{Desired, MixTask};

/// The state of a task on a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Actual<'a> {
    Nothing,
    Running {
        id: MixId,
        spec: &'a MixSpec,
    },
    /// The mix has ended by itself.
    Ended {
        id: MixId,
    },
}

/// The next step of a node for a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Everything is as it is wanted, or another node does the task.
    Rest,
    /// Nobody does the task: writes this node in as its owner.
    Claim,
    /// Starts the mix that is wanted.
    Start,
    /// Gives the running mix the layout and the encoding that are wanted.
    Change,
    /// Writes down that the newest revision is carried out.
    Report,
    /// Ends the running mix, and tells why.
    End(StopReason),
    /// Ends the running mix without telling: another node carries it on.
    Yield,
    /// Deletes the document.
    Delete,
}

/// The next step of node `me`. `living`: the live nodes; None: unknown, so that nobody counts as dead.
pub fn next_step(
    me: &Incarnation,
    living: Option<&BTreeSet<Incarnation>>,
    task: Option<&MixTask>,
    actual: Actual<'_>,
) -> Step {
    let Some(task) = task else {
        return match actual {
            Actual::Running { .. } => Step::End(StopReason::Asked),
            Actual::Nothing | Actual::Ended { .. } => Step::Rest,
        };
    };
    if task.owner.as_ref() != Some(me) {
        let was_mine = task.owner.as_ref().is_some_and(|owner| owner.node() == me.node());
        return match actual {
            // This node was declared dead, and nobody has claimed the task since.
            Actual::Running { id, .. } if was_mine && id == task.id => Step::Claim,
            Actual::Running { .. } => Step::Yield,
            Actual::Nothing | Actual::Ended { .. } if is_claimable(me, living, task) => Step::Claim,
            Actual::Nothing | Actual::Ended { .. } => Step::Rest,
        };
    }
    match (&task.desired, actual) {
        (_, Actual::Ended { id }) if id == task.id => Step::Delete,
        (Desired::Stop, Actual::Nothing | Actual::Ended { .. }) => Step::Delete,
        (Desired::Run { .. }, Actual::Nothing | Actual::Ended { .. }) => Step::Start,
        (Desired::Stop, Actual::Running { .. }) => Step::End(StopReason::Asked),
        (Desired::Run { spec }, Actual::Running { id, spec: running }) if id != task.id => {
            Step::End(reason_to_end(running, spec))
        }
        (Desired::Run { spec }, Actual::Running { spec: running, .. }) if **spec != *running => Step::Change,
        (Desired::Run { .. }, Actual::Running { .. }) if task.reached < task.revision => Step::Report,
        (Desired::Run { .. }, Actual::Running { .. }) => Step::Rest,
    }
}

/// Whether nobody does the task, although something is to be done.
pub fn is_claimable(me: &Incarnation, living: Option<&BTreeSet<Incarnation>>, task: &MixTask) -> bool {
    match &task.owner {
        // A refused start waits for its caller.
        None => task.spec().is_some(),
        // An earlier incarnation of this node.
        Some(owner) if owner.node() == me.node() => owner != me,
        Some(owner) => living.is_some_and(|living| !living.contains(owner)),
    }
}

/// Why the mix `before` ends when `after` takes its place.
fn reason_to_end(before: &MixSpec, after: &MixSpec) -> StopReason {
    if before.stream_id == after.stream_id && before.record == after.record {
        return StopReason::Asked;
    }
    StopReason::Replaced {
        record: before.record.as_ref().map(|record| record.record_id.clone()),
        by: after.stream_id.clone(),
    }
}

#[cfg(test)]
mod tests;
