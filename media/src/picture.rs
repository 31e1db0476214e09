//! Uploaded pictures (PNG, JPEG, BMP) as frames with transparency. Bounded: a small file may claim a huge picture.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat, ImageReader, Limits, RgbaImage};
use thiserror::Error;

use crate::scale::scale_into;
use crate::video_frame::{Rect, VideoFrame, Yuv};

/// Largest side, pixels.
const MAX_SIDE: u32 = 4096;
/// Memory that a decoder may use, bytes.
const MAX_MEMORY: u64 = 128 << 20;

/// A picture in its own size, the sides rounded down to even numbers.
#[derive(Debug, Clone)]
pub struct Picture {
    frame: VideoFrame,
    /// 255: opaque, on the luma plane. None: all of it is opaque.
    alpha: Option<VideoFrame>,
}

/// A picture scaled for one place, ready to be drawn again and again.
#[derive(Debug, Clone)]
pub struct Stamp(Picture);

/// Why a file is no picture.
#[derive(Debug, Error)]
pub enum PictureError {
    #[error("the picture must be a PNG, JPEG or BMP file")]
    Format,
    #[error("the picture must be 2x2 to {MAX_SIDE}x{MAX_SIDE} pixels, not {width}x{height}")]
    Size { width: u32, height: u32 },
    #[error("decode the picture")]
    Decode(#[source] image::ImageError),
    #[error("encode the picture")]
    Encode(#[source] image::ImageError),
}

impl Picture {
    /// Reads a file; its content alone says which format it has.
    ///
    /// Errors: [`PictureError`].
    pub fn decode(file: &[u8]) -> Result<Self, PictureError> {
        let format = image::guess_format(file).map_err(|_| PictureError::Format)?;
        if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Bmp) {
            return Err(PictureError::Format);
        }
        let size = ImageReader::with_format(Cursor::new(file), format).into_dimensions();
        let (width, height) = size.map_err(PictureError::Decode)?;
        if !(2..=MAX_SIDE).contains(&width) || !(2..=MAX_SIDE).contains(&height) {
            return Err(PictureError::Size { width, height });
        }
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_MEMORY);
        let mut reader = ImageReader::with_format(Cursor::new(file), format);
        reader.limits(limits);
        let decoded = reader.decode().map_err(PictureError::Decode)?;
        let has_alpha = decoded.color().has_alpha();
        let pixels = decoded.into_rgba8();
        let alpha = has_alpha.then(|| plane_of_alpha(&pixels));
        let is_opaque = |plane: &VideoFrame| plane.y().iter().all(|value| *value == u8::MAX);
        Ok(Self {
            frame: frame_of(&pixels),
            alpha: alpha.filter(|plane| !is_opaque(plane)),
        })
    }

    /// The whole picture.
    pub fn rect(&self) -> Rect {
        self.frame.rect()
    }

    pub fn frame(&self) -> &VideoFrame {
        &self.frame
    }

    /// A part of the picture in another size.
    pub fn stamp(&self, part: Rect, width: usize, height: usize) -> Stamp {
        let scaled = |plane: &VideoFrame| {
            let mut target = VideoFrame::filled(width, height, Yuv::BLACK);
            let whole = target.rect();
            scale_into(&mut target, whole, plane, part);
            target
        };
        Stamp(Self {
            frame: scaled(&self.frame),
            alpha: self.alpha.as_ref().map(scaled),
        })
    }
}

/// A frame as a PNG file.
///
/// Errors: [`PictureError::Encode`].
pub fn to_png(frame: &VideoFrame) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    encode(frame, PngEncoder::new(&mut file))?;
    Ok(file)
}

/// A frame as a JPEG file. `quality`: 1 to 100.
///
/// Errors: [`PictureError::Encode`].
pub fn to_jpeg(frame: &VideoFrame, quality: u8) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    encode(frame, JpegEncoder::new_with_quality(&mut file, quality))?;
    Ok(file)
}

fn encode(frame: &VideoFrame, encoder: impl ImageEncoder) -> Result<(), PictureError> {
    let (width, height) = (frame.width(), frame.height());
    let mut pixels = Vec::with_capacity(width * height * 3);
    for at in 0..width * height {
        let chroma = at / width / 2 * (width / 2) + at % width / 2;
        let colour = Yuv {
            y: frame.y()[at],
            u: frame.u()[chroma],
            v: frame.v()[chroma],
        };
        pixels.extend(colour.to_rgb());
    }
    encoder
        .write_image(&pixels, width as u32, height as u32, ExtendedColorType::Rgb8)
        .map_err(PictureError::Encode)
}

impl Stamp {
    /// Draws it with its top left corner at (x, y), both even; what is outside the canvas is cut off.
    pub fn draw(&self, canvas: &mut VideoFrame, x: usize, y: usize) {
        let Self(Picture { frame, alpha }) = self;
        let place = Rect {
            x,
            y,
            width: frame.width(),
            height: frame.height(),
        };
        match alpha {
            None => scale_into_part(canvas, place, frame),
            Some(alpha) => blend(canvas, place, frame, alpha),
        }
    }
}

/// Copies what is inside the canvas.
fn scale_into_part(canvas: &mut VideoFrame, place: Rect, frame: &VideoFrame) {
    let part = Rect {
        x: 0,
        y: 0,
        width: place.width.min(canvas.width().saturating_sub(place.x)),
        height: place.height.min(canvas.height().saturating_sub(place.y)),
    };
    let place = Rect {
        width: part.width,
        height: part.height,
        ..place
    };
    scale_into(canvas, place, frame, part);
}

fn blend(canvas: &mut VideoFrame, place: Rect, frame: &VideoFrame, alpha: &VideoFrame) {
    let (across, down) = (canvas.width(), canvas.height());
    let (x, y) = (place.x & !1, place.y & !1);
    let width = place.width.min(across.saturating_sub(x)) & !1;
    let height = place.height.min(down.saturating_sub(y)) & !1;
    let mix = |under: u8, over: u8, alpha: u16| {
        let (under, over) = (u16::from(under), u16::from(over));
        ((under * (255 - alpha) + over * alpha + 127) / 255) as u8
    };
    let [luma, u, v] = canvas.planes_mut();
    for row in 0..height {
        let (from, to) = (row * frame.width(), (y + row) * across + x);
        for column in 0..width {
            let opacity = u16::from(alpha.y()[from + column]);
            let under = &mut luma[to + column];
            *under = mix(*under, frame.y()[from + column], opacity);
        }
    }
    for (plane, source) in [(u, frame.u()), (v, frame.v())] {
        for row in 0..height / 2 {
            let (from, to) = (row * frame.width() / 2, (y / 2 + row) * (across / 2) + x / 2);
            for column in 0..width / 2 {
                let at = row * 2 * frame.width() + column * 2;
                let four = [at, at + 1, at + frame.width(), at + frame.width() + 1];
                let opacity: u16 = four.iter().map(|at| u16::from(alpha.y()[*at])).sum();
                let under = &mut plane[to + column];
                *under = mix(*under, source[from + column], opacity / 4);
            }
        }
    }
}

fn even(pixels: &RgbaImage) -> (usize, usize) {
    (pixels.width() as usize & !1, pixels.height() as usize & !1)
}

fn plane_of_alpha(pixels: &RgbaImage) -> VideoFrame {
    let (width, height) = even(pixels);
    let mut frame = VideoFrame::filled(width, height, Yuv::BLACK);
    let [plane, ..] = frame.planes_mut();
    for (row, line) in pixels.rows().zip(plane.chunks_exact_mut(width)) {
        for (pixel, value) in row.zip(line) {
            *value = pixel.0[3];
        }
    }
    frame
}

/// BT.601, limited range, as the canvas.
fn frame_of(pixels: &RgbaImage) -> VideoFrame {
    let (width, height) = even(pixels);
    let mut frame = VideoFrame::filled(width, height, Yuv::BLACK);
    let [luma, u, v] = frame.planes_mut();
    let colour = |x: usize, y: usize| {
        let [red, green, blue, _] = pixels.get_pixel(x as u32, y as u32).0;
        Yuv::from_rgb(u32::from_be_bytes([0, red, green, blue]))
    };
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| (y * width + x, colour(x, y)));
            for (at, colour) in four {
                luma[at] = colour.y;
            }
            let mean = |part: fn(&Yuv) -> u8| {
                let sum: u16 = four.iter().map(|(_, colour)| u16::from(part(colour))).sum();
                ((sum + 2) / 4) as u8
            };
            let at = y / 2 * (width / 2) + x / 2;
            u[at] = mean(|colour| colour.u);
            v[at] = mean(|colour| colour.v);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, Rgba};

    use super::*;

    fn file(pixels: RgbaImage, format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let image = DynamicImage::ImageRgba8(pixels);
        match format {
            ImageFormat::Jpeg => DynamicImage::ImageRgb8(image.into_rgb8()).write_to(&mut file, format),
            _ => image.write_to(&mut file, format),
        }
        .unwrap();
        file.into_inner()
    }

    fn red(width: u32, height: u32, alpha: u8) -> RgbaImage {
        RgbaImage::from_pixel(width, height, Rgba([255, 0, 0, alpha]))
    }

    #[test]
    fn png_jpeg_and_bmp_have_the_same_colours() {
        let expected = Yuv::from_rgb(0xff_0000);
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp] {
            let picture = Picture::decode(&file(red(33, 17, 255), format)).unwrap();
            assert_eq!((picture.rect().width, picture.rect().height), (32, 16));
            let frame = picture.frame();
            assert!(frame.y()[0].abs_diff(expected.y) < 3, "{format:?}");
            assert!(frame.v()[0].abs_diff(expected.v) < 3, "{format:?}");
        }
    }

    #[test]
    fn a_frame_survives_the_way_through_a_png() {
        let mut frame = VideoFrame::filled(64, 32, Yuv::from_rgb(0x20_60_80));
        let whole = frame.rect();
        frame.fill(Rect { width: 32, ..whole }, Yuv::WHITE);
        let again = Picture::decode(&to_png(&frame).unwrap()).unwrap();
        let near = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 2);
        assert!(near(again.frame().y(), frame.y()) && near(again.frame().u(), frame.u()));
        assert!(near(again.frame().v(), frame.v()));
    }

    #[test]
    fn a_half_transparent_stamp_lets_the_canvas_through() {
        let picture = Picture::decode(&file(red(32, 16, 128), ImageFormat::Png)).unwrap();
        let mut canvas = VideoFrame::filled(64, 64, Yuv::WHITE);
        picture.stamp(picture.rect(), 16, 16).draw(&mut canvas, 8, 8);
        let (inside, outside) = (canvas.y()[16 * 64 + 16], canvas.y()[40 * 64 + 40]);
        let half = u8::midpoint(Yuv::from_rgb(0xff_0000).y, Yuv::WHITE.y);
        assert!(inside.abs_diff(half) < 3, "{inside}");
        assert_eq!(outside, 235);
    }

    #[test]
    fn a_stamp_over_the_edge_is_cut_off() {
        for alpha in [255, 100] {
            let picture = Picture::decode(&file(red(32, 32, alpha), ImageFormat::Png)).unwrap();
            let mut canvas = VideoFrame::filled(64, 64, Yuv::WHITE);
            picture.stamp(picture.rect(), 32, 32).draw(&mut canvas, 50, 50);
            assert_ne!(canvas.y()[60 * 64 + 60], 235);
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused_by_name() {
        let refused = |file: &[u8]| Picture::decode(file).unwrap_err().to_string();
        assert!(refused(b"GIF89a......").contains("PNG, JPEG or BMP"));
        assert!(refused(b"").contains("PNG, JPEG or BMP"));
        let wide = file(RgbaImage::new(5000, 2), ImageFormat::Png);
        assert!(refused(&wide).contains("not 5000x2"));
        let whole = file(red(32, 32, 255), ImageFormat::Png);
        assert!(refused(&whole[..whole.len() / 2]).contains("decode"));
    }
}
