//! Which thumbnail belongs to which time, for players: WebVTT whose cues are parts of the sheet (Media Fragments `xywh`).

use std::fmt::Write as _;
use std::time::Duration;

use super::Sheet;

/// `image`: the address of the sheet, relative to the text's own.
pub fn webvtt(sheet: &Sheet, image: &str) -> String {
    let mut text = String::from("WEBVTT\n");
    for index in 0..sheet.count {
        let from = sheet.step * index as u32;
        let to = if index + 1 == sheet.count {
            sheet.length.max(from)
        } else {
            from + sheet.step
        };
        let rect = sheet.rect(index);
        let (x, y, width, height) = (rect.x, rect.y, rect.width, rect.height);
        // Writing to a string does not fail.
        let _written = write!(
            text,
            "\n{} --> {}\n{image}#xywh={x},{y},{width},{height}\n",
            time(from),
            time(to)
        );
    }
    text
}

/// `01:02:03.456`
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}",
        seconds % 60,
        time.subsec_millis()
    )
}
