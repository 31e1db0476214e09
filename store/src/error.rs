//! Why the store did not do it.

use thiserror::Error;

use crate::seal::SealError;

/// Of one call.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The same call may succeed later. Whether this one had an effect is open; every call may be repeated.
    #[error("the database is away")]
    Away(#[source] sqlx::Error),
    #[error("{0} is there already")]
    Exists(String),
    #[error("there is no {0}")]
    Missing(String),
    #[error("{0} has been changed meanwhile; read it again")]
    Changed(String),
    #[error("open a sealed secret")]
    Seal(#[from] SealError),
    #[error("a row of {table} is not as this version writes it")]
    Row {
        table: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("ask the database")]
    Sql(#[source] sqlx::Error),
}

impl StoreError {
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    pub(crate) fn row(table: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Row {
            table,
            source: Box::new(source),
        }
    }
}

/// Why there is no store.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{0:?} is no database: write sqlite://path or postgres://user:password@host/database")]
    Url(String),
    #[error("reach the database")]
    Connect(#[source] sqlx::Error),
    #[error("bring the database up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}
