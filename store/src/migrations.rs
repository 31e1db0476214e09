//! The migrations of both engines, embedded in the binary. `sqlx::migrate!` would do it, too, but it compiles SQLite and sqlx a second time
//! for the compiler's own machine.

use rust_embed::RustEmbed;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

#[derive(RustEmbed)]
#[folder = "migrations/sqlite"]
struct Sqlite;

#[derive(RustEmbed)]
#[folder = "migrations/postgres"]
struct Postgres;

pub fn sqlite() -> Migrator {
    migrator::<Sqlite>()
}

pub fn postgres() -> Migrator {
    migrator::<Postgres>()
}

fn migrator<Files: RustEmbed>() -> Migrator {
    let mut migrations: Vec<Migration> = Files::iter().filter_map(|name| migration::<Files>(&name)).collect();
    migrations.sort();
    Migrator::with_migrations(migrations)
}

/// `VERSION_DESCRIPTION.sql`.
fn migration<Files: RustEmbed>(name: &str) -> Option<Migration> {
    let (version, description) = name.strip_suffix(".sql")?.split_once('_')?;
    let sql = String::from_utf8(Files::get(name)?.data.into_owned()).ok()?;
    Some(Migration::new(
        version.parse().ok()?,
        description.replace('_', " ").into(),
        MigrationType::Simple,
        AssertSqlSafe(sql).into_sql_str(),
        false,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_migration_in_the_order_of_its_version() {
        for (folder, migrator) in [("sqlite", sqlite()), ("postgres", postgres())] {
            let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(folder).unwrap().count();
            let versions: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
            assert_eq!(versions.len(), files);
            assert!(versions.is_sorted());
        }
    }
}
