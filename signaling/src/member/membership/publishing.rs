//! The sources that a member publishes, and their seats.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rotunda_proto::ids::TrackSource;

/// An unconfirmed release of a seat is repeated after this time.
const RELEASE_AGAIN: Duration = Duration::from_secs(1);

/// The sources that the SFU should forward, and the sources that have a seat. Pure.
///
/// A source has its seat from before the SFU forwards it until after the SFU has confirmed its end. The other members are
/// therefore never notified of the end of a source that may still be forwarded.
#[derive(Debug, Default)]
pub struct Publishing {
    sources: BTreeSet<TrackSource>,
    /// Includes sources whose seat may have been taken, as the bus did not answer.
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

    /// Call before the seat is taken. Answers whether the source may have had a seat already.
    pub fn handle_seat_wanted(&mut self, source: TrackSource) -> Before {
        before(!self.seats.insert(source))
    }

    /// The room had no seat. `seat`: as [`handle_seat_wanted`](Self::handle_seat_wanted) answered.
    pub fn handle_seat_refused(&mut self, source: TrackSource, seat: Before) {
        if seat == Before::New {
            self.seats.remove(&source);
        }
    }

    /// The bus did not answer, so the seat may have been taken or not. If the source is not published, the seat is released.
    pub fn handle_seat_unanswered(&mut self, now: Instant) {
        self.release_unused(now);
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

    /// The seats to release. Call when the SFU has confirmed [`sources`](Self::sources).
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

    /// The session has ended, so the SFU forwards no source any more.
    pub fn handle_session_end(&mut self, now: Instant) {
        self.release_unused(now);
    }

    fn release_unused(&mut self, now: Instant) {
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
    fn a_source_keeps_its_seat_until_the_release_is_confirmed() {
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
    fn a_seat_that_may_have_been_taken_is_released_unless_the_source_is_published() {
        let now = Clock.now();
        let mut publishing = Publishing::default();
        publishing.handle_seat_wanted(CAMERA);
        publishing.handle_seat_unanswered(now);
        assert_eq!(publishing.release_at(), Some(now));
        assert_eq!(publishing.seats_to_release(), [CAMERA]);

        let mut publishing = Publishing::default();
        publishing.handle_seat_wanted(CAMERA);
        publishing.begin(CAMERA);
        publishing.handle_seat_wanted(CAMERA);
        publishing.handle_seat_unanswered(now);
        assert_eq!(
            publishing.release_at(),
            None,
            "only the change of its mute state may be lost"
        );
    }

    #[test]
    fn a_refused_seat_is_forgotten_and_an_earlier_seat_stays() {
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
