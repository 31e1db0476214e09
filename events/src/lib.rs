//! The durable stream of facts: what happened in rooms, mixes, recordings and live streams.
//!
//! Services tell [`Facts`]; a task appends them to the cluster's [`EventStream`], which is a [`Table`] of the store or a
//! [`JetStream`]. The [`Consumer`] of every signaling node writes their effects (journal, callbacks, usage) in one transaction with
//! its position. Each fact has its effects once, whichever nodes run and whenever they are killed.

mod attendance;
mod consumer;
mod fact;
mod facts;
mod jetstream;
mod push;
mod recording_task;
mod stream;
mod table;

pub use attendance::Minute;
pub use consumer::{Consumer, Round};
pub use fact::{Fact, KnockOutcome, LeftBecause, MixOutput, SingleRun, What};
pub use facts::{Facts, Running};
pub use jetstream::JetStream;
pub use push::{PushChange, PushError, PushErrorKind, PushState, shown as shown_push_address};
pub use recording_task::{FirstSegment, RecordingStep};
pub use stream::{EventStream, Incarnation, StreamError};
pub use table::Table;
