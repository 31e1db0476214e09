//! The program's callbacks: they run one after the other on a thread of their own, so that a slow one delays no media.
//!
//! The [`Calls::open`] ledger holds each stream, talk-back and download from the callback that begins it to the one that ends it,
//! so that each has its end, also when the library exits.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::abi::{self, Enum, InitParm, err};
use crate::log::log;
use crate::protocol::Refusal;
use crate::streams::StreamKey;

/// The program's functions.
#[derive(Clone, Copy)]
pub struct Functions {
    pub get_av_enc_info: abi::GetEncInfo,
    pub start_real_play: abi::StartRealPlay,
    pub stop_real_play: abi::StopRealPlay,
    pub start_recv_stream: abi::StartRecvStream,
    pub stop_recv_stream: abi::StopRecvStream,
    pub recv_stream: abi::RecvStream,
    pub notify: abi::Notify,
    pub recv_command: abi::RecvCommand,
    pub download_file: Option<abi::DownloadFile>,
}

impl Functions {
    /// None: a required one is missing, which [`crate::settings::Avt::read`] tells by name.
    pub fn of(parm: &InitParm) -> Option<Self> {
        Some(Self {
            get_av_enc_info: parm.get_av_enc_info?,
            start_real_play: parm.start_real_play?,
            stop_real_play: parm.stop_real_play?,
            start_recv_stream: parm.start_recv_stream?,
            stop_recv_stream: parm.stop_recv_stream?,
            recv_stream: parm.recv_stream?,
            notify: parm.notify?,
            recv_command: parm.recv_command?,
            download_file: parm.download_file,
        })
    }

    pub fn event(&self, event: Enum, key: StreamKey) {
        // SAFETY: the program promised such a function.
        unsafe { (self.notify)(event, key.visitor, key.channel, key.quality) }
    }

    /// A command with its argument, which the program may change.
    pub fn command<T>(&self, command: Enum, key: StreamKey, argument: &mut T) -> c_int {
        self.command_raw(command, key, std::ptr::from_mut(argument).cast())
    }

    /// A command without an argument.
    pub fn plain_command(&self, command: Enum, key: StreamKey) -> c_int {
        self.command_raw(command, key, std::ptr::null_mut())
    }

    fn command_raw(&self, command: Enum, key: StreamKey, argument: *mut c_void) -> c_int {
        // SAFETY: the program promised such a function; the argument has the command's type and lives through the call.
        unsafe { (self.recv_command)(command, key.visitor, key.channel, key.quality, argument) }
    }
}

/// A callback that has begun something, until the callback that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    Play(StreamKey),
    Talk { visitor: u32, channel: u32 },
    Download { visitor: u32, channel: u32 },
}

type Job = Box<dyn FnOnce(&Functions) + Send>;

/// See the [module](self).
#[derive(Clone)]
pub struct Calls(Arc<Shared>);

struct Shared {
    functions: Functions,
    queue: Mutex<Queue>,
    more: Condvar,
    open: Mutex<BTreeSet<Open>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Frames of talk-back among them.
    audio: usize,
    ended: bool,
}

/// Frames of talk-back that wait for the program; more are dropped, as a speaker that does not keep up would.
const MAX_AUDIO: usize = 100;

impl Calls {
    pub fn start(functions: Functions) -> std::io::Result<(Self, JoinHandle<()>)> {
        let calls = Self::idle(functions);
        let on_thread = calls.clone();
        let thread = std::thread::Builder::new()
            .name("iv-calls".to_owned())
            .spawn(move || on_thread.run())?;
        Ok((calls, thread))
    }

    /// Without a thread: nothing runs.
    pub fn idle(functions: Functions) -> Self {
        Self(Arc::new(Shared {
            functions,
            queue: Mutex::new(Queue::default()),
            more: Condvar::new(),
            open: Mutex::new(BTreeSet::new()),
        }))
    }

    /// Runs a callback in its turn.
    pub fn post(&self, job: impl FnOnce(&Functions) + Send + 'static) {
        let mut queue = lock(&self.0.queue);
        if !queue.ended {
            queue.jobs.push_back(Box::new(job));
            self.0.more.notify_one();
        }
    }

    /// The same for a frame of talk-back; answers false when too many wait.
    pub fn post_audio(&self, job: impl FnOnce(&Functions) + Send + 'static) -> bool {
        let mut queue = lock(&self.0.queue);
        if queue.ended || queue.audio >= MAX_AUDIO {
            return false;
        }
        queue.audio += 1;
        let shared = Arc::downgrade(&self.0);
        queue.jobs.push_back(Box::new(move |functions| {
            if let Some(shared) = shared.upgrade() {
                lock(&shared.queue).audio -= 1;
            }
            job(functions);
        }));
        self.0.more.notify_one();
        true
    }

    /// Runs a callback in its turn and answers what it answers, or that the library exits.
    pub async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Functions) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.post(move |functions| {
            // The asker may have gone: a viewer who left.
            let _gone = answer.send(job(functions));
        });
        answered.await.map_err(|_exits| Refusal::exiting())
    }

    /// Runs a callback in its turn; any answer but `IV_ERR_NONE` is a refusal.
    pub async fn agree(&self, job: impl FnOnce(&Functions) -> c_int + Send + 'static) -> Result<(), Refusal> {
        match self.ask(job).await? {
            err::NONE => Ok(()),
            code => Err(Refusal::by_program(code)),
        }
    }

    /// Whether the program has files to download.
    pub fn has_downloads(&self) -> bool {
        self.0.functions.download_file.is_some()
    }

    /// An event without a stream.
    pub fn event(&self, event: Enum) {
        self.post(move |functions| functions.event(event, StreamKey::default()));
    }

    /// Call it in the callback that begins something.
    pub fn open(&self, what: Open) {
        lock(&self.0.open).insert(what);
    }

    /// In its turn, ends the streams, talk-backs and downloads that match then.
    pub fn post_end(&self, matches: impl Fn(&Open) -> bool + Send + 'static) {
        let shared = Arc::downgrade(&self.0);
        self.post(move |functions| {
            let Some(shared) = shared.upgrade() else { return };
            let mut open = lock(&shared.open);
            let ended: Vec<Open> = open.iter().filter(|what| matches(what)).copied().collect();
            open.retain(|what| !ended.contains(what));
            drop(open);
            for what in ended {
                what.end(functions);
            }
        });
    }

    /// Runs nothing any more: what waits in the queue is dropped, and the thread ends after the callback in which it is.
    pub fn end(&self) {
        {
            let mut queue = lock(&self.0.queue);
            queue.ended = true;
            queue.jobs.clear();
            self.0.more.notify_all();
        }
    }

    /// Ends what was begun and not ended, on this thread: after [`end`](Self::end), when no callback runs any more (or in one).
    pub fn close_all(&self) {
        let open = std::mem::take(&mut *lock(&self.0.open));
        for what in open {
            what.end(&self.0.functions);
        }
    }

    fn run(self) {
        IS_OURS.set(true);
        loop {
            let mut queue = lock(&self.0.queue);
            while queue.jobs.is_empty() && !queue.ended {
                queue = self.0.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(job) = queue.jobs.pop_front() else {
                return;
            };
            drop(queue);
            let functions = self.0.functions;
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&functions)));
            if ran.is_err() {
                log!(Error, "a callback's preparation has failed: a fault of the library");
            }
        }
    }
}

impl Open {
    /// Calls the callback that ends it.
    pub fn end(self, functions: &Functions) {
        // SAFETY: the program promised such functions.
        unsafe {
            match self {
                Self::Play(key) => (functions.stop_real_play)(key.visitor, key.channel, key.quality),
                Self::Talk { visitor, channel } => {
                    let _ending_anyway = (functions.stop_recv_stream)(visitor, channel, abi::STREAM_TYPE_AUDIO);
                }
                Self::Download { visitor, channel } => {
                    if let Some(download) = functions.download_file {
                        let _ending_anyway = download(abi::DOWNLOAD_STOP, visitor, channel, std::ptr::null_mut());
                    }
                }
            }
        }
    }
}

thread_local! {
    /// Whether this is the callbacks' thread.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Waits for the callbacks' thread, unless it is the one that waits.
pub fn join(thread: JoinHandle<()>) {
    if !IS_OURS.get() {
        let _panicked = thread.join();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub mod tests {
    use std::ffi::c_int;

    use super::*;
    use crate::abi::AvDataInfo;

    /// Of a program that does nothing.
    pub fn no_functions() -> Functions {
        extern "C" fn info(_: u32, _: u32, _: Enum, _: *mut AvDataInfo) {}
        extern "C" fn start(_: u32, _: u32, _: Enum, _: *mut c_void) {}
        extern "C" fn stop(_: u32, _: u32, _: Enum) {}
        extern "C" fn start_recv(_: u32, _: u32, _: *mut AvDataInfo) -> c_int {
            0
        }
        extern "C" fn stop_recv(_: u32, _: u32, _: Enum) -> c_int {
            0
        }
        extern "C" fn recv(_: u32, _: u32, _: Enum, _: *mut c_void) -> c_int {
            0
        }
        extern "C" fn notify(_: Enum, _: u32, _: u32, _: Enum) {}
        extern "C" fn command(_: Enum, _: u32, _: u32, _: Enum, _: *mut c_void) -> c_int {
            0
        }
        Functions {
            get_av_enc_info: info,
            start_real_play: start,
            stop_real_play: stop,
            start_recv_stream: start_recv,
            stop_recv_stream: stop_recv,
            recv_stream: recv,
            notify,
            recv_command: command,
            download_file: None,
        }
    }

    #[test]
    fn callbacks_run_in_their_turn_and_each_begin_has_its_end() {
        let (calls, thread) = Calls::start(no_functions()).unwrap();
        let key = StreamKey::new(1, 0, 2);
        let opened = calls.clone();
        calls.post(move |_| opened.open(Open::Play(key)));
        calls.post_end(|open| matches!(open, Open::Talk { .. }));
        let still = calls.clone();
        let (seen, see) = std::sync::mpsc::channel();
        calls.post(move |_| seen.send(lock(&still.0.open).len()).unwrap());
        assert_eq!(see.recv(), Ok(1), "a stream is no talk-back");
        calls.end();
        join(thread);
        calls.close_all();
        assert!(lock(&calls.0.open).is_empty());
    }
}
