//! Every query on SQLite and on PostgreSQL, and what the store promises about outages.

mod applications;
mod callbacks;
mod calls;
mod console;
mod events;
mod history;
mod media;
mod restrictions;
mod rows;
mod schema;
mod signed_calls;
mod vault;

use std::time::Duration;

use rotunda_proto::ids::SdkAppId;
use rotunda_store::Store;
use rotunda_store::testing::PostgresServer;

/// A store and what keeps it.
pub struct Database {
    pub store: Store,
    _folder: Option<tempfile::TempDir>,
    _server: Option<PostgresServer>,
}

impl Database {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
        Self {
            store: Store::open(&url).await.unwrap(),
            _folder: Some(folder),
            _server: None,
        }
    }

    /// None: PostgreSQL is not on this machine.
    pub async fn postgres() -> Option<Self> {
        let server = PostgresServer::start()?;
        Some(Self {
            store: server.store().await,
            _folder: None,
            _server: Some(server),
        })
    }
}

/// Runs each function on both databases, as tests of its name. One server serves all functions of a file, one after the
/// other, each with its own rows: they use applications of their own.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(
            #[tokio::test]
            async fn $name() { super::$name(&crate::Database::sqlite().await.store).await }
        )* }
        #[tokio::test]
        async fn on_postgres() {
            let Some(database) = crate::Database::postgres().await else { return };
            $( eprintln!("{}", stringify!($name)); $name(&database.store).await; )*
        }
    };
}
pub(crate) use on_both;

pub fn app(number: u32) -> SdkAppId {
    number.try_into().unwrap()
}

pub fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
