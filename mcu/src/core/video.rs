//! The video of a mix: the compositor, its animation, the encoder, and the layout that the output tells.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use rotunda_media::codec::CodecError;
use rotunda_media::draw::Font;
use rotunda_proto::ids::{RoomKey, RoomUser};
use rotunda_proto::mix::VideoEncode;
use rotunda_proto::mix_layout::ShownLayout;

use crate::compositor::Compositor;
use crate::layout::animation::Animation;
use crate::layout::{Canvas, Scene};
use crate::sei;
use crate::timeline::Micros;
use crate::video_output::VideoOutput;

/// The output tells its layout this often, as volumes change.
const TELL_EVERY: Micros = 500_000;

/// See the [module](self).
pub struct Video {
    /// Of the mix; members of other rooms are told with theirs.
    room: RoomKey,
    pub output: VideoOutput,
    pub compositor: Compositor,
    /// That of the scene.
    canvas: Canvas,
    animation: Option<Animation>,
    /// The layout that the output has told last, and when.
    told: Option<(u64, Micros)>,
    /// The revision of the layout of the last frame.
    shown: Option<u64>,
}

impl Video {
    /// Errors: [`CodecError`] when the encoder refuses its parameters.
    pub fn new(room: RoomKey, asked: VideoEncode, font: Option<Font>) -> Result<Self, CodecError> {
        Ok(Self {
            room,
            output: VideoOutput::new(asked)?,
            compositor: Compositor::new(Canvas::of(asked), asked.background_rgb, font),
            canvas: Canvas::of(asked),
            animation: None,
            told: None,
            shown: None,
        })
    }

    /// Another layout, from the tick at `at` on.
    pub fn handle_scene(&mut self, before: &Scene, scene: &Scene, at: Micros) {
        let canvas = Canvas::of(self.output.asked());
        // Cells of a canvas of another size would begin outside.
        let is_animated = scene.style.animated && self.canvas == canvas && !before.placements.is_empty();
        let shown = self.animation.take();
        self.compositor.handle_scene(scene);
        self.canvas = canvas;
        if is_animated {
            let from = shown.map_or_else(|| before.placements.clone(), |shown| shown.placements(at));
            self.animation = Some(Animation::new(from, scene.placements.clone(), at));
        }
    }

    pub fn animate(&mut self, at: Micros) {
        if let Some(animation) = &self.animation {
            self.compositor.handle_placements(animation.placements(at));
            if animation.is_over(at) {
                self.animation = None;
            }
        }
    }

    /// The layout, if the frame at `at` is the first to show it.
    pub fn take_new_layout(&mut self, scene: &Scene, at: Micros) -> Option<ShownLayout> {
        let is_new = self.shown.replace(scene.revision) != Some(scene.revision);
        is_new.then(|| sei::shown(&self.room, self.canvas, scene, millis(at)))
    }

    /// The frame, and before it where the members are: with each keyframe, each new layout, and [`TELL_EVERY`].
    pub fn with_layout(
        &mut self,
        frame: Bytes,
        is_key: bool,
        scene: &Scene,
        levels: &HashMap<RoomUser, f32>,
        at: Micros,
    ) -> Bytes {
        let is_known = |(revision, told_at): (u64, Micros)| revision == scene.revision && at - told_at < TELL_EVERY;
        if !is_key && self.told.is_some_and(is_known) {
            return frame;
        }
        self.told = Some((scene.revision, at));
        let volume = |member: &RoomUser| levels.get(member).map_or(0, |level| volume(*level));
        let told = sei::layout(&self.room, self.canvas, scene, millis(at), volume);
        let mut data = BytesMut::with_capacity(4 + told.len() + frame.len());
        data.put_u32(told.len() as u32);
        data.put_slice(&told);
        data.put_slice(&frame);
        data.freeze()
    }
}

fn millis(at: Micros) -> u64 {
    (at.max(0) / 1000) as u64
}

/// 0 at -60 dBFS and below, 255 at full scale.
fn volume(mean_square: f32) -> u8 {
    let decibel = 10.0 * mean_square.max(1e-10).log10();
    ((decibel + 60.0) / 60.0 * 255.0).clamp(0.0, 255.0) as u8
}
