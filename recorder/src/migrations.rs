//! The tables of this crate. `sqlx::migrate!` would build SQLite a second time, for the macro itself.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

pub fn migrator() -> Migrator {
    let one = |version, description: &'static str, statements: &'static str| {
        let statements = statements.into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, statements, false)
    };
    Migrator::with_migrations(vec![
        one(
            20261121000002,
            "recordings",
            include_str!("../migrations/20261121000002_recordings.sql"),
        ),
        one(
            20261125000002,
            "recording app",
            include_str!("../migrations/20261125000002_recording_app.sql"),
        ),
        one(
            20261125000003,
            "recording ledger",
            include_str!("../migrations/20261125000003_recording_ledger.sql"),
        ),
    ])
}
