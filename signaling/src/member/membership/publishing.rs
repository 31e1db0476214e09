//! What a member publishes, and the seats that this takes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rotunda_proto::ids::TrackSource;

/// A seat that could not be released is released again after this time.
const RELEASE_AGAIN: Duration = Duration::from_secs(1);

/// The sources that the SFU should let in, and the sources that have a seat. Pure.
///
/// A source has its seat from before it is let in until after the SFU has confirmed that it is not let in any more. The others
/// therefore never hear that a source has ended while it may still be forwarded.
#[derive(Debug, Default)]
pub struct Publishing {
    sources: BTreeSet<TrackSource>,
    /// Also sources whose seat may have been taken: the bus did not answer.
    seats: BTreeSet<TrackSource>,
    /// When seats are released again.
    release_at: Option<Instant>,
}

/// Whether a source was published before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    Published,
    New,
}

impl Publishing {
    pub fn sources(&self) -> &BTreeSet<TrackSource> {
        &self.sources
    }

    pub fn has_seats(&self) -> bool {
        !self.seats.is_empty()
    }

    /// Call before the seat is taken; answers whether it may have been there.
    pub fn handle_seat_wanted(&mut self, source: TrackSource) -> Before {
        before(!self.seats.insert(source))
    }

    /// The room had no seat. `seat`: as [`handle_seat_wanted`](Self::handle_seat_wanted) answered.
    pub fn handle_seat_refused(&mut self, source: TrackSource, seat: Before) {
        if seat == Before::New {
            self.seats.remove(&source);
        }
    }

    pub fn begin(&mut self, source: TrackSource) -> Before {
        before(!self.sources.insert(source))
    }

    pub fn end(&mut self, source: TrackSource) {
        self.sources.remove(&source);
    }

    pub fn retain(&mut self, keep: impl Fn(TrackSource) -> bool) {
        self.sources.retain(|source| keep(*source));
    }

    /// The seats to release. Call when the SFU lets in [`sources`](Self::sources) and nothing else.
    pub fn seats_to_release(&mut self) -> Vec<TrackSource> {
        self.release_at = None;
        self.seats.difference(&self.sources).copied().collect()
    }

    pub fn handle_released(&mut self, source: TrackSource) {
        self.seats.remove(&source);
    }

    pub fn handle_release_failed(&mut self, now: Instant) {
        self.release_at = Some(now + RELEASE_AGAIN);
    }

    /// The session has ended, so nothing is let in any more.
    pub fn handle_session_end(&mut self, now: Instant) {
        if !self.seats.is_subset(&self.sources) {
            self.release_at = Some(now);
        }
    }

    /// When seats are to be released; None: there are none, or they wait for the SFU.
    pub fn release_at(&self) -> Option<Instant> {
        self.release_at
    }
}

fn before(published: bool) -> Before {
    match published {
        true => Before::Published,
        false => Before::New,
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    const CAMERA: TrackSource = TrackSource::Camera;

    #[test]
    fn a_source_that_ends_has_its_seat_until_that_is_released() {
        let now = Clock.now();
        let mut publishing = Publishing::default();
        assert_eq!(publishing.handle_seat_wanted(CAMERA), Before::New);
        assert_eq!(publishing.begin(CAMERA), Before::New);
        assert_eq!(publishing.seats_to_release(), []);
        publishing.end(CAMERA);
        assert!(publishing.has_seats());
        assert_eq!(publishing.seats_to_release(), [CAMERA]);
        publishing.handle_release_failed(now);
        assert_eq!(publishing.release_at(), Some(now + RELEASE_AGAIN));
        assert_eq!(publishing.seats_to_release(), [CAMERA]);
        publishing.handle_released(CAMERA);
        assert!(!publishing.has_seats());
        assert_eq!(publishing.release_at(), None);
    }

    #[test]
    fn a_seat_that_waited_for_the_sfu_is_released_when_the_session_ends() {
        let now = Clock.now();
        let mut publishing = Publishing::default();
        publishing.handle_seat_wanted(CAMERA);
        publishing.begin(CAMERA);
        publishing.handle_session_end(now);
        assert_eq!(publishing.release_at(), None, "it goes on with the next session");
        publishing.end(CAMERA);
        publishing.handle_session_end(now);
        assert_eq!(publishing.release_at(), Some(now));
    }

    #[test]
    fn a_refused_seat_leaves_nothing_and_a_seat_that_was_there_stays() {
        let mut publishing = Publishing::default();
        let seat = publishing.handle_seat_wanted(CAMERA);
        publishing.handle_seat_refused(CAMERA, seat);
        assert!(!publishing.has_seats());
        publishing.handle_seat_wanted(CAMERA);
        let again = publishing.handle_seat_wanted(CAMERA);
        publishing.handle_seat_refused(CAMERA, again);
        assert!(publishing.has_seats());
    }
}
