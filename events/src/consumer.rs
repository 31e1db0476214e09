//! Writes the effects of facts, in order, once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_proto::clock::Clock;
use rotunda_store::{Effects, Store, StreamedEvent};

use crate::stream::{EventStream, Incarnation, StreamError};

/// Facts that are consumed with one transaction.
const BATCH: usize = 512;

/// A consumer. Every node may have one: a batch is written in one transaction with the position, and facts up to the position of
/// before, or in the journal already, have no effects.
pub struct Consumer {
    store: Store,
    name: &'static str,
    /// The time for which consumed facts stay in the stream.
    keep: Duration,
    streams: Vec<Consumed>,
}

struct Consumed {
    stream: Arc<dyn EventStream>,
    /// Positions of the last hour, oldest first. Facts up to the first one are released when it is old enough.
    marks: VecDeque<Mark>,
    released: i64,
}

struct Mark {
    at: Instant,
    of: Incarnation,
    position: i64,
}

/// The outcome of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// There may be more.
    pub is_full: bool,
    /// Callbacks wait to be delivered.
    pub has_callbacks: bool,
}

impl Consumer {
    /// `streams`: more than one after the bus was changed, so that the facts in the former stream are consumed as well.
    pub fn new(
        store: Store,
        name: &'static str,
        streams: impl IntoIterator<Item = Arc<dyn EventStream>>,
        keep: Duration,
    ) -> Self {
        let streams = streams.into_iter().map(|stream| Consumed {
            stream,
            marks: VecDeque::new(),
            released: 0,
        });
        Self {
            store,
            name,
            keep,
            streams: streams.collect(),
        }
    }

    /// Consumes the next facts of every stream. `effects` says what follows from one.
    pub async fn round(&mut self, effects: impl Fn(&StreamedEvent) -> Effects) -> Result<Round, StreamError> {
        let mut round = Round::default();
        for consumed in &mut self.streams {
            let of = consumed.stream.incarnation().await?;
            let consumer = format!("{}@{}", self.name, of.0);
            let position = self.store.position(&consumer).await?;
            let events = consumed.stream.read(&of, position, BATCH).await?;
            let mut through = position;
            if !events.is_empty() {
                let all: Vec<Effects> = events.iter().map(&effects).collect();
                through = self.store.apply_events(&consumer, &all, Clock.unix()).await?;
                counter!("rotunda_events_consumed_total").increment(events.len() as u64);
                round.has_callbacks |= all.iter().any(|effects| !effects.callbacks.is_empty());
                round.is_full |= events.len() == BATCH;
                let told = all
                    .iter()
                    .rev()
                    .find_map(|effects| effects.entry.as_ref())
                    .map(|entry| entry.at);
                if let Some(told) = told {
                    gauge!("rotunda_events_delay_seconds").set(Clock.unix().saturating_sub(told).as_secs_f64());
                }
            }
            consumed.release(Clock.now(), self.keep, of, through).await?;
        }
        Ok(round)
    }
}

impl Consumed {
    /// Releases what was consumed long enough ago, now that everything up to `position` is.
    async fn release(
        &mut self,
        now: Instant,
        keep: Duration,
        of: Incarnation,
        position: i64,
    ) -> Result<(), StreamError> {
        if self.marks.back().is_some_and(|mark| mark.of != of) {
            self.marks.clear();
            self.released = 0;
        }
        // A mark a sixtieth of the time is exact enough.
        let is_due = |mark: &Mark| now.saturating_duration_since(mark.at) >= keep / 60;
        if self.marks.back().is_none_or(is_due) {
            let of = of.clone();
            self.marks.push_back(Mark { at: now, of, position });
        }
        let mut through = self.released;
        while let Some(mark) = self
            .marks
            .pop_front_if(|mark| now.saturating_duration_since(mark.at) >= keep)
        {
            through = mark.position;
        }
        if through > self.released {
            self.stream.release(&of, through).await?;
            self.released = through;
        }
        Ok(())
    }
}
