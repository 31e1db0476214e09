//! A PostgreSQL server for tests, made by hand in a folder of its own, on a free port.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rotunda_proto::clock::Clock;

use crate::Store;

/// Longer takes no server to start on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(60);

/// A running PostgreSQL without safety against power loss; it ends with this value.
#[derive(Debug)]
pub struct PostgresServer {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
    /// Root may not run it, so an ordinary user does.
    user: Option<&'static str>,
}

impl PostgresServer {
    /// None: PostgreSQL is not installed, which is said on stderr. A test returns then. In CI it panics.
    pub fn start() -> Option<Self> {
        if find("initdb").is_none() {
            assert!(std::env::var_os("CI").is_none(), "CI must have PostgreSQL");
            eprintln!("SKIPPED: PostgreSQL is not installed (apt-get install postgresql)");
            return None;
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let root = std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        let mut server = Self {
            folder: tempfile::Builder::new()
                .prefix("rotunda-postgres")
                .tempdir()
                .unwrap_or_else(|error| panic!("make a folder: {error}")),
            port: free.unwrap_or_else(|error| panic!("find a free port: {error}")).port(),
            process: None,
            user: root.unwrap_or(false).then_some("postgres"),
        };
        server.make();
        server.resume();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("postgres://rotunda@127.0.0.1:{}/postgres", self.port)
    }

    pub async fn store(&self) -> Store {
        let clock = Clock;
        let deadline = clock.now() + START_WITHIN;
        loop {
            match Store::open(&self.url()).await {
                Ok(store) => return store,
                Err(error) => assert!(clock.now() < deadline, "open the store: {error:?}"),
            }
            clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
        }
    }

    /// Stops the server at once, as a crash does.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        // SIGQUIT: immediate shutdown of the server and all its processes.
        if let Some(pid) = pid.lines().next() {
            let _gone_already = Command::new("kill").args(["-QUIT", pid]).status();
        } else {
            let _gone_already = process.kill();
        }
        let _gone_already = process.wait();
    }

    /// Stops all its processes where they are: connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn unfreeze(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let pid = pid.lines().next().unwrap_or_default();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let all = std::iter::once(pid).chain(children.split_whitespace());
        let sent = Command::new("kill").arg(signal).args(all).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Starts it again with what it had.
    pub fn resume(&mut self) {
        self.stop();
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""])
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        self.process = Some(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("start PostgreSQL: {error}")),
        );
        let clock = Clock;
        let deadline = clock.now() + START_WITHIN;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(clock.now() < deadline, "PostgreSQL does not listen");
            clock.block_until(clock.now() + Duration::from_millis(20));
        }
    }

    fn make(&self) {
        if let Some(user) = self.user {
            let owned = Command::new("chown").arg(user).arg(self.folder.path()).status();
            assert!(owned.is_ok_and(|status| status.success()), "give the folder to {user}");
        }
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data()).args([
            "-U",
            "rotunda",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        let made = command.status();
        assert!(made.is_ok_and(|status| status.success()), "initdb");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let path = find(program).unwrap_or_else(|| program.into());
        let mut command = match self.user {
            None => Command::new(path),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", user, "--regid", user, "--clear-groups", "--"])
                    .arg(path);
                command
            }
        };
        command
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// In the path, or where Debian keeps the newest version.
fn find(program: &str) -> Option<PathBuf> {
    match Command::new(program).arg("--version").output() {
        Ok(_) => return Some(program.into()),
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("run {program}: {error}"),
        Err(_) => {}
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut paths: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(program)))
        .filter(|path| path.exists())
        .collect();
    paths.sort();
    paths.pop()
}
