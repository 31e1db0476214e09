//! A publisher's own stream stays one file while it can.

use super::*;

#[tokio::test]
async fn a_single_stream_that_changes_its_size_stays_one_file_in_every_format() {
    let place = Place::new(|config| {
        config.formats = serde_json::from_str(r#"["mp4", "flv", "aac", "hls"]"#).unwrap();
    });
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "1_1_ann_main").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    source.resize(96, 64);
    program.play(source.run(2.0, 1.0)).await;
    source.resize(64, 48);
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(4).await;
    for file in &files {
        assert!(file.name.contains("/1_1_ann_main_20"), "{}", file.name);
        assert_eq!(file.user.as_ref().map(ToString::to_string), Some("ann".to_owned()));
        // ffmpeg reads the first configuration of a playlist only.
        if file.format != FileFormat::Hls {
            check(&place, file, 6.0);
        }
    }
    let sizes = |format| {
        let file = files.iter().find(|file| file.format == format).unwrap();
        let frames = [
            "-select_streams",
            "v",
            "-show_entries",
            "frame=width,height",
            "-of",
            "csv=p=0",
        ];
        let text = probe(&place.path(file), &frames);
        let mut sizes: Vec<String> = text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
        assert_eq!(sizes.len(), 90, "every frame");
        sizes.dedup();
        sizes
    };
    assert_eq!(sizes(FileFormat::Mp4), ["64,48", "96,64", "64,48"]);
    assert_eq!(sizes(FileFormat::Flv), ["64,48", "96,64", "64,48"]);
    recorder.stop().await;
}

#[tokio::test]
async fn an_interrupted_single_stream_is_one_hls_with_a_gap_and_a_new_file_in_other_formats() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin_single("1_1_ann_main", "ann", "film").await;
    let frames = TestProgram::new().run(40.0, 1.0);
    let is_there = |frame: &Arc<Frame>| !(3.0..37.0).contains(&frame.pts.duration().as_secs_f64());
    program.play(frames.into_iter().filter(is_there).collect()).await;
    program.end().await;
    let files = recorder.files(3).await;
    let of = |format| files.iter().filter(move |file| file.format == format);
    for file in of(FileFormat::Mp4) {
        check(&place, file, 3.0);
        assert!(file.gaps.is_empty());
    }
    assert_eq!(of(FileFormat::Mp4).count(), 2);
    let hls = of(FileFormat::Hls).next().unwrap();
    check(&place, hls, 6.0);
    let playlist = std::fs::read_to_string(place.path(hls)).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    let [gap] = &hls.gaps[..] else { panic!("{:?}", hls.gaps) };
    assert_eq!(gap.reason, rotunda_proto::recording::GapReason::PublisherAway);
    assert!((gap.to_unix_ms - gap.from_unix_ms).abs_diff(34_000) < 300, "{gap:?}");
    recorder.stop().await;
}
