//! The migrations of this crate's tables, embedded in the binary. `sqlx::migrate!` would do it, too, but it compiles SQLite a second time
//! for the compiler's own machine.

use rust_embed::RustEmbed;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

#[derive(RustEmbed)]
#[folder = "migrations"]
struct Files;

/// Ignores the migrations of other crates in the same database.
pub fn migrator() -> Migrator {
    let mut migrations: Vec<Migration> = Files::iter().filter_map(|name| migration(&name)).collect();
    migrations.sort();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.set_ignore_missing(true);
    migrator
}

/// `VERSION_DESCRIPTION.sql`.
fn migration(name: &str) -> Option<Migration> {
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
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
            .unwrap()
            .count();
        let versions: Vec<i64> = migrator().iter().map(|migration| migration.version).collect();
        assert_eq!(versions.len(), files);
        assert!(versions.is_sorted());
    }
}
