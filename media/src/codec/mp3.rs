//! MP3 by LAME, which is loaded when it is needed: its licence (LGPL) asks that users may replace it. Debian: `libmp3lame0`.

use std::ffi::{c_int, c_uchar, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::CodecError;

/// Names under which systems have it.
const NAMES: [&str; 3] = ["libmp3lame.so.0", "libmp3lame.so", "libmp3lame.dylib"];
const CODEC: &str = "MP3";

type Handle = *mut c_void;

/// The functions of `lame.h` that are used. They stay valid: the library is never unloaded.
struct Lame {
    init: unsafe extern "C" fn() -> Handle,
    close: unsafe extern "C" fn(Handle) -> c_int,
    set_in_samplerate: unsafe extern "C" fn(Handle, c_int) -> c_int,
    set_num_channels: unsafe extern "C" fn(Handle, c_int) -> c_int,
    set_brate: unsafe extern "C" fn(Handle, c_int) -> c_int,
    init_params: unsafe extern "C" fn(Handle) -> c_int,
    encode: unsafe extern "C" fn(Handle, *const f32, *const f32, c_int, *mut c_uchar, c_int) -> c_int,
    flush: unsafe extern "C" fn(Handle, *mut c_uchar, c_int) -> c_int,
    tag: unsafe extern "C" fn(Handle, *mut c_uchar, usize) -> usize,
    _library: Library,
}

/// Whether LAME is installed.
pub fn is_available() -> bool {
    lame().is_some()
}

fn lame() -> Option<&'static Lame> {
    static LAME: OnceLock<Option<Lame>> = OnceLock::new();
    LAME.get_or_init(|| NAMES.iter().find_map(|name| load(name))).as_ref()
}

fn load(name: &str) -> Option<Lame> {
    // SAFETY: LAME has no initialisers with preconditions, and each symbol is given the type that lame.h declares. The pointers
    // are used while `_library` is alive, which is for ever.
    unsafe {
        let library = Library::new(name).ok()?;
        Some(Lame {
            init: *library.get(b"lame_init\0").ok()?,
            close: *library.get(b"lame_close\0").ok()?,
            set_in_samplerate: *library.get(b"lame_set_in_samplerate\0").ok()?,
            set_num_channels: *library.get(b"lame_set_num_channels\0").ok()?,
            set_brate: *library.get(b"lame_set_brate\0").ok()?,
            init_params: *library.get(b"lame_init_params\0").ok()?,
            encode: *library.get(b"lame_encode_buffer_ieee_float\0").ok()?,
            flush: *library.get(b"lame_encode_flush\0").ok()?,
            tag: *library.get(b"lame_get_lametag_frame\0").ok()?,
            _library: library,
        })
    }
}

/// Encodes one stream at a constant bitrate.
pub struct Mp3Encoder {
    lame: &'static Lame,
    handle: Handle,
    channels: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    out: Vec<u8>,
}

// SAFETY: LAME keeps all state of a stream behind its handle, and a `Mp3Encoder` is used by one thread at a time.
unsafe impl Send for Mp3Encoder {}

impl Mp3Encoder {
    /// `channels`: 1 or 2.
    ///
    /// Errors: [`CodecError::SetUp`], also where LAME is not installed.
    pub fn new(sample_rate: u32, channels: usize, bitrate_kbps: u32) -> Result<Self, CodecError> {
        let failed = |reason: &str| CodecError::SetUp {
            codec: CODEC,
            reason: reason.to_owned(),
        };
        let lame = lame().ok_or_else(|| failed("libmp3lame is not installed (Debian: libmp3lame0)"))?;
        // SAFETY: `lame_init` has no preconditions.
        let handle = unsafe { (lame.init)() };
        if handle.is_null() {
            return Err(failed("no memory"));
        }
        let encoder = Self {
            lame,
            handle,
            channels: channels.clamp(1, 2),
            left: Vec::new(),
            right: Vec::new(),
            out: Vec::new(),
        };
        // SAFETY: the handle is that of `lame_init` and is not yet closed.
        let done = unsafe {
            (lame.set_in_samplerate)(handle, sample_rate as c_int);
            (lame.set_num_channels)(handle, encoder.channels as c_int);
            (lame.set_brate)(handle, bitrate_kbps as c_int);
            (lame.init_params)(handle)
        };
        match done {
            0 => Ok(encoder),
            _ => Err(failed("the parameters were refused")),
        }
    }

    /// Encodes interleaved samples, -1.0 to 1.0; answers whole frames, or nothing yet.
    ///
    /// Errors: [`CodecError::Encode`].
    pub fn encode(&mut self, pcm: &[f32]) -> Result<&[u8], CodecError> {
        self.left.clear();
        self.right.clear();
        for frame in pcm.chunks_exact(self.channels) {
            self.left.push(frame[0]);
            self.right.push(frame[self.channels - 1]);
        }
        // lame.h: 1.25 * samples + 7200 bytes are always enough.
        self.out.resize(self.left.len() * 5 / 4 + 7200, 0);
        // SAFETY: both buffers have the stated number of samples, and `out` the stated number of bytes.
        let length = unsafe {
            (self.lame.encode)(
                self.handle,
                self.left.as_ptr(),
                self.right.as_ptr(),
                self.left.len() as c_int,
                self.out.as_mut_ptr(),
                self.out.len() as c_int,
            )
        };
        self.made(length)
    }

    /// The last frames.
    ///
    /// Errors: [`CodecError::Encode`].
    pub fn finish(&mut self) -> Result<&[u8], CodecError> {
        self.out.resize(7200, 0);
        // SAFETY: `out` has the stated number of bytes.
        let length = unsafe { (self.lame.flush)(self.handle, self.out.as_mut_ptr(), self.out.len() as c_int) };
        self.made(length)
    }

    /// The frame with the file's length, which takes the place of the first one. Empty: there is none.
    pub fn info_frame(&mut self) -> &[u8] {
        self.out.resize(7200, 0);
        // SAFETY: `out` has the stated number of bytes; LAME writes nothing where it needs more.
        let length = unsafe { (self.lame.tag)(self.handle, self.out.as_mut_ptr(), self.out.len()) };
        self.out.get(..length).unwrap_or_default()
    }

    fn made(&self, length: c_int) -> Result<&[u8], CodecError> {
        let made = usize::try_from(length).ok().and_then(|length| self.out.get(..length));
        made.ok_or_else(|| CodecError::Encode {
            codec: CODEC,
            reason: format!("LAME answers {length}"),
        })
    }
}

impl Drop for Mp3Encoder {
    fn drop(&mut self) {
        // SAFETY: the handle is that of `lame_init`, and this is its last use.
        unsafe { (self.lame.close)(self.handle) };
    }
}
