//! The schema, as migrations that are part of the binary.
//!
//! `sqlx::migrate!` would build SQLite a second time, for the macro itself.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations in a folder below `migrations/`.
macro_rules! folder {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../migrations/", $folder, "/", $file, ".sql")))),+]
    };
}

/// `<version>_<description>` and the statements, oldest first.
type Files = &'static [(&'static str, &'static str)];

const SQLITE: Files = folder!("sqlite":
    "20261121000001_mix_tasks_and_callbacks",
    "20261121000002_recordings",
    "20261125000001_callback_heads",
    "20261125000002_recording_app",
    "20261125000003_recording_ledger",
    "20261125000010_store",
    "20261126000001_events",
    "20261126000002_changes",
    "20261126000011_history",
    "20261126000021_calls",
    "20261126000030_console",
    "20261126000031_restrictions",
    "20261126000032_signed_calls",
);
const POSTGRES: Files = folder!("postgres":
    "20261125000010_store",
    "20261126000001_events",
    "20261126000002_changes",
    "20261126000011_history",
    "20261126000021_calls",
    "20261126000030_console",
    "20261126000031_restrictions",
    "20261126000032_signed_calls",
);

pub fn sqlite() -> Migrator {
    migrator(SQLITE)
}

pub fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(files: Files) -> Migrator {
    let migrations = files.iter().filter_map(|(file, statements)| {
        let (version, description) = file.split_once('_')?;
        Some(Migration::new(
            version.parse().ok()?,
            description.replace('_', " ").into(),
            MigrationType::Simple,
            statements.into_sql_str(),
            false,
        ))
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_folders_is_in_the_list_and_has_a_version() {
        for (folder, files, migrator) in [("sqlite", SQLITE, sqlite()), ("postgres", POSTGRES, postgres())] {
            let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let there: BTreeSet<_> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let listed: BTreeSet<_> = files.iter().map(|(file, _)| format!("{file}.sql")).collect();
            assert_eq!(there, listed);
            assert_eq!(migrator.iter().count(), files.len());
        }
    }
}
