//! Live view and playback begin: the program agrees and tells its codecs, and the stream gets its path.

use std::ffi::c_void;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::json;

use crate::abi::{self, AvDataInfo, Enum, TimeFragment, err};
use crate::access_unit::VideoCodec;
use crate::audio::Format;
use crate::calls::{Calls, Functions, Open};
use crate::engine::Engine;
use crate::protocol::{Answer, Refusal, TimeSpan};
use crate::relay::Source;
use crate::streams::{Channel, Coding, StreamKey};

pub async fn begin(engine: &Rc<Engine>, key: StreamKey, codecs: &[String], time: TimeSpan) -> Result<Answer, Refusal> {
    if !engine.is_online(key.channel)? {
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
    let path = open_path(engine, key, coding).await?;
    engine.streams.set(key, path);
    let calls = engine.calls.clone();
    engine
        .calls
        .ask(move |functions| start(functions, &calls, key, time))
        .await?;
    // Another viewer may have changed the path meanwhile.
    let Some(path) = engine.streams.channel(key) else {
        return Err(Refusal::new("gone", "the stream has ended already"));
    };
    let mut fields = json!({
        "path": path.path.name(), "member": engine.relays.member_of(&path), "line": engine.line_of(key, &path),
        "video": {"codec": coding.video.name(), "width": info.width, "height": info.height, "framerate": info.framerate},
    });
    if let Some(audio) = coding.audio {
        fields["audio"] = json!({"codec": audio.codec.name(), "sampleRate": audio.rate, "channels": audio.channels});
    }
    Ok(Answer::of(fields))
}

/// The path of a new stream. Where others watch it, it goes through the server, and a direct viewer of it moves there.
async fn open_path(engine: &Rc<Engine>, key: StreamKey, coding: Coding) -> Result<Arc<Channel>, Refusal> {
    let is_playback = key.quality == abi::VIDEO_RES_PB;
    let others = if is_playback {
        Vec::new()
    } else {
        engine.streams.of_stream(key.channel, key.quality)
    };
    if others.is_empty()
        && let Some(channel) = engine.open_direct(key, coding)?
    {
        return Ok(channel);
    }
    let source = Source::of(key);
    let relayed = engine.open_relay(source, coding).await?;
    if !is_playback {
        engine.move_to_relay(source, &relayed);
    }
    Ok(relayed.channel)
}

fn start(functions: &Functions, calls: &Calls, key: StreamKey, time: TimeSpan) {
    let mut fragment = TimeFragment::from(time);
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

/// Asks the program whether the viewer may have a stream, or send one.
pub async fn request_stream(engine: &Rc<Engine>, key: StreamKey, request: Enum) -> Result<(), Refusal> {
    let answered = engine.calls.ask(move |functions| {
        let mut argument = abi::ReqStream {
            request,
            result: abi::DEV_ACCEPT,
        };
        let code = functions.command(abi::COMMAND_REQ_STREAM, key, &mut argument);
        (code, argument.result)
    });
    match answered.await? {
        (err::NONE, abi::DEV_ACCEPT) => Ok(()),
        (err::NONE, _) => Err(Refusal::new("refused", "the device's program refused the stream")),
        (code, _) => Err(Refusal::by_program(code)),
    }
}

/// Asks the program for the codecs of a stream.
pub async fn encoding_info(engine: &Rc<Engine>, key: StreamKey) -> Result<AvDataInfo, Refusal> {
    let asked = engine.calls.ask(move |functions| {
        let mut info = AvDataInfo::default();
        // SAFETY: the program promised such a function; what it fills lives through the call.
        unsafe { (functions.get_av_enc_info)(key.visitor, key.channel, key.quality, &raw mut info) };
        info
    });
    asked.await
}
