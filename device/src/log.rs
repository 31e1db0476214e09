//! Log lines: to the program's handler, a file that rotates, or stderr. Process-wide, as the C interface's log functions are.

use std::ffi::{CString, c_char};
use std::fmt::Arguments;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rotunda_proto::clock::Clock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

/// `bool` of C.
pub type Handler = unsafe extern "C" fn(*const c_char) -> u8;

/// Of the system module; of iv_avt.
static SYSTEM_LEVEL: AtomicI32 = AtomicI32::new(Level::Warn as i32);
static AVT_LEVEL: AtomicI32 = AtomicI32::new(0);
static SINK: Mutex<Sink> = Mutex::new(Sink {
    handler: None,
    file: None,
});

struct Sink {
    handler: Option<Handler>,
    file: Option<LogFile>,
}

struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
    limit: u64,
}

macro_rules! log {
    ($level:ident, $($arguments:tt)*) => {
        $crate::log::write($crate::log::Level::$level, format_args!($($arguments)*))
    };
}
pub(crate) use log;

pub fn set_system_level(level: i32) {
    SYSTEM_LEVEL.store(level, Ordering::Relaxed);
}

pub fn set_handler(handler: Option<Handler>) {
    sink().handler = handler;
}

/// `folder`: None is stderr; `limit`: bytes, of which there may be twice as many.
pub fn open(level: i32, folder: Option<&Path>, limit: u32) -> std::io::Result<()> {
    AVT_LEVEL.store(level, Ordering::Relaxed);
    let file = match folder {
        Some(folder) => Some(LogFile::open(folder.join("iv_avt.log"), limit)?),
        None => None,
    };
    sink().file = file;
    Ok(())
}

pub fn close() {
    AVT_LEVEL.store(0, Ordering::Relaxed);
    sink().file = None;
}

/// See `log!`.
pub fn write(level: Level, text: Arguments<'_>) {
    let shown = SYSTEM_LEVEL
        .load(Ordering::Relaxed)
        .max(AVT_LEVEL.load(Ordering::Relaxed));
    if level as i32 > shown {
        return;
    }
    let name = match level {
        Level::Error => "ERR",
        Level::Warn => "WRN",
        Level::Info => "INF",
        Level::Debug => "DBG",
    };
    let now = Clock.unix();
    let line = format!("{}.{:03} {name}|iv_avt {text}", now.as_secs(), now.subsec_millis());
    // The handler is called without the lock: it may set another one.
    let handler = sink().handler;
    if let (Some(handler), Ok(line)) = (handler, CString::new(line.clone())) {
        // SAFETY: the program promised such a function; the line lives through the call.
        if unsafe { handler(line.as_ptr()) } != 0 {
            return;
        }
    }
    match &mut sink().file {
        Some(file) => file.write(&line),
        None => {
            // Nobody can be told that stderr is closed.
            let _closed = writeln!(std::io::stderr(), "{line}");
        }
    }
}

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogFile {
    fn open(path: PathBuf, limit: u32) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            written,
            limit: u64::from(limit.max(4096)),
        })
    }

    fn write(&mut self, line: &str) {
        if self.written + line.len() as u64 + 1 > self.limit {
            let old = self.path.with_extension("log.1");
            // A disk that is full loses lines, and nothing else.
            let _kept = std::fs::rename(&self.path, old);
            if let Ok(file) = File::create(&self.path) {
                (self.file, self.written) = (file, 0);
            }
        }
        if writeln!(self.file, "{line}").is_ok() {
            self.written += line.len() as u64 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_becomes_the_old_one() {
        let folder = std::env::temp_dir().join(format!("iv-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut file = LogFile::open(folder.join("iv_avt.log"), 4096).unwrap();
        for number in 0..100 {
            file.write(&format!("line {number:03} {}", "x".repeat(90)));
        }
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(read("iv_avt.log").len() <= 4096 && read("iv_avt.log.1").len() <= 4096);
        assert!(read("iv_avt.log").contains("line 099"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
