//! The sans-IO core of a single stream: one publisher's frames in, the frames of a program out.
//!
//! Times are microseconds on the relay's clock. Call `handle_tick` every few milliseconds, then drain `poll_frame` and
//! `take_key_request`.

mod absences;
mod audio_line;
mod video_line;

use std::collections::VecDeque;
use std::sync::Arc;

use rotunda_media::codec::{CodecError, aac};
use rotunda_media::program::{Absence, Frame, ProgramHeader, Track};
use rotunda_media::time::{MediaTime, VIDEO_RATE};
use rotunda_proto::program::StreamKind;
use rotunda_receiver::CodedVideo;
use rotunda_receiver::timeline::Micros;

use self::absences::{Absences, Pauses};
use self::audio_line::{AacFrame, AudioLine, Channels, RATE, samples};
use self::video_line::{H264Frame, VideoLine};
use crate::plan::{Sent, Tracks};

/// Everything is put out this much later than it was captured, so that late packets find their place.
const DELAY: Micros = 300_000;
/// The program begins without the camera when its first keyframe does not come within this time. A publisher by RTMP cannot be
/// asked for a keyframe, and OBS sends one in 250 frames.
const VIDEO_WITHIN: Micros = 10_000_000;
/// Audio before the first keyframe is part of the program from this length on, with a black picture.
const LEAD_IN: Micros = 1_000_000;
/// The same for a camera that is not announced: clients announce the microphone a moment before it.
const ANNOUNCED_WITHIN: Micros = 1_000_000;
/// A camera that is off becomes a black frame after this time, and again at this interval.
const PLACEHOLDER_EVERY: Micros = 1_000_000;
/// A shared screen that does not change is asked for a keyframe after this time, so that its files go on.
const STILL: Micros = 3_000_000;
/// Frames that wait for their time, at most.
const MOST: usize = 600;

/// See the [module](self).
pub struct StreamCore {
    kind: StreamKind,
    tracks: Tracks,
    state: State,
    video: VideoLine,
    /// Video frames that are not out yet, in order of time.
    waiting: VecDeque<(Micros, H264Frame)>,
    /// The last video frame that came out, or should have.
    video_at: Option<Micros>,
    /// Ticks of the last video frame.
    last_ticks: Option<u64>,
    presence: Presence,
    audio_absences: Absences,
    video_absences: Absences,
    out: VecDeque<Arc<Frame>>,
}

enum State {
    /// Nothing has come out. Audio waits here, because the program should begin with a keyframe.
    Waiting {
        first_audio: Option<Micros>,
        packets: Vec<(Micros, Arc<[u8]>)>,
    },
    Running(Box<Running>),
}

/// Whether the publisher is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    /// Nothing comes out.
    Away,
}

struct Running {
    /// The program's zero.
    zero: Micros,
    audio: AudioLine,
    header: Arc<ProgramHeader>,
    /// The header from the keyframe of that time on: the audio is stereo then.
    next: Option<(Micros, Arc<ProgramHeader>)>,
}

impl StreamCore {
    pub fn new(kind: StreamKind, tracks: Tracks) -> Self {
        Self {
            kind,
            tracks,
            state: State::Waiting {
                first_audio: None,
                packets: Vec::new(),
            },
            video: VideoLine::default(),
            waiting: VecDeque::new(),
            video_at: None,
            last_ticks: None,
            presence: Presence::Here,
            audio_absences: Absences::new(Track::Audio, Pauses::Never),
            video_absences: Absences::new(
                Track::Video,
                match kind {
                    StreamKind::Main => Pauses::Never,
                    StreamKind::Aux => Pauses::AtWill,
                },
            ),
            out: VecDeque::new(),
        }
    }

    /// The publisher sends other tracks now.
    pub fn handle_tracks(&mut self, tracks: Tracks) {
        self.tracks = tracks;
        self.audio_absences.handle_sent(tracks.audio);
        self.video_absences.handle_sent(tracks.video);
    }

    /// The publisher is cut off: what was received comes out, and then nothing until they are back.
    ///
    /// Errors: [`CodecError`] of an encoder.
    pub fn handle_leave(&mut self, now: Micros) -> Result<(), CodecError> {
        let finished = self.finish(now);
        self.presence = Presence::Away;
        finished
    }

    /// The publisher is back after an interruption: the program continues now.
    ///
    /// Errors: [`CodecError::SetUp`].
    pub fn handle_return(&mut self, now: Micros) -> Result<(), CodecError> {
        self.presence = Presence::Here;
        self.video.handle_loss();
        self.waiting.clear();
        // The camera is announced a moment after the publisher: no black frame stands for it yet.
        self.video_at = Some(now);
        match &mut self.state {
            State::Waiting { first_audio, packets } => {
                *first_audio = None;
                packets.clear();
                Ok(())
            }
            State::Running(running) => {
                self.audio_absences.begin(now);
                if running.header.video.is_some() {
                    self.video_absences.begin(now);
                }
                running.audio.skip_to(samples(now - running.zero))
            }
        }
    }

    /// An Opus packet whose audio was captured at `at`. Packets may come in any order.
    pub fn handle_audio(&mut self, at: Micros, packet: &Arc<[u8]>) {
        match &mut self.state {
            State::Waiting { first_audio, packets } => {
                first_audio.get_or_insert(at);
                if packets.len() < MOST {
                    packets.push((at, packet.clone()));
                }
            }
            State::Running(running) => {
                self.audio_absences.handle_media(at);
                running.handle_packet(at, packet);
            }
        }
    }

    /// A video frame that was captured at `at`.
    ///
    /// Errors: [`CodecError`]; the video continues with the next keyframe.
    pub fn handle_video(&mut self, at: Micros, coded: &CodedVideo) -> Result<(), CodecError> {
        if let Some(frame) = self.video.handle_frame(at, coded)? {
            // Clocks that are corrected may step back; frames never do.
            let at = self.waiting.back().map_or(at, |(last, _)| at.max(*last));
            if matches!(self.state, State::Running(_)) {
                self.video_absences.handle_media(at);
            }
            if self.waiting.len() < MOST {
                self.waiting.push_back((at, frame));
            }
        }
        Ok(())
    }

    /// Puts out what is due.
    ///
    /// Errors: [`CodecError`] of an encoder.
    pub fn handle_tick(&mut self, now: Micros) -> Result<(), CodecError> {
        if self.presence == Presence::Away {
            return Ok(());
        }
        self.begin(now)?;
        if !matches!(self.state, State::Running(_)) {
            return Ok(());
        }
        self.put_placeholder(now)?;
        let State::Running(running) = &mut self.state else {
            return Ok(());
        };
        let until = now - DELAY;
        let mut audio = Vec::new();
        if running.audio.wants_stereo() {
            running.widen(until, &self.waiting, &mut audio)?;
        }
        running.encode_until(samples(until - running.zero), &mut audio)?;
        // Video waits for the audio of its time, which comes out of the encoder a little later.
        let reached = running.zero + running.audio.encoded() * 1_000_000 / i64::from(RATE);
        let mut audio = audio.into_iter().peekable();
        while self.waiting.front().is_some_and(|(at, _)| *at <= reached) {
            let Some((at, frame)) = self.waiting.pop_front() else {
                break;
            };
            let sample = samples(at - running.zero);
            while let Some(before) = audio.next_if(|frame| frame.pts.ticks() as i64 <= sample) {
                self.out.push_back(before);
            }
            let ticks = ((at - running.zero).max(0) * i64::from(VIDEO_RATE) / 1_000_000) as u64;
            let ticks = self.last_ticks.map_or(ticks, |last| ticks.max(last + 1));
            self.last_ticks = Some(ticks);
            self.out.push_back(running.video_frame(at, ticks, frame));
        }
        self.out.extend(audio);
        Ok(())
    }

    /// The publisher has ended: everything that was received comes out.
    ///
    /// Errors: [`CodecError`] of an encoder.
    pub fn finish(&mut self, now: Micros) -> Result<(), CodecError> {
        self.audio_absences.finish(now);
        self.video_absences.finish(now);
        // Beyond the delay, the encoder holds back three frames.
        self.handle_tick(now + DELAY + 100_000)
    }

    /// The next absence of a track that is over.
    pub fn poll_absence(&mut self) -> Option<Absence> {
        let State::Running(running) = &self.state else {
            return None;
        };
        let zero = running.zero;
        self.audio_absences
            .poll(zero)
            .or_else(|| self.video_absences.poll(zero))
    }

    /// The next frame of the program.
    pub fn poll_frame(&mut self) -> Option<Arc<Frame>> {
        self.out.pop_front()
    }

    /// Whether the publisher should be asked for a keyframe now; counts as asked.
    pub fn take_key_request(&mut self, now: Micros) -> bool {
        let changes = matches!(&self.state, State::Running(running) if running.audio.wants_stereo());
        let is_still = self.kind == StreamKind::Aux && self.video_at.is_some_and(|at| now - at >= STILL);
        self.tracks.video == Sent::Yes
            && (self.video.take_key_request(now) || (is_still || changes) && self.video.take_repeat_request(now))
    }

    fn begin(&mut self, now: Micros) -> Result<(), CodecError> {
        let State::Waiting { first_audio, packets } = &mut self.state else {
            return Ok(());
        };
        let key = self.waiting.iter().find(|(_, frame)| frame.is_key);
        let zero = match (key, *first_audio) {
            (Some((at, _)), Some(audio)) if at - audio >= LEAD_IN => audio,
            (Some((at, _)), _) => *at,
            (None, Some(at)) => {
                let patience = match self.tracks.video {
                    Sent::Yes => VIDEO_WITHIN,
                    Sent::No | Sent::Muted => ANNOUNCED_WITHIN,
                };
                if self.kind == StreamKind::Aux || now - at < patience {
                    return Ok(());
                }
                at
            }
            (None, None) => return Ok(()),
        };
        // Nothing of it is due before. Until then its audio, too, may say what it is.
        if packets.is_empty() && self.tracks.audio == Sent::Yes && now - zero < DELAY {
            return Ok(());
        }
        let lead_in = match key {
            Some((at, frame)) => video_line::black_frames(zero, *at, PLACEHOLDER_EVERY, &frame.header)?,
            None => Vec::new(),
        };
        let first = lead_in.first().map(|(_, frame)| frame).or(key.map(|(_, frame)| frame));
        let video = first.map(|frame| frame.header.clone());
        let packets = std::mem::take(packets);
        while self.waiting.front().is_some_and(|(at, _)| *at < zero) {
            self.waiting.pop_front();
        }
        let channels = match self.kind {
            // Files and streams cannot all change to stereo without a seam: what is not known yet may be stereo.
            StreamKind::Main => packets.iter().map(|(_, packet)| Channels::of(packet)).max(),
            // It stays silent: the audio of a screen goes with the camera.
            StreamKind::Aux => Some(Channels::Mono),
        };
        let audio = AudioLine::new(0, channels.unwrap_or(Channels::Stereo))?;
        let header = Arc::new(ProgramHeader {
            video,
            audio: audio.header(),
        });
        let mut running = Running {
            zero,
            audio,
            header,
            next: None,
        };
        // A track that was never there is no absence; the silent track of a screen is none either.
        if self.tracks.audio != Sent::No {
            self.audio_absences.begin(zero);
            self.audio_absences.handle_sent(self.tracks.audio);
        }
        if running.header.video.is_some() {
            self.video_absences.begin(zero);
        }
        for (at, packet) in packets.iter().filter(|(at, _)| *at >= zero) {
            self.audio_absences.handle_media(*at);
            running.handle_packet(*at, packet);
        }
        for (at, _) in &self.waiting {
            self.video_absences.handle_media(*at);
        }
        for black in lead_in.into_iter().rev() {
            self.waiting.push_front(black);
        }
        self.state = State::Running(Box::new(running));
        Ok(())
    }

    /// A program with video goes on with video, so that its files and players do.
    fn put_placeholder(&mut self, now: Micros) -> Result<(), CodecError> {
        let newest = self.waiting.back().map(|(at, _)| *at);
        self.video_at = newest.or(self.video_at);
        let State::Running(running) = &self.state else {
            return Ok(());
        };
        let is_off = self.tracks.video != Sent::Yes && running.header.video.is_some();
        let is_due = self.video_at.is_none_or(|at| now - at >= PLACEHOLDER_EVERY);
        if self.kind == StreamKind::Main && is_off && is_due {
            self.video_at = Some(now);
            if let Some(frame) = self.video.placeholder(now)? {
                self.waiting.push_back((now, frame));
            }
        }
        Ok(())
    }
}

impl Running {
    fn handle_packet(&mut self, at: Micros, packet: &[u8]) {
        self.audio.handle_packet(packet, samples(at - self.zero));
    }

    /// Makes the audio stereo where the program can change: at a keyframe that is due, and at once without video.
    fn widen(
        &mut self,
        until: Micros,
        waiting: &VecDeque<(Micros, H264Frame)>,
        out: &mut Vec<Arc<Frame>>,
    ) -> Result<(), CodecError> {
        let (at, video) = match self.header.video {
            None => (until, None),
            Some(_) => {
                let key = waiting.iter().find(|(at, frame)| {
                    frame.is_key && *at <= until && samples(*at - self.zero) >= self.audio.cursor()
                });
                let Some((at, frame)) = key else { return Ok(()) };
                (*at, Some(frame.header.clone()))
            }
        };
        // The frame in which the keyframe is begins before it.
        self.encode_until(samples(at - self.zero) + aac::FRAME as i64 - 1, out)?;
        let header = self.header.clone();
        self.audio.widen(|frame| out.push(audio_frame(frame, &header)))?;
        let audio = self.audio.header();
        let header = Arc::new(ProgramHeader { video, audio });
        match header.video {
            Some(_) => self.next = Some((at, header)),
            None => self.header = header,
        }
        Ok(())
    }

    fn encode_until(&mut self, until: i64, out: &mut Vec<Arc<Frame>>) -> Result<(), CodecError> {
        let header = self.next.as_ref().map_or(&self.header, |(_, header)| header);
        self.audio
            .encode_until(until, |frame| out.push(audio_frame(frame, header)))
    }

    /// `at`: when it was captured; `ticks`: the same on the program's clock.
    fn video_frame(&mut self, at: Micros, ticks: u64, frame: H264Frame) -> Arc<Frame> {
        let duration = VIDEO_RATE / u32::from(frame.header.framerate.max(1));
        if let Some((_, next)) = self.next.take_if(|(from, _)| frame.is_key && *from <= at) {
            self.header = next;
        }
        if frame.is_key && self.header.video.as_ref() != Some(&frame.header) {
            self.header = Arc::new(ProgramHeader {
                video: Some(frame.header),
                audio: self.header.audio.clone(),
            });
        }
        Arc::new(Frame {
            track: Track::Video,
            pts: MediaTime::new(ticks, VIDEO_RATE),
            duration,
            is_key: frame.is_key,
            data: frame.data,
            header: self.header.clone(),
        })
    }
}

fn audio_frame(frame: AacFrame, header: &Arc<ProgramHeader>) -> Arc<Frame> {
    Arc::new(Frame {
        track: Track::Audio,
        pts: MediaTime::new(frame.at.max(0) as u64, RATE),
        duration: aac::FRAME as u32,
        is_key: true,
        data: frame.data,
        header: header.clone(),
    })
}

#[cfg(test)]
mod tests;
