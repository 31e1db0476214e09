//! Measures each session every two seconds. The packet path only counts.

use std::time::{Duration, Instant};

use rotunda_proto::ids::{RoomKey, TrackSource, UserId};
use rotunda_proto::sfu::{ControlError, Event};
use rotunda_proto::statistics::{DownlinkSlot, NetworkQuality, SentMedia, Statistics, UplinkStream};
use str0m::stats::MediaIngressStats;

use super::Worker;
use super::rooms::Room;
use crate::ingress::packet::StreamId;
use crate::ingress::stream::Window;
use crate::session::quality::{Direction, fit};
use crate::slab::SessionIndex;
use crate::units::Bitrate;

/// Averages shares, weighted by the packets that each stands for.
#[derive(Default)]
struct Weighted {
    sum: u64,
    packets: u64,
}

impl Weighted {
    fn add(&mut self, percent: u8, packets: u64) {
        self.sum += u64::from(percent) * packets;
        self.packets += packets;
    }

    fn mean(&self) -> u8 {
        // A percentage is at most 100.
        self.sum.checked_div(self.packets).unwrap_or(0).min(100) as u8
    }
}

/// The sums of what a member sends.
fn sent_media(uplink: &[UplinkStream]) -> SentMedia {
    let mut sent = SentMedia::default();
    for stream in uplink.iter().filter(|stream| stream.bitrate > 0) {
        match stream.source {
            TrackSource::Audio => {
                sent.audio += stream.bitrate;
                sent.audio_loss = sent.audio_loss.max(stream.loss);
            }
            TrackSource::Camera | TrackSource::Screen => {
                sent.video += stream.bitrate;
                sent.video_loss = sent.video_loss.max(stream.loss);
                sent.height = sent.height.max(stream.height.unwrap_or(0));
                sent.framerate = sent.framerate.max(stream.framerate.unwrap_or(0));
            }
        }
    }
    sent
}

/// A second, rounded.
fn rate(frames: u64, elapsed: Duration) -> u16 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 {
        (frames as f64 / seconds).round() as u16
    } else {
        0
    }
}

impl Worker {
    /// The figures of a member's media.
    pub fn statistics(&self, room: &RoomKey, user: &UserId) -> Result<Statistics, ControlError> {
        let here = self.rooms.get(room).map(Room::sessions).unwrap_or_default();
        let here = here.iter().filter_map(|index| self.sessions.get(*index));
        // While a member moves, both sessions may be here.
        here.filter(|session| session.user() == Some(user))
            .max_by_key(|session| session.serial())
            .map(|session| session.measured.statistics().clone())
            .ok_or(ControlError::NoSuchSession)
    }

    /// `str0m`'s figures of a line that a session sends on.
    pub(super) fn handle_ingress_stats(&mut self, index: SessionIndex, stats: &MediaIngressStats) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let is_of_line = |id: &StreamId| {
            let stream = self.tracks.stream(*id);
            stream.is_some_and(|stream| stream.mid() == stats.mid && stream.rid() == stats.rid)
        };
        // When a browser has begun a line anew, the newest stream is the one that goes on.
        let newest = session.uplink.streams().filter(is_of_line).max();
        if let Some(stream) = newest.and_then(|id| self.tracks.stream_mut(id)) {
            stream.set_round_trip(stats.rtt);
        }
    }

    /// Takes a session's figures, when it is time, and tells the member.
    pub(super) fn measure(&mut self, now: Instant, index: SessionIndex) {
        let session = self.sessions.get_mut(index);
        let Some(elapsed) = session.and_then(|session| session.measured.poll(now)) else {
            return;
        };
        let (uplink, up) = self.measure_uplink(index, elapsed);
        let (downlink, down) = self.measure_downlink(index, elapsed);
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let estimate = session.downlink.estimator().estimate();
        let wanted = session.downlink.wanted();
        let paused = session.downlink.slots().iter().filter(|slot| slot.is_paused());
        let paused_slots = paused.count() as u16;
        let quality = NetworkQuality {
            uplink_network_quality: up.score(),
            // A paused slot is in use, though nothing is sent.
            downlink_network_quality: if down.used || paused_slots > 0 {
                down.score().max(fit(estimate, wanted, paused_slots))
            } else {
                down.score()
            },
            uplink_rtt: up.round_trip,
            uplink_loss: up.loss,
            downlink_rtt: down.round_trip,
            downlink_loss: down.loss,
        };
        let sent = sent_media(&uplink);
        session.measured.set_statistics(Statistics {
            quality,
            downlink_estimate: estimate.map(Bitrate::get),
            downlink_wanted: wanted.get(),
            paused_slots,
            uplink,
            downlink,
        });
        if session.user().is_some() && session.measured.poll_quality(now) {
            let event = Event::Quality {
                session: session.id(),
                quality,
                sent,
            };
            self.events.tell(session.room(), event);
        }
    }

    fn measure_uplink(&mut self, index: SessionIndex, elapsed: Duration) -> (Vec<UplinkStream>, Direction) {
        let Some(session) = self.sessions.get(index) else {
            return Default::default();
        };
        let mut ids: Vec<StreamId> = session.uplink.streams().collect();
        ids.sort();
        let (mut loss, mut direction) = (Weighted::default(), Direction::default());
        let mut uplink = Vec::with_capacity(ids.len());
        for id in ids {
            let Some((stream, Some(track))) = self.tracks.stream_and_track(id) else {
                continue;
            };
            let Window {
                packets,
                bytes,
                frames,
                loss: lost,
            } = stream.since_last();
            let is_video = !stream.codec().is_audio();
            let jitter = stream.jitter_milliseconds();
            if packets > 0 {
                direction.used = true;
                direction.jitter = direction.jitter.max(jitter);
                direction.round_trip = direction.round_trip.max(stream.round_trip());
                loss.add(lost, packets);
            }
            uplink.push(UplinkStream {
                source: track.source(),
                codec: stream.codec().to_string(),
                rid: stream.rid().map(|rid| rid.to_string()),
                bitrate: Bitrate::of_bytes(bytes, elapsed).get(),
                packets: stream.counts().packets(),
                lost: stream.lost(),
                loss: lost,
                jitter,
                keyframe_requests: stream.keyframe_requests(),
                height: stream.height(),
                framerate: is_video.then(|| rate(frames, elapsed)),
            });
        }
        direction.loss = loss.mean();
        (uplink, direction)
    }

    fn measure_downlink(&mut self, index: SessionIndex, elapsed: Duration) -> (Vec<DownlinkSlot>, Direction) {
        let Some(session) = self.sessions.get_mut(index) else {
            return Default::default();
        };
        let (mut loss, mut used) = (Weighted::default(), false);
        let mut downlink = Vec::new();
        for slot in session.downlink.slots_mut() {
            let (packets, octets) = slot.counts_mut().since_last();
            let reported = slot.counts_mut().take_loss();
            let Some(want) = slot.want() else {
                continue;
            };
            if packets > 0 {
                used = true;
                loss.add(reported, u64::from(packets));
            }
            let flows = slot.flowing().and_then(|id| self.tracks.stream(id));
            downlink.push(DownlinkSlot {
                user_id: want.user.clone(),
                source: want.source,
                codec: flows.map(|stream| stream.codec().to_string()),
                rid: flows.and_then(|stream| stream.rid()).map(|rid| rid.to_string()),
                height: flows.and_then(|stream| stream.height_of(slot.shown_point())),
                bitrate: Bitrate::of_bytes(octets.into(), elapsed).get(),
                packets: slot.counts().packets(),
                resent: slot.counts().resent(),
                loss: if packets > 0 { reported } else { 0 },
                paused: slot.is_paused(),
            });
        }
        let round_trip = session.downlink.measured_round_trip();
        let direction = Direction {
            used,
            // Transport-wide feedback covers every packet; reception reports cover only those of the slots' own streams.
            loss: session.downlink.estimator_mut().take_loss().unwrap_or(loss.mean()),
            round_trip: round_trip.filter(|_| used).map(|time| time.as_millis() as u32),
            // The viewer's jitter buffer takes up the jitter, and its delay is in no report.
            jitter: 0,
        };
        (downlink, direction)
    }
}
