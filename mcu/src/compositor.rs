//! Draws the canvas. A cell is drawn again only when its content or a cell under it has changed.

use std::collections::HashMap;

use rotunda_media::draw::Font;
use rotunda_media::picture::{Picture, Stamp};
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};
use rotunda_proto::mix::{PictureId, RenderMode, Watermark};

use crate::card;
use crate::layout::{Canvas, EmptyCell, Placement, Scene};

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
    /// The canvas without cells.
    backdrop: VideoFrame,
    font: Option<Font>,
    pictures: HashMap<PictureId, Picture>,
    scene: Backdrop,
    /// Back to front.
    cells: Vec<DrawnCell>,
    watermark: Option<Overlay>,
    /// The backdrop must be painted first.
    fresh: bool,
}

/// The parts of a scene that stay as they are while videos change.
#[derive(Default)]
struct Backdrop {
    background: Option<PictureId>,
    empty_cells: Vec<EmptyCell>,
    watermark: Option<Watermark>,
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

/// A stamp in front of the cells, and what it hides: that is put back before a cell below is drawn again.
struct Overlay {
    stamp: Stamp,
    rect: Rect,
    under: Option<VideoFrame>,
}

impl Compositor {
    /// `font`: for names; without one cards have none.
    pub fn new(canvas: Canvas, background_rgb: u32, font: Option<Font>) -> Self {
        let background = Yuv::from_rgb(background_rgb);
        let canvas = VideoFrame::filled(canvas.width, canvas.height, background);
        Self {
            backdrop: canvas.clone(),
            canvas,
            background,
            font,
            pictures: HashMap::new(),
            scene: Backdrop::default(),
            cells: Vec::new(),
            watermark: None,
            fresh: true,
        }
    }

    /// Another size or background, from the next frame on.
    pub fn handle_canvas(&mut self, canvas: Canvas, background_rgb: u32) {
        let background = Yuv::from_rgb(background_rgb);
        let canvas = VideoFrame::filled(canvas.width, canvas.height, background);
        (self.canvas, self.background) = (canvas, background);
        self.start_over();
    }

    /// Another layout, from the next frame on.
    pub fn handle_scene(&mut self, scene: &Scene) {
        self.scene = Backdrop {
            background: scene.background,
            empty_cells: scene.empty_cells.clone(),
            watermark: scene.watermark,
        };
        self.handle_placements(scene.placements.clone());
    }

    /// As [`handle_scene`](Self::handle_scene), with other cells alone.
    pub fn handle_placements(&mut self, placements: Vec<Placement>) {
        self.cells = placements
            .into_iter()
            .map(|placement| DrawnCell { placement, drawn: None })
            .collect();
        self.start_over();
    }

    /// A picture that scenes name; `None`: it cannot be shown.
    pub fn handle_picture(&mut self, id: PictureId, picture: Option<Picture>) {
        match picture {
            Some(picture) => drop(self.pictures.insert(id, picture)),
            None => drop(self.pictures.remove(&id)),
        }
        self.start_over();
    }

    /// Brings the canvas up to date.
    pub fn compose<'a>(&mut self, shown: impl Fn(&Placement) -> Shown<'a>) -> &VideoFrame {
        if std::mem::take(&mut self.fresh) {
            self.paint_backdrop();
        }
        let mut painted: Vec<Rect> = Vec::new();
        for index in 0..self.cells.len() {
            let Some(cell) = self.cells.get_mut(index) else { break };
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
            cell.drawn = Some(wanted);
            let placement = cell.placement.clone();
            if painted.is_empty() {
                self.lift_watermark();
            }
            self.paint_cell(&placement, shows);
            painted.push(rect);
        }
        self.put_watermark();
        &self.canvas
    }

    /// Everything is drawn anew with the next frame.
    fn start_over(&mut self) {
        self.fresh = true;
        for cell in &mut self.cells {
            cell.drawn = None;
        }
    }

    fn paint_backdrop(&mut self) {
        let whole = self.canvas.rect();
        self.canvas.fill(whole, self.background);
        if let Some(picture) = self.scene.background.and_then(|id| self.pictures.get(&id)) {
            draw_picture(&mut self.canvas, whole, picture, RenderMode::Crop);
        }
        for cell in &self.scene.empty_cells {
            if let Some(picture) = self.pictures.get(&cell.picture) {
                draw_picture(&mut self.canvas, cell.rect, picture, cell.render_mode);
            }
        }
        self.backdrop.clone_from(&self.canvas);
        self.watermark = self.scene.watermark.and_then(|watermark| {
            let picture = self.pictures.get(&watermark.picture)?;
            let even = |side: u16| usize::from(side) & !1;
            let (width, height) = (even(watermark.width), even(watermark.height));
            (width > 0 && height > 0).then(|| Overlay {
                stamp: picture.stamp(picture.rect(), width, height),
                rect: Rect {
                    x: even(watermark.x),
                    y: even(watermark.y),
                    width,
                    height,
                },
                under: None,
            })
        });
    }

    fn paint_cell(&mut self, placement: &Placement, shows: Shown<'_>) {
        let (rect, name) = (placement.rect, placement.video.user.as_str());
        let frame = match shows {
            Shown::Live(frame, _) | Shown::Frozen(frame, _) => frame,
            Shown::Card => {
                match placement.placeholder.and_then(|id| self.pictures.get(&id)) {
                    Some(picture) => {
                        self.canvas.copy_from(rect, &self.backdrop);
                        draw_picture(&mut self.canvas, rect, picture, placement.render_mode);
                    }
                    None => card::draw(&mut self.canvas, rect, name, self.font.as_ref()),
                }
                return;
            }
        };
        paint(&mut self.canvas, rect, frame, placement.render_mode, &self.backdrop);
        if matches!(shows, Shown::Frozen(..)) {
            self.canvas.dim(rect);
            card::draw_name(&mut self.canvas, rect, name, self.font.as_ref());
        }
    }

    fn lift_watermark(&mut self) {
        if let Some(overlay) = &mut self.watermark
            && let Some(under) = overlay.under.take()
        {
            scale_into(&mut self.canvas, overlay.rect, &under, under.rect());
        }
    }

    fn put_watermark(&mut self) {
        let Some(overlay) = self.watermark.as_mut().filter(|overlay| overlay.under.is_none()) else {
            return;
        };
        let rect = overlay.rect;
        let mut under = VideoFrame::filled(rect.width, rect.height, Yuv::BLACK);
        let whole = under.rect();
        scale_into(&mut under, whole, &self.canvas, rect);
        overlay.stamp.draw(&mut self.canvas, rect.x, rect.y);
        overlay.under = Some(under);
    }
}

/// Draws a picture into a cell; with transparency the canvas stays behind it.
fn draw_picture(canvas: &mut VideoFrame, rect: Rect, picture: &Picture, mode: RenderMode) {
    match mode {
        RenderMode::Crop => {
            let part = fit(picture.rect(), rect);
            picture
                .stamp(part, rect.width, rect.height)
                .draw(canvas, rect.x, rect.y);
        }
        RenderMode::Scale | RenderMode::ScaleOnBlack => {
            if mode == RenderMode::ScaleOnBlack {
                canvas.fill(rect, Yuv::BLACK);
            }
            let inner = fit(rect, picture.rect());
            let stamp = picture.stamp(picture.rect(), inner.width, inner.height);
            stamp.draw(canvas, inner.x, inner.y);
        }
    }
}

fn paint(canvas: &mut VideoFrame, rect: Rect, frame: &VideoFrame, mode: RenderMode, backdrop: &VideoFrame) {
    match mode {
        RenderMode::Crop => {
            let part = fit(frame.rect(), rect);
            scale_into(canvas, rect, frame, part);
        }
        RenderMode::Scale | RenderMode::ScaleOnBlack => {
            let inner = fit(rect, frame.rect());
            if inner != rect {
                match mode {
                    RenderMode::Scale => canvas.copy_from(rect, backdrop),
                    _ => canvas.fill(rect, Yuv::BLACK),
                }
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
mod tests;
