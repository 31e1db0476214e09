use rotunda_media::codec::AacDecoder;

use super::*;

/// `seconds` of a sine on each channel, 0: silence.
fn sines(hertz: [f32; 2], seconds: f32) -> Vec<f32> {
    let wave = |n: usize, hertz: f32| (n as f32 * hertz * std::f32::consts::TAU / RATE as f32).sin() * 0.5;
    (0..(seconds * RATE as f32) as usize)
        .flat_map(|n| hertz.map(|hertz| wave(n, hertz)))
        .collect()
}

/// Encodes and decodes; one list for each channel.
fn through(asked: AudioEncode, audio: &[f32]) -> (Vec<AudioFrame>, Vec<Vec<f32>>) {
    let mut output = AudioOutput::new(asked, 0).unwrap();
    let mut frames = Vec::new();
    for block in audio.chunks_exact(BLOCK * CHANNELS) {
        output.handle_block(block, &mut frames).unwrap();
    }
    output.finish(&mut frames).unwrap();
    let mut decoder = AacDecoder::new(&output.header().config).unwrap();
    let mut pcm = Vec::new();
    for frame in &frames {
        decoder.decode(&frame.data, &mut pcm).unwrap();
    }
    let channels = usize::from(asked.channels);
    let channel = |channel| pcm.iter().skip(channel).step_by(channels).copied().collect();
    (frames, (0..channels).map(channel).collect())
}

fn asked(sample_rate: u32, channels: u8) -> AudioEncode {
    AudioEncode {
        sample_rate,
        bitrate_kbps: if sample_rate < 16_000 { 24 } else { 96 },
        channels,
    }
}

/// Amplitude of one frequency in the middle of the audio.
fn strength(pcm: &[f32], hertz: f32, rate: u32) -> f32 {
    let middle = &pcm[pcm.len() / 4..pcm.len() * 3 / 4];
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in middle.iter().enumerate() {
        let angle = n as f32 * hertz * std::f32::consts::TAU / rate as f32;
        re += sample * angle.cos();
        im += sample * angle.sin();
    }
    re.hypot(im) * 2.0 / middle.len() as f32
}

#[test]
fn stereo_keeps_left_from_right_at_every_sample_rate() {
    for rate in [48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 8_000] {
        let (_, channels) = through(asked(rate, 2), &sines([440.0, 1_000.0], 2.0));
        let strength = |channel: usize, hertz| strength(&channels[channel], hertz, rate);
        assert!(strength(0, 440.0) > 0.4 && strength(1, 1_000.0) > 0.4, "{rate}");
        assert!(strength(0, 1_000.0) < 0.05 && strength(1, 440.0) < 0.05, "{rate}");
    }
}

#[test]
fn mono_is_the_mean_of_both_channels() {
    let (_, channels) = through(asked(48_000, 1), &sines([440.0, 1_000.0], 2.0));
    for hertz in [440.0, 1_000.0] {
        let strength = strength(&channels[0], hertz, 48_000);
        assert!((0.2..0.3).contains(&strength), "{hertz}: {strength}");
    }
}

#[test]
fn at_8_khz_what_does_not_fit_is_left_out_and_not_folded_down() {
    let (_, channels) = through(asked(8_000, 1), &sines([6_000.0, 6_000.0], 2.0));
    // 6 kHz would be folded to 2 kHz.
    let folded = strength(&channels[0], 2_000.0, 8_000);
    assert!(folded < 0.005, "{folded}");
}

#[test]
fn the_end_of_the_audio_is_not_cut_off() {
    for rate in [48_000, 44_100, 22_050, 8_000] {
        let seconds = 1.0;
        let (frames, channels) = through(asked(rate, 1), &sines([440.0, 440.0], seconds));
        let last = frames.last().unwrap();
        let end = last.pts.ticks() + FRAME as u64;
        assert!(end >= u64::from(rate), "{rate}: {end}");
        assert!(end < u64::from(rate) + FRAME as u64 + 1_000, "{rate}: {end}");
        // The decoder gives audio out as late as the encoder: up to the last 20 ms before the end the tone is heard.
        let decoded = channels[0].len();
        assert_eq!(decoded, frames.len() * FRAME);
        let pts: Vec<u64> = frames.iter().map(|frame| frame.pts.ticks()).collect();
        assert!(pts.windows(2).all(|pair| pair[1] - pair[0] == FRAME as u64), "{rate}");
    }
}
