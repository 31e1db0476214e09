//! Draws the canvas. A cell is drawn again only when its content or a cell under it has changed.

use rotunda_media::draw::Font;
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};
use rotunda_proto::mix::RenderMode;

use crate::card;
use crate::layout::{Canvas, Placement};

/// Content of a cell at one tick.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    Card,
    /// A frame, and a number that changes with each new frame.
    Live(&'a VideoFrame, u64),
    /// The last frame of a video that has stopped, shown dimmed with the member's name.
    Frozen(&'a VideoFrame, u64),
}

/// See the [module](self).
pub struct Compositor {
    canvas: VideoFrame,
    background: Yuv,
    font: Option<Font>,
    /// Back to front.
    cells: Vec<DrawnCell>,
    /// The background must be painted first.
    fresh: bool,
}

struct DrawnCell {
    placement: Placement,
    drawn: Option<Drawn>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Drawn {
    Card,
    Live(u64),
    Frozen(u64),
}

impl Compositor {
    /// `font`: for names; without one cards have none.
    pub fn new(canvas: Canvas, background_rgb: u32, font: Option<Font>) -> Self {
        let background = Yuv::from_rgb(background_rgb);
        Self {
            canvas: VideoFrame::filled(canvas.width, canvas.height, background),
            background,
            font,
            cells: Vec::new(),
            fresh: true,
        }
    }

    /// Another size or background, from the next frame on.
    pub fn handle_canvas(&mut self, canvas: Canvas, background_rgb: u32) {
        let placements = self.cells.drain(..).map(|cell| cell.placement).collect();
        *self = Self::new(canvas, background_rgb, self.font.take());
        self.handle_placements(placements);
    }

    /// Another layout, from the next frame on.
    pub fn handle_placements(&mut self, placements: Vec<Placement>) {
        self.cells = placements
            .into_iter()
            .map(|placement| DrawnCell { placement, drawn: None })
            .collect();
        self.fresh = true;
    }

    /// Brings the canvas up to date.
    pub fn compose<'a>(&mut self, shown: impl Fn(&Placement) -> Shown<'a>) -> &VideoFrame {
        if std::mem::take(&mut self.fresh) {
            let whole = self.canvas.rect();
            self.canvas.fill(whole, self.background);
        }
        let mut painted: Vec<Rect> = Vec::new();
        for cell in &mut self.cells {
            let shows = shown(&cell.placement);
            let wanted = match shows {
                Shown::Card => Drawn::Card,
                Shown::Live(_, serial) => Drawn::Live(serial),
                Shown::Frozen(_, serial) => Drawn::Frozen(serial),
            };
            let rect = cell.placement.rect;
            if cell.drawn == Some(wanted) && !painted.iter().any(|under| overlap(*under, rect)) {
                continue;
            }
            match shows {
                Shown::Card => {
                    card::draw(
                        &mut self.canvas,
                        rect,
                        cell.placement.video.user.as_str(),
                        self.font.as_ref(),
                    );
                }
                Shown::Live(frame, _) | Shown::Frozen(frame, _) => {
                    paint(
                        &mut self.canvas,
                        rect,
                        frame,
                        cell.placement.render_mode,
                        self.background,
                    );
                }
            }
            if matches!(shows, Shown::Frozen(..)) {
                self.canvas.dim(rect);
                card::draw_name(
                    &mut self.canvas,
                    rect,
                    cell.placement.video.user.as_str(),
                    self.font.as_ref(),
                );
            }
            cell.drawn = Some(wanted);
            painted.push(rect);
        }
        &self.canvas
    }
}

fn paint(canvas: &mut VideoFrame, rect: Rect, frame: &VideoFrame, mode: RenderMode, background: Yuv) {
    match mode {
        RenderMode::Crop => {
            let part = fit(frame.rect(), rect);
            scale_into(canvas, rect, frame, part);
        }
        RenderMode::Scale | RenderMode::ScaleOnBlack => {
            let inner = fit(rect, frame.rect());
            if inner != rect {
                canvas.fill(
                    rect,
                    if mode == RenderMode::Scale {
                        background
                    } else {
                        Yuv::BLACK
                    },
                );
            }
            scale_into(canvas, inner, frame, frame.rect());
        }
    }
}

/// The biggest rectangle in the middle of `outer` that has the shape of `shape`; even.
fn fit(outer: Rect, shape: Rect) -> Rect {
    let by_height = outer.height * shape.width / shape.height.max(1);
    let by_width = outer.width * shape.height / shape.width.max(1);
    let (width, height) = if by_height <= outer.width {
        (by_height, outer.height)
    } else {
        (outer.width, by_width)
    };
    // Within one chroma sample of the full side it is the full side: no dark seams from rounding.
    let snap = |side: usize, full: usize| {
        if full - side.min(full) <= 2 {
            full
        } else {
            (side & !1).max(2)
        }
    };
    let (width, height) = (snap(width, outer.width), snap(height, outer.height));
    Rect {
        x: outer.x + (((outer.width - width) / 2) & !1),
        y: outer.y + (((outer.height - height) / 2) & !1),
        width,
        height,
    }
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

#[cfg(test)]
mod tests {
    use rotunda_media::mark::{self, Mark};
    use rotunda_proto::ids::TrackSource;
    use rotunda_proto::mix::VideoRef;

    use super::*;
    use crate::layout::Content;

    fn placement(name: &str, rect: Rect, z: u32, render_mode: RenderMode) -> Placement {
        let video = VideoRef {
            user: name.parse().unwrap(),
            source: TrackSource::Camera,
        };
        Placement {
            video,
            content: Content::Live,
            rect,
            z,
            render_mode,
        }
    }

    fn marked(id: u8) -> VideoFrame {
        let mut frame = VideoFrame::filled(640, 360, Yuv::from_rgb(0x80_8080));
        let whole = frame.rect();
        mark::draw(&mut frame, whole, Mark { id, count: 77 });
        frame
    }

    #[test]
    fn every_frame_is_in_its_cell() {
        let canvas = Canvas {
            width: 1280,
            height: 720,
        };
        let mut compositor = Compositor::new(canvas, 0, None);
        let cells: Vec<Rect> = (0..4)
            .map(|n| Rect {
                x: n % 2 * 640,
                y: n / 2 * 360,
                width: 640,
                height: 360,
            })
            .collect();
        let names = ["0", "1", "2", "3"];
        let placements = names
            .iter()
            .zip(&cells)
            .map(|(name, rect)| placement(name, *rect, 0, RenderMode::Crop));
        compositor.handle_placements(placements.collect());
        let frames: Vec<VideoFrame> = (0..4).map(marked).collect();
        let out = compositor.compose(|placement| {
            let index: usize = placement.video.user.as_str().parse().unwrap();
            Shown::Live(&frames[index], 1)
        });
        for (index, rect) in cells.iter().enumerate() {
            assert_eq!(
                mark::read(out.y(), out.width(), *rect),
                Some(Mark {
                    id: index as u8,
                    count: 77
                })
            );
        }
    }

    #[test]
    fn a_frame_in_front_stays_in_front_when_the_one_behind_changes() {
        let mut compositor = Compositor::new(
            Canvas {
                width: 640,
                height: 360,
            },
            0,
            None,
        );
        let front = Rect {
            x: 400,
            y: 200,
            width: 160,
            height: 90,
        };
        compositor.handle_placements(vec![
            placement(
                "back",
                Rect {
                    x: 0,
                    y: 0,
                    width: 640,
                    height: 360,
                },
                0,
                RenderMode::Crop,
            ),
            placement("front", front, 1, RenderMode::Crop),
        ]);
        let (dark, light) = (
            VideoFrame::filled(640, 360, Yuv::BLACK),
            VideoFrame::filled(640, 360, Yuv::WHITE),
        );
        for serial in 0..3 {
            let out = compositor.compose(|placement| match placement.video.user.as_str() {
                "back" => Shown::Live(&dark, serial),
                _ => Shown::Live(&light, 0),
            });
            assert_eq!(out.y()[240 * 640 + 480], 235);
            assert_eq!(out.y()[10 * 640 + 10], 16);
        }
    }

    #[test]
    fn a_whole_frame_leaves_the_background_beside_it() {
        let mut compositor = Compositor::new(
            Canvas {
                width: 640,
                height: 360,
            },
            0x00ff_ffff,
            None,
        );
        let rect = Rect {
            x: 0,
            y: 0,
            width: 640,
            height: 360,
        };
        let tall = VideoFrame::filled(180, 360, Yuv { y: 100, u: 128, v: 128 });
        compositor.handle_placements(vec![placement("tall", rect, 0, RenderMode::Scale)]);
        let out = compositor.compose(|_| Shown::Live(&tall, 0));
        let middle_row = &out.y()[180 * 640..181 * 640];
        assert_eq!((middle_row[100], middle_row[320]), (235, 100));
    }

    #[test]
    fn a_frozen_video_is_dimmed_once_and_bright_again_with_its_next_frame() {
        let canvas = Canvas {
            width: 640,
            height: 360,
        };
        let mut compositor = Compositor::new(canvas, 0, None);
        let whole = VideoFrame::filled(640, 360, Yuv::WHITE).rect();
        compositor.handle_placements(vec![placement("a", whole, 0, RenderMode::Crop)]);
        let light = VideoFrame::filled(640, 360, Yuv::WHITE);
        let mut middle = |shown: Shown<'_>| compositor.compose(|_| shown).y()[180 * 640 + 320];
        assert_eq!(middle(Shown::Live(&light, 1)), 235);
        let dimmed = middle(Shown::Frozen(&light, 1));
        assert!((60..150).contains(&dimmed), "{dimmed}");
        assert_eq!(middle(Shown::Frozen(&light, 1)), dimmed);
        assert_eq!(middle(Shown::Live(&light, 2)), 235);
    }

    #[test]
    fn a_card_shows_the_disc_and_the_name() {
        let mut compositor = Compositor::new(
            Canvas {
                width: 640,
                height: 360,
            },
            0,
            Font::system(),
        );
        let rect = Rect {
            x: 0,
            y: 0,
            width: 640,
            height: 360,
        };
        compositor.handle_placements(vec![placement("alice", rect, 0, RenderMode::Crop)]);
        let out = compositor.compose(|_| Shown::Card);
        let ground = out.y()[0];
        assert!(out.y()[144 * 640 + 320].abs_diff(ground) > 40);
    }
}
