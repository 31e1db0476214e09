//! What is measured of each session, every two seconds; the packet path only counts.

use std::time::{Duration, Instant};

use rotunda_proto::ids::{RoomKey, UserId};
use rotunda_proto::sfu::{ControlError, Event};
use rotunda_proto::statistics::{DownlinkSlot, NetworkQuality, Statistics, UplinkStream};
use str0m::stats::MediaIngressStats;

use super::Worker;
use super::spread::Place;
use crate::quality::{Direction, fit};
use crate::session::Session;
use crate::track::Window;

/// Rates are averages over this time. `str0m` tells its part at the same interval.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// A member is told his score so often, when it does not change.
const RETOLD: Duration = Duration::from_secs(10);

/// The newest figures of a session, and what its member was told.
#[derive(Debug, Default)]
pub struct Measured {
    pub statistics: Statistics,
    at: Option<Instant>,
    told_at: Option<Instant>,
    told: [u8; 2],
}

/// Averages shares by how many packets each stands for.
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
        // A share of percent is at most 100.
        self.sum.checked_div(self.packets).unwrap_or(0).min(100) as u8
    }
}

impl Worker {
    /// How a member's media fares.
    pub fn statistics(&self, room: &RoomKey, user: &UserId) -> Result<Statistics, ControlError> {
        let member = self.rooms.get(room).and_then(|room| room.members.get(user));
        let session = member.and_then(|member| match member.place {
            Place::Here(index) => self.sessions.get(index)?.as_ref(),
            Place::There { .. } => None,
        });
        session
            .map(|session| session.measured.statistics.clone())
            .ok_or(ControlError::NoSuchSession)
    }

    /// `str0m`'s view of what a session sends.
    pub(super) fn handle_ingress_stats(&mut self, index: usize, stats: &MediaIngressStats) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return;
        };
        // Where a browser has begun a line anew, the newest stream is the one that goes on.
        let own = session.streams.values().filter(|id| {
            self.streams
                .get(id)
                .is_some_and(|stream| stream.mid == stats.mid && stream.rid == stats.rid)
        });
        if let Some(stream) = own.max().copied().and_then(|id| self.streams.get_mut(&id)) {
            stream.round_trip = stats.rtt.map(|time| time.as_millis() as u32);
        }
    }

    /// Takes a session's figures, when it is time, and tells the member.
    pub(super) fn measure(&mut self, now: Instant, index: usize) {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let at = *session.measured.at.get_or_insert(now);
        let elapsed = now.saturating_duration_since(at);
        if elapsed < INTERVAL {
            return;
        }
        session.measured.at = Some(now);
        let (uplink, up) = self.measure_uplink(index, elapsed);
        let (downlink, down) = self.measure_downlink(index, elapsed);
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return;
        };
        let estimate = session.egress.estimator.estimate();
        let wanted = session.wanted;
        let paused_slots = session.slots.iter().filter(|slot| slot.paused).count() as u16;
        let quality = NetworkQuality {
            uplink_network_quality: up.score(),
            // A paused picture is a slot in use, though nothing is sent.
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
        session.measured.statistics = Statistics {
            quality,
            downlink_estimate: estimate,
            downlink_wanted: wanted,
            paused_slots,
            uplink,
            downlink,
        };
        if session.user.is_some() && session.measured.is_news(now) {
            let event = Event::Quality {
                session: session.id,
                quality,
            };
            self.events.tell(&session.room, event);
        }
    }

    fn measure_uplink(&mut self, index: usize, elapsed: Duration) -> (Vec<UplinkStream>, Direction) {
        let Some(Some(session)) = self.sessions.get(index) else {
            return Default::default();
        };
        let mut ids: Vec<_> = session.streams.values().copied().collect();
        ids.sort();
        let (mut loss, mut direction) = (Weighted::default(), Direction::default());
        let mut uplink = Vec::with_capacity(ids.len());
        for id in ids {
            let (Some(stream), tracks) = (self.streams.get_mut(&id), &self.tracks) else {
                continue;
            };
            let Some(track) = tracks.get(stream.track).and_then(Option::as_ref) else {
                continue;
            };
            let Window {
                packets,
                bytes,
                loss: lost,
            } = stream.since_last();
            let jitter = stream.jitter_milliseconds();
            if packets > 0 {
                direction.used = true;
                direction.jitter = direction.jitter.max(jitter);
                direction.round_trip = direction.round_trip.max(stream.round_trip);
                loss.add(lost, packets);
            }
            uplink.push(UplinkStream {
                source: track.source,
                codec: stream.codec().to_string(),
                rid: stream.rid.map(|rid| rid.to_string()),
                bitrate: bitrate(bytes, elapsed),
                packets: stream.counts.packets,
                lost: stream.lost(),
                loss: lost,
                jitter,
                keyframe_requests: stream.keyframe_requests(),
                height: stream.height,
            });
        }
        direction.loss = loss.mean();
        (uplink, direction)
    }

    fn measure_downlink(&mut self, index: usize, elapsed: Duration) -> (Vec<DownlinkSlot>, Direction) {
        let (Some(Some(session)), streams) = (self.sessions.get_mut(index), &self.streams) else {
            return Default::default();
        };
        let Session {
            slots,
            round_trip,
            egress,
            ..
        } = session;
        let (mut loss, mut used) = (Weighted::default(), false);
        let mut downlink = Vec::new();
        for slot in slots {
            let (packets, octets) = slot.since_last();
            let reported = slot.reported.take();
            let Some(want) = slot.want() else {
                continue;
            };
            if packets > 0 {
                used = true;
                loss.add(reported, u64::from(packets));
            }
            let flows = slot.flowing().and_then(|id| streams.get(&id));
            downlink.push(DownlinkSlot {
                user_id: want.user.clone(),
                source: want.source,
                codec: flows.map(|stream| stream.codec().to_string()),
                rid: flows.and_then(|stream| stream.rid).map(|rid| rid.to_string()),
                height: flows.and_then(|stream| stream.height_of(slot.shown())),
                bitrate: bitrate(octets.into(), elapsed),
                packets: slot.packets,
                resent: slot.resent,
                loss: if packets > 0 { reported } else { 0 },
                paused: slot.paused,
            });
        }
        let direction = Direction {
            used,
            // Transport-wide feedback covers every packet; reports, those of the lines alone.
            loss: egress.estimator.take_loss().unwrap_or(loss.mean()),
            round_trip: round_trip.filter(|_| used).map(|time| time.as_millis() as u32),
            // What the viewer's jitter buffer takes up is not seen; its delay is in no report.
            jitter: 0,
        };
        (downlink, direction)
    }
}

impl Measured {
    /// Whether to tell the member: a score has changed, or he has not been told for long.
    fn is_news(&mut self, now: Instant) -> bool {
        let quality = &self.statistics.quality;
        let scores = [quality.uplink_network_quality, quality.downlink_network_quality];
        let due = self
            .told_at
            .is_none_or(|at| now.saturating_duration_since(at) >= RETOLD);
        if scores == self.told && !due {
            return false;
        }
        (self.told, self.told_at) = (scores, Some(now));
        true
    }
}

fn bitrate(bytes: u64, elapsed: Duration) -> u64 {
    (bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u64
}
