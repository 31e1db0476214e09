//! A player's own timeline, and what it needs next: it begins at a keyframe, and continues at a keyframe after a
//! loss. Pure.

use std::sync::Arc;

use rotunda_media::program::{Frame, ProgramHeader, Track};

/// The treatment of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Not yet: a keyframe must come first.
    Skip,
    /// Send the codecs' headers, then the frame.
    Begin { timestamp_ms: u32 },
    /// Send the frame.
    Go { timestamp_ms: u32 },
}

/// One receiver's place on a program's clock.
#[derive(Debug, Default)]
pub struct Timeline {
    header: Option<Arc<ProgramHeader>>,
    /// Program time of this receiver's zero, milliseconds.
    origin_ms: Option<u64>,
    needs_key: bool,
}

impl Timeline {
    pub fn new() -> Self {
        Self {
            needs_key: true,
            ..Self::default()
        }
    }

    pub fn step(&mut self, frame: &Frame) -> Step {
        let is_key = frame.is_key && (frame.track == Track::Video || frame.header.video.is_none());
        if self.needs_key && !is_key {
            return Step::Skip;
        }
        self.needs_key = false;
        let at = frame.pts.millis();
        let origin = *self.origin_ms.get_or_insert(at);
        // 32 bits of milliseconds wrap after 49 days, as the protocols specify.
        let timestamp_ms = at.saturating_sub(origin) as u32;
        let same = self
            .header
            .as_ref()
            .is_some_and(|header| Arc::ptr_eq(header, &frame.header));
        if same {
            return Step::Go { timestamp_ms };
        }
        self.header = Some(frame.header.clone());
        Step::Begin { timestamp_ms }
    }

    /// Frames were lost, or the receiver restarts: the next frame must be a keyframe.
    pub fn lose(&mut self) {
        self.needs_key = true;
    }

    /// A new connection of the same receiver: the headers are sent again, and its time continues.
    pub fn reconnect(&mut self) {
        self.needs_key = true;
        self.header = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rotunda_media::program::{AudioHeader, VideoHeader};
    use rotunda_media::time::MediaTime;

    fn header() -> Arc<ProgramHeader> {
        let video = VideoHeader {
            width: 2,
            height: 2,
            framerate: 15,
            bitrate_kbps: 1,
            sps: Bytes::new(),
            pps: Bytes::new(),
        };
        let audio = AudioHeader {
            sample_rate: 48_000,
            channels: 2,
            bitrate_kbps: 1,
            config: Bytes::new(),
        };
        Arc::new(ProgramHeader {
            video: Some(video),
            audio,
        })
    }

    fn frame(header: &Arc<ProgramHeader>, ms: u64, is_key: bool) -> Frame {
        let pts = MediaTime::new(ms * 90, 90_000);
        Frame {
            track: Track::Video,
            pts,
            duration: 1,
            is_key,
            data: Bytes::new(),
            header: header.clone(),
        }
    }

    #[test]
    fn a_receiver_begins_at_zero_with_a_keyframe_and_continues_with_one_after_a_loss() {
        let header = header();
        let mut timeline = Timeline::new();
        assert_eq!(timeline.step(&frame(&header, 5000, false)), Step::Skip);
        assert_eq!(
            timeline.step(&frame(&header, 5067, true)),
            Step::Begin { timestamp_ms: 0 }
        );
        assert_eq!(
            timeline.step(&frame(&header, 5133, false)),
            Step::Go { timestamp_ms: 66 }
        );
        timeline.lose();
        assert_eq!(timeline.step(&frame(&header, 5200, false)), Step::Skip);
        assert_eq!(
            timeline.step(&frame(&header, 7067, true)),
            Step::Go { timestamp_ms: 2000 }
        );
        timeline.reconnect();
        assert_eq!(
            timeline.step(&frame(&header, 9067, true)),
            Step::Begin { timestamp_ms: 4000 }
        );
    }
}
