//! The sans-IO core of a mix: members' frames go in, the frames of the program come out.
//!
//! Times are microseconds since the task's start, on one clock for all inputs and both outputs. Call `handle_tick` when
//! `poll_timeout` says, then drain `poll_frame` and `poll_key_request`.

mod figures;
mod ticks;
mod video;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rotunda_media::codec::{CodecError, opus};
use rotunda_media::draw::Font;
use rotunda_media::picture::Picture;
use rotunda_media::program::{Frame, ProgramHeader, Track};
use rotunda_media::time::{MediaTime, VIDEO_RATE};
use rotunda_proto::ids::{RoomUser, Source, TrackSource};
use rotunda_proto::mix::{MixSpec, PictureId};
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_receiver::{Payload, Sample};

pub use self::figures::Figures;
use self::ticks::{Ticks, tick_rate};
use self::video::Video;
use crate::audio_input::{RATE, samples};
use crate::audio_output::{AudioFrame, AudioOutput};
use crate::compositor::Shown;
use crate::layout::{Canvas, Content, Placement, Scene};
use crate::loudest::Loudest;
use crate::mixer::Mixer;
use crate::play_out::{InputDelays, PlayOut};
use crate::timeline::{Micros, PersonClock};
use crate::video_input::{self, InputState, Shape, VideoInput};

/// Audio was captured earlier than its packets say, microseconds.
const AUDIO_LOOK_AHEAD: Micros = opus::LOOK_AHEAD as Micros * 1_000_000 / RATE;
/// Video ticks that may be behind before a frame is left out.
const CATCH_UP: i64 = 3;

/// See the [module](self).
pub struct MixCore {
    play_out: PlayOut,
    scene: Scene,
    persons: HashMap<RoomUser, PersonClock>,
    audio_delays: HashMap<RoomUser, InputDelays>,
    video_inputs: HashMap<Source, VideoInput>,
    mixer: Mixer,
    block: Vec<f32>,
    audio: AudioOutput,
    /// Ends where `audio` begins, after a change of the audio's settings.
    audio_before: Option<AudioOutput>,
    /// Frames of a new audio header that wait for the next tick's keyframe.
    held_audio: Vec<AudioFrame>,
    audio_waits: bool,
    video: Option<Video>,
    ticks: Ticks,
    header: Option<Arc<ProgramHeader>>,
    frames: VecDeque<Arc<Frame>>,
    key_requests: VecDeque<Source>,
    shapes: VecDeque<(Source, Shape)>,
    /// Mean squares of the members' audio in the last tick.
    levels: HashMap<RoomUser, f32>,
    loudest: Loudest,
    new_loudest: Option<RoomUser>,
    layouts: VecDeque<ShownLayout>,
    watcher: Option<Watcher>,
    figures: Figures,
}

/// Is told the track whose frame is decoded next, and `None` when no more is decoded.
pub type Watcher = Box<dyn FnMut(Option<&Source>) + Send>;

impl MixCore {
    /// `delay`: how much later than captured everything is played out.
    ///
    /// Errors: [`CodecError`] when the encoders refuse their parameters.
    pub fn new(spec: &MixSpec, delay: Micros, font: Option<Font>) -> Result<Self, CodecError> {
        Self::starting_at(spec, delay, font, 0)
    }

    /// As [`new`](Self::new), but the first frames have the time `start`: the program was begun by another core.
    ///
    /// Errors: [`CodecError`] when the encoders refuse their parameters.
    pub fn starting_at(spec: &MixSpec, delay: Micros, font: Option<Font>, start: Micros) -> Result<Self, CodecError> {
        let first_sample = samples(start);
        let video = match spec.video {
            None => None,
            Some(asked) => Some(Video::new(spec.room.clone(), asked, font)?),
        };
        let mut core = Self {
            play_out: PlayOut::fixed(delay),
            scene: Scene::default(),
            persons: HashMap::new(),
            audio_delays: HashMap::new(),
            video_inputs: HashMap::new(),
            mixer: Mixer::starting_at(first_sample),
            block: Vec::new(),
            audio: AudioOutput::new(spec.audio, first_sample)?,
            audio_before: None,
            held_audio: Vec::new(),
            audio_waits: false,
            ticks: Ticks::starting_at(start, tick_rate(spec.video)),
            video,
            header: None,
            frames: VecDeque::new(),
            key_requests: VecDeque::new(),
            shapes: VecDeque::new(),
            levels: HashMap::new(),
            loudest: Loudest::default(),
            new_loudest: None,
            layouts: VecDeque::new(),
            watcher: None,
            figures: Figures::default(),
        };
        core.renew_header();
        Ok(core)
    }

    /// Encodes otherwise from the next tick on; the program's time goes on. A program with video keeps it, one without
    /// gets none: the tracks of a program are fixed when it starts.
    ///
    /// Errors: [`CodecError`] when an encoder refuses; then everything stays as it was.
    pub fn handle_spec(&mut self, spec: &MixSpec) -> Result<(), CodecError> {
        let audio = match spec.audio == self.audio.asked() {
            true => None,
            false => {
                let before = self.audio_before.as_ref().unwrap_or(&self.audio);
                Some(AudioOutput::after(spec.audio, self.mixer.next(), before)?)
            }
        };
        if let (Some(video), Some(asked)) = (&mut self.video, spec.video) {
            let before = video.output.asked();
            video.output.handle_asked(asked)?;
            let named: Vec<PictureId> = spec.layout.pictures().collect();
            video.compositor.keep_pictures(&named);
            if Canvas::of(before) != Canvas::of(asked) || before.background_rgb != asked.background_rgb {
                video.compositor.handle_canvas(Canvas::of(asked), asked.background_rgb);
            }
            if asked.framerate != self.ticks.rate {
                self.ticks = Ticks {
                    start: self.ticks.at(self.ticks.next),
                    rate: asked.framerate.max(1),
                    next: 0,
                };
            }
        }
        if let Some(audio) = audio {
            let before = std::mem::replace(&mut self.audio, audio);
            // After two changes in a row, the one between has not begun yet and is left out.
            self.audio_before.get_or_insert(before).end_at(self.audio.first());
        }
        Ok(())
    }

    /// Plays out as early as the network permits, and at most `most` later than captured.
    pub fn adapt_play_out(&mut self, most: Micros) {
        self.play_out = PlayOut::adaptive(most, self.poll_timeout());
    }

    /// Tells which track is being decoded.
    pub fn watch_decoders(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Another layout, from the next tick on.
    pub fn handle_scene(&mut self, scene: Scene) {
        if scene == self.scene {
            return;
        }
        self.mixer.handle_heard(&scene.heard);
        self.video_inputs.retain(|video, _| scene.shows(video));
        self.persons.retain(|member, _| scene.has(member));
        self.audio_delays.retain(|member, _| scene.has(member));
        let at = self.ticks.at(self.ticks.next);
        if let Some(video) = &mut self.video {
            video.handle_scene(&self.scene, &scene, at);
        }
        self.scene = scene;
    }

    /// A picture that layouts name. `None`: it cannot be shown.
    pub fn handle_picture(&mut self, id: PictureId, picture: Option<Picture>) {
        if let Some(video) = &mut self.video {
            video.compositor.handle_picture(id, picture);
        }
    }

    /// Takes a received frame. It is dropped when the layout has no use for it.
    pub fn handle_sample(&mut self, sample: &Sample) {
        let Self {
            persons,
            audio_delays,
            video_inputs,
            scene,
            mixer,
            play_out,
            figures,
            ..
        } = self;
        let member = sample.source.member();
        match &sample.payload {
            Payload::Audio(packet) if scene.heard.contains(&member) => {
                let person = persons.entry(member.clone()).or_default();
                let captured = person.mix_time(sample.source.track, RATE as u32, sample.stamp) - AUDIO_LOOK_AHEAD;
                play_out.handle_frame(captured, sample.stamp.arrival);
                let delays = audio_delays.entry(member.clone()).or_default();
                let at = captured + delays.of(captured, play_out.delay());
                if let Err(error) = mixer.handle_packet(&member, packet, samples(at)) {
                    tracing::debug!(%member, %error, "a packet of audio is lost");
                }
                if mixer.dropped() > figures.late_audio {
                    figures.late_audio = mixer.dropped();
                    play_out.handle_late();
                }
            }
            Payload::Video(coded) if scene.shows(&sample.source) => {
                let person = persons.entry(member).or_default();
                let captured = person.mix_time(sample.source.track, video_input::RATE, sample.stamp);
                play_out.handle_frame(captured, sample.stamp.arrival);
                let due = captured + play_out.delay();
                let input = video_inputs.entry(sample.source.clone()).or_default();
                input.handle_frame(due, coded);
            }
            Payload::Audio(_) | Payload::Video(_) => {}
        }
    }

    /// When the next tick is due.
    pub fn poll_timeout(&self) -> Micros {
        self.ticks.at(self.ticks.next)
    }

    /// Runs the next tick, if it is due at `now`: one frame and the audio up to it.
    ///
    /// Errors: [`CodecError`] when an encoder fails; the tick is over all the same, and the next one uses a new encoder.
    pub fn handle_tick(&mut self, now: Micros) -> Result<(), CodecError> {
        let at = self.poll_timeout();
        if now < at {
            return Ok(());
        }
        let behind = (now - at) / (self.ticks.at(1) - self.ticks.at(0)).max(1);
        self.figures.late_ticks += u64::from(behind > 0);
        self.ticks.next += 1;
        self.play_out.handle_tick(at);
        self.request_keys(at);
        let video = if behind <= CATCH_UP {
            self.encode_video(at)
        } else {
            Ok(())
        };
        self.audio_waits = false;
        let mut held = std::mem::take(&mut self.held_audio);
        self.push_audio(&mut held);
        let audio = self.encode_audio_until(at);
        self.compare_levels(at);
        self.figures.program = at;
        self.figures.late_audio = self.mixer.dropped();
        self.figures.encoder_failures += u64::from(video.is_err()) + u64::from(audio.is_err());
        video.and(audio)
    }

    /// Ends the program: the audio that the encoder still holds comes out.
    ///
    /// Errors: [`CodecError`] when the encoder fails; the end of the audio is lost then.
    pub fn handle_end(&mut self) -> Result<(), CodecError> {
        let mut made = std::mem::take(&mut self.held_audio);
        // With a change of the audio's settings under way, its new encoder has nothing to say yet.
        let result = self.audio_before.as_mut().unwrap_or(&mut self.audio).finish(&mut made);
        self.push_audio(&mut made);
        result
    }

    /// The next frame of the program; None: all are out.
    pub fn poll_frame(&mut self) -> Option<Arc<Frame>> {
        self.frames.pop_front()
    }

    /// A video that needs a keyframe; None: all are told.
    pub fn poll_key_request(&mut self) -> Option<Source> {
        self.key_requests.pop_front()
    }

    /// A video whose shape is another one than before; None: all are told.
    pub fn poll_shape(&mut self) -> Option<(Source, Shape)> {
        self.shapes.pop_front()
    }

    /// The member who speaks loudest, when it is another one than before and the layout asks for it.
    pub fn poll_loudest(&mut self) -> Option<RoomUser> {
        self.new_loudest.take()
    }

    /// A layout that a frame was the first to show; None: all are told.
    pub fn poll_layout(&mut self) -> Option<ShownLayout> {
        self.layouts.pop_front()
    }

    /// How much later than captured everything is played out now.
    pub fn delay(&self) -> Micros {
        self.play_out.delay()
    }

    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// The number of the layout that is shown.
    pub fn layout_revision(&self) -> u64 {
        self.scene.revision
    }

    /// Members seen or heard, and videos shown live.
    pub fn inputs(&self) -> (u32, u32) {
        let placements = self.scene.placements.iter();
        let mut members: Vec<RoomUser> = placements.map(|placement| placement.video.member()).collect();
        members.extend(self.scene.heard.iter().cloned());
        members.sort_unstable();
        members.dedup();
        let live = self
            .video_inputs
            .iter()
            .filter(|(video, input)| matches!(input.state(self.figures.program, video.track), InputState::Live(..)))
            .count();
        (members.len() as u32, live as u32)
    }

    fn request_keys(&mut self, now: Micros) {
        for placement in self.scene.live() {
            let input = self.video_inputs.entry(placement.video.clone()).or_default();
            if input.take_key_request(now) {
                self.key_requests.push_back(placement.video.clone());
            }
        }
    }

    fn encode_video(&mut self, at: Micros) -> Result<(), CodecError> {
        let Some(video) = &mut self.video else { return Ok(()) };
        // The nearest frame, not the one before: else video would be behind audio.
        let half_a_tick = (self.ticks.at(self.ticks.next) - at) / 2;
        for (source, input) in &mut self.video_inputs {
            if input.is_due(at, half_a_tick) {
                tell(&mut self.watcher, Some(source));
                input.handle_tick(at, half_a_tick);
                tell(&mut self.watcher, None);
            }
            self.figures.shed_frames += input.take_shed_frames();
            if let Some(shape) = input.take_new_shape() {
                self.shapes.push_back((source.clone(), shape));
            }
        }
        let inputs = &self.video_inputs;
        video.animate(at);
        let (mixer, compositor) = (&self.mixer, &mut video.compositor);
        let canvas = compositor.compose(|placement| shown(inputs, placement, at), |member| mixer.speaks(member));
        let failures = video.output.failures();
        let coded = video.output.encode(canvas)?;
        self.figures.encoder_failures += video.output.failures().saturating_sub(failures);
        let Some(coded) = coded else {
            return Ok(());
        };
        self.layouts.extend(video.take_new_layout(&self.scene, at));
        let data = match self.scene.style.sei {
            true => video.with_layout(coded.data, coded.is_key, &self.scene, &self.levels, at),
            false => coded.data,
        };
        if coded.header_changed {
            self.renew_header();
        }
        let Some(header) = self.header.clone() else {
            return Ok(());
        };
        let (pts, next) = (pts(at), pts(self.ticks.at(self.ticks.next)));
        self.figures.video_frames += 1;
        self.figures.video_bytes += data.len() as u64;
        self.frames.push_back(Arc::new(Frame {
            track: Track::Video,
            pts: MediaTime::new(pts, VIDEO_RATE),
            duration: next.saturating_sub(pts) as u32,
            is_key: coded.is_key,
            data,
            header,
        }));
        Ok(())
    }

    fn compare_levels(&mut self, at: Micros) {
        self.levels.clear();
        let levels = self.mixer.take_levels();
        self.levels.extend(levels.map(|(user, level)| (user.clone(), level)));
        if let Some(dwell) = self.scene.style.loudest_dwell {
            let levels = self.levels.iter().map(|(user, level)| (user, *level));
            let new = self.loudest.handle_levels(at, i64::from(dwell) * 1_000_000, levels);
            self.new_loudest = new.cloned().or_else(|| self.new_loudest.take());
        }
    }

    fn encode_audio_until(&mut self, at: Micros) -> Result<(), CodecError> {
        let mut result = Ok(());
        while self.mixer.next() < samples(at) {
            let watcher = &mut self.watcher;
            self.mixer.mix(&mut self.block, |member| {
                tell(watcher, member.map(|member| member.track(TrackSource::Audio)).as_ref());
            });
            let mut made: Vec<AudioFrame> = Vec::new();
            if let Some(before) = &mut self.audio_before {
                result = result.and(before.handle_block(&self.block, &mut made));
                let is_over = before.is_over();
                self.push_audio(&mut made);
                if is_over {
                    self.audio_before = None;
                    self.renew_header();
                    // Readers cut at a keyframe: it comes with the next tick, and the audio of the new header after it.
                    if let Some(video) = &mut self.video {
                        video.output.force_key();
                        self.audio_waits = true;
                    }
                }
            }
            result = result.and(self.audio.handle_block(&self.block, &mut made));
            if self.audio_waits {
                self.held_audio.append(&mut made);
            } else {
                self.push_audio(&mut made);
            }
        }
        result
    }

    fn push_audio(&mut self, made: &mut Vec<AudioFrame>) {
        let Some(header) = &self.header else { return };
        for AudioFrame { pts, data } in made.drain(..) {
            self.figures.audio_bytes += data.len() as u64;
            self.frames.push_back(Arc::new(Frame {
                track: Track::Audio,
                pts,
                duration: rotunda_media::codec::aac::FRAME as u32,
                is_key: true,
                data,
                header: header.clone(),
            }));
        }
    }

    /// Makes the header anew; a program with video has none before the first frame.
    fn renew_header(&mut self) {
        let video = match &self.video {
            None => None,
            Some(video) => match video.output.header() {
                None => return,
                header => header,
            },
        };
        let audio = self.audio_before.as_ref().unwrap_or(&self.audio).header();
        self.header = Some(Arc::new(ProgramHeader { video, audio }));
    }
}

impl Scene {
    fn shows(&self, video: &Source) -> bool {
        self.live().any(|placement| placement.video == *video)
    }

    fn has(&self, member: &RoomUser) -> bool {
        let mut placements = self.placements.iter();
        self.heard.contains(member) || placements.any(|placement| placement.video.is_of(member))
    }
}

fn shown<'a>(inputs: &'a HashMap<Source, VideoInput>, placement: &Placement, now: Micros) -> Shown<'a> {
    let input = match placement.content {
        Content::Card => None,
        Content::Live => inputs.get(&placement.video),
    };
    match input.map_or(InputState::None, |input| input.state(now, placement.video.track)) {
        InputState::None => Shown::Card,
        InputState::Live(frame, serial) => Shown::Live(frame, serial),
        InputState::Frozen(frame, serial) => Shown::Frozen(frame, serial),
    }
}

fn tell(watcher: &mut Option<Watcher>, track: Option<&Source>) {
    if let Some(watcher) = watcher {
        watcher(track);
    }
}

/// Ticks of 90 kHz, rounded to the nearest: microseconds are cut off.
fn pts(at: Micros) -> u64 {
    ((at.max(0) as u64 + 1) * 9).div_euclid(100)
}

#[cfg(test)]
mod tests;
