//! Coded and decoded media equal the source: frames by their marks, audio by its tones. Frames are here; in the files of the folder:
//!
//! - `audio`: Opus and AAC
//! - `colours`: matrices and ranges of colours
//! - `hard`: pictures that are hard to encode

mod audio;
mod colours;
mod hard;

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
