//! Coded and decoded media equal the source: frames by their marks, audio by their tones.

use super::*;
use crate::mark::{self, Mark};
use crate::scale::scale_into;
use crate::video_frame::{Rect, Yuv};

fn marked(count: u16) -> VideoFrame {
    let mut frame = VideoFrame::filled(640, 360, Yuv::from_rgb(0x20_60_80));
    let whole = frame.rect();
    mark::draw(&mut frame, whole, Mark { id: 7, count });
    frame
}

fn config() -> H264EncoderConfig {
    H264EncoderConfig {
        width: 640,
        height: 360,
        bitrate_kbps: 500,
        framerate: 15,
        gop_frames: 30,
    }
}

type Encode<'a> = &'a mut dyn FnMut(&VideoFrame) -> EncodedFrame;

#[test]
fn every_coded_frame_decodes_to_its_own_mark() {
    let mut h264 = H264Encoder::new(config()).unwrap();
    let mut vp8 = VpxEncoder::new(VpxCodec::Vp8, config()).unwrap();
    let mut vp9 = VpxEncoder::new(VpxCodec::Vp9, config()).unwrap();
    let encoders: [(VideoCodec, Encode<'_>); 3] = [
        (VideoCodec::H264, &mut |frame| h264.encode(frame, ForceKey::No).unwrap()),
        (VideoCodec::Vp8, &mut |frame| vp8.encode(frame, ForceKey::No).unwrap()),
        (VideoCodec::Vp9, &mut |frame| vp9.encode(frame, ForceKey::No).unwrap()),
    ];
    for (codec, encode) in encoders {
        let mut decoder = VideoDecoder::new(codec).unwrap();
        for count in 0..20 {
            let coded = encode(&marked(count));
            assert_eq!(coded.is_key, count == 0, "{codec:?} {count}");
            let frame = decoder.decode(&coded.data).unwrap().unwrap();
            let read = mark::read(frame.y(), 640, frame.rect());
            assert_eq!(read, Some(Mark { id: 7, count }), "{codec:?}");
        }
    }
}

/// The frames of an IVF file.
fn ivf(file: &[u8]) -> Vec<&[u8]> {
    let mut rest = &file[32..];
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        frames.push(&after[..length]);
        rest = &after[length..];
    }
    frames
}

/// The access units of an Annex B stream with delimiters.
fn access_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = (0..stream.len())
        .filter(|at| stream[*at..].starts_with(&[0, 0, 0, 1, 9]))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &stream[*start..end])
        .collect()
}

/// The counts that a stream's frames show, in the order in which they come out.
fn counts(codec: VideoCodec, units: &[&[u8]]) -> Vec<u16> {
    let mut decoder = VideoDecoder::new(codec).unwrap();
    let frames = units.iter().filter_map(|unit| decoder.decode(unit).unwrap());
    let read = |frame: VideoFrame| mark::read(frame.y(), frame.width(), frame.rect()).unwrap().count;
    frames.map(read).collect()
}

/// Made by libaom: `-usage realtime -lag-in-frames 0 -cpu-used 8`.
const MARKED_AV1: &[u8] = include_bytes!("../../testdata/marked_av1.ivf");

#[test]
fn every_av1_frame_is_decoded_at_once() {
    let counts = counts(VideoCodec::Av1, &ivf(MARKED_AV1));
    assert_eq!(counts, (0..24).collect::<Vec<_>>());
}

#[test]
fn av1_with_10_bits_is_refused_by_name_and_never_read_as_8() {
    let file = include_bytes!("../../testdata/ten_bits_av1.ivf");
    let mut decoder = VideoDecoder::new(VideoCodec::Av1).unwrap();
    assert!(
        ivf(file)
            .iter()
            .all(|unit| !matches!(decoder.decode(unit), Ok(Some(_))))
    );
}

#[test]
fn damaged_av1_is_an_error_and_the_next_keyframe_is_shown() {
    let units = ivf(MARKED_AV1);
    let mut decoder = VideoDecoder::new(VideoCodec::Av1).unwrap();
    for seed in 0..200_usize {
        let mut damaged = units[seed % units.len()].to_vec();
        let at = seed * 7_919 % damaged.len();
        damaged[at] ^= 1 << (seed % 8);
        let _error_or_frame = decoder.decode(&damaged);
        let _error_or_frame = decoder.decode(&damaged[..at]);
    }
    let frame = decoder.decode(units[0]).unwrap().unwrap();
    assert_eq!(mark::read(frame.y(), frame.width(), frame.rect()).unwrap().count, 0);
}

/// Made by x264: `-profile main -bf 2`, as OBS sends it.
#[test]
fn h264_with_b_frames_comes_out_in_the_order_of_display() {
    let file = include_bytes!("../../testdata/marked_b_frames.h264");
    let counts = counts(VideoCodec::H264, &access_units(file));
    assert!(counts.windows(2).all(|pair| pair[0] < pair[1]), "{counts:?}");
    assert!(counts.len() >= 20, "{counts:?}");
}

/// One frame each of the eight bars of [`BARS`], made by `scripts/colour-bars`: x264, libvpx-vp9, and libaom with the colours written
/// into the stream.
const COLOUR_BARS: [(VideoCodec, &str, &[u8]); 12] = [
    (
        VideoCodec::H264,
        "BT.601 limited",
        include_bytes!("../../testdata/bars_bt601_tv.h264"),
    ),
    (
        VideoCodec::H264,
        "BT.601 full",
        include_bytes!("../../testdata/bars_bt601_pc.h264"),
    ),
    (
        VideoCodec::H264,
        "BT.709 limited",
        include_bytes!("../../testdata/bars_bt709_tv.h264"),
    ),
    (
        VideoCodec::H264,
        "BT.709 full",
        include_bytes!("../../testdata/bars_bt709_pc.h264"),
    ),
    (
        VideoCodec::Vp9,
        "BT.601 limited",
        include_bytes!("../../testdata/bars_bt601_tv_vp9.ivf"),
    ),
    (
        VideoCodec::Vp9,
        "BT.601 full",
        include_bytes!("../../testdata/bars_bt601_pc_vp9.ivf"),
    ),
    (
        VideoCodec::Vp9,
        "BT.709 limited",
        include_bytes!("../../testdata/bars_bt709_tv_vp9.ivf"),
    ),
    (
        VideoCodec::Vp9,
        "BT.709 full",
        include_bytes!("../../testdata/bars_bt709_pc_vp9.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.601 limited",
        include_bytes!("../../testdata/bars_bt601_tv_av1.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.601 full",
        include_bytes!("../../testdata/bars_bt601_pc_av1.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.709 limited",
        include_bytes!("../../testdata/bars_bt709_tv_av1.ivf"),
    ),
    (
        VideoCodec::Av1,
        "BT.709 full",
        include_bytes!("../../testdata/bars_bt709_pc_av1.ivf"),
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

#[test]
fn a_keyframe_comes_when_it_is_asked_for() {
    let mut h264 = H264Encoder::new(config()).unwrap();
    let mut vp8 = VpxEncoder::new(VpxCodec::Vp8, config()).unwrap();
    let mut vp9 = VpxEncoder::new(VpxCodec::Vp9, config()).unwrap();
    for count in 0..5 {
        let force = if count == 3 { ForceKey::Yes } else { ForceKey::No };
        assert_eq!(
            h264.encode(&marked(count), force).unwrap().is_key,
            count == 0 || count == 3
        );
        assert_eq!(
            vp8.encode(&marked(count), force).unwrap().is_key,
            count == 0 || count == 3
        );
        assert_eq!(
            vp9.encode(&marked(count), force).unwrap().is_key,
            count == 0 || count == 3
        );
    }
}

#[test]
fn an_h264_stream_survives_the_way_through_a_container() {
    let coded = H264Encoder::new(config())
        .unwrap()
        .encode(&marked(1), ForceKey::No)
        .unwrap();
    let (sps, pps) = h264::parameter_sets(&coded.data).unwrap();
    let mut again = h264::to_annex_b(&h264::to_length_prefixed(&coded.data)).to_vec();
    for set in [pps, sps] {
        again.splice(0..0, [&[0, 0, 0, 1], set.as_ref()].concat());
    }
    assert!(
        VideoDecoder::new(VideoCodec::H264)
            .unwrap()
            .decode(&again)
            .unwrap()
            .is_some()
    );
}

#[test]
fn after_a_loss_nothing_is_shown_as_if_it_were_whole() {
    let mut encoder = H264Encoder::new(config()).unwrap();
    let mut decoder = VideoDecoder::new(VideoCodec::H264).unwrap();
    assert!(matches!(decoder.decode(b"garbage"), Err(_) | Ok(None)));
    let coded: Vec<_> = (0..4)
        .map(|count| encoder.encode(&marked(count), ForceKey::No).unwrap())
        .collect();
    assert!(
        matches!(decoder.decode(&coded[2].data), Err(_) | Ok(None)),
        "no keyframe yet"
    );
    assert!(decoder.decode(&coded[0].data).unwrap().is_some());
}

#[test]
fn a_mark_is_read_in_a_frame_scaled_to_a_quarter() {
    let mut canvas = VideoFrame::filled(1280, 720, Yuv::BLACK);
    let cell = Rect {
        x: 320,
        y: 180,
        width: 160,
        height: 90,
    };
    let source = marked(300);
    scale_into(&mut canvas, cell, &source, source.rect());
    assert_eq!(mark::read(canvas.y(), 1280, cell), Some(Mark { id: 7, count: 300 }));
}

fn tone(samples: usize, channels: usize) -> Vec<f32> {
    (0..samples * channels)
        .map(|at| ((at / channels) as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.5)
        .collect()
}

fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}

#[test]
fn opus_gives_the_audio_back_and_conceals_a_lost_packet() {
    let mut encoder = OpusEncoder::new(2, 64).unwrap();
    let mut decoder = OpusDecoder::new(2).unwrap();
    let mut out = Vec::new();
    for pcm in tone(960 * 20, 2).chunks(1920) {
        let packet = encoder.encode(pcm).unwrap();
        assert_eq!(decoder.decode(Some(&packet), &mut out).unwrap(), 960);
    }
    assert_eq!(decoder.decode(None, &mut out).unwrap(), 960);
    assert_eq!(out.len(), 21 * 1920);
    assert!(
        (loudness(&out[9600..]) - 0.353).abs() < 0.05,
        "{}",
        loudness(&out[9600..])
    );
    assert!(decoder.decode(Some(&[0xff; 3]), &mut out).is_err());
}

#[test]
fn opus_in_mono_has_two_equal_channels_until_it_becomes_stereo() {
    let (mut mono, mut stereo) = (OpusEncoder::new(1, 48).unwrap(), OpusEncoder::new(2, 96).unwrap());
    let (mut two, mut one) = (OpusDecoder::new(2).unwrap(), OpusDecoder::new(1).unwrap());
    let (mut wide, mut narrow) = (Vec::new(), Vec::new());
    for pcm in tone(960 * 10, 1).chunks(960) {
        let packet = mono.encode(pcm).unwrap();
        assert!(!opus::is_stereo(&packet));
        assert_eq!(two.decode(Some(&packet), &mut wide).unwrap(), 960);
        assert_eq!(one.decode(Some(&packet), &mut narrow).unwrap(), 960);
    }
    assert!(wide.chunks(2).map(|pair| pair[0]).eq(narrow.iter().copied()));
    assert!(wide.chunks(2).all(|pair| pair[0] == pair[1]));
    // Left alone is heard left alone; one channel has the mean.
    (wide, narrow) = (Vec::new(), Vec::new());
    for pcm in tone(960 * 10, 2).chunks(1920) {
        let left: Vec<f32> = pcm.chunks(2).flat_map(|pair| [pair[0], 0.0]).collect();
        let packet = stereo.encode(&left).unwrap();
        assert!(opus::is_stereo(&packet));
        assert_eq!(two.decode(Some(&packet), &mut wide).unwrap(), 960);
        assert_eq!(one.decode(Some(&packet), &mut narrow).unwrap(), 960);
    }
    let channel = |at: usize| loudness(&wide[4800..].iter().skip(at).step_by(2).copied().collect::<Vec<_>>());
    assert!(channel(0) > 0.3 && channel(1) < 0.02, "{} {}", channel(0), channel(1));
    assert!(
        (loudness(&narrow[2400..]) - 0.177).abs() < 0.02,
        "{}",
        loudness(&narrow[2400..])
    );
}

#[test]
fn aac_gives_the_audio_back_after_its_delay() {
    let mut encoder = AacEncoder::new(48_000, 2, 96).unwrap();
    let mut decoder = AacDecoder::new(&encoder.config()).unwrap();
    let mut out = Vec::new();
    for pcm in tone(1024 * 40, 2).chunks(2048) {
        if let Some(frame) = encoder.encode(pcm).unwrap() {
            assert_eq!(decoder.decode(&frame, &mut out).unwrap(), 1024);
        }
    }
    assert!(out.len() >= 37 * 2048);
    assert!(
        (loudness(&out[8192..]) - 0.353).abs() < 0.05,
        "{}",
        loudness(&out[8192..])
    );
    let quiet = (AacEncoder::DELAY_SAMPLES as usize - 1024) * 2;
    assert!(
        loudness(&out[..quiet]) < 0.1,
        "the audio does not come before its delay"
    );
}

#[test]
fn aac_comes_out_later_by_the_delays_of_encoder_and_decoder() {
    const BEGIN: usize = 10_000;
    let mut encoder = AacEncoder::new(48_000, 1, 96).unwrap();
    let mut decoder = AacDecoder::new(&encoder.config()).unwrap();
    let mut pcm = tone(1024 * 40, 1);
    pcm[..BEGIN].fill(0.0);
    let mut out = Vec::new();
    for pcm in pcm.chunks(1024) {
        if let Some(frame) = encoder.encode(pcm).unwrap() {
            decoder.decode(&frame, &mut out).unwrap();
        }
    }
    let begin = out.iter().position(|sample| sample.abs() > 0.1).unwrap();
    let expected = BEGIN + AacEncoder::DELAY_SAMPLES as usize + decoder.delay();
    assert!(
        begin.abs_diff(expected) < 100,
        "{begin}, not {expected}; of it the decoder {}",
        decoder.delay()
    );
}

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
