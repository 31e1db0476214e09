//! The connection to the database, and what is tried again.

use std::str::FromStr;
use std::time::Duration;

use metrics::{counter, gauge};
use rotunda_proto::clock::Clock;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use tracing::debug;

use crate::{OpenError, StoreError, migrations};

/// Connections of one process.
const CONNECTIONS: u32 = 8;
/// A connection is waited for at most this long.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(3);
/// A database that takes longer for a call is away. It may be reachable and still not answer.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A writer of SQLite waits this long for another one.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// Attempts of a call whose failure passes, and the pauses before the second and third.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(300)];

/// The database of a cluster. Clone it freely.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: Pool,
}

#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Runs the same code on either pool.
macro_rules! on_pool {
    ($store:expr, $pool:ident => $body:expr) => {
        match &$store.pool {
            $crate::pool::Pool::Sqlite($pool) => $body,
            $crate::pool::Pool::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on_pool;

/// Runs the same code on either pool, once more where the failure passes. The code may be repeated: whatever it writes, it
/// writes in one statement or transaction, and a second time it changes nothing.
macro_rules! retried {
    ($store:expr, $pool:ident => $body:expr) => {{
        let mut attempt = 0;
        loop {
            let doing = async {
                let done: Result<_, sqlx::Error> = $crate::pool::on_pool!($store, $pool => async { $body }.await);
                done
            };
            let Ok(done) = tokio::time::timeout($crate::pool::ANSWER_WITHIN, doing).await else {
                break Err($crate::pool::unanswered());
            };
            match $crate::pool::outcome(done, attempt).await {
                $crate::pool::Outcome::Done(result) => break result,
                $crate::pool::Outcome::Again => attempt += 1,
            }
        }
    }};
}
pub(crate) use retried;

impl Store {
    /// Opens the database and brings its tables up to date. `url`: `sqlite://path` or `postgres://user:password@host/database`.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let store = match url.split(':').next() {
            Some("sqlite") => Self::open_sqlite(url).await?,
            Some("postgres" | "postgresql") => Self::open_postgres(url).await?,
            _ => return Err(OpenError::Url(url.split("://").next().unwrap_or_default().to_owned())),
        };
        store.migrate().await.map_err(OpenError::Migrate)?;
        Ok(store)
    }

    /// An empty database in memory, for tests.
    pub async fn in_memory() -> Result<Self, OpenError> {
        let store = Self::in_memory_unopened();
        store.make_tables().await?;
        Ok(store)
    }

    /// Makes the tables of a database without, for tests.
    pub async fn make_tables(&self) -> Result<(), OpenError> {
        self.migrate().await.map_err(OpenError::Migrate)
    }

    /// A database in memory without tables, for tests that do not use it.
    pub fn in_memory_unopened() -> Self {
        // One connection that is never closed: the database is in it.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(SqliteConnectOptions::new().in_memory(true));
        Self {
            pool: Pool::Sqlite(pool),
        }
    }

    async fn open_sqlite(url: &str) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(OpenError::Connect)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(BUSY_FOR);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_WITHIN)
            .after_release(|connection, _| Box::pin(is_at_rest(connection)))
            .connect_with(options)
            .await
            .map_err(OpenError::Connect)?;
        Ok(Self {
            pool: Pool::Sqlite(pool),
        })
    }

    async fn open_postgres(url: &str) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url).map_err(OpenError::Connect)?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_WITHIN)
            .connect_with(options.application_name("rotunda"))
            .await
            .map_err(OpenError::Connect)?;
        Ok(Self {
            pool: Pool::Postgres(pool),
        })
    }

    async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        match &self.pool {
            Pool::Sqlite(pool) => migrations::sqlite().run(pool).await,
            Pool::Postgres(pool) => migrations::postgres().run(pool).await,
        }
    }

    pub fn engine(&self) -> Engine {
        match self.pool {
            Pool::Sqlite(_) => Engine::Sqlite,
            Pool::Postgres(_) => Engine::Postgres,
        }
    }

    /// Does the database answer?
    pub async fn ping(&self) -> Result<(), StoreError> {
        retried!(self, pool => sqlx::query("SELECT 1").execute(pool).await.map(|_| ()))
    }

    /// Ends the connections when their last query is done.
    pub async fn close(&self) {
        on_pool!(self, pool => pool.close().await);
    }
}

/// Whether a connection that comes back to the pool has no transaction.
///
/// SQLite rolls a transaction back itself when the disk is full (<https://www.sqlite.org/lang_transaction.html>, "Response To Errors Within A
/// Transaction"). `sqlx`'s own rollback fails then, and it goes on to count a transaction that is not there: the next one is a savepoint
/// for it, whose rollback ends nothing. The lock stays with the connection, no other one writes, and what it commits itself is lost when it is
/// closed. So it is closed at once.
async fn is_at_rest(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // A rollback of a transaction that was dropped is before it in the queue.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

pub(crate) enum Outcome<T> {
    Done(Result<T, StoreError>),
    Again,
}

/// It is not asked again: the caller has waited long enough.
pub(crate) fn unanswered() -> StoreError {
    gauge!("rotunda_store_away").set(1.0);
    StoreError::Away(sqlx::Error::PoolTimedOut)
}

/// The result of an attempt; waits before one that is to be repeated.
pub(crate) async fn outcome<T>(done: Result<T, sqlx::Error>, attempt: usize) -> Outcome<T> {
    let error = match done {
        Ok(value) => {
            gauge!("rotunda_store_away").set(0.0);
            return Outcome::Done(Ok(value));
        }
        Err(error) => error,
    };
    if !passes(&error) {
        return Outcome::Done(Err(StoreError::Sql(error)));
    }
    counter!("rotunda_store_retries_total").increment(1);
    // No connection in time was waiting enough.
    let has_waited = matches!(error, sqlx::Error::PoolTimedOut);
    match PAUSES.get(attempt).filter(|_| !has_waited) {
        Some(pause) => {
            debug!(error = &error as &dyn std::error::Error, "the database is asked again");
            Clock.sleep_until(Clock.now() + *pause).await;
            Outcome::Again
        }
        None => {
            gauge!("rotunda_store_away").set(1.0);
            Outcome::Done(Err(StoreError::Away(error)))
        }
    }
}

/// May the same statement succeed when it is repeated?
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                // Connection lost, server stopping or starting, too many connections, serialization failure, deadlock.
                Some(_) => ["08", "57P", "53", "40"].iter().any(|class| code.starts_with(class)),
                // SQLITE_BUSY and SQLITE_LOCKED, with their extended codes.
                None => code.parse::<i32>().is_ok_and(|code| matches!(code & 0xFF, 5 | 6)),
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::Command;

    use rotunda_proto::clock::Clock;

    use super::*;
    use crate::NewEvent;

    /// A small disk of its own in a folder.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        /// None, which is said loudly, where this process may not mount one.
        fn mount() -> Option<Self> {
            let folder = tempfile::tempdir().unwrap();
            let mounted = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
                .arg(folder.path())
                .output();
            if mounted.is_ok_and(|output| output.status.success()) {
                return Some(Self(folder));
            }
            eprintln!("SKIPPED: this process may not mount a small disk (root and CAP_SYS_ADMIN are needed)");
            None
        }

        fn ballast(&self) -> PathBuf {
            self.0.path().join("ballast")
        }

        /// To the last byte.
        fn fill(&self) {
            let mut ballast = File::create(self.ballast()).unwrap();
            while ballast.write_all(&[0; 1024]).is_ok() {}
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }

    fn event(number: u32) -> NewEvent {
        NewEvent {
            id: format!("event-{number}"),
            body: "x".repeat(20_000),
        }
    }

    #[tokio::test]
    async fn after_a_full_disk_the_database_takes_everything_again() {
        let Some(disk) = SmallDisk::mount() else { return };
        let url = format!("sqlite://{}", disk.0.path().join("rotunda.db").display());
        let (store, other) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
        disk.fill();
        let mut taken = Vec::new();
        for number in 0..4 * CONNECTIONS {
            let events = [event(2 * number), event(2 * number + 1)];
            match store.append_events(&events, Clock.unix()).await {
                Ok(_) => taken.extend(events.map(|event| event.id)),
                Err(StoreError::Sql(error)) => assert!(error.to_string().contains("full"), "{error}"),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(taken.len() < 4 * CONNECTIONS as usize, "the disk was full");
        std::fs::remove_file(disk.ballast()).unwrap();
        for (number, store) in (1000..).zip([&other, &store, &other]) {
            store.append_events(&[event(number)], Clock.unix()).await.unwrap();
            taken.push(event(number).id);
        }
        let there: Vec<String> = on_pool!(other, pool => {
            sqlx::query_scalar("SELECT id FROM event_stream ORDER BY rowid").fetch_all(pool).await.unwrap()
        });
        assert_eq!(there, taken);
    }

    const INSERT: &str = "INSERT OR ROLLBACK INTO event_stream (id, body, appended_unix_ms) VALUES ($1, 'x', 0)";

    #[tokio::test]
    async fn a_transaction_that_sqlite_has_rolled_back_itself_leaves_no_lock_behind() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
        let (store, other) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
        let Pool::Sqlite(pool) = &store.pool else {
            unreachable!()
        };
        for number in 0..2 * CONNECTIONS {
            // The second one conflicts, and SQLite rolls back: as it does when the disk is full.
            let mut refused = pool.begin().await.unwrap();
            for _ in 0..2 {
                let _conflict = sqlx::query(INSERT)
                    .bind(format!("refused-{number}"))
                    .execute(&mut *refused)
                    .await;
            }
            drop(refused);
            let mut dropped = pool.begin().await.unwrap();
            sqlx::query(INSERT)
                .bind(format!("dropped-{number}"))
                .execute(&mut *dropped)
                .await
                .unwrap();
        }
        let event = NewEvent {
            id: "later".to_owned(),
            body: "{}".to_owned(),
        };
        other.append_events(&[event], Clock.unix()).await.unwrap();
        let there: Vec<String> = sqlx::query_scalar("SELECT id FROM event_stream")
            .fetch_all(pool)
            .await
            .unwrap();
        assert_eq!(there, ["later"]);
    }
}
