//! A viewer who reads the marks of the frames: which ones came, and when.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rotunda_client::{Entry, Member, Received, Slot};
use rotunda_media::codec::{VideoCodec, VideoDecoder};
use rotunda_media::mark;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::TrackSource;

use super::cluster::{app, user_sig};
use super::{Server, eventually};

/// The marks of the frames that a viewer has seen, and the longest time between two of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub frames: usize,
    /// Frames that are older than one before them.
    pub backwards: usize,
    newest: Option<(u16, Instant)>,
    pub longest_pause: Duration,
}

impl Seen {
    fn handle_mark(&mut self, count: u16, now: Instant) {
        if let Some((before, at)) = self.newest {
            self.longest_pause = self.longest_pause.max(now - at);
            self.backwards += usize::from(count.wrapping_sub(before) > 1 << 15);
        }
        self.frames += 1;
        self.newest = Some((count, now));
    }
}

/// Enters room 1001 by a signaling node, and watches ann, whose mark is 3, as long as the returned task runs.
pub async fn watch_ann(signaling: &Server, user: &str) -> (Arc<Mutex<Seen>>, tokio::task::JoinHandle<String>) {
    let entry = Entry {
        url: format!("ws://127.0.0.1:{}/ws", signaling.http),
        app: u32::try_from(app(signaling)).unwrap().try_into().unwrap(),
        user: user.parse().unwrap(),
        user_sig: user_sig(signaling, user),
        room: "1001".parse().unwrap(),
        private_map_key: None,
        record_id: None,
        stream_id: None,
    };
    let mut member = Member::enter(entry).await.unwrap();
    // She may not have published yet.
    let deadline = Clock.now() + Duration::from_secs(30);
    while let Err(error) = member.watch("ann".parse().unwrap(), TrackSource::Camera).await {
        assert!(Clock.now() < deadline, "{error:?}");
        Clock.sleep_until(Clock.now() + Duration::from_millis(100)).await;
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let tell = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let mut decoder = VideoDecoder::new(VideoCodec::H264).unwrap();
        loop {
            let frame = match member.next().await {
                Ok(Received::Frame {
                    slot: Slot::Video(_),
                    frame,
                }) => frame,
                Ok(_) => continue,
                Err(error) => return format!("{error:?}"),
            };
            let Ok(Some(picture)) = decoder.decode(&frame.data) else {
                continue;
            };
            if let Some(mark) = mark::read(picture.y(), picture.width(), picture.rect()) {
                assert_eq!(mark.id, 3, "it is ann's");
                tell.lock().unwrap().handle_mark(mark.count, Clock.now());
            }
        }
    });
    (seen, task)
}

/// Waits until a viewer has seen so many more frames.
pub fn sees(what: &str, seen: &Mutex<Seen>, frames: usize) {
    let before = seen.lock().unwrap().frames;
    eventually(what, 60, || {
        (seen.lock().unwrap().frames >= before + frames).then_some(())
    });
}
