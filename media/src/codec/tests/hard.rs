//! Pictures that are hard to encode.

use super::*;

/// xorshift: the same frames in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}

/// Contents that are hard to encode: each gives the frame of a number.
#[derive(Debug, Clone, Copy)]
enum Hard {
    /// The same random frame again and again.
    StaticNoise,
    /// Every frame random.
    Snow,
    /// Small coloured squares on grey, each frame elsewhere.
    Confetti,
    /// Black and white pixels that swap places.
    Checkers,
    /// A small part of the frame random, the rest grey: no scene change.
    Patch,
}

impl Hard {
    fn frame(self, width: usize, height: usize, number: u64) -> VideoFrame {
        let mut frame = VideoFrame::filled(width, height, Yuv::from_rgb(0x80_8080));
        let seed = match self {
            Self::StaticNoise => 1,
            Self::Snow | Self::Confetti | Self::Checkers | Self::Patch => number + 1,
        };
        let mut noise = Noise(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        match self {
            Self::StaticNoise | Self::Snow => {
                for plane in frame.planes_mut() {
                    plane.iter_mut().for_each(|sample| *sample = noise.next());
                }
            }
            Self::Confetti => {
                for _ in 0..width * height / 64 {
                    let colour = Yuv {
                        y: noise.next(),
                        u: noise.next(),
                        v: noise.next(),
                    };
                    let at = |noise: &mut Noise, length: usize| {
                        (usize::from(noise.next()) * 256 + usize::from(noise.next())) % length
                    };
                    let (x, y) = (at(&mut noise, width), at(&mut noise, height));
                    let rect = Rect {
                        x,
                        y,
                        width: 4,
                        height: 4,
                    };
                    frame.fill(rect, colour);
                }
            }
            Self::Patch => {
                let [luma, ..] = frame.planes_mut();
                for row in luma.chunks_exact_mut(width).take(height / 4) {
                    row[..width / 4]
                        .iter_mut()
                        .for_each(|sample| *sample = 96 + noise.next() / 4);
                }
            }
            Self::Checkers => {
                let [luma, ..] = frame.planes_mut();
                for (at, sample) in luma.iter_mut().enumerate() {
                    let white = (at / width + at % width + number as usize).is_multiple_of(2);
                    *sample = if white { 255 } else { 0 };
                }
            }
        }
        frame
    }
}

#[test]
fn noise_confetti_and_snow_are_encoded_at_every_size_and_bitrate() {
    for (width, height) in [(16, 16), (160, 90), (320, 180), (640, 360), (1280, 720)] {
        for hard in [Hard::StaticNoise, Hard::Snow, Hard::Confetti, Hard::Checkers] {
            let count = if width > 640 { 6 } else { 20 };
            let frames: Vec<VideoFrame> = (0..count)
                .map(|number| hard.frame(width.into(), height.into(), number))
                .collect();
            for bitrate_kbps in [1, 200, 1_500, 10_000] {
                let mut encoder = H264Encoder::new(H264EncoderConfig {
                    width,
                    height,
                    bitrate_kbps,
                    framerate: 15,
                    gop_frames: 15,
                })
                .unwrap();
                for (number, frame) in frames.iter().enumerate() {
                    let coded = encoder.encode(frame, ForceKey::No);
                    let what = format!("{hard:?} {width}x{height} at {bitrate_kbps} kbit/s, frame {number}");
                    assert!(!coded.expect(&what).data.is_empty(), "{what}");
                }
            }
        }
    }
}

#[test]
fn after_frames_that_were_too_much_an_h264_stream_becomes_fine_again_with_the_same_parameter_sets() {
    let mut encoder = H264Encoder::new(H264EncoderConfig {
        width: 320,
        height: 180,
        bitrate_kbps: 10_000,
        framerate: 15,
        gop_frames: 30,
    })
    .unwrap();
    let mut sets = Vec::new();
    let mut sizes = Vec::new();
    for number in 0..400 {
        let hard = if number < 20 { Hard::Snow } else { Hard::Patch };
        let coded = encoder.encode(&hard.frame(320, 180, number), ForceKey::No).unwrap();
        sets.extend(h264::parameter_sets(&coded.data));
        sizes.push(coded.data.len());
    }
    assert!(encoder.failures() > 0, "the frames were not hard enough");
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]));
    let mean = |sizes: &[usize]| sizes.iter().sum::<usize>() / sizes.len();
    assert!(mean(&sizes[360..]) > mean(&sizes[60..100]), "it stayed coarse");
}

#[test]
fn a_new_bitrate_frame_rate_and_gop_do_not_restart_an_h264_stream() {
    let mut encoder = H264Encoder::new(config()).unwrap();
    let sets = |coded: &EncodedFrame| h264::parameter_sets(&coded.data);
    let first = sets(&encoder.encode(&Hard::Patch.frame(640, 360, 0), ForceKey::No).unwrap());
    let mut bytes = [0, 0];
    for number in 1..90 {
        if number == 45 {
            let config = H264EncoderConfig {
                bitrate_kbps: 2_000,
                gop_frames: 300,
                ..config()
            };
            encoder.reconfigure(config).unwrap();
        }
        let coded = encoder
            .encode(&Hard::Patch.frame(640, 360, number), ForceKey::No)
            .unwrap();
        assert_eq!(coded.is_key, number == 30, "frame {number}");
        if (15..45).contains(&number) || number >= 60 {
            bytes[usize::from(number >= 60)] += coded.data.len();
        }
    }
    assert!(2 * bytes[1] > 3 * bytes[0], "{bytes:?}");
    let again = sets(&encoder.encode(&Hard::Patch.frame(640, 360, 90), ForceKey::Yes).unwrap());
    assert_eq!(first, again);
    let other_size = H264EncoderConfig { width: 320, ..config() };
    assert!(matches!(encoder.reconfigure(other_size), Err(CodecError::Size { .. })));
}
