//! A recording of a mix knows which layout it shows when.

use rotunda_proto::mix_layout::{CanvasSize, LayoutRegion, ShownLayout};
use rotunda_proto::recording::RecordedLayout;

use super::*;

fn layout(revision: u64, program_ms: u64) -> ShownLayout {
    let region = |number: u64| LayoutRegion {
        uid: format!("user{number}").parse().unwrap(),
        room: None,
        stream: 0,
        x: 160 * number as usize,
        y: 0,
        w: 160,
        h: 90,
        z: 0,
    };
    ShownLayout {
        revision,
        program_ms,
        canvas: CanvasSize { w: 320, h: 180 },
        regions: (0..revision % 3).map(region).collect(),
    }
}

#[tokio::test]
async fn a_file_names_the_layout_of_its_start_and_each_new_one_and_so_does_the_list() {
    let mut place = Place::new(|config| config.formats = serde_json::from_str(r#"["mp4", "aac"]"#).unwrap());
    place.applications = vec![application()];
    let mut recorder = place.start().await;
    let program = recorder.begin("s", 1, "film").await;
    program.writer.tell_layout(layout(40, 0));
    let mut source = TestProgram::new();
    program.play(source.run(2.0, 1.0)).await;
    program.writer.tell_layout(layout(41, 2000));
    program.play(source.run(2.0, 1.0)).await;
    // The engine was replaced and tells it again.
    program.writer.tell_layout(layout(41, 3000));
    program.writer.tell_layout(layout(43, 4000));
    program.play(source.run(2.0, 1.0)).await;
    program.end().await;
    for file in recorder.files(2).await {
        assert!(file.layouts.is_empty(), "the message about a file stays small");
    }
    let listed = json(&recorder, "/recordings").await;
    let of = |format: &str| {
        let mut files = listed.as_array().unwrap().iter();
        files.find(|file| file["format"] == format).unwrap()
    };
    assert_eq!(of("aac").get("layouts"), None, "there is no video");
    let file = of("mp4");
    let began = file["startedUnixMs"].as_u64().unwrap();
    let layouts: Vec<RecordedLayout> = serde_json::from_value(file["layouts"].clone()).unwrap();
    let expected = [layout(40, 0), layout(41, 2000), layout(43, 4000)];
    assert_eq!(
        layouts.iter().map(|one| one.layout.clone()).collect::<Vec<_>>(),
        expected
    );
    for (one, after) in layouts.iter().zip([0, 2000, 4000]) {
        let from = one.from_unix_ms - began;
        assert!(from.abs_diff(after) < 5, "{from}");
    }
    recorder.stop().await;
}
