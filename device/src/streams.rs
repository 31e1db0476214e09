//! The streams that visitors get, as the program sees them: any thread may send into them.
//!
//! A [`Link`] is one visitor's stream; its [`Channel`] is the way it goes, which the links of several visitors share when the
//! stream goes through the server: then the frames that the program sends for one of them go out, and those for the others are
//! checked and left out, so that the device sends once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::abi::{self, Enum, SendStats};
use crate::access_unit::{FrameError, FrameKind, VideoCodec, inspect};
use crate::audio::{AudioError, Format, ToOpus};
use crate::calls::Calls;
use crate::log::log;
use crate::pipe::{Frame, Marks, Pipe, PushError, Watermark};
use crate::timeline::{Timeline, Track};

/// Which stream: visitor, channel and quality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    pub visitor: u32,
    pub channel: u32,
    /// `iv_avt_video_res_type_e`.
    pub quality: Enum,
}

impl StreamKey {
    pub fn new(visitor: u32, channel: u32, quality: Enum) -> Self {
        Self {
            visitor,
            channel,
            quality,
        }
    }
}

/// How a stream's frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Direct,
    Relayed,
}

impl Path {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        }
    }

    fn link_mode(self) -> u32 {
        match self {
            Self::Direct => abi::LINK_DIRECT,
            Self::Relayed => abi::LINK_RELAYED,
        }
    }
}

/// The codecs of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    pub video: VideoCodec,
    pub audio: Option<Format>,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    NotPlaying,
    Frame(FrameError),
    Push(PushError),
    Audio,
}

/// One way of frames to the network.
pub struct Channel {
    pub path: Path,
    pub coding: Coding,
    inner: Mutex<Inner>,
    /// Frames have come, or room for them.
    pub changed: Notify,
    calls: Calls,
}

struct Inner {
    pipe: Pipe,
    timeline: Timeline,
    to_opus: Option<ToOpus>,
    /// The visitor whose frames go out.
    video_from: Option<StreamKey>,
    audio_from: Option<StreamKey>,
    keyframe_asked: Option<Instant>,
    acknowledged: Acknowledged,
}

/// The bytes that the other end has acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Acknowledged {
    bytes: u64,
    rate: u32,
}

/// A keyframe is not asked for again so soon.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(300);

impl Channel {
    pub fn new(
        path: Path,
        coding: Coding,
        capacity: usize,
        marks: Option<Marks>,
        calls: Calls,
    ) -> Result<Self, AudioError> {
        Ok(Self {
            path,
            coding,
            inner: Mutex::new(Inner {
                pipe: Pipe::new(capacity, marks),
                timeline: Timeline::default(),
                to_opus: coding.audio.map(ToOpus::new).transpose()?,
                video_from: None,
                audio_from: None,
                keyframe_asked: None,
                acknowledged: Acknowledged::default(),
            }),
            changed: Notify::new(),
            calls,
        })
    }

    /// The next frame that the link has room for.
    pub fn pop(&self, now: Instant, watchers: &[StreamKey]) -> Option<Frame> {
        let (frame, mark) = self.lock().pipe.pop(now)?;
        self.tell(mark, watchers);
        Some(frame)
    }

    pub fn due(&self, now: Instant) -> Option<Instant> {
        self.lock().pipe.due(now)
    }

    /// `rate`: bytes a second that the link carries.
    pub fn set_rate(&self, now: Instant, rate: u64) {
        self.lock().pipe.set_rate(now, rate);
    }

    /// `bytes` have been got at the other end within `over`.
    pub fn acknowledge(&self, bytes: u64, over: Duration) {
        let told = &mut self.lock().acknowledged;
        told.bytes += bytes;
        let milliseconds = over.as_millis().max(1);
        told.rate = u32::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u32::MAX);
    }

    /// Drops the queue, and the next frame is a keyframe: the session behind it is a new one.
    pub fn begin_again(&self, now: Instant, watchers: &[StreamKey]) {
        let mark = {
            let mut inner = self.lock();
            inner.keyframe_asked = None;
            inner.pipe.begin_again()
        };
        self.tell(mark, watchers);
        if let Some(first) = watchers.first() {
            self.ask_for_keyframe(now, *first);
        }
    }

    /// Asks the program for a keyframe, unless it was asked just now.
    pub fn ask_for_keyframe(&self, now: Instant, key: StreamKey) {
        let key = {
            let mut inner = self.lock();
            let asked = inner.keyframe_asked;
            if asked.is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_PAUSE) {
                return;
            }
            inner.keyframe_asked = Some(now);
            inner.video_from.unwrap_or(key)
        };
        self.calls.post(move |functions| {
            let _asked = functions.plain_command(abi::COMMAND_REQ_IFRAME, key);
        });
    }

    fn send_video(
        &self,
        now: Instant,
        key: StreamKey,
        pts_us: u64,
        data: Bytes,
        kind: FrameKind,
    ) -> Result<Option<Watermark>, PushError> {
        let mut inner = self.lock();
        match inner.video_from {
            Some(from) if from != key => return Ok(None),
            Some(_) => {}
            None if kind == FrameKind::Key => inner.video_from = Some(key),
            None => return Err(PushError::NeedKeyframe),
        }
        let captured = inner.timeline.place(now, Track::Video, pts_us);
        let frame = Frame {
            track: Track::Video,
            captured,
            data,
        };
        inner.pipe.push(frame, Some(kind))
    }

    fn send_audio(&self, now: Instant, key: StreamKey, pts_us: u64, data: &[u8]) -> Result<Vec<Watermark>, SendError> {
        let mut inner = self.lock();
        if *inner.audio_from.get_or_insert(key) != key {
            return Ok(Vec::new());
        }
        let mut packets = Vec::new();
        let Some(to_opus) = &mut inner.to_opus else {
            return Err(SendError::Audio);
        };
        if let Err(error) = to_opus.convert(pts_us, data, &mut packets) {
            log!(Warn, "audio was not converted: {}", chain(&error));
            return Err(SendError::Audio);
        }
        let mut marks = Vec::new();
        for packet in packets {
            let captured = inner.timeline.place(now, Track::Audio, packet.pts_us);
            let frame = Frame {
                track: Track::Audio,
                captured,
                data: packet.data,
            };
            marks.extend(inner.pipe.push(frame, None).map_err(SendError::Push)?);
        }
        Ok(marks)
    }

    /// This visitor's frames will not come any more.
    fn forget(&self, key: StreamKey) {
        let mut inner = self.lock();
        if inner.video_from == Some(key) {
            inner.video_from = None;
        }
        if inner.audio_from == Some(key) {
            inner.audio_from = None;
        }
    }

    fn tell(&self, mark: Option<Watermark>, watchers: &[StreamKey]) {
        let Some(mark) = mark else { return };
        let event = match mark {
            Watermark::Low => abi::EVENT_WATERMARK_LOW,
            Watermark::Warn => abi::EVENT_WATERMARK_WARN,
            Watermark::High => abi::EVENT_WATERMARK_HIGH,
        };
        for key in watchers.iter().copied() {
            self.calls.post(move |functions| functions.event(event, key));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Link {
    channel: Arc<Channel>,
    needs_keyframe: bool,
}

/// See the [module](self).
#[derive(Default)]
pub struct Streams(Mutex<HashMap<StreamKey, Link>>);

impl Streams {
    /// The visitor's frames go this way from now on, and begin with a keyframe.
    pub fn set(&self, key: StreamKey, channel: Arc<Channel>) {
        let link = Link {
            channel,
            needs_keyframe: true,
        };
        if let Some(old) = self.lock().insert(key, link) {
            old.channel.forget(key);
        }
    }

    pub fn remove(&self, key: StreamKey) {
        if let Some(old) = self.lock().remove(&key) {
            old.channel.forget(key);
        }
    }

    /// The links that go this way.
    pub fn watchers(&self, channel: &Arc<Channel>) -> Vec<StreamKey> {
        let links = self.lock();
        let mut keys: Vec<StreamKey> = links
            .iter()
            .filter(|(_, link)| Arc::ptr_eq(&link.channel, channel))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        keys
    }

    pub fn of_visitor(&self, visitor: u32) -> Vec<StreamKey> {
        let mut keys: Vec<StreamKey> = self
            .lock()
            .keys()
            .filter(|key| key.visitor == visitor)
            .copied()
            .collect();
        keys.sort_unstable();
        keys
    }

    /// The watchers of this quality of this channel, in the order of visitors.
    pub fn of_stream(&self, channel: u32, quality: Enum) -> Vec<StreamKey> {
        let is = |key: &&StreamKey| key.channel == channel && key.quality == quality;
        let mut keys: Vec<StreamKey> = self.lock().keys().filter(is).copied().collect();
        keys.sort_unstable();
        keys
    }

    pub fn is_playing(&self, key: StreamKey) -> bool {
        self.lock().contains_key(&key)
    }

    /// `flagged`: whether the program calls it a keyframe. Asks for a keyframe where one is needed.
    pub fn send_video(
        &self,
        now: Instant,
        key: StreamKey,
        pts_us: u64,
        data: Bytes,
        flagged: FrameKind,
    ) -> Result<(), SendError> {
        let (channel, needs_keyframe) = {
            let links = self.lock();
            let link = links.get(&key).ok_or(SendError::NotPlaying)?;
            (link.channel.clone(), link.needs_keyframe)
        };
        let kind = inspect(channel.coding.video, &data, flagged).map_err(SendError::Frame)?;
        let sent = if needs_keyframe && kind == FrameKind::Delta {
            Err(PushError::NeedKeyframe)
        } else {
            channel.send_video(now, key, pts_us, data, kind)
        };
        match sent {
            Ok(mark) => {
                if needs_keyframe && let Some(link) = self.lock().get_mut(&key) {
                    link.needs_keyframe = false;
                }
                if mark.is_some() {
                    channel.tell(mark, &self.watchers(&channel));
                }
                channel.changed.notify_one();
                Ok(())
            }
            Err(error) => {
                channel.ask_for_keyframe(now, key);
                Err(SendError::Push(error))
            }
        }
    }

    pub fn send_audio(&self, now: Instant, key: StreamKey, pts_us: u64, data: &[u8]) -> Result<(), SendError> {
        let channel = self.channel(key).ok_or(SendError::NotPlaying)?;
        let marks = channel.send_audio(now, key, pts_us, data)?;
        for mark in marks {
            channel.tell(Some(mark), &self.watchers(&channel));
        }
        channel.changed.notify_one();
        Ok(())
    }

    pub fn buffered(&self, key: StreamKey) -> usize {
        self.channel(key).map_or(0, |channel| channel.lock().pipe.buffered())
    }

    /// None: that stream does not play.
    pub fn statistics(&self, now: Instant, key: StreamKey) -> Option<SendStats> {
        let channel = self.channel(key)?;
        let mut inner = channel.lock();
        Some(SendStats {
            inst_net_rate: inner.pipe.rate_now(now),
            ave_sent_rate: inner.acknowledged.rate,
            sum_sent_acked: inner.acknowledged.bytes,
            link_mode: channel.path.link_mode(),
        })
    }

    pub fn channel(&self, key: StreamKey) -> Option<Arc<Channel>> {
        self.lock().get(&key).map(|link| link.channel.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
