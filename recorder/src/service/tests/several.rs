//! Several recorders: each program is recorded by one of them.

use super::*;

fn mp4(place: &mut Config) {
    place.formats = serde_json::from_str(r#"["mp4"]"#).unwrap();
}

#[tokio::test]
async fn one_of_two_recorders_has_a_program_and_the_other_one_goes_on_when_it_ends() {
    let place = Place::new(mp4);
    let (bus, hub): (SharedBus, _) = (Arc::new(InProcess::new()), ProgramHub::new());
    let first = place.start_as("one", bus.clone(), hub.clone(), QUICK).await;
    let second = place.start_as("two", bus.clone(), hub.clone(), QUICK).await;
    let program = first.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(3.0, 1.0)).await;
    assert_eq!(program.writer.readers(), 1, "one recorder reads it");

    // Which one it is, its claim says.
    let (_, claim) = bus.list("recorders.").await.unwrap().remove(0);
    let is_first = String::from_utf8_lossy(&claim.value).contains("one.");
    let (ended, mut second) = if is_first { (first, second) } else { (second, first) };
    ended.stop().await;
    program.wait_for_reader().await;
    program.play(source.run(3.0, 1.0)).await;
    program.end().await;
    // A file that the other one has told of may be told of again.
    let mut files = std::collections::BTreeMap::new();
    while files.len() < 2 {
        let file = second.file().await;
        files.insert(file.task_id.clone(), file);
    }
    let files: Vec<RecordingFile> = files.into_values().collect();
    let total: u64 = files.iter().map(|file| file.duration_ms).sum();
    // The second one begins with the GOP in which the first one ended.
    assert!(
        (6500..7500).contains(&total),
        "{total} ms of 6 s, and a GOP of 1 s twice"
    );
    for file in &files {
        assert_eq!(complaints(&place.path(file)), "");
    }
    second.stop().await;
}

#[tokio::test]
async fn frames_that_were_lost_between_the_nodes_are_a_gap_in_the_file() {
    let place = Place::new(mp4);
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    let lost = source.run(1.0, 1.0);
    program.writer.tell_loss(lost.len() as u64);
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    let file = recorder.file().await;
    check(&place, &file, 5.0);
    let [gap] = &file.gaps[..] else {
        panic!("{:?}", file.gaps)
    };
    assert_eq!(
        (gap.reason, gap.track),
        (rotunda_proto::recording::GapReason::NotReceived, None)
    );
    assert!((gap.to_unix_ms - gap.from_unix_ms).abs_diff(1000) < 100, "{gap:?}");
    recorder.stop().await;
}

#[tokio::test]
async fn a_recorder_says_what_it_has_on_its_disk() {
    let place = Place::new(mp4);
    let recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    let mut written = program.writer.written();
    program.play(TestProgram::new().run(4.0, 1.0)).await;
    let two_seconds = written.wait_for(|written| written.is_some_and(|written| written >= Duration::from_secs(2)));
    timeout(Duration::from_secs(60), two_seconds).await.unwrap().unwrap();
    assert!(written.borrow().unwrap() <= Duration::from_secs(4));
    program.end().await;
    recorder.stop().await;
}
