//! Flash and beep, from the capture to the program, through a lossy and unsteady network: how far audio and video are apart, and how much
//! later than the network and the play-out delay need a frame is shown.

use super::*;

/// A frame is shown at a tick, so both are measured in steps of it.
const TICK: Micros = 1_000_000 / 15;
const SECONDS: Micros = 40;
/// The program has found its delay by then.
const SETTLED: Micros = 10;
/// The fastest way of each track.
const AUDIO_WAY: Micros = 40_000;
const VIDEO_WAY: Micros = 60_000;
/// The beep: 100 ms of 1 kHz at each full second.
const BEEP: i64 = 4_800;

/// The measurements of a run, in microseconds, sorted.
struct Measured {
    /// Begin of the beep minus that of its frame.
    apart: Vec<Micros>,
    /// When a frame was shown, minus its capture, the network's least delay, and the play-out delay.
    added: Vec<Micros>,
}

/// Numbers that look random.
struct Chance(u32);

impl Chance {
    fn below(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % most
    }
}

/// The member's audio and video in the order of their arrival. `loss`: percent of audio packets that are lost. Half of these are repaired 60
/// ms later, and the same share of frames comes 100 ms later, by retransmissions.
fn sent(user: &RoomUser, loss: u32, jitter: u32) -> Vec<Sample> {
    let mut chance = Chance(7);
    let mut microphone = OpusEncoder::new(1, 48).unwrap();
    microphone.set_expected_loss(loss.min(100) as u8).unwrap();
    let mut camera = H264Encoder::new(H264EncoderConfig {
        width: 320,
        height: 180,
        bitrate_kbps: 300,
        framerate: 15,
        gop_frames: 30,
    })
    .unwrap();
    // Both tracks report once a second.
    let sample = |track, rate: u32, rtp, arrival: Micros, payload| {
        let second = arrival / 1_000_000;
        Sample {
            source: user.track(track),
            stamp: Stamp {
                generation: 0,
                rtp,
                arrival,
                report: Some(SenderReport {
                    ntp: (1_000 + second) * 1_000_000,
                    rtp: second as u32 * rate,
                }),
            },
            payload,
        }
    };
    let mut samples = Vec::new();
    for number in 0..SECONDS * 50 {
        let wave = |n: i64| match n % 48_000 {
            within if within < BEEP => (n as f32 * 1_000.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.4,
            _ => 0.0,
        };
        let pcm: Vec<f32> = (number * 960..(number + 1) * 960).map(wave).collect();
        let packet = microphone.encode(&pcm).unwrap();
        let late = match chance.below(200) {
            drawn if drawn < loss => continue,
            drawn if drawn < 2 * loss => 60_000,
            _ => 0,
        };
        let arrival = number * 20_000 + AUDIO_WAY + i64::from(chance.below(jitter + 1)) + late;
        let payload = Payload::Audio(packet.as_ref().into());
        samples.push(sample(
            TrackSource::Audio,
            48_000,
            (number * 960) as u32,
            arrival,
            payload,
        ));
    }
    let mut last = 0;
    for count in 0..SECONDS * 15 {
        let mut frame = VideoFrame::filled(320, 180, Yuv::from_rgb(0x60_60_60));
        let whole = frame.rect();
        let mark = Mark {
            id: 1,
            count: count as u16,
        };
        mark::draw(&mut frame, whole, mark);
        let coded = camera.encode(&frame, ForceKey::No).unwrap();
        let late = if chance.below(100) < loss { 100_000 } else { 0 };
        // Frames are received in their order.
        last = last.max(count * TICK + VIDEO_WAY + i64::from(chance.below(jitter + 1)) + late);
        let payload = Payload::Video(CodedVideo {
            codec: VideoCodec::H264,
            data: coded.data.as_ref().into(),
            is_key: coded.is_key,
            contiguous: true,
            rotation: None,
        });
        samples.push(sample(
            TrackSource::Camera,
            90_000,
            (count * 6_000) as u32,
            last,
            payload,
        ));
    }
    samples.sort_by_key(|sample| sample.stamp.arrival);
    samples
}

fn measured(loss: u32, jitter: u32) -> Measured {
    let mut spec = spec(320, 180);
    spec.audio.bitrate_kbps = 96;
    let sender = Sender::new(1);
    let mut core = MixCore::new(&spec, 350_000, None).unwrap();
    core.adapt_play_out(350_000);
    core.handle_scene(scene(&spec, std::slice::from_ref(&sender)));
    let mut samples = sent(&sender.id(), loss, jitter).into_iter().peekable();
    let (mut frames, mut delays) = (Vec::new(), Vec::new());
    while core.poll_timeout() < SECONDS * 1_000_000 {
        let now = core.poll_timeout();
        while let Some(sample) = samples.next_if(|sample| sample.stamp.arrival <= now) {
            core.handle_sample(&sample);
        }
        core.handle_tick(now).unwrap();
        delays.push((now, core.delay()));
        frames.extend(std::iter::from_fn(|| core.poll_frame()));
    }

    let mut audio = Vec::new();
    let mut decoder = AacDecoder::new(&frames[0].header.audio.config).unwrap();
    for frame in frames.iter().filter(|frame| frame.track == Track::Audio) {
        decoder.decode(&frame.data, &mut audio).unwrap();
    }
    let left: Vec<f32> = audio
        .iter()
        .step_by(decoder.channels())
        .skip(decoder.delay())
        .copied()
        .collect();
    let begins_after = |from: Micros| {
        let from = (from * 48 / 1_000).max(0) as usize;
        let within = left.get(from..from + 48_000)?;
        let loud = within.iter().position(|sample| sample.abs() > 0.1)?;
        Some((from + loud) as Micros * 1_000 / 48)
    };

    let shown = decode(&frames);
    let mut seen = None;
    let (mut apart, mut added) = (Vec::new(), Vec::new());
    for (frame, (at, delay)) in shown.iter().zip(delays) {
        let Some(mark) = mark::read(frame.y(), frame.width(), frame.rect()) else {
            continue;
        };
        let count = Micros::from(mark.count);
        if seen.replace(count).is_some_and(|seen| seen >= count) || at < SETTLED * 1_000_000 {
            continue;
        }
        added.push(at - count * TICK - AUDIO_WAY - delay);
        if count % 15 == 0
            && let Some(beep) = begins_after(at - 500_000)
        {
            apart.push(beep - at);
        }
    }
    apart.sort_unstable();
    added.sort_unstable();
    Measured { apart, added }
}

/// Of sorted values, by their distance from 0.
fn p95(values: &[Micros]) -> Micros {
    let mut away: Vec<Micros> = values.iter().map(|value| value.abs()).collect();
    away.sort_unstable();
    away[(away.len() * 95).div_ceil(100) - 1]
}

#[test]
fn audio_and_video_stay_together_through_loss_and_jitter_and_the_mix_adds_little() {
    for (loss, jitter) in [(0, 0), (0, 60_000), (10, 30_000)] {
        let Measured { apart, added } = measured(loss, jitter);
        println!(
            "loss {loss} %, jitter {} ms: lip-sync p95 {} ms (median {}), added delay p95 {} ms (median {})",
            jitter / 1000,
            p95(&apart) / 1000,
            apart[apart.len() / 2] / 1000,
            p95(&added) / 1000,
            added[added.len() / 2] / 1000,
        );
        assert!(apart.len() >= 25, "{} beeps", apart.len());
        assert!(added.len() >= 400, "{} frames", added.len());
        assert!(p95(&apart) <= 40_000, "{apart:?}");
        assert!(p95(&added) <= 150_000, "{added:?}");
    }
}
