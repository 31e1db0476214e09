//! Starts engines: each as a child process of this binary, or as a thread of this process.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};

use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::child;
use super::suspect::{Doing, Suspect};

/// See the [module](self). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Launcher(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Inside,
    /// To the thread that starts the processes.
    Process(Arc<mpsc::Sender<Request>>),
}

/// The command line of an engine: it reads messages from its standard input, which is a socket, and writes its own to
/// the same. Its standard output is the file of a [`Suspect`].
#[derive(Debug, Clone)]
pub struct EngineCommand {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

#[derive(Debug)]
struct Request {
    socket: OwnedFd,
    suspect: OwnedFd,
    started: oneshot::Sender<io::Result<Child>>,
}

/// A started engine. It is killed when this is dropped.
#[derive(Debug)]
pub struct Engine {
    /// None: it is a thread, which ends with its socket.
    process: Option<Child>,
    suspect: Suspect,
}

impl Launcher {
    /// Engines as threads of this process: an engine that crashes ends the process, and one that hangs remains.
    pub fn inside() -> Self {
        Self(Kind::Inside)
    }

    /// Engines as processes.
    ///
    /// Errors: of the thread that starts them.
    pub fn process(command: EngineCommand) -> io::Result<Self> {
        let (requests, requested) = mpsc::channel();
        // The kernel ends a child with the thread that has started it, so that thread must live as long as the children.
        std::thread::Builder::new()
            .name("mix launcher".to_owned())
            .spawn(move || launch_all(&command, &requested))?;
        Ok(Self(Kind::Process(Arc::new(requests))))
    }

    /// Starts an engine, and answers the socket to it.
    ///
    /// Errors: of the socket, the thread or the process.
    pub async fn launch(&self) -> io::Result<(Engine, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        let suspect = Suspect::new()?;
        let named = suspect.share()?;
        let process = match &self.0 {
            Kind::Inside => {
                std::thread::Builder::new()
                    .name("mix engine".to_owned())
                    .spawn(move || {
                        if let Err(error) = child::run(theirs, named, child::Place::Thread) {
                            tracing::warn!(error = &error as &dyn std::error::Error, "a mix engine has ended");
                        }
                    })?;
                None
            }
            Kind::Process(requests) => {
                let (started, start) = oneshot::channel();
                let request = Request {
                    socket: theirs.into(),
                    suspect: named.into_descriptor(),
                    started,
                };
                let gone = || io::Error::other("the thread that starts mix engines has ended");
                requests.send(request).map_err(|_| gone())?;
                Some(start.await.map_err(|_| gone())??)
            }
        };
        Ok((Engine { process, suspect }, ours))
    }
}

fn launch_all(command: &EngineCommand, requests: &mpsc::Receiver<Request>) {
    for Request {
        socket,
        suspect,
        started,
    } in requests
    {
        let mut child = Command::new(&command.program);
        child
            .args(&command.arguments)
            // An engine reads hostile input: the secrets of this process's environment are not for it.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "RUST_BACKTRACE" || name == "RUST_LOG"))
            // Ctrl-C in a terminal is for this process, which ends its mixes in order.
            .process_group(0)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::from(suspect));
        if let Err(Ok(mut unwanted)) = started.send(child.spawn()) {
            let _gone_already = unwanted.kill();
            let _gone_already = unwanted.wait();
        }
    }
}

impl Engine {
    /// The process id; None for a thread.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Whether its process has ended because somebody else has killed it. None: it has not ended yet.
    pub fn was_killed(&mut self) -> Option<bool> {
        let status = self.process.as_mut().map(Child::try_wait);
        match status {
            Some(Ok(None)) => None,
            Some(Ok(Some(status))) => Some(status.signal() == Some(Signal::KILL.as_raw())),
            Some(Err(_)) | None => Some(false),
        }
    }

    /// What it is doing, or was doing when it ended.
    pub fn doing(&self) -> Doing {
        self.suspect.get()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone_already = process.kill();
            // It ends at once; only a disk that hangs can make it stay.
            let reaped = std::thread::Builder::new()
                .name("mix reaper".to_owned())
                .spawn(move || process.wait());
            if let Err(error) = reaped {
                tracing::warn!(%error, "an ended mix engine remains as a zombie");
            }
        }
    }
}
