//! What comes out of a member's media session, and what it sends: frames over the session, and fragments of messages by the data
//! channel or the server.

use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rotunda_proto::custom_message;
use rotunda_proto::ids::UserId;
use rotunda_proto::signaling::Request;

use super::media::Media;
use super::{Asked, Member, News, Publishing};
use crate::log::log;
use crate::message::COMMAND_ID;
use crate::session::{SessionError, Told};
use crate::streams::chain;

impl Member {
    pub(super) async fn handle_answer(&mut self, now: Instant, answer: &str) {
        let Some(media) = &mut self.media else { return };
        if let Err(error) = media.handle_answer(now, answer) {
            log!(Error, "the server's answer was not understood: {}", chain(&error));
            self.media = None;
            self.carry_failed("the media session failed".to_owned()).await;
        }
    }

    pub(super) async fn after_session(&mut self, now: Instant, handled: Result<(), SessionError>) {
        if let Err(error) = handled {
            log!(Warn, "the media session failed: {}", chain(&error));
            self.lose_media(now);
            return;
        }
        while let Some(told) = self.media.as_mut().and_then(Media::poll_told) {
            self.handle_told(now, told).await;
        }
    }

    async fn handle_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Connected => {
                if let Some(channel) = &self.carries {
                    channel.begin_again(now, &self.config.streams.watchers(channel));
                }
            }
            Told::Disconnected => self.lose_media(now),
            Told::KeyframeWanted { .. } => {
                if let Some(channel) = &self.carries
                    && let Some(first) = self.config.streams.watchers(channel).first()
                {
                    channel.ask_for_keyframe(now, *first);
                }
            }
            Told::Audio { line, data } => {
                if let Some(from) = self.audio_slots.get(line).and_then(Option::as_ref) {
                    let from = from.clone();
                    // A packet of audio is not worth waiting for.
                    let _lost = self.news.try_send((self.index, News::Audio { from, data }));
                }
            }
            Told::ChannelOpen => {}
            Told::Data(bytes) => {
                if let Some((from, bytes)) = room_message(&bytes) {
                    self.tell(News::Fragment { from, bytes }).await;
                }
            }
            Told::Estimate(rate) => {
                if let Some(channel) = &self.carries {
                    channel.set_rate(now, rate);
                }
            }
            Told::Acknowledged { bytes, over, .. } => {
                if let Some(channel) = &self.carries {
                    channel.acknowledge(bytes, over);
                }
            }
        }
    }

    pub(super) fn lose_media(&mut self, now: Instant) {
        if let Some(media) = self.media.take() {
            media.close(now);
            self.publishing = Publishing::No;
            self.audio_slots.clear();
        }
    }

    pub(super) fn is_published(&self) -> bool {
        matches!(self.publishing, Publishing::Done | Publishing::Told)
    }

    pub(super) async fn send_frames(&mut self, now: Instant) {
        let is_published = self.is_published();
        let (Some(channel), Some(media)) = (&self.carries, &mut self.media) else {
            return;
        };
        if !is_published || !media.is_connected() {
            return;
        }
        let watchers = self.config.streams.watchers(channel);
        let mut sent = Ok(());
        while sent.is_ok()
            && let Some(frame) = channel.pop(now, &watchers)
        {
            sent = media.send(now, channel.coding.video, &frame);
        }
        self.after_session(now, sent).await;
    }

    pub(super) async fn send_fragments(&mut self, now: Instant) {
        while self.link.is_up()
            && let Some(fragment) = self.outbox.pop(now)
        {
            if let Some(media) = &mut self.media {
                let bytes = [&[COMMAND_ID], fragment.as_slice()].concat();
                if media.send_data(now, &bytes) {
                    continue;
                }
            }
            let message = Request::SendCustomMessage {
                cmd_id: COMMAND_ID,
                data: BASE64_STANDARD.encode(&fragment),
            };
            self.request(message, Asked::Other).await;
        }
    }
}

/// Sender and fragment of another member's message on our data channel (`proto/src/custom_message.rs`).
fn room_message(bytes: &[u8]) -> Option<(UserId, Vec<u8>)> {
    let (header, rest) = bytes.split_first_chunk::<7>()?;
    if header[0] != custom_message::Kind::Message as u8 || header[1] != COMMAND_ID {
        if header[0] == custom_message::Kind::Refused as u8 {
            log!(
                Warn,
                "the server refused a message: {}",
                String::from_utf8_lossy(&bytes[1..])
            );
        }
        return None;
    }
    let (user, data) = rest.split_at_checked(usize::from(header[6]))?;
    let user = std::str::from_utf8(user).ok()?.parse().ok()?;
    Some((user, data.to_vec()))
}
