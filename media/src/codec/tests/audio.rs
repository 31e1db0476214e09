//! Opus and AAC give the audio back, at its time.

use super::*;

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
