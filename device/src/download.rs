//! A file of the camera to a viewer: the program gives pieces, as fast as the viewer takes them.

use std::ffi::{c_char, c_int};
use std::rc::Rc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rotunda_proto::clock::Clock;
use serde_json::json;
use tokio::task::{JoinHandle, spawn_local};

use crate::abi::{self, DownloadParam, FILE_NAME_LENGTH, Memory, err};
use crate::calls::{Functions, Open};
use crate::engine::Engine;
use crate::log::log;
use crate::protocol::{Answer, Refusal};

/// A running download; dropping it stops the task, the program is told by the engine.
pub struct Handle {
    channel: u32,
    task: JoinHandle<()>,
}

impl Handle {
    pub fn channel(&self) -> u32 {
        self.channel
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Bytes of a piece, and pieces on their way: directly, and through the server.
const DIRECT: (usize, usize) = (16 * 1024, 8);
const RELAYED: (usize, usize) = (8 * 1024, 2);
/// Most bytes that the program may give at once.
const MAX_BLOCK: usize = 16 * 1024 * 1024;
/// How long a viewer may take for a piece.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Begins; the rest goes by itself.
pub async fn begin(
    engine: &Rc<Engine>,
    visitor: u32,
    channel: u32,
    name: &str,
    offset: u64,
) -> Result<Answer, Refusal> {
    let param = parameter(name, offset)?;
    if engine.visitors.borrow().has_download(visitor, channel) {
        return Err(Refusal::new("busy", "a file of this channel is on its way already"));
    }
    let calls = engine.calls.clone();
    let start = move |functions: &Functions| start(functions, &calls, visitor, channel, param);
    engine.calls.agree(start).await?;
    let number = engine.next_id();
    let sending = engine.clone();
    let task = spawn_local(async move {
        let (size, code) = send_all(&sending, visitor, channel, number, offset).await;
        let event = json!({"event": "downloadEnded", "download": number, "size": size, "code": code});
        sending.tell(visitor, &event);
        end(&sending, visitor, number);
    });
    let handle = Handle { channel, task };
    engine.visitors.borrow_mut().add_download(visitor, number, handle);
    Ok(Answer::of(json!({ "download": number })))
}

/// Ends a download, whether it is complete or not; answers whether it was there.
pub fn end(engine: &Rc<Engine>, visitor: u32, number: u64) -> bool {
    let handle = engine.visitors.borrow_mut().take_download(visitor, number);
    let Some(handle) = handle else { return false };
    let channel = handle.channel;
    engine
        .calls
        .post_end(move |open| *open == Open::Download { visitor, channel });
    true
}

fn parameter(name: &str, offset: u64) -> Result<DownloadParam, Refusal> {
    let wrong = |what: String| Refusal::new("bad_request", what);
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= FILE_NAME_LENGTH || bytes.contains(&0) {
        return Err(wrong(format!("name has {} bytes: 1 to 127 are allowed", bytes.len())));
    }
    // The program opens what it is given: a path of the viewer's would be a hole.
    if name.split(['/', '\\']).any(|part| part == "..") || name.starts_with('/') {
        return Err(wrong("name leads out of the recordings".to_owned()));
    }
    let offset = c_int::try_from(offset).map_err(|_| wrong(format!("offset {offset} is over 2147483647")))?;
    let mut param = DownloadParam {
        name: [0; FILE_NAME_LENGTH],
        offset,
    };
    for (to, from) in param.name.iter_mut().zip(bytes) {
        *to = c_char::from_ne_bytes([*from]);
    }
    Ok(param)
}

fn start(
    functions: &Functions,
    calls: &crate::calls::Calls,
    visitor: u32,
    channel: u32,
    mut param: DownloadParam,
) -> c_int {
    let Some(download) = functions.download_file else {
        return err::FAILED;
    };
    // SAFETY: the program promised such a function; the parameter lives through the call.
    let code = unsafe { download(abi::DOWNLOAD_START, visitor, channel, (&raw mut param).cast()) };
    if code == err::NONE {
        calls.open(Open::Download { visitor, channel });
    }
    code
}

/// The next block of the file, and the program's code; an empty one ends it.
fn next_block(functions: &Functions, visitor: u32, channel: u32) -> (Vec<u8>, c_int) {
    let Some(download) = functions.download_file else {
        return (Vec::new(), err::FAILED);
    };
    let mut memory = Memory::default();
    // SAFETY: the program promised such a function; the memory's description lives through the call.
    let code = unsafe { download(abi::DOWNLOAD_RUNNING, visitor, channel, (&raw mut memory).cast()) };
    let block = crate::requests::take(memory, MAX_BLOCK);
    match (code, block) {
        (err::NONE, Ok(block)) => (block, err::NONE),
        (err::NONE, Err(size)) => {
            log!(Error, "a block of {size} bytes of a download is too large");
            (Vec::new(), err::SEND_STREAM_TOO_BIG)
        }
        (code, _) => (Vec::new(), code),
    }
}

/// Answers how many bytes of the file the viewer has, and the code with which it ended.
async fn send_all(engine: &Rc<Engine>, visitor: u32, channel: u32, number: u64, offset: u64) -> (u64, c_int) {
    let mut at = offset;
    let mut on_the_way = FuturesUnordered::new();
    loop {
        let block = engine
            .calls
            .ask(move |functions| next_block(functions, visitor, channel))
            .await;
        let Ok((block, code)) = block else {
            return (at, err::STATE_ERROR);
        };
        if block.is_empty() {
            while let Some(answered) = on_the_way.next().await {
                let answered: bool = answered;
                if !answered {
                    return (at, err::SEND_DATA_TIMEOUT);
                }
            }
            return (at, code);
        }
        let (piece, most) = if engine.has_direct(visitor) { DIRECT } else { RELAYED };
        for piece in block.chunks(piece) {
            let asked = engine.ask(
                visitor,
                json!({"op": "piece", "download": number, "offset": at}),
                piece.to_vec(),
            );
            at += piece.len() as u64;
            on_the_way.push(async move { matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(_))) });
            while on_the_way.len() >= most {
                if on_the_way.next().await == Some(false) {
                    log!(Info, "visitor {visitor} does not take the file any more");
                    return (at, err::SEND_DATA_TIMEOUT);
                }
            }
        }
        // Other tasks have their turn, however fast the program is.
        Clock.sleep_until(Clock.now()).await;
    }
}
