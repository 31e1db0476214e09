//! The facts that a recorder tells about the recordings of a task of the server API.

use rotunda_events::{Fact, RecordingStep, What};
use rotunda_proto::media_task::TaskRef;

use super::*;
use crate::storage::tests::{Mood, TestS3};

fn of_task(stream: &str) -> ProgramDescriptor {
    let mut program = descriptor(stream, 1);
    program.record = Some(RecordSpec {
        record_id: stream.parse().unwrap(),
        audio_only: false,
        files: FileWishes::default(),
    });
    program.task = Some(TaskRef {
        id: "task-1".parse().unwrap(),
        robot: "robot".parse().unwrap(),
    });
    program
}

/// The steps that are in the stream of events, in order, each once.
async fn steps(place: &Place) -> Vec<RecordingStep> {
    let store = Store::open(&place.database()).await.unwrap();
    let events = store.read_events(0, 1000).await.unwrap();
    let facts = events
        .iter()
        .map(|event| serde_json::from_str::<Fact>(&event.body).unwrap());
    let step = |fact: Fact| match fact.what {
        What::RecordingTask { task, step } => {
            assert_eq!(task.id.as_str(), "task-1");
            Some(step)
        }
        _ => None,
    };
    facts.filter_map(step).collect()
}

/// The steps, as soon as there are so many.
async fn so_many(place: &Place, count: usize) -> Vec<RecordingStep> {
    steps_when(place, |steps| steps.len() >= count).await
}

/// The steps, as soon as they are as expected.
async fn steps_when(place: &Place, is_so: impl Fn(&[RecordingStep]) -> bool) -> Vec<RecordingStep> {
    let there = async {
        loop {
            let steps = steps(place).await;
            if is_so(&steps) {
                return steps;
            }
            Clock.sleep_until(Clock.now() + Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), there).await.expect("the steps")
}

#[tokio::test]
async fn a_task_is_told_as_begun_once_and_as_moved_when_another_recorder_goes_on() {
    let place = Place::new(|_| {});
    let (bus, hub): (SharedBus, _) = (Arc::new(InProcess::new()), ProgramHub::new());
    let first = place.start_as("one", bus.clone(), hub.clone(), QUICK).await;
    let program = first.begin_with(of_task("s")).await;
    let mut source = TestProgram::new();
    program.play(source.run(3.0, 1.0)).await;
    let told = so_many(&place, 2).await;
    let [RecordingStep::Begun, RecordingStep::FirstSegment(one)] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(one.playlist.ends_with("/index.m3u8") && one.has_video, "{one:?}");
    assert_eq!((&one.user, one.has_audio), (&None, true));
    let second = place.start_as("two", bus.clone(), hub.clone(), QUICK).await;
    first.stop().await;
    program.wait_for_reader().await;
    program.play(source.run(3.0, 1.0)).await;
    let told = so_many(&place, 4).await;
    let [_, _, RecordingStep::Moved, RecordingStep::FirstSegment(other)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_ne!(one.playlist, other.playlist);
    program.end().await;
    second.stop().await;
    assert_eq!(steps(&place).await.len(), 4);
}

#[tokio::test]
async fn a_storage_that_is_away_and_comes_back_is_told_once() {
    let s3 = TestS3::start().await;
    let place = Place::new(|config| config.storage = s3.config());
    s3.set(Mood::Away);
    let mut recorder = place.start().await;
    for stream in ["one", "two"] {
        let program = recorder.begin_with(of_task(stream)).await;
        program.play(TestProgram::new().run(2.0, 1.0)).await;
        program.end().await;
    }
    steps_when(&place, |steps| steps.contains(&RecordingStep::UploadFailed)).await;
    // The second one fails, too.
    recorder.no_file().await;
    s3.set(Mood::Well);
    let _stored = recorder.files(4).await;
    recorder.stop().await;
    let mut told = steps(&place).await;
    told.retain(|step| !matches!(step, RecordingStep::FirstSegment(_)));
    let expected = [
        RecordingStep::Begun,
        RecordingStep::UploadFailed,
        RecordingStep::UploadBegun,
    ];
    assert_eq!(told, expected);
}
