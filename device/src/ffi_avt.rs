//! The functions of `iv_avt.h`. None of them lets a panic out.

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::abi::{self, AudioPack, AudioStream, AvStream, Enum, InitParm, SendStats, VideoPack, VideoStream, err};
use crate::access_unit::FrameKind;
use crate::calls::Functions;
use crate::instance::{Instance, SLOT, SYSTEM, Slot, lock, report, running};
use crate::log::log;
use crate::message::MAX_COMMAND;
use crate::settings::{Avt, SettingsError};
use crate::streams::StreamKey;

/// Runs a function of the interface; a panic is a fault of the library, and the program gets an error.
pub fn guard<T>(failed: T, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        log!(Error, "a function of the library has failed: a fault of the library");
        failed
    })
}

/// # Safety
/// `parm` is NULL or an initialised structure; its strings are NULL or end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_avt_init(parm: *const InitParm) -> c_int {
    guard(err::FAILED, || {
        // SAFETY: the caller's promise.
        let Some(parm) = (unsafe { parm.as_ref() }) else {
            report(&SettingsError::Missing("pstInitParm"));
            return err::INIT_PRM_NULL;
        };
        // SAFETY: the caller's promise.
        let avt = match unsafe { Avt::read(parm) } {
            Ok(avt) => avt,
            Err(error) => {
                report(&error);
                return error.avt_code();
            }
        };
        let Some(functions) = Functions::of(parm) else {
            return err::INIT_CB_NULL;
        };
        let mut slot = lock(&SLOT);
        if !matches!(*slot, Slot::Idle) {
            log!(Error, "iv_avt_init: it is initialised already");
            return err::STATE_ERROR;
        }
        let Some(system) = lock(&SYSTEM).clone() else {
            log!(Error, "iv_avt_init: iv_sys_init comes first");
            return err::STATE_ERROR;
        };
        match Instance::start(system, avt, functions) {
            Ok(instance) => {
                *slot = Slot::Running(Arc::new(instance));
                err::NONE
            }
            Err(code) => code,
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_avt_exit() -> c_int {
    guard(err::FAILED, || {
        let instance = {
            let mut slot = lock(&SLOT);
            match std::mem::replace(&mut *slot, Slot::Exiting) {
                Slot::Running(instance) => instance,
                other => {
                    *slot = other;
                    return err::STATE_ERROR;
                }
            }
        };
        // Without the lock: callbacks that still run may call the library.
        instance.exit();
        *lock(&SLOT) = Slot::Idle;
        err::NONE
    })
}

/// # Safety
/// `stream` is NULL or a structure of the stream type, whose packs have the bytes that they tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_avt_send_stream(
    visitor: u32,
    channel: u32,
    quality: Enum,
    kind: Enum,
    stream: *mut std::ffi::c_void,
) -> c_int {
    guard(err::FAILED, || {
        let Some(instance) = running() else {
            return err::STATE_ERROR;
        };
        if stream.is_null() {
            return err::INPUT_PARAM_NULL;
        }
        let key = StreamKey::new(visitor, channel, quality);
        // SAFETY: the caller's promise, for each of the three.
        unsafe {
            match kind {
                abi::STREAM_TYPE_AUDIO => send_audio(&instance, key, &*stream.cast::<AudioStream>()),
                abi::STREAM_TYPE_VIDEO => send_video(&instance, key, &*stream.cast::<VideoStream>()),
                abi::STREAM_TYPE_AV => {
                    let both = &*stream.cast::<AvStream>();
                    match send_video(&instance, key, &both.video) {
                        err::NONE => send_audio(&instance, key, &both.audio),
                        code => code,
                    }
                }
                _ => err::INPUT_PARAM_INVALID,
            }
        }
    })
}

/// # Safety
/// The packs have the bytes that they tell.
unsafe fn send_audio(instance: &Instance, key: StreamKey, stream: &AudioStream) -> c_int {
    // SAFETY: the caller's promise.
    let packs = match unsafe { packs(&stream.packs, stream.count) } {
        Ok(packs) => packs,
        Err(code) => return code,
    };
    if too_big(instance, packs.iter().map(|pack| pack.length)) {
        return err::SEND_STREAM_TOO_BIG;
    }
    for pack in packs {
        let AudioPack {
            address, length, pts, ..
        } = *pack;
        // SAFETY: the caller's promise.
        let data = match unsafe { bytes(address, length) } {
            Ok(data) => data,
            Err(code) => return code,
        };
        let code = instance.send_audio(key, pts, data);
        if code != err::NONE {
            return code;
        }
    }
    err::NONE
}

/// # Safety
/// The packs have the bytes that they tell.
unsafe fn send_video(instance: &Instance, key: StreamKey, stream: &VideoStream) -> c_int {
    // SAFETY: the caller's promise.
    let packs = match unsafe { packs(&stream.packs, stream.count) } {
        Ok(packs) => packs,
        Err(code) => return code,
    };
    if too_big(instance, packs.iter().map(|pack| pack.length)) {
        return err::SEND_STREAM_TOO_BIG;
    }
    // Packs of one time are one access unit.
    for unit in packs.chunk_by(|one, other| one.pts == other.pts) {
        let mut data = BytesMut::new();
        let mut flagged = FrameKind::Delta;
        for pack in unit {
            let VideoPack {
                address,
                length,
                frame_type,
                ..
            } = **pack;
            flagged = match frame_type {
                abi::FRAME_I => FrameKind::Key,
                abi::FRAME_P => flagged,
                _ => return err::INPUT_PARAM_INVALID,
            };
            // SAFETY: the caller's promise.
            match unsafe { bytes(address, length) } {
                Ok(piece) => data.extend_from_slice(piece),
                Err(code) => return code,
            }
        }
        let pts = unit.first().map_or(0, |pack| pack.pts);
        let code = instance.send_video(key, pts, Bytes::from(data), flagged);
        if code != err::NONE {
            return code;
        }
    }
    err::NONE
}

/// `max_frame_size` limits all data of a call, not each pack.
fn too_big(instance: &Instance, lengths: impl Iterator<Item = u32>) -> bool {
    lengths.map(|length| length as usize).sum::<usize>() >= instance.max_frame()
}

/// # Safety
/// The pointers are NULL or lead to packs that live as long as the array.
unsafe fn packs<T>(packs: &[*mut T], count: u32) -> Result<Vec<&T>, c_int> {
    let count = count as usize;
    if count == 0 || count > packs.len() {
        return Err(err::INPUT_PARAM_INVALID);
    }
    let read = |pack: &*mut T| {
        // SAFETY: the caller's promise.
        unsafe { pack.as_ref() }.ok_or(err::INPUT_PARAM_NULL)
    };
    packs[..count].iter().map(read).collect()
}

/// # Safety
/// `length` bytes are there.
unsafe fn bytes<'a>(address: *const u8, length: u32) -> Result<&'a [u8], c_int> {
    if address.is_null() {
        return Err(err::INPUT_PARAM_NULL);
    }
    match length as usize {
        0 => Err(err::INPUT_PARAM_INVALID),
        // SAFETY: the caller's promise.
        length => Ok(unsafe { std::slice::from_raw_parts(address, length) }),
    }
}

/// # Safety
/// `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_avt_get_send_stream_status(
    visitor: u32,
    channel: u32,
    quality: Enum,
    out: *mut SendStats,
) -> c_int {
    guard(err::FAILED, || {
        // SAFETY: the caller's promise.
        let Some(out) = (unsafe { out.as_mut() }) else {
            return err::INPUT_PARAM_NULL;
        };
        *out = SendStats::default();
        let key = StreamKey::new(visitor, channel, quality);
        match running().and_then(|instance| instance.statistics(key)) {
            Some(statistics) => {
                *out = statistics;
                err::NONE
            }
            None => err::STATE_ERROR,
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_avt_get_send_stream_buf(visitor: u32, channel: u32, quality: Enum) -> usize {
    let key = StreamKey::new(visitor, channel, quality);
    guard(0, || running().map_or(0, |instance| instance.buffered(key)))
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_avt_send_finish_stream(visitor: u32, channel: u32, quality: Enum) -> c_int {
    let key = StreamKey::new(visitor, channel, quality);
    guard(err::FAILED, || {
        running().map_or(err::STATE_ERROR, |instance| instance.finish(key))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_avt_send_finish_stream_msg(visitor: u32, channel: u32, quality: Enum) -> c_int {
    let key = StreamKey::new(visitor, channel, quality);
    guard(err::FAILED, || {
        running().map_or(err::STATE_ERROR, |instance| instance.announce_finish(key))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_avt_recv_finish_stream(visitor: u32, channel: u32) -> c_int {
    guard(err::FAILED, || {
        running().map_or(err::STATE_ERROR, |instance| instance.finish_talk(visitor, channel))
    })
}

/// # Safety
/// `message` has `length` bytes; `buffer` has `*buffer_length` bytes of room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_avt_send_command(
    visitor: u32,
    message: *const c_char,
    length: usize,
    buffer: *mut u8,
    buffer_length: *mut usize,
    timeout_ms: u32,
) -> c_int {
    guard(err::FAILED, || {
        if message.is_null() || buffer.is_null() || buffer_length.is_null() {
            return err::INPUT_PARAM_NULL;
        }
        // SAFETY: the caller's promise.
        let room = std::mem::take(unsafe { &mut *buffer_length });
        if length == 0 {
            return err::INPUT_PARAM_INVALID;
        }
        let instance = running();
        let most = instance
            .as_ref()
            .map_or(usize::MAX, |instance| instance.max_frame() - 1);
        if length > most.min(MAX_COMMAND) {
            return err::SEND_STREAM_TOO_BIG;
        }
        let Some(instance) = instance else {
            return err::STATE_ERROR;
        };
        // SAFETY: the caller's promise.
        let data = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), length) }.to_vec();
        match instance.send_command(visitor, data, timeout_ms) {
            Ok(reply) => {
                let copied = reply.len().min(room);
                // SAFETY: the caller's promise.
                unsafe {
                    std::ptr::copy_nonoverlapping(reply.as_ptr(), buffer, copied);
                    *buffer_length = copied;
                }
                err::NONE
            }
            Err(code) => code,
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_avt_get_peerinfo() -> *const c_char {
    guard(c"".as_ptr(), || {
        running().map_or(c"".as_ptr(), |instance| instance.peer_info().as_c_str().as_ptr())
    })
}
