//! The tracks that a mix wants to receive: those that its layout shows or makes heard, and no others.

use std::collections::HashMap;

use rotunda_proto::ids::{Source, TrackSource};
use rotunda_proto::mix::RenderMode;
use rotunda_receiver::{WantedVideo, Wants};

use crate::layout::{Placement, Scene};
use crate::video_input::Shape;

/// A source of which no frame has been seen yet is taken for a landscape camera.
const LANDSCAPE: Shape = Shape {
    width: 16,
    height: 9,
    is_turned: false,
};

/// The wants of a scene. `shapes`: those of the sources seen so far.
pub fn wants_of(scene: &Scene, shapes: &HashMap<Source, Shape>) -> Wants {
    let mut video: Vec<WantedVideo> = Vec::new();
    for placement in scene.live() {
        let shape = shapes.get(&placement.video).copied().unwrap_or(LANDSCAPE);
        let max_height = u16::try_from(needed_height(placement, shape)).unwrap_or(u16::MAX);
        match video.iter_mut().find(|want| want.video == placement.video) {
            Some(want) => want.max_height = want.max_height.max(Some(max_height)),
            None => video.push(WantedVideo {
                video: placement.video.clone(),
                max_height: Some(max_height),
            }),
        }
    }
    Wants {
        audio: scene
            .heard
            .iter()
            .map(|member| member.track(TrackSource::Audio))
            .collect(),
        video,
    }
}
/// Coded height at which a frame of this shape needs no enlarging in its cell.
fn needed_height(placement: &Placement, shape: Shape) -> usize {
    let (rect, width, height) = (placement.rect, shape.width.max(1), shape.height.max(1));
    let to_fill_width = (rect.width * height).div_ceil(width);
    let upright = match placement.render_mode {
        RenderMode::Crop => rect.height.max(to_fill_width),
        RenderMode::Scale | RenderMode::ScaleOnBlack => rect.height.min(to_fill_width),
    };
    if shape.is_turned {
        // It was coded on its side, so the coded height is the width that it stands with.
        (upright * width).div_ceil(height)
    } else {
        upright
    }
}

#[cfg(test)]
mod tests {
    use rotunda_media::video_frame::Rect;
    use rotunda_proto::ids::RoomUser;

    use super::*;
    use crate::layout::Content;

    fn wanted(rect: (usize, usize), render_mode: RenderMode, shape: Option<Shape>) -> u16 {
        let video = RoomUser {
            room: rotunda_proto::ids::RoomKey {
                app: 1.try_into().unwrap(),
                room: "1".parse().unwrap(),
            },
            user: "ann".parse().unwrap(),
        }
        .track(TrackSource::Camera);
        let placement = Placement {
            video: video.clone(),
            content: Content::Live,
            rect: Rect {
                x: 0,
                y: 0,
                width: rect.0,
                height: rect.1,
            },
            z: 0,
            render_mode,
            placeholder: None,
        };
        let scene = Scene {
            placements: vec![placement],
            ..Scene::default()
        };
        let shapes = shape.map(|shape| (video, shape)).into_iter().collect();
        wants_of(&scene, &shapes).video[0].max_height.unwrap()
    }

    #[test]
    fn a_landscape_source_is_wanted_as_high_as_its_cell_or_as_its_width_asks_for() {
        assert_eq!(wanted((640, 360), RenderMode::Crop, None), 360);
        assert_eq!(wanted((1280, 360), RenderMode::Crop, None), 720);
        assert_eq!(wanted((320, 360), RenderMode::Crop, None), 360);
        assert_eq!(wanted((320, 360), RenderMode::Scale, None), 180);
    }

    #[test]
    fn a_portrait_source_is_not_enlarged_in_a_wide_cell() {
        let portrait = Shape {
            width: 360,
            height: 640,
            is_turned: false,
        };
        assert_eq!(wanted((640, 360), RenderMode::Crop, Some(portrait)), 1138);
        assert_eq!(wanted((640, 360), RenderMode::Scale, Some(portrait)), 360);
        let phone = Shape {
            is_turned: true,
            ..portrait
        };
        // Coded as 640x360 and turned: its height is the width that it stands with.
        assert_eq!(wanted((640, 360), RenderMode::Crop, Some(phone)), 641);
        assert_eq!(wanted((640, 360), RenderMode::Scale, Some(phone)), 203);
    }
}
