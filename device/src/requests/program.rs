//! The program's channels and its own commands, and memory that it hands over.

use std::ffi::c_char;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::abi::{self, Memory, err};
use crate::calls::Functions;
use crate::engine::Engine;
use crate::log::log;
use crate::message::MAX_COMMAND;
use crate::protocol::{Answer, Refusal};
use crate::streams::StreamKey;

/// Longest name of a channel, bytes.
const MAX_NAME: usize = 1024;

/// A channel, as the program told it.
#[derive(Debug, Clone)]
pub struct ChannelState {
    pub name: String,
    pub is_online: bool,
}

/// Asks for each channel's name, and tells the viewer what there is.
pub async fn hello(engine: &Rc<Engine>, visitor: u32) -> Result<Answer, Refusal> {
    let system = &engine.config.system;
    let mut channels = Vec::new();
    if system.names_channels {
        for channel in 0..system.channels {
            let key = StreamKey::new(visitor, channel, 0);
            // The first channel without a name ends the series.
            match engine.calls.ask(move |functions| channel_name(functions, key)).await? {
                Some(state) => channels.push(state),
                None => break,
            }
        }
    } else {
        channels.push(ChannelState {
            name: system.name.clone(),
            is_online: true,
        });
    }
    let told: Vec<Value> = (0_u32..)
        .zip(&channels)
        .map(|(channel, state)| json!({"channel": channel, "name": state.name, "online": state.is_online}))
        .collect();
    engine.set_channels(channels);
    let downloads = engine.calls.has_downloads();
    Ok(Answer::of(json!({
        "visitor": visitor, "product": system.product, "device": system.name, "channels": told, "downloads": downloads,
    })))
}

fn channel_name(functions: &Functions, key: StreamKey) -> Option<ChannelState> {
    let mut argument = abi::ChannelName {
        name: Memory::default(),
        is_online: 0,
    };
    let code = functions.command(abi::COMMAND_CHN_NAME, key, &mut argument);
    let name = take(argument.name, MAX_NAME).ok()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_named = code == err::NONE && !name.is_empty();
    is_named.then(|| ChannelState {
        name: String::from_utf8_lossy(name).into_owned(),
        is_online: argument.is_online != 0,
    })
}

/// A command of the application, with its reply.
pub async fn command(engine: &Rc<Engine>, visitor: u32, channel: u32, mut data: Vec<u8>) -> Result<Answer, Refusal> {
    engine.is_online(channel)?;
    if data.len() > MAX_COMMAND {
        return Err(Refusal::new(
            "too_large",
            format!("a command has at most {MAX_COMMAND} bytes, this has {}", data.len()),
        ));
    }
    let key = StreamKey::new(visitor, channel, 0);
    let answered = engine.calls.ask(move |functions| {
        let length = data.len() as u32;
        // A zero behind the data: programs like to take text for text.
        data.push(0);
        let mut argument = abi::UserData {
            src: data.as_mut_ptr().cast::<c_char>(),
            src_len: length,
            dst: Memory::default(),
        };
        let code = functions.command(abi::COMMAND_USR_DATA, key, &mut argument);
        (code, take(argument.dst, MAX_COMMAND))
    });
    match answered.await? {
        (err::NONE, Ok(reply)) if reply.is_empty() => {
            Err(Refusal::new("channel_disconnected", "the channel is disconnected"))
        }
        (err::NONE, Ok(binary)) => Ok(Answer {
            fields: json!({}),
            binary,
        }),
        (err::NONE, Err(size)) => {
            log!(Error, "the program's reply of {size} bytes is over {MAX_COMMAND}");
            Err(Refusal::new("internal", "the device's reply is too large"))
        }
        (code, _) => Err(Refusal::by_program(code)),
    }
}

/// Copies the program's memory and frees it, once; Err: its size, which is over `most`.
pub fn take(memory: Memory, most: usize) -> Result<Vec<u8>, usize> {
    if memory.buf.is_null() {
        return Ok(Vec::new());
    }
    let copied = if memory.size > most {
        Err(memory.size)
    } else {
        // SAFETY: the program says that so much is there.
        Ok(unsafe { std::slice::from_raw_parts(memory.buf, memory.size) }.to_vec())
    };
    if let Some(free) = memory.free {
        // SAFETY: the program gave the function for this memory.
        unsafe { free(memory.buf, memory.size) };
    }
    copied
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static FREED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn free(_: *mut u8, size: usize) {
        FREED.fetch_add(size, Ordering::Relaxed);
    }

    #[test]
    fn memory_of_the_program_is_freed_once_whether_it_is_taken_or_too_large() {
        let mut bytes = *b"reply";
        let memory = || Memory {
            buf: bytes.as_mut_ptr(),
            size: 5,
            free: Some(free),
        };
        let mut memory = memory;
        assert_eq!(take(memory(), 5), Ok(b"reply".to_vec()));
        assert_eq!(FREED.load(Ordering::Relaxed), 5);
        assert_eq!(take(memory(), 4), Err(5));
        assert_eq!(FREED.load(Ordering::Relaxed), 10);
        let without = Memory { free: None, ..memory() };
        assert_eq!(take(without, 5), Ok(b"reply".to_vec()));
        assert_eq!(FREED.load(Ordering::Relaxed), 10);
        assert_eq!(take(Memory::default(), 5), Ok(Vec::new()));
    }
}
