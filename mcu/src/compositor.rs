//! Draws the canvas. A cell is drawn again only when its content or a cell under it has changed.

use std::collections::HashMap;

use rotunda_media::draw::Font;
use rotunda_media::picture::{Picture, Stamp};
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};
use rotunda_proto::ids::RoomUser;
use rotunda_proto::mix::{PictureId, RenderMode, Style, Watermark};

use crate::card;
use crate::corners::Corners;
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
    style: Style,
}

struct DrawnCell {
    placement: Placement,
    drawn: Option<Drawn>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Drawn {
    content: Content,
    speaks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
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
            style: scene.style,
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

    /// Forgets all other pictures.
    pub fn keep_pictures(&mut self, named: &[PictureId]) {
        self.pictures.retain(|id, _| named.contains(id));
    }

    /// Brings the canvas up to date. `speaks`: whether a member is heard to speak.
    pub fn compose<'a>(
        &mut self,
        shown: impl Fn(&Placement) -> Shown<'a>,
        speaks: impl Fn(&RoomUser) -> bool,
    ) -> &VideoFrame {
        let is_fresh = std::mem::take(&mut self.fresh);
        if is_fresh {
            self.paint_backdrop();
        }
        let framed = self.scene.style.speaking_rgb.is_some();
        let wanted: Vec<(Shown<'a>, Drawn)> = self
            .cells
            .iter()
            .map(|cell| {
                let shows = shown(&cell.placement);
                let content = match shows {
                    Shown::Card => Content::Card,
                    Shown::Live(_, serial) => Content::Live(serial),
                    Shown::Frozen(_, serial) => Content::Frozen(serial),
                };
                let speaks = framed && speaks(&cell.placement.video.member());
                (shows, Drawn { content, speaks })
            })
            .collect();
        let due = self.due(&wanted);
        if due.contains(&true) {
            self.lift_watermark();
        }
        if self.scene.style.corner_radius > 0 && !is_fresh {
            for (cell, _) in self.cells.iter().zip(&due).filter(|(_, due)| **due) {
                self.canvas.copy_from(cell.placement.rect, &self.backdrop);
            }
        }
        for (index, (shows, drawn)) in wanted.into_iter().enumerate() {
            if due.get(index) != Some(&true) {
                continue;
            }
            let Some(cell) = self.cells.get_mut(index) else { break };
            cell.drawn = Some(drawn);
            let placement = cell.placement.clone();
            self.paint_rounded(&placement, shows, drawn.speaks);
        }
        self.put_watermark();
        &self.canvas
    }

    /// The cells that must be drawn: those that have changed, those in front of them, and those behind their round corners.
    fn due(&self, wanted: &[(Shown<'_>, Drawn)]) -> Vec<bool> {
        let rect = |index: usize| self.cells.get(index).map(|cell| cell.placement.rect);
        let cells = self.cells.iter().zip(wanted);
        let mut due: Vec<bool> = cells.map(|(cell, (_, wanted))| cell.drawn != Some(*wanted)).collect();
        let touch = |a: usize, b: usize| rect(a).zip(rect(b)).is_some_and(|(a, b)| overlap(a, b));
        loop {
            let before = due.clone();
            for index in 0..due.len() {
                let under = (0..index).any(|below| due[below] && touch(below, index));
                let over = self.scene.style.corner_radius > 0
                    && (index + 1..due.len()).any(|above| due[above] && touch(above, index));
                due[index] |= under || over;
            }
            if due == before {
                return due;
            }
        }
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

    /// As [`paint_cell`](Self::paint_cell), with the marks of the style.
    fn paint_rounded(&mut self, placement: &Placement, shows: Shown<'_>, speaks: bool) {
        let (rect, style) = (placement.rect, self.scene.style);
        let radius = usize::from(style.corner_radius)
            .min(rect.width / 2)
            .min(rect.height / 2)
            & !1;
        let corners = Corners::save(&self.canvas, rect, radius);
        self.paint_cell(placement, shows);
        if style.names && !matches!(shows, Shown::Card) {
            card::draw_label(
                &mut self.canvas,
                rect,
                placement.video.user.as_str(),
                self.font.as_ref(),
            );
        }
        if let Some(rgb) = style.speaking_rgb.filter(|_| speaks) {
            outline(&mut self.canvas, rect, Yuv::from_rgb(rgb));
        }
        corners.put_back(&mut self.canvas, rect);
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

/// A frame inside the edge of a cell.
fn outline(canvas: &mut VideoFrame, rect: Rect, colour: Yuv) {
    let width = (rect.width.min(rect.height) / 60).clamp(2, 8) & !1;
    let (right, bottom) = (rect.x + rect.width - width, rect.y + rect.height - width);
    let across = [rect.y, bottom].map(|y| Rect {
        y,
        height: width,
        ..rect
    });
    let down = [rect.x, right].map(|x| Rect { x, width, ..rect });
    for side in across.into_iter().chain(down) {
        canvas.fill(side, colour);
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
