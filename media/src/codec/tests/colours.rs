//! The colours of bars, in each codec, matrix and range.

use super::*;

/// One frame each of the eight bars of [`BARS`], made by `scripts/colour-bars`: x264, libvpx-vp9, and libaom with the colours written
/// into the stream.
const COLOUR_BARS: [(VideoCodec, &str, &[u8]); 12] = [
    (
        VideoCodec::H264,
        "BT.601 limited",
        include_bytes!("../../../testdata/bars_bt601_tv.h264"),
    ),
    (
        VideoCodec::H264,
        "BT.601 full",
        include_bytes!("../../../testdata/bars_bt601_pc.h264"),
    ),
    (
        VideoCodec::H264,
        "BT.709 limited",
        include_bytes!("../../../testdata/bars_bt709_tv.h264"),
    ),
    (
        VideoCodec::H264,
        "BT.709 full",
        include_bytes!("../../../testdata/bars_bt709_pc.h264"),
    ),
    (
        VideoCodec::Vp9,
        "BT.601 limited",
        include_bytes!("../../../testdata/bars_bt601_tv_vp9.ivf"),
    ),
    (
        VideoCodec::Vp9,
        "BT.601 full",
        include_bytes!("../../../testdata/bars_bt601_pc_vp9.ivf"),
    ),
    (
        VideoCodec::Vp9,
        "BT.709 limited",
        include_bytes!("../../../testdata/bars_bt709_tv_vp9.ivf"),
    ),
    (
        VideoCodec::Vp9,
        "BT.709 full",
        include_bytes!("../../../testdata/bars_bt709_pc_vp9.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.601 limited",
        include_bytes!("../../../testdata/bars_bt601_tv_av1.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.601 full",
        include_bytes!("../../../testdata/bars_bt601_pc_av1.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.709 limited",
        include_bytes!("../../../testdata/bars_bt709_tv_av1.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.709 full",
        include_bytes!("../../../testdata/bars_bt709_pc_av1.ivf"),
    ),
];
/// 0xRRGGBB, from the left.
const BARS: [u32; 8] = [
    0xff_ffff, 0xff_ff00, 0x00_ffff, 0x00_ff00, 0xff_00ff, 0xff_0000, 0x00_00ff, 0x00_0000,
];

#[test]
fn colour_bars_of_every_matrix_and_range_have_the_same_colours() {
    for (codec, name, file) in COLOUR_BARS {
        let mut decoder = VideoDecoder::new(codec).unwrap();
        let units = if codec == VideoCodec::H264 {
            vec![file]
        } else {
            ivf(file)
        };
        let frame = units.iter().find_map(|unit| decoder.decode(unit).unwrap()).unwrap();
        let width = frame.width();
        for (number, rgb) in BARS.into_iter().enumerate() {
            let (x, y) = (width * (2 * number + 1) / 16, frame.height() / 2);
            let shown = Yuv {
                y: frame.y()[y * width + x],
                u: frame.u()[y / 2 * (width / 2) + x / 2],
                v: frame.v()[y / 2 * (width / 2) + x / 2],
            };
            let [_, r, g, b] = rgb.to_be_bytes();
            let far = shown
                .to_rgb()
                .into_iter()
                .zip([r, g, b])
                .map(|(shown, asked)| shown.abs_diff(asked))
                .max();
            assert!(
                far <= Some(8),
                "{codec:?} {name}: {:?} instead of {rgb:06x}",
                shown.to_rgb()
            );
        }
    }
}
