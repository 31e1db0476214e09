//! The library's one instance: its threads, and what all threads of the program may ask of it.

use std::ffi::{CString, c_int};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rotunda_proto::clock::Clock;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::abi::{EVENT_PEER_ERROR, SendStats, err};
use crate::access_unit::FrameKind;
use crate::calls::{self, Calls, Functions};
use crate::engine::{self, Command};
use crate::log::{self, log};
use crate::member::Config;
use crate::pipe::PushError;
use crate::reply::reply;
use crate::settings::{Avt, System};
use crate::streams::{SendError, StreamKey, Streams, chain};

/// See the [module](self).
pub struct Instance {
    streams: Arc<Streams>,
    calls: Calls,
    commands: mpsc::UnboundedSender<Command>,
    max_frame: usize,
    channels: u32,
    peer_info: CString,
    threads: Mutex<Option<Threads>>,
    is_exiting: AtomicBool,
}

struct Threads {
    network: JoinHandle<()>,
    calls: JoinHandle<()>,
}

/// `timeout_ms` 0 of `iv_avt_send_command`.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(7500);

impl Instance {
    pub fn start(system: System, avt: Avt, functions: Functions) -> Result<Self, c_int> {
        if let Err(error) = log::open(avt.log_level, avt.log_folder.as_deref(), avt.log_size) {
            log!(Error, "p2p_init_params.log_file_path cannot be written: {error}");
            return Err(err::INIT_PRM_RANGE);
        }
        // Several are compiled in, and TLS does not choose among them. One may be installed already: by an earlier start.
        let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let vendor = avt.vendor.as_deref().unwrap_or(&system.product);
        let device = avt.device.as_deref().unwrap_or(&system.name);
        let info = format!("{} room={} vendor={vendor} device={device}", system.url, system.room);
        let peer_info = CString::new(info).unwrap_or_default();
        let failed = |error: std::io::Error| {
            log!(Error, "a thread could not be started: {error}");
            log::close();
            err::MALLOC_BUFFER_FAILED
        };
        let (calls, calls_thread) = Calls::start(functions).map_err(failed)?;
        let streams = Arc::new(Streams::default());
        let (commands, waiting) = mpsc::unbounded_channel();
        let (max_frame, channels) = (avt.max_frame, system.channels);
        let config = Arc::new(Config {
            system,
            mtu: avt.mtu,
            tcp_only: avt.tcp_only,
            streams: streams.clone(),
        });
        let (on_thread, shared, told) = (calls.clone(), streams.clone(), calls.clone());
        let network = std::thread::Builder::new()
            .name("iv-network".to_owned())
            .spawn(move || {
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    // Made on this thread: the program's threads get nothing of Rust that would stay with them.
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .max_blocking_threads(1)
                        .thread_keep_alive(Duration::from_secs(1))
                        .build();
                    let runtime = match runtime {
                        Ok(runtime) => runtime,
                        Err(error) => {
                            log!(Error, "the network thread could not be set up: {error}");
                            return;
                        }
                    };
                    let set = LocalSet::new();
                    set.block_on(&runtime, engine::run(config, avt, on_thread, shared, waiting));
                    drop(set);
                    runtime.shutdown_timeout(Duration::from_secs(2));
                }));
                if ran.is_err() {
                    log!(
                        Error,
                        "the network thread has failed: a fault of the library; initialise it again"
                    );
                    told.event(EVENT_PEER_ERROR);
                }
            });
        let network = match network {
            Ok(network) => network,
            Err(error) => {
                calls.end();
                let _ended = calls_thread.join();
                return Err(failed(error));
            }
        };
        Ok(Self {
            streams,
            calls,
            commands,
            max_frame,
            channels,
            peer_info,
            threads: Mutex::new(Some(Threads {
                network,
                calls: calls_thread,
            })),
            is_exiting: AtomicBool::new(false),
        })
    }

    /// Ends everything that was begun, and all threads; from a callback, the callbacks' own ends after it.
    pub fn exit(&self) {
        self.is_exiting.store(true, Ordering::Relaxed);
        let _ended = self.commands.send(Command::Exit);
        let threads = lock(&self.threads).take();
        let Some(threads) = threads else { return };
        // Callbacks go on meanwhile: one of them may hold up what the network thread waits for.
        let _panicked = threads.network.join();
        self.calls.end();
        calls::join(threads.calls);
        self.calls.close_all();
        log::close();
    }

    pub fn peer_info(&self) -> &CString {
        &self.peer_info
    }

    pub fn send_video(&self, key: StreamKey, pts_ms: u64, data: Bytes, flagged: FrameKind) -> c_int {
        let sent = self
            .streams
            .send_video(Clock.now(), key, pts_ms.saturating_mul(1000), data, flagged);
        self.code(key, sent)
    }

    pub fn send_audio(&self, key: StreamKey, pts_ms: u64, data: &[u8]) -> c_int {
        let sent = self
            .streams
            .send_audio(Clock.now(), key, pts_ms.saturating_mul(1000), data);
        self.code(key, sent)
    }

    fn code(&self, key: StreamKey, sent: Result<(), SendError>) -> c_int {
        let Err(error) = sent else { return err::NONE };
        log!(Debug, "a frame was refused: {error:?}");
        match error {
            SendError::NotPlaying if key.channel >= self.channels => err::CHN_NOT_EXIT,
            SendError::NotPlaying => err::STATE_ERROR,
            SendError::Frame(_) => err::VIDEO_DATA_ERROR,
            SendError::Push(PushError::NeedKeyframe) => err::NEED_IDR_FRAME,
            SendError::Push(PushError::Full) => err::SEND_DATA_TIMEOUT,
            SendError::Audio => err::INPUT_PARAM_INVALID,
        }
    }

    pub fn max_frame(&self) -> usize {
        self.max_frame
    }

    pub fn statistics(&self, key: StreamKey) -> Option<SendStats> {
        self.streams.statistics(Clock.now(), key)
    }

    pub fn buffered(&self, key: StreamKey) -> usize {
        self.streams.buffered(key)
    }

    pub fn finish(&self, key: StreamKey) -> c_int {
        self.stream_command(key, Command::Finish(key))
    }

    pub fn announce_finish(&self, key: StreamKey) -> c_int {
        self.stream_command(key, Command::AnnounceFinish(key))
    }

    pub fn finish_talk(&self, visitor: u32, channel: u32) -> c_int {
        self.command(Command::FinishTalk { visitor, channel })
    }

    /// Waits for the reply or the time.
    pub fn send_command(&self, visitor: u32, data: Vec<u8>, timeout_ms: u32) -> Result<Vec<u8>, c_int> {
        let timeout = match timeout_ms {
            0 => COMMAND_TIMEOUT,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        let (reply, answered) = reply();
        let sent = self.command(Command::Send {
            visitor,
            data,
            timeout,
            reply,
        });
        if sent != err::NONE {
            return Err(sent);
        }
        // The network thread answers in time; when it ends, so does the waiting.
        answered.wait().unwrap_or(Err(err::STATE_ERROR))
    }

    fn stream_command(&self, key: StreamKey, command: Command) -> c_int {
        if !self.streams.is_playing(key) {
            return err::STATE_ERROR;
        }
        self.command(command)
    }

    fn command(&self, command: Command) -> c_int {
        if self.is_exiting.load(Ordering::Relaxed) || self.commands.send(command).is_err() {
            return err::STATE_ERROR;
        }
        err::NONE
    }
}

/// The process's instance.
pub enum Slot {
    Idle,
    Running(Arc<Instance>),
    /// An exit is going on.
    Exiting,
}

pub static SLOT: Mutex<Slot> = Mutex::new(Slot::Idle);
pub static SYSTEM: Mutex<Option<System>> = Mutex::new(None);

/// The instance that runs.
pub fn running() -> Option<Arc<Instance>> {
    match &*lock(&SLOT) {
        Slot::Running(instance) => Some(instance.clone()),
        Slot::Idle | Slot::Exiting => None,
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For errors with causes.
pub fn report(error: &dyn std::error::Error) {
    log!(Error, "{}", chain(error));
}
