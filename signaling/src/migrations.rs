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
            20261121000001,
            "mix tasks and callbacks",
            include_str!("../migrations/20261121000001_mix_tasks_and_callbacks.sql"),
        ),
        one(
            20261125000001,
            "callback heads",
            include_str!("../migrations/20261125000001_callback_heads.sql"),
        ),
    ])
}
