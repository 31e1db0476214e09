//! Recordings: the program's lists of them, and the controls of a playback.

use std::ffi::{c_int, c_void};
use std::rc::Rc;

use serde_json::{Value, json};

use super::{field, take};
use crate::abi::{self, Enum, FileInfo, TimeFragment, err};
use crate::calls::Functions;
use crate::engine::Engine;
use crate::protocol::{Answer, Refusal, TimeSpan, fragment_json};
use crate::streams::StreamKey;

/// Most recordings or files of one answer.
const MAX_LIST: usize = 600;
/// Longest application data of a file, bytes.
const MAX_EXTRA: usize = 4096;

/// The days of a month that have recordings.
pub async fn month(engine: &Rc<Engine>, key: StreamKey, year: u32, month: u32, kind: u32) -> Result<Answer, Refusal> {
    if !(1..=12).contains(&month) || !(1970..=9999).contains(&year) {
        return Err(Refusal::new("bad_request", format!("{year}-{month} is no month")));
    }
    let mut query = abi::QueryMonth {
        year,
        month,
        kind,
        days: 0,
    };
    let answered = engine.calls.ask(move |functions| {
        let code = functions.command(abi::COMMAND_QUERY_MONTH, key, &mut query);
        (code, query.days)
    });
    match answered.await? {
        (err::NONE, days) => Ok(field("days", days)),
        (code, _) => Err(Refusal::by_program(code)),
    }
}

/// The recordings of a time.
pub async fn day(engine: &Rc<Engine>, key: StreamKey, time: TimeSpan) -> Result<Answer, Refusal> {
    let found = engine.calls.ask(move |functions| {
        let mut query = abi::QueryDay {
            fragment: time.into(),
            free: None,
            array: std::ptr::null_mut(),
        };
        let code = functions.command(abi::COMMAND_QUERY_DAY, key, &mut query);
        // SAFETY: the program made the list, with `count` fragments behind it.
        let found = unsafe {
            let array = query.array;
            let list = array
                .as_ref()
                .map(|array| (array.count, (&raw const (*query.array).list).cast::<TimeFragment>()));
            take_list(list, array.cast(), query.free, |fragment| {
                Some(fragment_json(&fragment))
            })
        };
        (code, found)
    });
    listed("fragments", found.await?)
}

/// The files of a time that can be downloaded.
pub async fn files(engine: &Rc<Engine>, key: StreamKey, time: TimeSpan) -> Result<Answer, Refusal> {
    let found = engine.calls.ask(move |functions| {
        let mut query = abi::QueryFiles {
            fragment: time.into(),
            free: None,
            array: std::ptr::null_mut(),
        };
        let code = functions.command(abi::COMMAND_QUERY_FILE_LIST, key, &mut query);
        // SAFETY: the program made the list, with `count` files behind it.
        let found = unsafe {
            let array = query.array;
            let list = array
                .as_ref()
                .map(|array| (array.count, (&raw const (*query.array).list).cast::<FileInfo>()));
            take_list(list, array.cast(), query.free, |file| Some(file_json(&file)))
        };
        (code, found)
    });
    listed("files", found.await?)
}

/// Copies a list of the program and frees it, once. `each` is called for every element, also for those past the limit: an element may
/// have memory of its own.
///
/// # Safety
/// `list` has so many elements; `free` is for the `array`.
unsafe fn take_list<T>(
    list: Option<(u32, *const T)>,
    array: *mut c_void,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
    each: impl Fn(T) -> Option<Value>,
) -> Vec<Value> {
    let Some((count, first)) = list else { return Vec::new() };
    let mut found = Vec::new();
    for at in 0..count as usize {
        // SAFETY: the caller's promise.
        let value = each(unsafe { first.add(at).read() });
        if at < MAX_LIST {
            found.extend(value);
        }
    }
    if let Some(free) = free {
        // SAFETY: the caller's promise.
        unsafe { free(array) };
    }
    found
}

fn listed(name: &str, (code, found): (c_int, Vec<Value>)) -> Result<Answer, Refusal> {
    match code {
        err::NONE => Ok(field(name, found)),
        code => Err(Refusal::by_program(code)),
    }
}

fn file_json(file: &FileInfo) -> Value {
    let name: Vec<u8> = file
        .name
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        .collect();
    let extra = take(file.extra, MAX_EXTRA).unwrap_or_default();
    json!({
        "name": String::from_utf8_lossy(&name), "type": file.kind, "size": file.size, "begin": file.begin, "end": file.end,
        "extra": String::from_utf8_lossy(&extra),
    })
}

pub async fn pause(engine: &Rc<Engine>, key: StreamKey) -> Result<Answer, Refusal> {
    control(engine, move |functions| {
        functions.plain_command(abi::COMMAND_PAUSE, key)
    })
    .await
}

pub async fn resume(engine: &Rc<Engine>, key: StreamKey) -> Result<Answer, Refusal> {
    control(engine, move |functions| {
        functions.plain_command(abi::COMMAND_RESUME, key)
    })
    .await
}

pub async fn seek(engine: &Rc<Engine>, key: StreamKey, time_ms: u64) -> Result<Answer, Refusal> {
    control_with(engine, key, abi::COMMAND_SEEK, abi::Seek { time_ms }).await
}

/// 0: every frame; else each keyframe of so many.
pub async fn forward(engine: &Rc<Engine>, key: StreamKey, speed: u32) -> Result<Answer, Refusal> {
    if speed > 3 {
        return Err(Refusal::new("bad_request", format!("speed {speed} is none of 0 to 3")));
    }
    control_with(engine, key, abi::COMMAND_FF, abi::FastForward { speed }).await
}

pub async fn speed(engine: &Rc<Engine>, key: StreamKey, time_ms: u32) -> Result<Answer, Refusal> {
    control_with(engine, key, abi::COMMAND_SPEED, abi::Speed { time_ms }).await
}

pub async fn rewind(engine: &Rc<Engine>, key: StreamKey, begin: u64, end: u64) -> Result<Answer, Refusal> {
    control_with(engine, key, abi::COMMAND_REWIND, abi::Rewind { begin, end }).await
}

async fn control_with<T: Send + 'static>(
    engine: &Rc<Engine>,
    key: StreamKey,
    command: Enum,
    mut argument: T,
) -> Result<Answer, Refusal> {
    control(engine, move |functions| functions.command(command, key, &mut argument)).await
}

async fn control(
    engine: &Rc<Engine>,
    command: impl FnOnce(&Functions) -> c_int + Send + 'static,
) -> Result<Answer, Refusal> {
    engine.calls.agree(command).await?;
    Ok(Answer::done())
}
