//! The name card: a cell without video shows a coloured disc and the member's name.

use rotunda_media::draw::{Font, disc};
use rotunda_media::scale::scale_into;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};

/// Behind the disc.
const GROUND: u32 = 0x002b_2f36;
/// Discs; a name always gets the same one.
const COLOURS: [u32; 8] = [
    0xe5_7373, 0xf0_6292, 0xba_68c8, 0x79_86cb, 0x4f_c3f7, 0x4d_b6ac, 0xae_d581, 0xff_b74d,
];

/// Draws the card of `name` into `rect`.
pub fn draw(canvas: &mut VideoFrame, rect: Rect, name: &str, font: Option<&Font>) {
    let mut card = VideoFrame::filled(rect.width, rect.height, Yuv::from_rgb(GROUND));
    let sum: usize = name.bytes().map(usize::from).sum();
    let radius = rect.width.min(rect.height) / 6;
    let (x, y) = (rect.width / 2, rect.height * 2 / 5);
    disc(&mut card, x, y, radius, Yuv::from_rgb(COLOURS[sum % COLOURS.len()]));
    let whole = card.rect();
    draw_name(&mut card, whole, name, font);
    scale_into(canvas, rect, &card, whole);
}

/// Draws the name in the lower half of `rect`, as large as it fits.
pub fn draw_name(canvas: &mut VideoFrame, rect: Rect, name: &str, font: Option<&Font>) {
    let Some(font) = font else { return };
    let wanted = (rect.height as f32 / 9.0).max(8.0);
    let most = rect.width as f32 * 0.9;
    let size = wanted.min(wanted * most / font.width(name, wanted).max(1.0));
    let left = (rect.width as f32 - font.width(name, size)).max(0.0) / 2.0;
    let (x, y) = (rect.x + left as usize, rect.y + rect.height * 2 / 3);
    font.label(canvas, name, x, y, size, Yuv::WHITE);
}

/// Draws the name into the lower left corner of `rect`, on a dark ground.
pub fn draw_label(canvas: &mut VideoFrame, rect: Rect, name: &str, font: Option<&Font>) {
    let Some(font) = font else { return };
    let size = (rect.height as f32 / 14.0).clamp(10.0, 40.0);
    let most = rect.width as f32 * 0.8;
    let size = size.min(size * most / font.width(name, size).max(1.0));
    let pad = (size / 3.0) as usize & !1;
    let (width, height) = (font.width(name, size) as usize + 2 * pad, size as usize + pad);
    let ground = Rect {
        x: (rect.x + pad) & !1,
        y: (rect.y + rect.height).saturating_sub(height + pad) & !1,
        width: (width + 1) & !1,
        height: (height + 1) & !1,
    };
    canvas.dim(ground);
    font.label(canvas, name, ground.x + pad, ground.y + pad / 2, size, Yuv::WHITE);
}
