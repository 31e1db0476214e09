//! The requests of viewers: each goes to the part that has its subject.
//!
//! | part | subject |
//! | --- | --- |
//! | [`play`] | live view and playback begin: the program is asked, and the stream gets its path |
//! | `recordings` | recordings and files are listed, and a playback is controlled |
//! | `program` | the program's channel names and its own commands |

pub mod play;
mod program;
mod recordings;

use std::rc::Rc;

use rotunda_proto::clock::Clock;
use serde_json::json;

pub use self::program::{ChannelState, take};
use crate::abi::VIDEO_RES_PB;
use crate::download;
use crate::engine::Engine;
use crate::protocol::{Answer, Quality, Refusal, Request};
use crate::streams::StreamKey;

pub async fn handle(engine: &Rc<Engine>, visitor: u32, request: Request, binary: Vec<u8>) -> Result<Answer, Refusal> {
    let key = |channel, quality: Quality| StreamKey::new(visitor, channel, quality.number());
    match request {
        Request::Hello {} => program::hello(engine, visitor).await,
        Request::Bye {} | Request::Ping {} => Ok(Answer::done()),
        Request::Play {
            channel,
            quality,
            codecs,
            time,
        } => play::begin(engine, key(channel, quality), &codecs, time).await,
        Request::Stop { channel, quality } => {
            engine.end_stream(playing(engine, key(channel, quality))?);
            Ok(Answer::done())
        }
        Request::Talk { channel } => engine.talk(visitor, channel).await,
        Request::TalkEnd { channel } => match engine.end_talk(visitor, Some(channel)) {
            true => Ok(Answer::done()),
            false => Err(Refusal::new("not_playing", "you do not talk on this channel")),
        },
        Request::Command { channel } => program::command(engine, visitor, channel, binary).await,
        Request::Keyframe { channel, quality } => {
            let key = playing(engine, key(channel, quality))?;
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
        } => recordings::month(engine, recorded(engine, visitor, channel)?, year, month, kind).await,
        Request::Day { channel, time } => recordings::day(engine, recorded(engine, visitor, channel)?, time).await,
        Request::Files { channel, time } => recordings::files(engine, recorded(engine, visitor, channel)?, time).await,
        Request::Pause { channel } => recordings::pause(engine, playback(engine, visitor, channel)?).await,
        Request::Resume { channel } => recordings::resume(engine, playback(engine, visitor, channel)?).await,
        Request::Seek { channel, time } => recordings::seek(engine, playback(engine, visitor, channel)?, time).await,
        Request::Forward { channel, speed } => {
            recordings::forward(engine, playback(engine, visitor, channel)?, speed).await
        }
        Request::Speed { channel, interval } => {
            recordings::speed(engine, playback(engine, visitor, channel)?, interval).await
        }
        Request::Rewind { channel, begin, end } => {
            recordings::rewind(engine, playback(engine, visitor, channel)?, begin, end).await
        }
        Request::Download { channel, name, offset } => {
            engine.is_online(channel)?;
            download::begin(engine, visitor, channel, &name, offset).await
        }
        Request::DownloadEnd { download } => match download::end(engine, visitor, download) {
            true => Ok(Answer::done()),
            false => Err(Refusal::new("not_playing", format!("there is no download {download}"))),
        },
        Request::Direct { offer } => engine.connect_directly(visitor, &offer).await,
    }
}

/// A stream that plays.
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

/// The visitor's playback of a channel.
fn playback(engine: &Engine, visitor: u32, channel: u32) -> Result<StreamKey, Refusal> {
    playing(engine, StreamKey::new(visitor, channel, VIDEO_RES_PB))
}

/// The recordings of a channel that there is.
fn recorded(engine: &Engine, visitor: u32, channel: u32) -> Result<StreamKey, Refusal> {
    engine.is_online(channel)?;
    Ok(StreamKey::new(visitor, channel, VIDEO_RES_PB))
}

/// The reply `{name: value}`.
fn field(name: &str, value: impl serde::Serialize) -> Answer {
    Answer::of(json!({ name: value }))
}
