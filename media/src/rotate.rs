//! Turning frames upright, by libyuv.

use yuv_sys::{
    RotationMode, RotationMode_kRotate0, RotationMode_kRotate90, RotationMode_kRotate180, RotationMode_kRotate270,
    rs_I420Rotate,
};

use crate::video_frame::{Rotation, VideoFrame, Yuv};

/// Turns a frame clockwise. Quarter turns swap width and height.
pub fn rotate(source: &VideoFrame, rotation: Rotation) -> VideoFrame {
    let (width, height) = (source.width(), source.height());
    let (mode, turned_width, turned_height): (RotationMode, _, _) = match rotation {
        Rotation::None => (RotationMode_kRotate0, width, height),
        Rotation::Clockwise90 => (RotationMode_kRotate90, height, width),
        Rotation::Half => (RotationMode_kRotate180, width, height),
        Rotation::Clockwise270 => (RotationMode_kRotate270, height, width),
    };
    let mut turned = VideoFrame::filled(turned_width, turned_height, Yuv::BLACK);
    let [y, u, v] = turned.planes_mut();
    // SAFETY: rows have no padding in either frame, and `turned` has the size that the rotation gives, so libyuv stays
    // within the slices; source and target are different objects.
    unsafe {
        rs_I420Rotate(
            source.y().as_ptr(),
            width as i32,
            source.u().as_ptr(),
            (width / 2) as i32,
            source.v().as_ptr(),
            (width / 2) as i32,
            y.as_mut_ptr(),
            turned_width as i32,
            u.as_mut_ptr(),
            (turned_width / 2) as i32,
            v.as_mut_ptr(),
            (turned_width / 2) as i32,
            width as i32,
            height as i32,
            mode,
        );
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video_frame::Rect;

    /// Grey, with a white top left corner.
    fn cornered() -> VideoFrame {
        let mut frame = VideoFrame::filled(64, 32, Yuv { y: 100, u: 128, v: 128 });
        let corner = Rect {
            x: 0,
            y: 0,
            width: 8,
            height: 8,
        };
        frame.fill(corner, Yuv::WHITE);
        frame
    }

    #[test]
    fn the_top_left_corner_goes_clockwise() {
        let is_white = |frame: &VideoFrame, x: usize, y: usize| frame.y()[y * frame.width() + x] == 235;
        let right = rotate(&cornered(), Rotation::Clockwise90);
        assert_eq!((right.width(), right.height()), (32, 64));
        assert!(is_white(&right, 31, 0) && !is_white(&right, 0, 0));
        let half = rotate(&cornered(), Rotation::Half);
        assert!(is_white(&half, 63, 31) && !is_white(&half, 0, 0));
        let left = rotate(&cornered(), Rotation::Clockwise270);
        assert!(is_white(&left, 0, 63) && !is_white(&left, 31, 0));
    }

    #[test]
    fn four_quarter_turns_change_nothing() {
        let mut frame = cornered();
        for _ in 0..4 {
            frame = rotate(&frame, Rotation::Clockwise90);
        }
        assert_eq!(frame, cornered());
    }
}
