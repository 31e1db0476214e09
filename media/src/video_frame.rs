//! I420 frames: three planes of 8 bits, chroma at half width and half height.

/// A frame in memory that it owns. Width and height are even and at least 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoFrame {
    width: usize,
    height: usize,
    /// Y, then U, then V, rows without padding.
    data: Vec<u8>,
}

/// A colour in BT.601 limited range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yuv {
    pub y: u8,
    pub u: u8,
    pub v: u8,
}

impl Yuv {
    pub const BLACK: Self = Self { y: 16, u: 128, v: 128 };
    pub const WHITE: Self = Self { y: 235, u: 128, v: 128 };

    /// From 0xRRGGBB. Source: ITU-R BT.601-7 §2.5.
    pub fn from_rgb(rgb: u32) -> Self {
        let [_, r, g, b] = rgb.to_be_bytes().map(i32::from);
        Self {
            y: (((66 * r + 129 * g + 25 * b + 128) >> 8) + 16) as u8,
            u: (((-38 * r - 74 * g + 112 * b + 128) >> 8) + 128) as u8,
            v: (((112 * r - 94 * g - 18 * b + 128) >> 8) + 128) as u8,
        }
    }

    /// Red, green and blue. Source: ITU-R BT.601-7 §2.5, limited range.
    pub fn to_rgb(self) -> [u8; 3] {
        let (y, u, v) = (
            1.164 * (f32::from(self.y) - 16.0),
            f32::from(self.u) - 128.0,
            f32::from(self.v) - 128.0,
        );
        let rgb = [y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u];
        rgb.map(|value| value.round().clamp(0.0, 255.0) as u8)
    }
}

/// A rectangle of a frame, in pixels from the top left. Even numbers, so that chroma does not shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// How a frame must be turned, clockwise, to stand upright.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Rotation {
    #[default]
    None,
    Clockwise90,
    Half,
    Clockwise270,
}

impl VideoFrame {
    /// A frame of one colour. Odd sizes are rounded up to even ones.
    pub fn filled(width: usize, height: usize, colour: Yuv) -> Self {
        let (width, height) = ((width.max(2) + 1) & !1, (height.max(2) + 1) & !1);
        let luma = width * height;
        let mut data = vec![colour.y; luma];
        data.resize(luma + luma / 4, colour.u);
        data.resize(luma + luma / 2, colour.v);
        Self { width, height, data }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// The whole frame.
    pub fn rect(&self) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        }
    }

    pub fn y(&self) -> &[u8] {
        &self.data[..self.width * self.height]
    }

    pub fn u(&self) -> &[u8] {
        let luma = self.width * self.height;
        &self.data[luma..luma + luma / 4]
    }

    pub fn v(&self) -> &[u8] {
        let luma = self.width * self.height;
        &self.data[luma + luma / 4..]
    }

    /// Y, U and V planes to write; strides are `width`, `width / 2`, `width / 2`.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let luma = self.width * self.height;
        let (y, chroma) = self.data.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(luma / 4);
        [y, u, v]
    }

    /// Paints a rectangle (cut to the frame) in one colour.
    pub fn fill(&mut self, rect: Rect, colour: Yuv) {
        let (width, height) = (self.width, self.height);
        let [y, u, v] = self.planes_mut();
        fill_plane(y, width, height, rect, colour.y);
        fill_plane(u, width / 2, height / 2, rect.halved(), colour.u);
        fill_plane(v, width / 2, height / 2, rect.halved(), colour.v);
    }

    /// Copies a rectangle from a frame of the same size. It is cut to the frame and to even numbers.
    pub fn copy_from(&mut self, rect: Rect, source: &Self) {
        if (self.width, self.height) == (source.width, source.height) {
            crate::scale::scale_into(self, rect, source, rect);
        }
    }

    /// Darkens a rectangle (cut to the frame) and takes half of its colour away.
    pub fn dim(&mut self, rect: Rect) {
        let (width, height) = (self.width, self.height);
        let [y, u, v] = self.planes_mut();
        let darker = |value: &mut u8| *value = 16 + value.saturating_sub(16) / 3;
        let paler = |value: &mut u8| *value = value.midpoint(128);
        each_in_plane(y, width, height, rect, darker);
        each_in_plane(u, width / 2, height / 2, rect.halved(), paler);
        each_in_plane(v, width / 2, height / 2, rect.halved(), paler);
    }
}

impl Rect {
    /// The rectangle on a chroma plane.
    fn halved(self) -> Self {
        Self {
            x: self.x / 2,
            y: self.y / 2,
            width: self.width / 2,
            height: self.height / 2,
        }
    }
}

fn each_in_plane(plane: &mut [u8], width: usize, height: usize, rect: Rect, change: impl Fn(&mut u8)) {
    let (left, right) = (rect.x.min(width), (rect.x + rect.width).min(width));
    let rows = plane.chunks_exact_mut(width).take((rect.y + rect.height).min(height));
    for row in rows.skip(rect.y) {
        row[left..right].iter_mut().for_each(&change);
    }
}

fn fill_plane(plane: &mut [u8], width: usize, height: usize, rect: Rect, value: u8) {
    let (left, right) = (rect.x.min(width), (rect.x + rect.width).min(width));
    for row in plane
        .chunks_exact_mut(width)
        .take((rect.y + rect.height).min(height))
        .skip(rect.y)
    {
        row[left..right].fill(value);
    }
}
