//! A NATS server for tests, on a free port, with its store in its own folder.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rotunda_proto::clock::Clock;

use crate::NatsConfig;

/// The time limit for a server to start on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A running `nats-server` with JetStream; it ends with this value.
#[derive(Debug)]
pub struct NatsServer {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl NatsServer {
    /// None: `nats-server` is not installed, which is printed on stderr. The test then returns. In CI it panics.
    pub fn start() -> Option<Self> {
        match Command::new("nats-server").arg("--version").output() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                assert!(std::env::var_os("CI").is_none(), "CI must have nats-server");
                eprintln!("SKIPPED: nats-server is not installed (apt-get install nats-server)");
                return None;
            }
            Err(error) => panic!("run nats-server: {error}"),
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut server = Self {
            folder: tempfile::tempdir().unwrap_or_else(|error| panic!("make a folder: {error}")),
            port: free.unwrap_or_else(|error| panic!("find a free port: {error}")).port(),
            process: None,
        };
        server.resume();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The configuration for this server.
    pub fn config(&self) -> NatsConfig {
        NatsConfig {
            urls: vec![self.url()],
            ..NatsConfig::default()
        }
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone_already = process.kill();
            let _gone_already = process.wait();
        }
    }

    /// Starts it again, with its stored data.
    pub fn resume(&mut self) {
        self.stop();
        let process = Command::new("nats-server")
            .args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("start nats-server: {error}")));
        self.wait();
    }

    /// Starts it again with an empty store.
    pub fn wipe_and_resume(&mut self) {
        self.stop();
        let store: &Path = self.folder.path();
        let jetstream = store.join("jetstream");
        std::fs::remove_dir_all(&jetstream).unwrap_or_else(|error| panic!("remove {}: {error}", jetstream.display()));
        self.resume();
    }

    fn wait(&self) {
        let clock = Clock;
        let deadline = clock.now() + START_WITHIN;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(clock.now() < deadline, "nats-server does not listen");
            clock.block_until(clock.now() + Duration::from_millis(20));
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}
