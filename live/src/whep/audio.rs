//! A program's audio as Opus, encoded once for all viewers and only while there are some.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use metrics::counter;
use rotunda_media::program::{ProgramReader, ReadError, Track};
use rotunda_proto::ids::StreamKey;
use tokio::sync::broadcast;
use tracing::warn;

use super::Reading;
use crate::aac_to_opus::{Packet20, Transcoder};

/// Packets that a viewer may be behind: a second.
const QUEUE: usize = 50;

/// The audio of the programs that are watched.
#[derive(Clone, Default)]
pub struct AudioFeeds(Arc<Mutex<HashMap<StreamKey, Weak<Feed>>>>);

struct Feed {
    packets: broadcast::Sender<Arc<Packet20>>,
}

/// One viewer's packets.
pub struct AudioReader {
    packets: broadcast::Receiver<Arc<Packet20>>,
    /// The feed ends with its last reader.
    _feed: Arc<Feed>,
}

impl AudioFeeds {
    /// None: the program does not run.
    pub fn subscribe(&self, stream: &StreamKey, program: &Reading) -> Option<AudioReader> {
        let reader = program()?;
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let running = feeds.get(stream).and_then(Weak::upgrade);
        // A feed whose program has ended has no task, and so no sender besides the one that is here.
        let running = running.filter(|feed| Arc::weak_count(feed) > 1);
        let feed = match running {
            Some(feed) => feed,
            None => {
                let feed = Arc::new(Feed {
                    packets: broadcast::channel(QUEUE).0,
                });
                tokio::spawn(transcode(reader, Arc::downgrade(&feed)));
                feeds.insert(stream.clone(), Arc::downgrade(&feed));
                feed
            }
        };
        Some(AudioReader {
            packets: feed.packets.subscribe(),
            _feed: feed,
        })
    }
}

impl AudioReader {
    /// The next packet; it waits for ever when there are no more. Cancel-safe.
    pub async fn next(&mut self) -> Arc<Packet20> {
        loop {
            match self.packets.recv().await {
                Ok(packet) => return packet,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// Until the program ends, or nobody watches it.
async fn transcode(mut reader: ProgramReader, feed: Weak<Feed>) {
    let mut transcoder = None;
    let mut config = None;
    let mut packets = Vec::new();
    loop {
        let frame = match reader.next().await {
            Ok(frame) => frame,
            Err(ReadError::Ended) => return,
            // The audio goes on at its timestamps.
            Err(_) => continue,
        };
        if frame.track != Track::Audio {
            continue;
        }
        let Some(feed) = feed.upgrade() else {
            return;
        };
        if config.as_ref() != Some(&frame.header.audio.config) {
            config = Some(frame.header.audio.config.clone());
            transcoder = match Transcoder::new(&frame.header.audio.config) {
                Ok(transcoder) => Some(transcoder),
                Err(error) => {
                    warn!(%error, "a program's audio is not sent by WHEP");
                    None
                }
            };
        }
        let Some(running) = &mut transcoder else {
            continue;
        };
        if let Err(error) = running.handle(frame.pts.duration(), &frame.data, &mut packets) {
            warn!(%error, "a program's audio is no longer sent by WHEP");
            counter!("rotunda_live_whep_audio_failures_total").increment(1);
            transcoder = None;
        }
        for packet in packets.drain(..) {
            let _nobody_listens = feed.packets.send(Arc::new(packet));
        }
    }
}
