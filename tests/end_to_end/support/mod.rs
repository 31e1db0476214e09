//! The real binary under test, and the tools that inspect its output.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub mod cluster;
pub mod film;
pub mod hls_rules;
pub mod kept;
pub mod receiver;
pub mod viewer;

/// `rotunda serve` in its own folder, on free ports. Dropping it kills it.
pub struct Server {
    child: Child,
    pub folder: tempfile::TempDir,
    pub http: u16,
    pub rtmp: u16,
    settings: Vec<(String, String)>,
    is_up: bool,
}

/// Attempts to start a server.
const TRIES: usize = 5;
const SECRETS: &str = "secrets.toml";

impl Server {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// `more`: settings.
    pub fn start_with(more: &[(&str, &str)]) -> Self {
        Self::start_role(&[], None, more)
    }

    /// A node of a cluster. `roles`: the arguments that choose them. `first`: the node whose secrets this one shares.
    pub fn start_role(roles: &[&str], first: Option<&Self>, more: &[(&str, &str)]) -> Self {
        // Another program may take a port between its choice and its use.
        let mut tries = (0..TRIES).map(|_| Self::try_start(roles, first, more));
        tries.find(|server| server.is_up).expect("free ports")
    }

    /// Panics if the server does not start for another reason than a taken port.
    fn try_start(roles: &[&str], first: Option<&Self>, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(first) = first {
            std::fs::copy(first.folder.path().join(SECRETS), folder.path().join(SECRETS)).unwrap();
        }
        let [http, grpc, rtmp, media] = free_ports();
        let mut settings = settings(folder.path(), [http, grpc, rtmp, media]);
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = std::fs::File::create(folder.path().join("server.log")).unwrap();
        let mut child = rotunda(&[&["serve"], roles].concat(), folder.path(), &settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let server = Self {
            child,
            folder,
            http,
            rtmp,
            settings,
            is_up: ready.contains("ready"),
        };
        let port_is_taken = server.log().contains("is taken by another program");
        assert!(server.is_up || port_is_taken, "the server did not start");
        server
    }

    /// Ends the server like `kill -9` and starts it again in the same folder.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let log = std::fs::File::options()
            .append(true)
            .open(self.folder.path().join("server.log"))
            .unwrap();
        self.child = rotunda(&["serve"], self.folder.path(), &self.settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(self.child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert!(ready.contains("ready"), "the server did not start again");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// Runs another command of the binary against this server, until it ends.
    pub fn run(&self, arguments: &[&str]) -> Output {
        rotunda(arguments, self.folder.path(), &self.settings).output().unwrap()
    }

    /// Starts a participant; dropping it makes it leave the room.
    pub fn join(&self, arguments: &[&str]) -> Participant {
        self.client("join", arguments)
    }

    /// Publishers, and viewers who watch them all: `rotunda load`.
    pub fn load(&self, arguments: &[&str]) -> Participant {
        self.client("load", arguments)
    }

    fn client(&self, command: &str, arguments: &[&str]) -> Participant {
        let arguments = [&[command], arguments].concat();
        let child = rotunda(&arguments, self.folder.path(), &self.settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Participant { child }
    }

    /// The body of a page, with curl's defaults: any status.
    pub fn get(&self, path: &str) -> String {
        self.request(path, &[]).1
    }

    /// Status and body of a page.
    pub fn request(&self, path: &str, headers: &[&str]) -> (u16, String) {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.exchange(&format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{headers}\r\n"))
    }

    /// Calls an action of the server API with the application's key.
    pub fn call(&self, action: &str, parameters: &serde_json::Value) -> (u16, serde_json::Value) {
        let (id, secret) = (self.secret("secret_id"), self.secret("api_secret"));
        self.call_with((&id, &secret), action, parameters)
    }

    /// Calls an action of the server API with this key.
    pub fn call_with(
        &self,
        (id, secret): (&str, &str),
        action: &str,
        parameters: &serde_json::Value,
    ) -> (u16, serde_json::Value) {
        let body = parameters.to_string();
        let (status, answer) = self.exchange(&format!(
            "POST /v1/{action} HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {id}:{secret}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        (status, serde_json::from_str(&answer).unwrap())
    }

    fn exchange(&self, request: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }

    /// The newest recordings, as their application's key lists them.
    pub fn recordings(&self) -> Vec<serde_json::Value> {
        let (id, secret) = (self.secret("secret_id"), self.secret("api_secret"));
        let key = format!("authorization: Bearer {id}:{secret}");
        let (status, list) = self.request("/recordings", &[&key]);
        assert_eq!(status, 200, "{list}");
        serde_json::from_str(&list).unwrap()
    }

    /// The file of a recording that is ready. `text`: in its name. None: there is none yet.
    pub fn finished(&self, text: &str, ending: &str) -> Option<PathBuf> {
        let files = self.recordings();
        let is_it = |file: &&serde_json::Value| {
            let name = file["name"].as_str().unwrap_or_default();
            file["state"] == "ready" && name.contains(text) && name.ends_with(ending)
        };
        let file = files.iter().find(is_it)?;
        Some(self.folder.path().join("recordings").join(file["name"].as_str()?))
    }

    /// Records a mix of room 1001: the stream `s1`, the record id `film`. Waits until the room is open and the mix has begun.
    pub fn record_mix(&self) {
        let start = [
            "mix",
            "start",
            "1001",
            "--stream-id",
            "s1",
            "--record-id",
            "film",
            "--size",
            "320x180",
        ];
        eventually("the mix starts", 30, || self.run(&start).status.success().then_some(()));
    }

    /// A value of the generated application.
    pub fn secret(&self, name: &str) -> String {
        let keys = std::fs::read_to_string(self.folder.path().join(SECRETS)).unwrap();
        let line = keys.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap().trim_matches('"').to_owned()
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics");
        let values = page
            .lines()
            .filter(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']));
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the server to end, by SIGTERM.
    pub fn terminate(&self) {
        interrupt(&self.child, "TERM");
    }

    /// How the server has ended; None: it runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends the server with SIGTERM and returns whether it ended by itself.
    pub fn stop(mut self) -> bool {
        interrupt(&self.child, "TERM");
        self.child.wait().unwrap().success()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        }
    }
}

pub struct Participant {
    child: Child,
}

impl Participant {
    pub fn leave(mut self) {
        interrupt(&self.child, "INT");
        self.child.wait().unwrap();
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary with these settings in its environment.
pub fn rotunda(arguments: &[&str], folder: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rotunda"));
    command
        .args(arguments)
        .current_dir(folder)
        .envs(settings.iter().cloned())
        .stdin(Stdio::null());
    command
}

/// Settings of a server in `folder` on these ports: HTTP, gRPC, RTMP, media.
pub fn settings(folder: &Path, [http, grpc, rtmp, media]: [u16; 4]) -> Vec<(String, String)> {
    let recordings = folder.join("recordings").display().to_string();
    [
        ("ROTUNDA__SERVER__DATA", folder.display().to_string()),
        ("ROTUNDA__SERVER__PORT", http.to_string()),
        // Receivers of callbacks and pushes run here.
        ("ROTUNDA__SERVER__OUTBOUND_NETWORKS", "[\"127.0.0.0/8\"]".to_owned()),
        ("ROTUNDA__RECORDER__DIRECTORY", recordings),
        ("ROTUNDA__RECORDER__PUBLIC_URL", format!("http://127.0.0.1:{http}")),
        ("ROTUNDA__LIVE__RTMP_PORT", rtmp.to_string()),
        ("ROTUNDA__SIGNALING__API", format!("{{ grpc_port = {grpc} }}")),
        ("ROTUNDA__SFU__PORT", media.to_string()),
        // Any free one: nodes find each other by the bus.
        ("ROTUNDA__PROGRAMS__PORT", "0".to_owned()),
        // Rooms are on both workers, so that every test also covers the relay between workers.
        ("ROTUNDA__SFU__WORKERS", "2".to_owned()),
        ("ROTUNDA__SFU__ROOM_SESSIONS", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Ports that were free a moment ago, together with the next ones.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that none is chosen twice.
    let held: [[(TcpListener, UdpSocket); 2]; N] = std::array::from_fn(|_| two_free_ports());
    held.map(|[(listener, _), _]| listener.local_addr().unwrap().port())
}

/// A free port and the one after it: each media worker has its own, for TCP and UDP.
fn two_free_ports() -> [(TcpListener, UdpSocket); 2] {
    let bind = |port| {
        Some((
            TcpListener::bind(("0.0.0.0", port)).ok()?,
            UdpSocket::bind(("0.0.0.0", port)).ok()?,
        ))
    };
    loop {
        let any = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = any.local_addr().unwrap().port();
        drop(any);
        let next = port.checked_add(1);
        if let Some((first, next)) = bind(port).zip(next.and_then(bind)) {
            return [first, next];
        }
    }
}

/// Waits for a state. Polls it every 100 ms; fails after `seconds`.
pub fn eventually<T>(what: &str, seconds: u64, mut state: impl FnMut() -> Option<T>) -> T {
    let (clock, every) = (rotunda_proto::clock::Clock, Duration::from_millis(100));
    let deadline: Instant = clock.now() + Duration::from_secs(seconds);
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(clock.now() < deadline, "{what}: not within {seconds} s");
        std::thread::park_timeout(every);
    }
}

/// How long a test stops a server on which others depend: a minute, or the seconds of `ROTUNDA_OUTAGE_SECONDS`.
pub fn outage() -> Duration {
    let seconds = std::env::var("ROTUNDA_OUTAGE_SECONDS").map_or(60, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// True if a Debian program is installed. Otherwise it prints that the test is skipped, and fails in CI, where
/// nothing is skipped.
pub fn installed(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain([PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(program).exists());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "CI must have {program}");
        eprintln!("SKIPPED: {program} is not installed (`make setup` installs it)");
    }
    found
}

fn interrupt(child: &Child, signal: &str) {
    Command::new("kill")
        .args([&format!("-{signal}"), &child.id().to_string()])
        .status()
        .unwrap();
}
