//! The effect of each request of a viewer.

use std::ffi::{c_char, c_int, c_void};
use std::rc::Rc;
use std::sync::Arc;

use rotunda_proto::clock::Clock;
use serde_json::{Value, json};

use crate::abi::{self, AvDataInfo, Enum, Memory, TimeFragment, err};
use crate::access_unit::VideoCodec;
use crate::audio::{Format, FromOpus};
use crate::calls::{Functions, Open};
use crate::download;
use crate::engine::{ChannelState, Engine, Talk};
use crate::log::log;
use crate::message::MAX_COMMAND;
use crate::protocol::{Answer, Quality, Refusal, Request, TimeSpan, fragment_json};
use crate::relay::Source;
use crate::streams::{Channel, Coding, StreamKey, chain};

/// Most recordings or files of one answer.
const MAX_LIST: usize = 600;

pub async fn handle(engine: &Rc<Engine>, visitor: u32, request: Request, binary: Vec<u8>) -> Result<Answer, Refusal> {
    let plain = |channel: u32, command: Enum| {
        playback_command(engine, visitor, channel, move |functions, key| {
            functions.plain_command(command, key)
        })
    };
    match request {
        Request::Hello {} => hello(engine, visitor).await,
        Request::Bye {} | Request::Ping {} => Ok(Answer::done()),
        Request::Play {
            channel,
            quality,
            codecs,
            time,
        } => {
            let key = StreamKey {
                visitor,
                channel,
                quality: quality.number(),
            };
            play(engine, key, &codecs, time).await
        }
        Request::Stop { channel, quality } => {
            let key = playing(
                engine,
                StreamKey {
                    visitor,
                    channel,
                    quality: quality.number(),
                },
            )?;
            engine.end_stream(key);
            Ok(Answer::done())
        }
        Request::Talk { channel } => talk(engine, visitor, channel).await,
        Request::TalkEnd { channel } => match engine.end_talk(visitor, Some(channel)) {
            true => Ok(Answer::done()),
            false => Err(Refusal::new("not_playing", "you do not talk on this channel")),
        },
        Request::Command { channel } => user_data(engine, visitor, channel, binary).await,
        Request::Keyframe { channel, quality } => {
            let key = playing(
                engine,
                StreamKey {
                    visitor,
                    channel,
                    quality: quality.number(),
                },
            )?;
            if let Some(path) = engine.streams.channel(key) {
                path.ask_for_keyframe(Clock.now(), key);
            }
            Ok(Answer::done())
        }
        Request::Month {
            channel,
            year,
            month,
            kind,
        } => {
            if !(1..=12).contains(&month) || !(1970..=9999).contains(&year) {
                return Err(Refusal::new("bad_request", format!("{year}-{month} is no month")));
            }
            known_channel(engine, channel)?;
            let key = StreamKey {
                visitor,
                channel,
                quality: abi::VIDEO_RES_PB,
            };
            let mut query = abi::QueryMonth {
                year,
                month,
                kind,
                days: 0,
            };
            let answered = engine
                .calls
                .ask(move |functions| (functions.command(abi::COMMAND_QUERY_MONTH, key, &mut query), query.days))
                .await;
            let (code, days) = answered.ok_or_else(Refusal::exiting)?;
            accepted(code)?;
            Ok(Answer::of(json!({ "days": days })))
        }
        Request::Day { channel, time } => {
            let fragments = query_day(engine, visitor, channel, time).await?;
            Ok(Answer::of(json!({ "fragments": fragments })))
        }
        Request::Files { channel, time } => {
            let files = query_files(engine, visitor, channel, time).await?;
            Ok(Answer::of(json!({ "files": files })))
        }
        Request::Pause { channel } => plain(channel, abi::COMMAND_PAUSE).await,
        Request::Resume { channel } => plain(channel, abi::COMMAND_RESUME).await,
        Request::Seek { channel, time } => {
            let mut argument = abi::Seek { time_ms: time };
            playback_command(engine, visitor, channel, move |functions, key| {
                functions.command(abi::COMMAND_SEEK, key, &mut argument)
            })
            .await
        }
        Request::Forward { channel, speed } => {
            if speed > 3 {
                return Err(Refusal::new("bad_request", format!("speed {speed} is none of 0 to 3")));
            }
            let mut argument = abi::FastForward { speed };
            playback_command(engine, visitor, channel, move |functions, key| {
                functions.command(abi::COMMAND_FF, key, &mut argument)
            })
            .await
        }
        Request::Speed { channel, interval } => {
            let mut argument = abi::Speed { time_ms: interval };
            playback_command(engine, visitor, channel, move |functions, key| {
                functions.command(abi::COMMAND_SPEED, key, &mut argument)
            })
            .await
        }
        Request::Rewind { channel, begin, end } => {
            let mut argument = abi::Rewind { begin, end };
            playback_command(engine, visitor, channel, move |functions, key| {
                functions.command(abi::COMMAND_REWIND, key, &mut argument)
            })
            .await
        }
        Request::Download { channel, name, offset } => {
            known_channel(engine, channel)?;
            download::begin(engine, visitor, channel, &name, offset).await
        }
        Request::DownloadEnd { download } => match download::end(engine, visitor, download) {
            true => Ok(Answer::done()),
            false => Err(Refusal::new("not_playing", format!("there is no download {download}"))),
        },
        Request::Direct { offer } => engine.connect_directly(visitor, &offer).await,
    }
}

async fn hello(engine: &Rc<Engine>, visitor: u32) -> Result<Answer, Refusal> {
    let system = &engine.config.system;
    let mut channels = Vec::new();
    if system.names_channels {
        for channel in 0..system.channels {
            let key = StreamKey {
                visitor,
                channel,
                quality: 0,
            };
            let named = engine.calls.ask(move |functions| channel_name(functions, key)).await;
            // The first that has none ends the series.
            match named.ok_or_else(Refusal::exiting)? {
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
    let told: Vec<Value> = channels
        .iter()
        .enumerate()
        .map(|(channel, state)| json!({"channel": channel, "name": state.name, "online": state.is_online}))
        .collect();
    engine.state.borrow_mut().channels = Some(channels);
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
    let name = take(argument.name, 1024).ok()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_named = code == err::NONE && !name.is_empty();
    is_named.then(|| ChannelState {
        name: String::from_utf8_lossy(name).into_owned(),
        is_online: argument.is_online != 0,
    })
}

async fn play(engine: &Rc<Engine>, key: StreamKey, codecs: &[String], time: TimeSpan) -> Result<Answer, Refusal> {
    if !known_channel(engine, key.channel)? {
        return Err(Refusal::new(
            "channel_offline",
            format!("channel {} is offline", key.channel),
        ));
    }
    if engine.streams.is_playing(key) {
        return Err(Refusal::new("already_playing", "this stream comes already"));
    }
    request_stream(engine, key, abi::REQUEST_SEND_STREAM).await?;
    let info = encoding_info(engine, key).await?;
    let coding = coding(&info, codecs)?;
    let (path, member) = open_path(engine, key, coding).await?;
    engine.streams.set(key, path.clone());
    let calls = engine.calls.clone();
    let started = engine
        .calls
        .ask(move |functions| start(functions, &calls, key, time))
        .await;
    started.ok_or_else(Refusal::exiting)?;
    let place = engine.place(key, &path);
    let mut fields = json!({
        "path": path.path.name(), "member": member, "line": place,
        "video": {"codec": coding.video.name(), "width": info.width, "height": info.height, "framerate": info.framerate},
    });
    if let Some(audio) = coding.audio {
        fields["audio"] = json!({"codec": audio.codec.name(), "sampleRate": audio.rate, "channels": audio.channels});
    }
    Ok(Answer::of(fields))
}

/// The way for a new stream; the server's where others watch it, and those who had it directly come along.
async fn open_path(
    engine: &Rc<Engine>,
    key: StreamKey,
    coding: Coding,
) -> Result<(Arc<Channel>, Option<String>), Refusal> {
    let is_playback = key.quality == abi::VIDEO_RES_PB;
    let others = if is_playback {
        Vec::new()
    } else {
        engine.streams.of_stream(key.channel, key.quality)
    };
    if others.is_empty()
        && let Some(channel) = engine.open_direct(key, coding)?
    {
        return Ok((channel, None));
    }
    let source = Source {
        channel: key.channel,
        quality: key.quality,
        owner: is_playback.then_some(key.visitor),
    };
    let relayed = engine.open_relay(source, coding).await?;
    if !is_playback {
        engine.move_to_relay(source, &relayed);
    }
    Ok((relayed.channel, Some(relayed.member.to_string())))
}

fn start(functions: &Functions, calls: &crate::calls::Calls, key: StreamKey, time: TimeSpan) {
    let mut fragment = TimeFragment {
        kind: time.kind,
        begin: time.begin,
        end: time.end,
    };
    let args: *mut c_void = if key.quality == abi::VIDEO_RES_PB {
        (&raw mut fragment).cast()
    } else {
        std::ptr::null_mut()
    };
    calls.open(Open::Play(key));
    // SAFETY: the program promised such a function; the argument lives through the call.
    unsafe { (functions.start_real_play)(key.visitor, key.channel, key.quality, args) }
}

/// The codecs of the stream, if it can be sent and the viewer can take it.
fn coding(info: &AvDataInfo, codecs: &[String]) -> Result<Coding, Refusal> {
    let refused = |text: String| Refusal::new("codec_not_supported", text);
    let video = match info.video_type {
        abi::VENC_H264 => VideoCodec::H264,
        abi::VENC_H265 if codecs.iter().any(|codec| codec == "h265") => VideoCodec::H265,
        abi::VENC_H265 => return Err(refused("the camera sends H.265, which you cannot show".to_owned())),
        other => {
            return Err(refused(format!(
                "video of codec {other} cannot be sent: H.264 and H.265 can"
            )));
        }
    };
    // A camera without a microphone gives no sample rate.
    let audio = match info.sample_rate {
        0 => None,
        _ => Some(Format::of(info).map_err(|error| refused(error.to_string()))?),
    };
    Ok(Coding { video, audio })
}

async fn request_stream(engine: &Rc<Engine>, key: StreamKey, request: Enum) -> Result<(), Refusal> {
    let answered = engine
        .calls
        .ask(move |functions| {
            let mut argument = abi::ReqStream {
                request,
                result: abi::DEV_ACCEPT,
            };
            let code = functions.command(abi::COMMAND_REQ_STREAM, key, &mut argument);
            (code, argument.result)
        })
        .await;
    let (code, result) = answered.ok_or_else(Refusal::exiting)?;
    accepted(code)?;
    match result {
        abi::DEV_ACCEPT => Ok(()),
        _ => Err(Refusal::new("refused", "the device's program refused the stream")),
    }
}

async fn encoding_info(engine: &Rc<Engine>, key: StreamKey) -> Result<AvDataInfo, Refusal> {
    let asked = engine
        .calls
        .ask(move |functions| {
            let mut info = AvDataInfo::default();
            // SAFETY: the program promised such a function; what it fills lives through the call.
            unsafe { (functions.get_av_enc_info)(key.visitor, key.channel, key.quality, &raw mut info) };
            info
        })
        .await;
    asked.ok_or_else(Refusal::exiting)
}

async fn talk(engine: &Rc<Engine>, visitor: u32, channel: u32) -> Result<Answer, Refusal> {
    known_channel(engine, channel)?;
    let key = StreamKey {
        visitor,
        channel,
        quality: 0,
    };
    let known = engine
        .streams
        .of_visitor(visitor)
        .into_iter()
        .find(|playing| playing.channel == channel);
    request_stream(engine, known.unwrap_or(key), abi::REQUEST_RECV_STREAM).await?;
    // The camera hears what it speaks.
    let own = known
        .and_then(|key| engine.streams.channel(key))
        .and_then(|path| path.coding.audio);
    let format = match own {
        Some(format) => format,
        None => {
            let info = encoding_info(engine, known.unwrap_or(key)).await?;
            Format::of(&info).map_err(|error| Refusal::new("codec_not_supported", error.to_string()))?
        }
    };
    let from_opus = FromOpus::new(format).map_err(|error| Refusal::new("internal", chain(&error)))?;
    engine.end_talk(visitor, None);
    let calls = engine.calls.clone();
    let started = engine
        .calls
        .ask(move |functions| {
            let mut info = format.info();
            // SAFETY: the program promised such a function; what it gets lives through the call.
            let code = unsafe { (functions.start_recv_stream)(visitor, channel, &raw mut info) };
            if code == err::NONE {
                calls.open(Open::Talk { visitor, channel });
            }
            code
        })
        .await;
    accepted(started.ok_or_else(Refusal::exiting)?)?;
    if let Some(visitor) = engine.state.borrow_mut().visitors.get_mut(&visitor) {
        visitor.talk = Some(Talk {
            channel,
            from_opus,
            seq: 0,
        });
    }
    Ok(Answer::done())
}

async fn user_data(engine: &Rc<Engine>, visitor: u32, channel: u32, mut data: Vec<u8>) -> Result<Answer, Refusal> {
    known_channel(engine, channel)?;
    if data.len() > MAX_COMMAND {
        return Err(Refusal::new(
            "too_large",
            format!("a command has at most {MAX_COMMAND} bytes, this has {}", data.len()),
        ));
    }
    let key = StreamKey {
        visitor,
        channel,
        quality: 0,
    };
    let answered = engine
        .calls
        .ask(move |functions| {
            let length = data.len() as u32;
            // Programs like to take text for text.
            data.push(0);
            let mut argument = abi::UserData {
                src: data.as_mut_ptr().cast::<c_char>(),
                src_len: length,
                dst: Memory::default(),
            };
            let code = functions.command(abi::COMMAND_USR_DATA, key, &mut argument);
            (code, take(argument.dst, MAX_COMMAND))
        })
        .await;
    let (code, reply) = answered.ok_or_else(Refusal::exiting)?;
    accepted(code)?;
    match reply {
        Ok(reply) if reply.is_empty() => Err(Refusal::new("channel_disconnected", "the channel is disconnected")),
        Ok(binary) => Ok(Answer {
            fields: json!({}),
            binary,
        }),
        Err(size) => {
            log!(Error, "the program's reply of {size} bytes is over {MAX_COMMAND}");
            Err(Refusal::new("internal", "the device's reply is too large"))
        }
    }
}

async fn query_day(engine: &Rc<Engine>, visitor: u32, channel: u32, time: TimeSpan) -> Result<Vec<Value>, Refusal> {
    known_channel(engine, channel)?;
    let key = StreamKey {
        visitor,
        channel,
        quality: abi::VIDEO_RES_PB,
    };
    let answered = engine
        .calls
        .ask(move |functions| {
            let mut query = abi::QueryDay {
                fragment: TimeFragment {
                    kind: time.kind,
                    begin: time.begin,
                    end: time.end,
                },
                free: None,
                array: std::ptr::null_mut(),
            };
            let code = functions.command(abi::COMMAND_QUERY_DAY, key, &mut query);
            let mut found = Vec::new();
            if !query.array.is_null() {
                // SAFETY: the program made the list, with `count` fragments behind it.
                unsafe {
                    let count = (*query.array).count as usize;
                    let first = (&raw const (*query.array).list).cast::<TimeFragment>();
                    found.extend((0..count.min(MAX_LIST)).map(|at| fragment_json(&first.add(at).read())));
                    if let Some(free) = query.free {
                        free(query.array.cast());
                    }
                }
            }
            (code, found)
        })
        .await;
    let (code, found) = answered.ok_or_else(Refusal::exiting)?;
    accepted(code)?;
    Ok(found)
}

async fn query_files(engine: &Rc<Engine>, visitor: u32, channel: u32, time: TimeSpan) -> Result<Vec<Value>, Refusal> {
    known_channel(engine, channel)?;
    let key = StreamKey {
        visitor,
        channel,
        quality: abi::VIDEO_RES_PB,
    };
    let answered = engine
        .calls
        .ask(move |functions| {
            let mut query = abi::QueryFiles {
                fragment: TimeFragment {
                    kind: time.kind,
                    begin: time.begin,
                    end: time.end,
                },
                free: None,
                array: std::ptr::null_mut(),
            };
            let code = functions.command(abi::COMMAND_QUERY_FILE_LIST, key, &mut query);
            let mut found = Vec::new();
            if !query.array.is_null() {
                // SAFETY: the program made the list, with `count` files behind it.
                unsafe {
                    let count = (*query.array).count as usize;
                    let first = (&raw const (*query.array).list).cast::<abi::FileInfo>();
                    for at in 0..count {
                        let file = first.add(at).read();
                        // Each has memory to be freed, also those that are left out.
                        let json = file_json(&file, take(file.extra, 4096).unwrap_or_default());
                        if at < MAX_LIST {
                            found.push(json);
                        }
                    }
                    if let Some(free) = query.free {
                        free(query.array.cast());
                    }
                }
            }
            (code, found)
        })
        .await;
    let (code, found) = answered.ok_or_else(Refusal::exiting)?;
    accepted(code)?;
    Ok(found)
}

fn file_json(file: &abi::FileInfo, extra: Vec<u8>) -> Value {
    let name: Vec<u8> = file
        .name
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        .collect();
    json!({
        "name": String::from_utf8_lossy(&name), "type": file.kind, "size": file.size, "begin": file.begin, "end": file.end,
        "extra": String::from_utf8_lossy(&extra),
    })
}

/// A command that is about a playback of this visitor.
async fn playback_command(
    engine: &Rc<Engine>,
    visitor: u32,
    channel: u32,
    command: impl FnOnce(&Functions, StreamKey) -> c_int + Send + 'static,
) -> Result<Answer, Refusal> {
    let key = playing(
        engine,
        StreamKey {
            visitor,
            channel,
            quality: Quality::Pb.number(),
        },
    )?;
    let code = engine.calls.ask(move |functions| command(functions, key)).await;
    accepted(code.ok_or_else(Refusal::exiting)?)?;
    Ok(Answer::done())
}

fn playing(engine: &Engine, key: StreamKey) -> Result<StreamKey, Refusal> {
    if engine.streams.is_playing(key) {
        return Ok(key);
    }
    let quality = Quality::name_of(key.quality);
    Err(Refusal::new(
        "not_playing",
        format!("{quality} of channel {} does not play", key.channel),
    ))
}

/// Whether the channel is online; an error where there is none.
fn known_channel(engine: &Engine, channel: u32) -> Result<bool, Refusal> {
    let state = engine.state.borrow();
    let channels = state.channels.as_deref().unwrap_or_default();
    let known = channels.get(channel as usize).map(|state| state.is_online);
    known.ok_or_else(|| Refusal::new("no_such_channel", format!("there is no channel {channel}")))
}

fn accepted(code: c_int) -> Result<(), Refusal> {
    match code {
        err::NONE => Ok(()),
        code => Err(Refusal::by_program(code)),
    }
}

/// Copies what the program has put there and frees it, once; Err: its size, which is over `most`.
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
