//! What goes in comes out: pictures by their marks, sounds by their tones.

use super::*;
use crate::mark::{self, Mark};
use crate::picture::{Rect, Yuv};
use crate::scale::scale_into;

fn marked(count: u16) -> Picture {
    let mut picture = Picture::filled(640, 360, Yuv::from_rgb(0x20_60_80));
    let whole = picture.rect();
    mark::draw(&mut picture, whole, Mark { id: 7, count });
    picture
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

type Encode<'a> = &'a mut dyn FnMut(&Picture) -> EncodedPicture;

#[test]
fn every_coded_picture_decodes_to_its_own_mark() {
    let mut h264 = H264Encoder::new(config()).unwrap();
    let mut vp8 = Vp8Encoder::new(config()).unwrap();
    let encoders: [(VideoCodec, Encode<'_>); 2] = [
        (VideoCodec::H264, &mut |picture| {
            h264.encode(picture, ForceKey::No).unwrap()
        }),
        (VideoCodec::Vp8, &mut |picture| {
            vp8.encode(picture, ForceKey::No).unwrap()
        }),
    ];
    for (codec, encode) in encoders {
        let mut decoder = VideoDecoder::new(codec).unwrap();
        for count in 0..20 {
            let coded = encode(&marked(count));
            assert_eq!(coded.is_key, count == 0, "{codec:?} {count}");
            let picture = decoder.decode(&coded.data).unwrap().unwrap();
            let read = mark::read(picture.y(), 640, picture.rect());
            assert_eq!(read, Some(Mark { id: 7, count }), "{codec:?}");
        }
    }
}

#[test]
fn a_key_frame_comes_when_it_is_asked_for() {
    let mut h264 = H264Encoder::new(config()).unwrap();
    let mut vp8 = Vp8Encoder::new(config()).unwrap();
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
        "no key frame yet"
    );
    assert!(decoder.decode(&coded[0].data).unwrap().is_some());
}

#[test]
fn a_mark_is_read_in_a_picture_scaled_to_a_quarter() {
    let mut canvas = Picture::filled(1280, 720, Yuv::BLACK);
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
fn opus_gives_the_sound_back_and_conceals_a_lost_packet() {
    let mut encoder = OpusEncoder::new(2, 64).unwrap();
    let mut decoder = OpusDecoder::new().unwrap();
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
fn aac_gives_the_sound_back_after_its_delay() {
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
        "the sound does not come before its delay"
    );
}
