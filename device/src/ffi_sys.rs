//! The functions of `iv_sys.h` and `iv_log.h`.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicI64, Ordering};

use rotunda_proto::clock::Clock;

use crate::abi::{Enum, SysDeviceInfo, SysInitParm, err};
use crate::ffi_avt::guard;
use crate::instance::{SLOT, SYSTEM, Slot, lock, report};
use crate::log::{self, Handler, log};
use crate::settings::{SettingsError, System};

/// The time of `iv_sys_set_time`, as a difference from the device's clock in milliseconds.
static TIME_OFFSET: AtomicI64 = AtomicI64::new(0);

/// # Safety
/// `parm` is NULL or an initialised structure; its strings are NULL or end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_sys_init(parm: *const SysInitParm) -> c_int {
    guard(err::SYS_FAILED, || {
        // SAFETY: the caller's promise.
        let Some(parm) = (unsafe { parm.as_ref() }) else {
            report(&SettingsError::Missing("pstInitParm"));
            return err::SYS_INIT_PRM_NULL;
        };
        // SAFETY: the caller's promise.
        let read = match unsafe { System::read(parm) } {
            Ok(system) => system,
            Err(error) => {
                report(&error);
                return error.system_code();
            }
        };
        let mut system = lock(&SYSTEM);
        if system.is_some() {
            log!(Error, "iv_sys_init: it is initialised already");
            return err::SYS_STATE_ERROR;
        }
        *system = Some(read);
        err::NONE
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_exit() -> c_int {
    guard(err::SYS_FAILED, || {
        if !matches!(*lock(&SLOT), Slot::Idle) {
            log!(Error, "iv_sys_exit: iv_avt_exit comes first");
            return err::SYS_STATE_ERROR;
        }
        match lock(&SYSTEM).take() {
            Some(_) => err::NONE,
            None => err::SYS_STATE_ERROR,
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_get_certificate_type() -> Enum {
    1
}

/// # Safety
/// `milliseconds` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_sys_get_time(milliseconds: *mut u64) -> c_int {
    guard(err::SYS_FAILED, || {
        // SAFETY: the caller's promise.
        let Some(milliseconds) = (unsafe { milliseconds.as_mut() }) else {
            return err::SYS_INIT_PRM_NULL;
        };
        let own = Clock.unix().as_millis() as u64;
        *milliseconds = own.saturating_add_signed(TIME_OFFSET.load(Ordering::Relaxed));
        err::NONE
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_set_time(milliseconds: u64) -> c_int {
    guard(err::SYS_FAILED, || {
        let own = Clock.unix().as_millis() as i64;
        let wanted = i64::try_from(milliseconds).unwrap_or(i64::MAX);
        TIME_OFFSET.store(wanted.saturating_sub(own), Ordering::Relaxed);
        err::NONE
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_set_log_level(level: Enum) {
    log::set_system_level(level);
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_set_upload_level(_level: Enum) -> c_int {
    err::NONE
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_dyn_reg_device(_info: *mut SysDeviceInfo, _psk: *mut c_char, _length: c_int) -> c_int {
    err::SYS_NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn iv_sys_active_offline() -> c_int {
    err::SYS_NOT_SUPPORTED
}

/// # Safety
/// `message` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iv_sys_customer_log_report(message: *mut c_char) -> c_int {
    guard(err::SYS_FAILED, || {
        if message.is_null() {
            return err::SYS_INIT_PRM_NULL;
        }
        // SAFETY: the caller's promise.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
        log!(Error, "program: {text}");
        err::NONE
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn IOT_Log_Set_MessageHandler(handler: Option<Handler>) {
    guard((), || log::set_handler(handler));
}
