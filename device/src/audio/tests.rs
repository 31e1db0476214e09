use std::f32::consts::TAU;

use super::*;

fn info(audio_type: abi::Enum, rate: abi::Enum, mode: abi::Enum) -> AvDataInfo {
    AvDataInfo {
        audio_type,
        audio_mode: mode,
        bit_width: abi::BIT_WIDTH_16,
        sample_rate: rate,
        ..AvDataInfo::default()
    }
}

fn tone(rate: u32, hertz: f32, samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|at| 0.5 * (TAU * hertz * at as f32 / rate as f32).sin())
        .collect()
}

/// How much of the power is at this pitch, 0 to 1 (Goertzel).
fn share(pcm: &[f32], rate: f32, hertz: f32) -> f32 {
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in pcm.iter().enumerate() {
        let phase = TAU * hertz * at as f32 / rate;
        re += sample * phase.cos();
        im += sample * phase.sin();
    }
    let power: f32 = pcm.iter().map(|sample| sample * sample).sum();
    2.0 * (re * re + im * im) / (pcm.len() as f32 * power)
}

/// A second of the tone in the camera's codec, in its frames.
fn camera_audio(format: Format) -> Vec<Vec<u8>> {
    let pcm = tone(format.rate, 700.0, format.rate as usize);
    let frames = pcm.chunks_exact(format.frame);
    match format.codec {
        Codec::Aac => {
            let mut encoder = rotunda_media::codec::AacEncoder::new(format.rate, 1, 48).unwrap();
            frames
                .filter_map(|frame| encoder.encode(frame).unwrap())
                .map(|raw| raw.to_vec())
                .collect()
        }
        codec => frames
            .map(|frame| {
                let samples = frame.iter().map(|sample| (sample * 32_767.0) as i16);
                match codec.law() {
                    Some(law) => samples.map(|sample| law.encode(sample)).collect(),
                    None => samples.flat_map(i16::to_le_bytes).collect(),
                }
            })
            .collect(),
    }
}

#[test]
fn every_codec_and_rate_becomes_opus_with_the_same_tone_and_times() {
    let cases = [
        (abi::AENC_PCM, 16_000),
        (abi::AENC_PCM, 44_100),
        (abi::AENC_G711A, 8000),
        (abi::AENC_G711U, 8000),
        (abi::AENC_AAC, 16_000),
        (abi::AENC_AAC, 44_100),
    ];
    for (codec, rate) in cases {
        let format = Format::of(&info(codec, rate, 0)).unwrap();
        let mut converter = ToOpus::new(format).unwrap();
        let mut packets = Vec::new();
        for (number, frame) in camera_audio(format).iter().enumerate() {
            let pts_us = 5_000_000 + (number * format.frame) as u64 * 1_000_000 / u64::from(format.rate);
            // Programs have milliseconds.
            converter.convert(pts_us / 1000 * 1000, frame, &mut packets).unwrap();
        }
        assert!(packets.len() >= 42, "{format:?}: {}", packets.len());
        assert!(
            packets
                .iter()
                .enumerate()
                .all(|(at, packet)| packet.pts_us == 5_000_000 + at as u64 * 20_000)
        );
        let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono).unwrap();
        let mut pcm = Vec::new();
        for packet in &packets {
            let mut out = vec![0.0; 960];
            decoder.decode_float(&packet.data, &mut out, false).unwrap();
            pcm.extend(out);
        }
        let middle = &pcm[14_400..38_400];
        assert!(
            share(middle, 48_000.0, 700.0) > 0.95,
            "{format:?}: {}",
            share(middle, 48_000.0, 700.0)
        );
    }
}

#[test]
fn aac_comes_with_adts_headers_or_without() {
    let format = Format::of(&info(abi::AENC_AAC, 16_000, 0)).unwrap();
    let raw = camera_audio(format);
    let with: Vec<u8> = raw
        .iter()
        .flat_map(|frame| [send::adts_header(16_000, 1, frame.len()).as_slice(), frame].concat())
        .collect();
    let (mut bare, mut headed) = (Vec::new(), Vec::new());
    let mut converter = ToOpus::new(format).unwrap();
    for (number, frame) in raw.iter().enumerate() {
        converter.convert(number as u64 * 64_000, frame, &mut bare).unwrap();
    }
    ToOpus::new(format).unwrap().convert(0, &with, &mut headed).unwrap();
    assert_eq!(bare.len(), headed.len());
}

#[test]
fn a_leap_of_the_cameras_time_is_followed() {
    let mut converter = ToOpus::new(Format::of(&info(abi::AENC_G711A, 8000, 0)).unwrap()).unwrap();
    let mut packets = Vec::new();
    for pts_us in [0, 20_000, 60_000_000, 60_020_000] {
        converter.convert(pts_us, &[0xd5; 160], &mut packets).unwrap();
    }
    let times: Vec<u64> = packets.iter().map(|packet| packet.pts_us).collect();
    assert_eq!(times, [0, 20_000, 60_000_000, 60_020_000]);
}

#[test]
fn talk_back_comes_in_every_codec_with_the_tone() {
    let cases = [
        (abi::AENC_PCM, 16_000, 0),
        (abi::AENC_PCM, 44_100, 1),
        (abi::AENC_G711A, 8000, 0),
        (abi::AENC_G711U, 8000, 0),
        (abi::AENC_AAC, 16_000, 0),
    ];
    for (codec, rate, mode) in cases {
        let format = Format::of(&info(codec, rate, mode)).unwrap();
        let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
        let mut converter = FromOpus::new(format).unwrap();
        let mut frames = Vec::new();
        for block in tone(48_000, 700.0, 48_000).chunks_exact(960) {
            let packet = encoder.encode_vec_float(block, 1275).unwrap();
            converter.convert(&packet, &mut frames).unwrap();
        }
        let mut back = ToOpus::new(format).unwrap();
        let mut pcm = Vec::new();
        for (_, frame) in &frames {
            back.decode_for_test(frame, &mut pcm);
        }
        let mono: Vec<f32> = pcm
            .chunks_exact(usize::from(format.channels))
            .map(|samples| samples[0])
            .collect();
        let middle = &mono[mono.len() / 3..mono.len() * 2 / 3];
        let found = share(middle, rate as f32, 700.0);
        assert!(found > 0.95, "{format:?}: {found}");
        let last = frames.last().unwrap().0;
        assert!((780..=1000).contains(&last), "{format:?}: {last} ms");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_by_name() {
    let refused = |codec, rate, width| {
        let given = AvDataInfo {
            bit_width: width,
            ..info(codec, rate, 0)
        };
        Format::of(&given).unwrap_err().to_string()
    };
    assert!(refused(5, 8000, 1).starts_with("audio of codec 5"));
    assert!(refused(abi::AENC_G711A, 8001, 1).starts_with("a sample rate of 8001 Hz"));
    assert!(refused(abi::AENC_PCM, 8000, 2).starts_with("PCM of bit width 2"));
}

#[test]
fn broken_audio_is_an_error_and_the_next_is_converted() {
    let format = Format::of(&info(abi::AENC_AAC, 16_000, 0)).unwrap();
    let mut converter = ToOpus::new(format).unwrap();
    let mut packets = Vec::new();
    for bytes in [&[][..], &[0xff, 0xf1], &[0xff; 40], &[0; 10]] {
        let _refused_or_silence = converter.convert(0, bytes, &mut packets);
    }
    packets.clear();
    for frame in camera_audio(format) {
        let _first_ones_may_be_lost = converter.convert(0, &frame, &mut packets);
    }
    assert!(packets.len() > 30, "{}", packets.len());
}
