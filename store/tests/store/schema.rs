//! Opening, upgrading, and outages.

use std::time::Duration;

use rotunda_store::testing::PostgresServer;
use rotunda_store::{ClaimLimits, Engine, OpenError, Store};
use sqlx::{Connection, Row};

use crate::events::event;
use crate::rows::file;
use crate::{Database, app};

/// The migrations of versions that are in use, with the first bytes of their checksums: none of them may ever change.
const INSTALLED: [(i64, &str); 6] = [
    (20_261_121_000_001, "85bbf3e7864b"),
    (20_261_121_000_002, "85f814c24dbb"),
    (20_261_125_000_001, "ecc5acf188a4"),
    (20_261_125_000_002, "33771efcd16c"),
    (20_261_125_000_003, "3a5365f10397"),
    (20_261_125_000_010, "95bba5eb68fc"),
];

/// A database as a version of the server left it that knew these migrations.
async fn old_database(url: &str, known: usize) -> sqlx::SqliteConnection {
    let mut old = sqlx::SqliteConnection::connect(url).await.unwrap();
    let migrator = sqlx::migrate::Migrator::new(std::path::Path::new("migrations/sqlite"))
        .await
        .unwrap();
    sqlx::query(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
         checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    )
    .execute(&mut old)
    .await
    .unwrap();
    for (migration, (version, checksum)) in migrator.iter().zip(INSTALLED).take(known) {
        let sum: String = migration
            .checksum
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            (migration.version, sum.as_str()),
            (version, checksum),
            "a migration in use has changed"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(migration.sql.as_str().to_owned()))
            .execute(&mut old)
            .await
            .unwrap();
        sqlx::query("INSERT INTO _sqlx_migrations VALUES ($1, $2, CURRENT_TIMESTAMP, TRUE, $3, 0)")
            .bind(migration.version)
            .bind(migration.description.as_ref())
            .bind(migration.checksum.as_ref())
            .execute(&mut old)
            .await
            .unwrap();
    }
    old
}

#[tokio::test]
async fn a_database_of_before_keeps_its_rows() {
    for known in [2, 5] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("rotunda.db").display());
        let mut old = old_database(&url, known).await;
        let file = serde_json::to_string(&file("1", 3)).unwrap();
        sqlx::query(
            "INSERT INTO recordings (file_id, name, state, format, size_bytes, duration_ms, started_unix_us, url, file) \
             VALUES ('1', 'old.mp4', 'ready', 'mp4', 1, 2, 3, 'u', $1)",
        )
        .bind(&file)
        .execute(&mut old)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO callback_outbox (id, room, url, sdk_app_id, body, created_unix_ms, next_attempt_unix_ms) \
             VALUES ('c', '32/1', 'http://receiver', 32, '{}', 1, 1)",
        )
        .execute(&mut old)
        .await
        .unwrap();
        old.close().await.unwrap();

        let store = Store::open(&url).await.unwrap();
        assert_eq!(store.engine(), Engine::Sqlite);
        store.fill_in_applications().await.unwrap();
        assert_eq!(store.newest_files(app(32), 10).await.unwrap()[0].name, "old.mp4");
        let limits = ClaimLimits {
            rows: 10,
            of_application: 10,
            hold: Duration::from_secs(10),
        };
        let waiting = store
            .claim_callbacks("node", Duration::from_secs(1), limits)
            .await
            .unwrap();
        assert_eq!(waiting.len(), 1, "a callback of before is delivered");
        store.close().await;
        Store::open(&url).await.unwrap();
    }
}

/// Both schemas have the same tables with the same columns.
#[tokio::test]
async fn both_databases_have_one_schema() {
    let Some(server) = PostgresServer::start() else { return };
    server.store().await.close().await;
    let mut postgres = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    let rows = sqlx::query(
        "SELECT table_name::text AS t, column_name::text AS c FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut postgres)
    .await
    .unwrap();
    let mut there: Vec<(String, String)> = rows.iter().map(|row| (row.get("t"), row.get("c"))).collect();
    there.sort();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
    Store::open(&url).await.unwrap().close().await;
    let mut sqlite = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows = sqlx::query(
        "SELECT m.name AS t, p.name AS c FROM sqlite_master m JOIN pragma_table_info(m.name) p \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut sqlite)
    .await
    .unwrap();
    let mut here: Vec<(String, String)> = rows.iter().map(|row| (row.get("t"), row.get("c"))).collect();
    here.sort();
    assert_eq!(here, there);
}

#[tokio::test]
async fn another_kind_of_url_is_refused_without_its_password() {
    let refused = Store::open("mysql://user:secret@host/db").await;
    let Err(OpenError::Url(named)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(named, "mysql");
}

#[tokio::test]
async fn many_writers_of_sqlite_wait_for_one_another() {
    let database = Database::sqlite().await;
    let writers = (0..16).map(|writer| {
        let store = database.store.clone();
        tokio::spawn(async move {
            for number in 0..10 {
                let events = [event(format!("{writer} {number}"))];
                store.append_events(&events, Duration::ZERO).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(database.store.read_events(0, 1000).await.unwrap().len(), 160);
}

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be_and_works_again_when_it_is_back() {
    let Some(mut server) = PostgresServer::start() else {
        return;
    };
    let store = server.store().await;
    store.ping().await.unwrap();
    server.stop();
    let away = store.ping().await;
    assert!(away.as_ref().is_err_and(rotunda_store::StoreError::is_away), "{away:?}");
    server.resume();
    let mut back = store.ping().await;
    for _ in 0..20 {
        if back.is_ok() {
            break;
        }
        back = store.ping().await;
    }
    back.unwrap();
    // Connections of before are dead; a call finds that out and is made again.
    store.append_events(&[event("after")], Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_said_to_be_away_in_time() {
    let Some(server) = PostgresServer::start() else { return };
    let store = server.store().await;
    store.ping().await.unwrap();
    server.freeze();
    let clock = rotunda_proto::clock::Clock;
    let asked_at = clock.now();
    let away = store.append_events(&[event("a")], Duration::ZERO).await;
    let took = clock.now() - asked_at;
    server.unfreeze();
    assert!(away.as_ref().is_err_and(rotunda_store::StoreError::is_away), "{away:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    // The call of before may have been done or not; repeated, it is done once.
    store
        .append_events(&[event("a"), event("b")], Duration::ZERO)
        .await
        .unwrap();
    let events = store.read_events(0, 10).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.body.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
}
