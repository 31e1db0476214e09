use rotunda_media::codec::{AacEncoder, ForceKey, H264Encoder, H264EncoderConfig, h264};
use rotunda_media::mux::segmenter::Segmenter;
use rotunda_media::program::{AudioHeader, Frame, Track, VideoHeader};
use rotunda_media::time::VIDEO_RATE;
use rotunda_media::video_frame::{VideoFrame, Yuv};

use super::*;

const HOUR: u64 = 3600;
const AUDIO_RATE: u32 = 8000;
const AUDIO_FRAME: u32 = 1024;
const LENGTHS: Lengths = Lengths {
    segment: Duration::from_secs(4),
    chunk: Duration::from_secs(1),
};

fn manifest() -> Manifest {
    let program = serde_json::json!({
        "stream_id": "s", "room": { "app": 1, "room": 7 }, "node": "node-1", "push_urls": [], "started_unix_ms": 1, "record": null,
        "video": null, "audio": { "sample_rate": AUDIO_RATE, "bitrate_kbps": 32, "channels": 1 },
    });
    Manifest {
        recording_id: "1".to_owned(),
        program: serde_json::from_value(program).unwrap(),
        formats: vec![FileFormat::Hls, FileFormat::Mp4],
        prefix: "long".to_owned(),
        segment_seconds: 4,
        name_time_zone: None,
    }
}

fn header() -> Arc<ProgramHeader> {
    let config = H264EncoderConfig {
        width: 64,
        height: 48,
        bitrate_kbps: 100,
        framerate: 1,
        gop_frames: 4,
    };
    let frame = VideoFrame::filled(64, 48, Yuv::BLACK);
    let coded = H264Encoder::new(config).unwrap().encode(&frame, ForceKey::Yes).unwrap();
    let (sps, pps) = h264::parameter_sets(&coded.data).unwrap();
    Arc::new(ProgramHeader {
        video: Some(VideoHeader {
            width: 64,
            height: 48,
            framerate: 1,
            bitrate_kbps: 100,
            sps,
            pps,
        }),
        audio: AudioHeader {
            sample_rate: AUDIO_RATE,
            channels: 1,
            bitrate_kbps: 32,
            config: AacEncoder::new(AUDIO_RATE, 1, 32).unwrap().config(),
        },
    })
}

/// A frame of video a second, a keyframe every four, and the audio of 8 kHz.
fn second(number: u64, audio: &mut u64, header: &Arc<ProgramHeader>) -> Vec<Arc<Frame>> {
    let frame = |track, pts, duration, is_key| {
        Arc::new(Frame {
            track,
            pts,
            duration,
            is_key,
            data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]),
            header: header.clone(),
        })
    };
    let time = MediaTime::new(number * u64::from(VIDEO_RATE), VIDEO_RATE);
    let mut frames = vec![frame(Track::Video, time, VIDEO_RATE, number.is_multiple_of(4))];
    while *audio < (number + 1) * u64::from(AUDIO_RATE) {
        frames.push(frame(
            Track::Audio,
            MediaTime::new(*audio, AUDIO_RATE),
            AUDIO_FRAME,
            true,
        ));
        *audio += u64::from(AUDIO_FRAME);
    }
    frames
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_day_with_a_new_file_every_two_hours_takes_no_more_memory_than_its_first_hours() {
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let mut writer = Writer::create(
        Folder::new(folder.path(), "1"),
        manifest(),
        LENGTHS,
        Duration::from_secs(2 * HOUR),
        MediaTime::new(0, VIDEO_RATE),
        Duration::from_secs(1_700_000_000),
    )
    .unwrap();
    let (mut segmenter, header) = (Segmenter::new(LENGTHS, Duration::ZERO), header());
    let (mut audio, mut parts, mut early) = (0, 0, 0);
    for number in 0..24 * HOUR {
        for frame in second(number, &mut audio, &header) {
            segmenter.handle_frame(frame).unwrap();
            while let Some(output) = segmenter.poll_output() {
                writer.write(output).unwrap();
            }
        }
        let began = |notice: &Notice| matches!(notice, Notice::PartBegan { .. });
        parts += writer.take_notices().iter().filter(|notice| began(notice)).count();
        if number == 3 * HOUR {
            early = resident();
        }
    }
    segmenter.finish().unwrap();
    while let Some(output) = segmenter.poll_output() {
        writer.write(output).unwrap();
    }
    let grown = resident().saturating_sub(early);
    writer.finish(Duration::from_secs(24 * HOUR));

    assert_eq!(parts, 12);
    assert!(grown < 1 << 20, "{grown} bytes more after a day than after three hours");
    let playlist = std::fs::read_to_string(folder.path().join("1/index.m3u8")).unwrap();
    assert_eq!(playlist.matches("#EXTINF:").count() as u64, 24 * HOUR / 4);
    assert_eq!(playlist.matches("#EXT-X-MAP:").count(), 1);
    assert_eq!(playlist.matches("#EXTM3U").count(), 1);
}

#[test]
fn lines_of_the_playlist_that_the_disk_did_not_take_are_written_with_the_next_ones() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Folder::new(folder.path(), "1");
    let mut playlist = Growing::new(LENGTHS);
    // There is no folder yet.
    assert!(playlist.write(&folder).is_err());
    folder.create(&manifest()).unwrap();
    playlist.write(&folder).unwrap();
    let text = std::fs::read_to_string(folder.file("index.m3u8")).unwrap();
    assert!(
        text.starts_with("#EXTM3U\n") && text.ends_with("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        "{text}"
    );
}
