//! Each template with 1, 2, 3, 4, 5, 9 and 16 members: as the pictures of `docs/layouts.md`, and with a marked video in each cell.

#[path = "../examples/layouts/pictures.rs"]
mod pictures;

use std::path::Path;

use pictures::{CANVAS, COUNTS, TEMPLATES, layout, members, name, render, room};
use rotunda_mcu::compositor::{Compositor, Shown};
use rotunda_mcu::layout::{Canvas, Placement, lay_out};
use rotunda_media::mark::{self, Mark};
use rotunda_media::picture::Picture;
use rotunda_media::video_frame::{Rect, VideoFrame, Yuv};
use rotunda_proto::mix::RenderMode;

/// Peak signal-to-noise ratio of the luma, dB.
fn psnr(a: &VideoFrame, b: &VideoFrame) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let squares = a.y().iter().zip(b.y()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let mean = squares.sum::<f64>() / a.y().len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

/// Structural similarity of the luma: the mean over blocks of 8x8.
fn ssim(a: &VideoFrame, b: &VideoFrame) -> f64 {
    const SIDE: usize = 8;
    let (columns, rows) = (a.width() / SIDE, a.height() / SIDE);
    let block = |frame: &VideoFrame, column: usize, row: usize| -> Vec<f64> {
        let line = |y: usize| frame.y()[y * frame.width() + column * SIDE..][..SIDE].to_vec();
        let lines = (row * SIDE..(row + 1) * SIDE).flat_map(line);
        lines.map(f64::from).collect()
    };
    let mut sum = 0.0;
    for (column, row) in (0..columns).flat_map(|column| (0..rows).map(move |row| (column, row))) {
        let (x, y) = (block(a, column, row), block(b, column, row));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mx, my) = (mean(&x), mean(&y));
        let moment = |p: &[f64], mp: f64, q: &[f64], mq: f64| {
            let products = p.iter().zip(q).map(|(p, q)| (p - mp) * (q - mq));
            products.sum::<f64>() / p.len() as f64
        };
        let (vx, vy, cov) = (moment(&x, mx, &x, mx), moment(&y, my, &y, my), moment(&x, mx, &y, my));
        let (c1, c2) = (6.5025, 58.5225);
        sum += (2.0 * mx * my + c1) * (2.0 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2));
    }
    sum / (columns * rows) as f64
}

/// The names are in the machine's font, so a few pixels in each cell may differ.
#[test]
fn every_template_looks_as_in_its_documentation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/layouts");
    for template in TEMPLATES {
        let mut others = Vec::new();
        for count in COUNTS {
            let file = std::fs::read(folder.join(name(template, count))).unwrap();
            let golden = Picture::decode(&file).unwrap();
            let rendered = render(template, count).unwrap();
            let (psnr, ssim) = (psnr(&rendered, golden.frame()), ssim(&rendered, golden.frame()));
            assert!(
                psnr > 24.0 && ssim > 0.9,
                "{template:?} {count}: PSNR {psnr:.1} dB, SSIM {ssim:.3}"
            );
            others.push(rendered);
        }
        // The comparison tells one number of members from another.
        assert!(psnr(&others[0], &others[3]) < 40.0, "{template:?}");
    }
}

fn source(id: u8) -> VideoFrame {
    let mut frame = VideoFrame::filled(640, 360, Yuv::from_rgb(0x60_6060));
    let whole = frame.rect();
    mark::draw(&mut frame, whole, Mark { id, count: 7 });
    frame
}

/// The part of a cell that a video of 16:9 fills, when it is shown whole.
fn inner(rect: Rect) -> Rect {
    let (width, height) = match rect.width * 9 <= rect.height * 16 {
        true => (rect.width, rect.width * 9 / 16),
        false => (rect.height * 16 / 9, rect.height),
    };
    let (width, height) = (width & !1, height & !1);
    Rect {
        x: rect.x + (((rect.width - width) / 2) & !1),
        y: rect.y + (((rect.height - height) / 2) & !1),
        width,
        height,
    }
}

fn covers(front: &Placement, rect: Rect) -> bool {
    let front = front.rect;
    front.x < rect.x + rect.width
        && rect.x < front.x + front.width
        && front.y < rect.y + rect.height / 5
        && rect.y < front.y + front.height
}

#[test]
fn each_cell_shows_the_video_of_its_own_member() {
    const SCALE: u16 = 6;
    let canvas = Canvas {
        width: CANVAS.width * usize::from(SCALE),
        height: CANVAS.height * usize::from(SCALE),
    };
    for template in TEMPLATES {
        for count in 1..=16 {
            let mut asked = layout(template, SCALE).unwrap();
            // Whole, so that the mark is not cropped.
            asked.render_mode = Some(RenderMode::Scale);
            let scene = lay_out(&room().unwrap(), &asked, &members(count).unwrap(), Some(canvas));
            let sources: Vec<VideoFrame> = (1..=count).map(|number| source(number as u8)).collect();
            let number = |placement: &Placement| placement.video.user.as_str().parse::<usize>().unwrap();
            let mut compositor = Compositor::new(canvas, 0, None);
            compositor.handle_scene(&scene);
            let frame = compositor.compose(|placement| Shown::Live(&sources[number(placement) - 1], 1), |_| false);
            let mut read = 0;
            for (index, placement) in scene.placements.iter().enumerate() {
                let rect = inner(placement.rect);
                if scene.placements[index + 1..].iter().any(|front| covers(front, rect)) {
                    continue;
                }
                let mark = mark::read(frame.y(), frame.width(), rect);
                let expected = Some(Mark {
                    id: number(placement) as u8,
                    count: 7,
                });
                assert_eq!(mark, expected, "{template:?} of {count}, cell {index} at {rect:?}");
                read += 1;
            }
            assert!(
                read > 0 && read + 1 >= scene.placements.len(),
                "{template:?} of {count}: {read}"
            );
        }
    }
}
