//! The embedded stream of events, for clusters without another server for it, and the effects of events of any stream: journal,
//! callbacks, usage, mix tasks and calls, written in one transaction with the consumer's position.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rotunda_proto::ids::SdkAppId;
use sqlx::QueryBuilder;

use crate::StoreError;
use crate::callbacks::{INSERT_CALLBACK, NewCallback, millis};
use crate::calls::{ADD_CALL, ADD_CALL_PARTY, ADD_MISSED_CALL, EndedCall};
use crate::mix_tasks::{BEGIN_MIX_TASK, END_MIX_TASK, MixTaskChange};
use crate::pool::{Pool, Store, retried};
use crate::row::columns;
use crate::usage::{
    ADD_POINT, ADD_USAGE, MeterChange, MeterStep, PresentMembers, RAISE_PEAK, SET_PRESENT, SUM_PRESENT,
    Totals as UsageTotals, UsageRow, UsageSpan,
};

/// Rows of one statement. SQLite takes 32,766 values.
const ROWS: usize = 512;

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The same event has the same id, however often it is appended.
    pub id: String,
    /// JSON
    pub body: String,
}

/// An event in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamedEvent {
    pub sequence: i64,
    pub body: String,
}

columns!(StreamedEvent { sequence, body });

/// The rows that follow from one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Of the event in its stream.
    pub sequence: i64,
    /// None: an event that this version does not know, and that has no effects.
    pub entry: Option<NewEntry>,
    pub callbacks: Vec<NewCallback>,
    pub usage: Vec<UsageRow>,
    pub spans: Vec<UsageSpan>,
    pub meters: Vec<MeterStep>,
    pub presence: Vec<PresentMembers>,
    pub mix: Option<MixTaskChange>,
    pub call: Option<EndedCall>,
}

/// An event as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The id of the event: an event that is in the journal already has no effects.
    pub event: String,
    pub application: SdkAppId,
    pub room: String,
    pub kind: String,
    pub at: Duration,
    /// JSON
    pub body: String,
}

/// A journal entry, for queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Numbers grow, with gaps.
    pub number: i64,
    pub entry: NewEntry,
}

struct JournalRow {
    number: i64,
    event: String,
    application_id: i64,
    room: String,
    kind: String,
    at_unix_ms: i64,
    body: String,
}

columns!(JournalRow {
    number,
    event,
    application_id,
    room,
    kind,
    at_unix_ms,
    body
});

impl Store {
    /// Appends events to the embedded stream. They are durable when this returns. An event that is already in the stream stays where
    /// it is, so the same events may be appended again after an error.
    pub async fn append_events(&self, events: &[NewEvent], now: Duration) -> Result<(), StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            // One writer at a time, so that numbers become visible in order and the reader skips none. SQLite has one anyway.
            if matches!(self.pool, Pool::Postgres(_)) {
                sqlx::query("LOCK TABLE event_stream IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
            }
            for some in events.chunks(ROWS) {
                let mut insert = QueryBuilder::new("INSERT INTO event_stream (id, body, appended_unix_ms) ");
                insert.push_values(some, |mut row, event| {
                    row.push_bind(&event.id).push_bind(&event.body).push_bind(millis(now));
                });
                insert.push(" ON CONFLICT (id) DO NOTHING");
                insert.build().persistent(false).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        })
    }

    /// The next events of the embedded stream after that number.
    pub async fn read_events(&self, after: i64, most: u32) -> Result<Vec<StreamedEvent>, StoreError> {
        retried!(self, pool => {
            sqlx::query_as::<_, StreamedEvent>(
                "SELECT sequence, body FROM event_stream WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            )
            .bind(after)
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })
    }

    /// Removes the events of the embedded stream up to that number.
    pub async fn prune_events(&self, through: i64) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM event_stream WHERE sequence <= $1")
                .bind(through)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }

    /// How far a consumer has come.
    pub async fn position(&self, consumer: &str) -> Result<i64, StoreError> {
        let position: Option<i64> = retried!(self, pool => {
            sqlx::query_scalar("SELECT sequence FROM positions WHERE consumer = $1")
                .bind(consumer)
                .fetch_optional(pool)
                .await
        })?;
        Ok(position.unwrap_or(0))
    }

    /// Writes the effects of a consumer's next events and its new position in one transaction, and answers the position.
    ///
    /// Events up to the position of before, and events that are in the journal, have no effects. A batch may therefore be repeated, by
    /// any node.
    pub async fn apply_events(&self, consumer: &str, events: &[Effects], now: Duration) -> Result<i64, StoreError> {
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            // This write comes first, so that one of two consumers waits for the other here.
            let before: i64 = sqlx::query_scalar(
                "INSERT INTO positions (consumer, sequence) VALUES ($1, 0) \
                 ON CONFLICT (consumer) DO UPDATE SET sequence = positions.sequence RETURNING sequence",
            )
            .bind(consumer)
            .fetch_one(&mut *transaction)
            .await?;
            let mut position = before;
            let mut totals = Totals::default();
            let next = || events.iter().filter(|event| event.sequence > before);
            let entries: Vec<&NewEntry> = next().filter_map(|event| event.entry.as_ref()).collect();
            let mut written: HashSet<String> = HashSet::with_capacity(entries.len());
            for some in entries.chunks(ROWS) {
                let mut insert =
                    QueryBuilder::new("INSERT INTO journal (event, application_id, room, kind, at_unix_ms, body) ");
                insert.push_values(some, |mut row, entry| {
                    row.push_bind(&entry.event)
                        .push_bind(i64::from(entry.application.get()))
                        .push_bind(&entry.room)
                        .push_bind(&entry.kind)
                        .push_bind(millis(entry.at))
                        .push_bind(&entry.body);
                });
                insert.push(" ON CONFLICT (event) DO NOTHING RETURNING event");
                let ids = insert.build_query_scalar().persistent(false).fetch_all(&mut *transaction).await?;
                written.extend::<Vec<String>>(ids);
            }
            for event in next() {
                position = position.max(event.sequence);
                let Some(entry) = &event.entry else { continue };
                // An event that is in the batch twice has its effects once.
                if !written.remove(&entry.event) {
                    continue;
                }
                for callback in &event.callbacks {
                    // The numbers follow the order of the streams, whichever stream an event came from.
                    let sequence: i64 = sqlx::query_scalar(NEXT_CALLBACK)
                        .bind(millis(now))
                        .fetch_one(&mut *transaction)
                        .await?;
                    sqlx::query(INSERT_CALLBACK)
                        .bind(&callback.id)
                        .bind(&callback.room)
                        .bind(&callback.url)
                        .bind(i64::from(callback.application.get()))
                        .bind(&callback.body)
                        .bind(millis(callback.created))
                        .bind(sequence)
                        .execute(&mut *transaction)
                        .await?;
                }
                match &event.mix {
                    Some(MixTaskChange::Begun(mix)) => {
                        sqlx::query(BEGIN_MIX_TASK)
                            .bind(&mix.id)
                            .bind(mix.application_id)
                            .bind(&mix.room)
                            .bind(&mix.stream_id)
                            .bind(&mix.spec)
                            .bind(&mix.origin)
                            .bind(mix.started_unix_ms)
                            .execute(&mut *transaction)
                            .await?;
                    }
                    Some(MixTaskChange::Ended { id, end }) => {
                        sqlx::query(END_MIX_TASK)
                            .bind(millis(end.at))
                            .bind(&end.reason)
                            .bind(id)
                            .execute(&mut *transaction)
                            .await?;
                    }
                    None => {}
                }
                if let Some(call) = &event.call {
                    sqlx::query(ADD_CALL)
                        .bind(call.application())
                        .bind(&call.call_id)
                        .bind(&call.inviter)
                        .bind(call.ended_unix_ms)
                        .bind(&call.record)
                        .execute(&mut *transaction)
                        .await?;
                    for user in &call.users {
                        sqlx::query(ADD_CALL_PARTY)
                            .bind(call.application())
                            .bind(user)
                            .bind(call.ended_unix_ms)
                            .bind(&call.call_id)
                            .execute(&mut *transaction)
                            .await?;
                    }
                    for user in &call.missed_by {
                        sqlx::query(ADD_MISSED_CALL)
                            .bind(call.application())
                            .bind(user)
                            .bind(&call.call_id)
                            .bind(call.started_unix_ms)
                            .bind(&call.record)
                            .execute(&mut *transaction)
                            .await?;
                    }
                }
                for present in &event.presence {
                    sqlx::query(SET_PRESENT)
                        .bind(i64::from(present.application.get()))
                        .bind(present.minute)
                        .bind(&present.class)
                        .bind(&present.place)
                        .bind(present.members)
                        .execute(&mut *transaction)
                        .await?;
                }
                for step in &event.meters {
                    let subject = &step.subject;
                    let running: Option<(String, i64)> =
                        sqlx::query_as("SELECT class, since_unix_ms FROM usage_meters WHERE subject = $1")
                            .bind(subject)
                            .fetch_optional(&mut *transaction)
                            .await?;
                    let (since, counts_on) = match (&step.what, &running) {
                        (MeterChange::Begin { .. }, Some(_)) | (MeterChange::Count { .. } | MeterChange::End, None) => {
                            continue;
                        }
                        (MeterChange::Begin { class }, None) => (None, Some(class)),
                        (MeterChange::Count { class }, Some(running)) => (Some(running), Some(class)),
                        (MeterChange::End, Some(running)) => (Some(running), None),
                    };
                    let mut at = step.at_unix_ms;
                    if let Some((class, since)) = since {
                        // Facts of several nodes may come a moment out of order.
                        at = at.max(since.unsigned_abs());
                        totals.usage.add_span(&UsageSpan {
                            application: step.application,
                            class: class.clone(),
                            from_unix_ms: since.unsigned_abs(),
                            to_unix_ms: at,
                        });
                        sqlx::query("DELETE FROM usage_meters WHERE subject = $1")
                            .bind(subject)
                            .execute(&mut *transaction)
                            .await?;
                    }
                    if let Some(class) = counts_on {
                        sqlx::query(
                            "INSERT INTO usage_meters (subject, application_id, class, since_unix_ms) \
                             VALUES ($1, $2, $3, $4)",
                        )
                        .bind(subject)
                        .bind(i64::from(step.application.get()))
                        .bind(class)
                        .bind(at as i64)
                        .execute(&mut *transaction)
                        .await?;
                    }
                }
                totals.add(event);
            }
            for ((application, point, class), amount) in &totals.usage.points {
                sqlx::query(ADD_POINT)
                    .bind(application)
                    .bind(point)
                    .bind(class)
                    .bind(amount)
                    .execute(&mut *transaction)
                    .await?;
            }
            for ((application, day, class), amount) in &totals.usage.days {
                sqlx::query(ADD_USAGE)
                    .bind(application)
                    .bind(day)
                    .bind(class)
                    .bind(amount)
                    .execute(&mut *transaction)
                    .await?;
            }
            for ((application, minute, class), day) in &totals.minutes {
                let members: i64 = sqlx::query_scalar(SUM_PRESENT)
                    .bind(application)
                    .bind(minute)
                    .bind(class)
                    .fetch_one(&mut *transaction)
                    .await?;
                sqlx::query(RAISE_PEAK)
                    .bind(application)
                    .bind(day)
                    .bind(class)
                    .bind(members)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query("UPDATE positions SET sequence = $1 WHERE consumer = $2")
                .bind(position)
                .bind(consumer)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(position)
        })
    }

    /// Entries of a room after that number, oldest first.
    pub async fn journal(
        &self,
        application: SdkAppId,
        room: &str,
        after: i64,
        most: u32,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, JournalRow>(
                "SELECT number, event, application_id, room, kind, at_unix_ms, body FROM journal \
                 WHERE application_id = $1 AND room = $2 AND number > $3 ORDER BY number LIMIT $4",
            )
            .bind(i64::from(application.get()))
            .bind(room)
            .bind(after)
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(JournalRow::entry).collect()
    }

    /// Removes entries that are older than that time.
    pub async fn prune_journal(&self, before: Duration) -> Result<u64, StoreError> {
        retried!(self, pool => {
            sqlx::query("DELETE FROM journal WHERE at_unix_ms < $1")
                .bind(millis(before))
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })
    }
}

impl JournalRow {
    fn entry(self) -> Result<JournalEntry, StoreError> {
        let application = application("journal", self.application_id)?;
        let entry = NewEntry {
            event: self.event,
            application,
            room: self.room,
            kind: self.kind,
            at: Duration::from_millis(self.at_unix_ms.unsigned_abs()),
            body: self.body,
        };
        Ok(JournalEntry {
            number: self.number,
            entry,
        })
    }
}

/// The sums of a batch, so that a transaction changes each row once.
#[derive(Default)]
struct Totals {
    usage: UsageTotals,
    /// The days of the minutes whose present members have changed, by application, minute and class.
    minutes: BTreeMap<(i64, i64, String), String>,
}

impl Totals {
    fn add(&mut self, event: &Effects) {
        for row in &event.usage {
            self.usage.add_row(row);
        }
        for span in &event.spans {
            self.usage.add_span(span);
        }
        for present in &event.presence {
            let key = (present.application.get().into(), present.minute, present.class.clone());
            self.minutes.insert(key, present.day.clone());
        }
    }
}

/// Answers a number for a callback. It is not below the time in milliseconds, as those of earlier versions are times.
const NEXT_CALLBACK: &str = "INSERT INTO positions (consumer, sequence) VALUES ('callbacks', $1) \
    ON CONFLICT (consumer) DO UPDATE SET sequence = \
    CASE WHEN positions.sequence >= excluded.sequence THEN positions.sequence + 1 ELSE excluded.sequence END \
    RETURNING sequence";

/// The application id of a row.
pub(crate) fn application(table: &'static str, id: i64) -> Result<SdkAppId, StoreError> {
    let id = u32::try_from(id).map_err(|error| StoreError::row(table, error))?;
    SdkAppId::try_from(id).map_err(|error| StoreError::row(table, error))
}
