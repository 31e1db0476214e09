//! Scaling straight into a canvas, by libyuv.

use yuv_sys::{FilterMode, FilterMode_kFilterBilinear, FilterMode_kFilterBox, rs_I420Scale};

use crate::video_frame::{Rect, VideoFrame};

/// Scales a part of `source` into a rectangle of `canvas`.
///
/// Both rectangles are cut to their frames and to even numbers; an empty one does nothing. Box filter for halving and
/// less (bilinear would alias), bilinear otherwise.
pub fn scale_into(canvas: &mut VideoFrame, dest: Rect, source: &VideoFrame, crop: Rect) {
    let dest = inside(dest, canvas.rect());
    let crop = inside(crop, source.rect());
    if dest.width == 0 || dest.height == 0 || crop.width == 0 || crop.height == 0 {
        return;
    }
    let shrinks = crop.width >= 2 * dest.width || crop.height >= 2 * dest.height;
    let filter: FilterMode = if shrinks {
        FilterMode_kFilterBox
    } else {
        FilterMode_kFilterBilinear
    };
    let (from, to) = (source.width(), canvas.width());
    let luma = |rect: Rect, stride: usize| rect.y * stride + rect.x;
    let chroma = |rect: Rect, stride: usize| rect.y / 2 * (stride / 2) + rect.x / 2;
    let [y, u, v] = canvas.planes_mut();
    // SAFETY: `inside` has put both rectangles within their frames, whose rows have no padding, so every row that
    // libyuv reads or writes is within the slices; source and canvas are different objects.
    unsafe {
        rs_I420Scale(
            source.y()[luma(crop, from)..].as_ptr(),
            from as i32,
            source.u()[chroma(crop, from)..].as_ptr(),
            (from / 2) as i32,
            source.v()[chroma(crop, from)..].as_ptr(),
            (from / 2) as i32,
            crop.width as i32,
            crop.height as i32,
            y[luma(dest, to)..].as_mut_ptr(),
            to as i32,
            u[chroma(dest, to)..].as_mut_ptr(),
            (to / 2) as i32,
            v[chroma(dest, to)..].as_mut_ptr(),
            (to / 2) as i32,
            dest.width as i32,
            dest.height as i32,
            filter,
        );
    }
}

fn inside(rect: Rect, bounds: Rect) -> Rect {
    let (x, y) = (rect.x.min(bounds.width) & !1, rect.y.min(bounds.height) & !1);
    Rect {
        x,
        y,
        width: rect.width.min(bounds.width - x) & !1,
        height: rect.height.min(bounds.height - y) & !1,
    }
}
