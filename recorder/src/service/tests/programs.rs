//! A program becomes files: their names, lengths and sizes, from its first keyframe to its end.

use super::*;

#[tokio::test]
async fn a_program_becomes_an_mp4_and_hls_that_obeys_the_rfc() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(5.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    assert_eq!(files[0].format, FileFormat::Hls);
    for file in &files {
        check(&place, file, 5.0);
        let name = file.name.split_once('/').unwrap().1;
        assert!(name.starts_with("film_20"), "the contract's name: {name}");
    }
    assert_eq!(files[0].task_id, files[1].task_id);
    let playlist = std::fs::read_to_string(place.path(&files[0])).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(read(&playlist).segments.len(), 5);
    assert_eq!(
        std::fs::metadata(place.path(&files[1])).unwrap().len(),
        files[1].size_bytes
    );
    for file in place.files() {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            !bytes.windows(6).any(|part| part == b"SECRET"),
            "a push key in {}",
            file.display()
        );
    }
    recorder.stop().await;
}

#[tokio::test]
async fn two_mixes_with_one_name_in_one_second_are_both_recorded() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let (one, other) = (
        recorder.begin("s1", 1, "film").await,
        recorder.begin("s2", 2, "film").await,
    );
    let (mut first, mut second) = (TestProgram::new(), TestProgram::sized(96, 64));
    for _ in 0..4 {
        one.play(first.run(1.0, 1.0)).await;
        other.play(second.run(1.0, 1.0)).await;
    }
    one.end().await;
    other.end().await;
    let files = recorder.files(4).await;
    for file in &files {
        check(&place, file, 4.0);
        let expected = if file.stream_id.as_str() == "s1" {
            (64, 48)
        } else {
            (96, 64)
        };
        assert_eq!(file.resolution, Some(expected));
    }
    recorder.stop().await;
}

#[tokio::test]
async fn a_program_that_ends_before_its_first_keyframe_leaves_nothing() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.end().await;
    let program = recorder.begin("t", 1, "film").await;
    let frames = TestProgram::new().run(1.0, 10.0).into_iter().skip(1).collect();
    program.play(frames).await;
    program.end().await;
    recorder.no_file().await;
    recorder.stop().await;
    assert_eq!(place.files(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_program_of_less_than_a_second_is_a_whole_file() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.play(TestProgram::new().run(0.4, 1.0)).await;
    program.end().await;
    for file in recorder.files(2).await {
        check(&place, &file, 0.4);
    }
    recorder.stop().await;
}

#[tokio::test]
async fn another_bitrate_does_not_split_a_recording() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    source.set_bitrate(900);
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    for file in recorder.files(2).await {
        check(&place, &file, 4.0);
    }
    recorder.no_file().await;
    recorder.stop().await;
}

#[tokio::test]
async fn another_size_begins_another_file_and_the_first_is_announced_at_once() {
    let place = Place::new(|_| {});
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    source.resize(96, 64);
    program.play(source.run(2.0, 1.0)).await;
    let first = recorder.file().await;
    assert_eq!((first.format, first.resolution), (FileFormat::Mp4, Some((64, 48))));
    check(&place, &first, 2.0);
    program.play(source.run(1.0, 1.0)).await;
    program.end().await;
    let files = recorder.files(2).await;
    assert_eq!(files[1].resolution, Some((96, 64)));
    check(&place, &files[1], 3.0);
    // HLS continues in one playlist.
    let playlist = std::fs::read_to_string(place.path(&files[0])).unwrap();
    assert_eq!(violations(None, &playlist), Vec::<String>::new(), "{playlist}");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert!((seconds(&place.path(&files[0])) - 5.0).abs() < 0.15);
    recorder.stop().await;
}
