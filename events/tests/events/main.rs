//! The contract of a stream of events, tested with the table on SQLite and PostgreSQL and with JetStream; and consumers that are
//! killed.

mod contract;
mod killed;

use std::sync::Arc;

use rotunda_bus::Nats;
use rotunda_bus::testing::NatsServer;
use rotunda_events::{EventStream, JetStream, Table};
use rotunda_store::testing::PostgresServer;
use rotunda_store::{NewEvent, Store};

/// A stream and the server of it.
pub struct Place {
    pub stream: Arc<dyn EventStream>,
    pub nats: Option<NatsServer>,
    _folder: Option<tempfile::TempDir>,
    _postgres: Option<PostgresServer>,
}

impl Place {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("rotunda.db").display());
        Self {
            stream: Arc::new(Table::new(Store::open(&url).await.unwrap())),
            nats: None,
            _folder: Some(folder),
            _postgres: None,
        }
    }

    /// None: this machine has no PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        let server = PostgresServer::start()?;
        Some(Self {
            stream: Arc::new(Table::new(server.store().await)),
            nats: None,
            _folder: None,
            _postgres: Some(server),
        })
    }

    /// None: this machine has no `nats-server`.
    pub async fn jetstream() -> Option<Self> {
        let server = NatsServer::start()?;
        let nats = Nats::connect(&server.config(), "one").await.unwrap();
        Some(Self {
            stream: Arc::new(JetStream::new(nats.event_log())),
            nats: Some(server),
            _folder: None,
            _postgres: None,
        })
    }
}

/// An event whose body is also its id.
pub fn event(body: impl Into<String>) -> NewEvent {
    let body = body.into();
    NewEvent { id: body.clone(), body }
}
