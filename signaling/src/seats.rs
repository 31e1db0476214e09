//! Seats of publishers: pure changes of the [`Seats`] document.

use rotunda_proto::config::PublishLimits;
use rotunda_proto::ids::{MembershipId, TrackSource, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::room::{Holder, KeptCell, OwnNames, Publisher, Seats, TrackState};
use rotunda_proto::signaling::ErrorCode;

/// Most cells that are kept for absent publishers; beyond it the oldest is removed.
const MAX_KEPT: usize = 24;

/// Takes a seat for a member's source. Taking it again only changes whether the source is muted.
pub fn take(
    seats: &mut Seats,
    limits: PublishLimits,
    user: &UserId,
    holder: &Holder,
    source: TrackSource,
    state: TrackState,
) -> Result<(), ErrorCode> {
    // A newer login of the same user takes over the seats of the older one.
    let has = |publisher: &&Publisher, kind: fn(&Publisher) -> bool| publisher.user != *user && kind(publisher);
    let audio = seats
        .publishers
        .iter()
        .filter(|other| has(other, |one| one.audio.is_some()))
        .count();
    let sends_video = |one: &Publisher| one.camera.is_some() || one.screen.is_some();
    let video = seats.publishers.iter().filter(|other| has(other, sends_video)).count();
    match source {
        TrackSource::Audio if audio >= limits.microphones.count() => return Err(ErrorCode::TooManyAudioPublishers),
        TrackSource::Camera | TrackSource::Screen if video >= limits.cameras.count() => {
            return Err(ErrorCode::TooManyVideoPublishers);
        }
        _ => {}
    }
    seats
        .publishers
        .retain(|publisher| publisher.user != *user || publisher.holder.membership == holder.membership);
    let at = seats.publishers.iter().position(|publisher| publisher.user == *user);
    let at = at.unwrap_or_else(|| {
        let last = seats.publishers.len();
        let at = seats.kept_for(user).map_or(last, |cell| cell.index.min(last));
        seats.publishers.insert(at, Publisher::of(user.clone(), holder.clone()));
        at
    });
    // The node may have a new incarnation since.
    seats.publishers[at].holder = holder.clone();
    *seats.publishers[at].track_mut(source) = Some(state);
    forget_kept(seats, user, source);
    Ok(())
}

/// Sets the names for a publisher's own recording and stream.
pub fn name(seats: &mut Seats, user: &UserId, names: &OwnNames) {
    for publisher in seats.publishers.iter_mut().filter(|publisher| publisher.user == *user) {
        publisher.names = names.clone();
    }
}

/// Mutes or unmutes a published source.
pub fn mute(
    seats: &mut Seats,
    membership: MembershipId,
    source: TrackSource,
    state: TrackState,
) -> Result<(), ErrorCode> {
    let mut publishers = seats.publishers.iter_mut();
    let publisher = publishers.find(|publisher| publisher.holder.membership == membership);
    match publisher.map(|publisher| publisher.track_mut(source)) {
        Some(track @ Some(_)) => {
            *track = Some(state);
            Ok(())
        }
        _ => Err(ErrorCode::NotPublished),
    }
}

/// Releases a seat, if there is one.
pub fn release(seats: &mut Seats, user: &UserId, membership: MembershipId, source: TrackSource) {
    let mut publishers = seats.publishers.iter_mut();
    if let Some(publisher) = publishers.find(|publisher| publisher.holder.membership == membership) {
        *publisher.track_mut(source) = None;
    }
    seats
        .publishers
        .retain(|publisher| publisher.audio.or(publisher.camera).or(publisher.screen).is_some());
    forget_kept(seats, user, source);
}

/// A membership derived from the user's name, for tests.
#[cfg(test)]
pub fn membership_of(user: &UserId) -> MembershipId {
    MembershipId(
        user.as_str()
            .bytes()
            .fold(7, |id, byte| id.wrapping_mul(31).wrapping_add(u64::from(byte))),
    )
}

/// As [`take`], on one node, for tests.
#[cfg(test)]
pub fn take_alone(
    seats: &mut Seats,
    limits: PublishLimits,
    user: &UserId,
    source: TrackSource,
    state: TrackState,
) -> Result<(), ErrorCode> {
    let holder = Holder {
        membership: membership_of(user),
        node: Incarnation::new("node-1".parse().unwrap(), 1),
    };
    take(seats, limits, user, &holder, source, state)
}

/// Releases the seats and cells of dead nodes. False: there are none.
pub fn free_dead(seats: &mut Seats, is_dead: impl Fn(&Incarnation) -> bool) -> bool {
    let before = seats.publishers.len();
    seats.publishers.retain(|publisher| !is_dead(&publisher.holder.node));
    seats.publishers.len() != before
}

/// Releases all seats of a membership.
pub fn release_all(seats: &mut Seats, user: &UserId, membership: MembershipId) {
    seats
        .publishers
        .retain(|publisher| publisher.holder.membership != membership);
    // A newer login of the same user may still need them.
    if !seats.publishers.iter().any(|publisher| publisher.user == *user) {
        seats.kept.retain(|cell| cell.user != *user);
    }
}

/// Releases all seats of a membership, and keeps their cells in mixes until a time: the member lost the connection and may return.
pub fn cut_off(seats: &mut Seats, user: &UserId, membership: MembershipId, entered_unix_ms: u64, until_unix_ms: u64) {
    let before = seats
        .kept_for(user)
        .map(|cell| cell.sources.clone())
        .unwrap_or_default();
    let Some(index) = seats
        .publishers
        .iter()
        .position(|publisher| publisher.holder.membership == membership)
    else {
        // An earlier kept cell stays until its own time is over.
        return;
    };
    let publisher = seats.publishers.remove(index);
    let sources = TrackSource::ALL
        .into_iter()
        .filter(|source| publisher.track(*source).is_some());
    let sources = sources.chain(before).collect();
    seats.kept.retain(|cell| cell.user != *user);
    if seats.kept.len() == MAX_KEPT {
        seats.kept.remove(0);
    }
    seats.kept.push(KeptCell {
        user: user.clone(),
        holder: publisher.holder.clone(),
        sources,
        entered_unix_ms,
        index,
        until_unix_ms,
    });
}

/// Removes the kept cells whose time is over.
pub fn drop_expired(seats: &mut Seats, unix_ms: u64) {
    seats.kept.retain(|cell| cell.until_unix_ms > unix_ms);
}

fn forget_kept(seats: &mut Seats, user: &UserId, source: TrackSource) {
    for cell in seats.kept.iter_mut().filter(|cell| cell.user == *user) {
        cell.sources.remove(&source);
    }
    seats.kept.retain(|cell| !cell.sources.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rotunda_proto::config::{Cameras, Microphones};

    fn user(number: usize) -> UserId {
        format!("user{number}").parse().unwrap()
    }

    fn membership(number: usize) -> MembershipId {
        MembershipId(number as u64)
    }

    fn holder(membership: u64, node: &str) -> Holder {
        Holder {
            membership: MembershipId(membership),
            node: Incarnation::new(node.parse().unwrap(), 1),
        }
    }

    /// User and membership of that number, on one node.
    fn take(
        seats: &mut Seats,
        limits: PublishLimits,
        number: usize,
        source: TrackSource,
        state: TrackState,
    ) -> Result<(), ErrorCode> {
        let holder = holder(number as u64, "node-1");
        super::take(seats, limits, &user(number), &holder, source, state)
    }

    #[test]
    fn a_late_leave_of_an_older_login_releases_no_seat_of_the_newer_one() {
        let mut seats = Seats::default();
        let (audio, on) = (TrackSource::Audio, TrackState::On);
        let (older, newer) = (holder(1, "node-1"), holder(2, "node-2"));
        super::take(&mut seats, PublishLimits::default(), &user(1), &older, audio, on).unwrap();
        super::take(&mut seats, PublishLimits::default(), &user(1), &newer, audio, on).unwrap();
        assert_eq!(seats.publishers.len(), 1);
        release(&mut seats, &user(1), older.membership, audio);
        release_all(&mut seats, &user(1), older.membership);
        assert_eq!(seats.publishers[0].holder, newer);
        release_all(&mut seats, &user(1), newer.membership);
        assert_eq!(seats, Seats::default());
    }

    #[test]
    fn the_seats_of_a_dead_node_are_freed_and_no_others() {
        let mut seats = Seats::default();
        let (audio, on) = (TrackSource::Audio, TrackState::On);
        for (number, node) in [(1, "node-1"), (2, "node-2")] {
            let holder = holder(number, node);
            super::take(
                &mut seats,
                PublishLimits::default(),
                &user(number as usize),
                &holder,
                audio,
                on,
            )
            .unwrap();
        }
        let dead = |node: &Incarnation| node.node().as_str() == "node-2";
        assert!(free_dead(&mut seats, dead));
        assert!(!free_dead(&mut seats, dead));
        assert_eq!(seats.publishers[0].user, user(1));
    }

    #[test]
    fn the_seventh_microphone_and_the_fifth_camera_are_refused_by_name() {
        let mut seats = Seats::default();
        for number in 0..6 {
            take(
                &mut seats,
                PublishLimits::default(),
                number,
                TrackSource::Audio,
                TrackState::On,
            )
            .unwrap();
        }
        for number in 0..4 {
            take(
                &mut seats,
                PublishLimits::default(),
                number,
                TrackSource::Camera,
                TrackState::On,
            )
            .unwrap();
        }
        let before = seats.clone();
        let refused = take(
            &mut seats,
            PublishLimits::default(),
            6,
            TrackSource::Audio,
            TrackState::On,
        );
        assert_eq!(refused, Err(ErrorCode::TooManyAudioPublishers));
        let refused = take(
            &mut seats,
            PublishLimits::default(),
            4,
            TrackSource::Screen,
            TrackState::On,
        );
        assert_eq!(refused, Err(ErrorCode::TooManyVideoPublishers));
        assert_eq!(seats, before, "a refusal changes nothing");
        take(
            &mut seats,
            PublishLimits::default(),
            0,
            TrackSource::Screen,
            TrackState::On,
        )
        .unwrap();
        release(&mut seats, &user(5), membership(5), TrackSource::Audio);
        take(
            &mut seats,
            PublishLimits::default(),
            6,
            TrackSource::Audio,
            TrackState::On,
        )
        .unwrap();
    }

    #[test]
    fn with_a_limit_of_nine_microphones_the_tenth_is_refused() {
        let mut seats = Seats::default();
        let nine = PublishLimits {
            microphones: Microphones::try_from(9).unwrap(),
            ..PublishLimits::default()
        };
        for number in 0..9 {
            take(&mut seats, nine, number, TrackSource::Audio, TrackState::On).unwrap();
        }
        let refused = take(&mut seats, nine, 9, TrackSource::Audio, TrackState::On);
        assert_eq!(refused, Err(ErrorCode::TooManyAudioPublishers));
    }

    #[test]
    fn with_a_limit_of_sixteen_cameras_the_seventeenth_is_refused_whatever_is_on_it() {
        let mut seats = Seats::default();
        let sixteen = PublishLimits {
            cameras: Cameras::try_from(16).unwrap(),
            ..PublishLimits::default()
        };
        for number in 0..16 {
            take(&mut seats, sixteen, number, TrackSource::Camera, TrackState::On).unwrap();
        }
        // A member who has a camera may share the screen, too.
        take(&mut seats, sixteen, 3, TrackSource::Screen, TrackState::On).unwrap();
        for source in [TrackSource::Camera, TrackSource::Screen] {
            let refused = take(&mut seats, sixteen, 16, source, TrackState::On);
            assert_eq!(refused, Err(ErrorCode::TooManyVideoPublishers));
        }
        release(&mut seats, &user(0), membership(0), TrackSource::Camera);
        take(&mut seats, sixteen, 16, TrackSource::Camera, TrackState::On).unwrap();
    }

    #[test]
    fn only_a_published_source_can_be_muted() {
        let mut seats = Seats::default();
        let muted = mute(&mut seats, membership(1), TrackSource::Audio, TrackState::Muted);
        assert_eq!(muted, Err(ErrorCode::NotPublished));
        take(
            &mut seats,
            PublishLimits::default(),
            1,
            TrackSource::Audio,
            TrackState::On,
        )
        .unwrap();
        mute(&mut seats, membership(1), TrackSource::Audio, TrackState::Muted).unwrap();
        assert_eq!(seats.publishers[0].audio, Some(TrackState::Muted));
    }

    #[test]
    fn a_publisher_who_lost_the_connection_keeps_the_cell_until_everything_is_published_again() {
        let (mics, on) = (PublishLimits::default(), TrackState::On);
        let mut seats = Seats::default();
        for number in 0..3 {
            take(&mut seats, mics, number, TrackSource::Camera, on).unwrap();
        }
        take(&mut seats, mics, 1, TrackSource::Audio, on).unwrap();
        cut_off(&mut seats, &user(1), membership(1), 1, 30_000);
        let publishes = |seats: &Seats| seats.publishers.iter().any(|one| one.user == user(1));
        assert!(!publishes(&seats), "the seats are free for others");
        let order = |seats: &Seats| seats.cells().into_iter().map(|one| one.user).collect::<Vec<_>>();
        assert_eq!(order(&seats), [user(0), user(1), user(2)]);
        assert_eq!(seats.cells()[1].camera, Some(TrackState::Muted), "a card");

        take(&mut seats, mics, 1, TrackSource::Audio, on).unwrap();
        assert_eq!(order(&seats), [user(0), user(1), user(2)]);
        assert_eq!(seats.cells()[1].camera, Some(TrackState::Muted), "still to come");
        take(&mut seats, mics, 1, TrackSource::Camera, on).unwrap();
        assert_eq!((seats.cells(), seats.kept.len()), (seats.publishers.clone(), 0));
        assert_eq!(order(&seats), [user(0), user(1), user(2)]);
    }

    #[test]
    fn a_kept_cell_is_removed_after_its_time_or_if_its_user_leaves_in_order() {
        let mut seats = Seats::default();
        for number in 0..2 {
            let (mics, on) = (PublishLimits::default(), TrackState::On);
            take(&mut seats, mics, number, TrackSource::Camera, on).unwrap();
            cut_off(&mut seats, &user(number), membership(number), 1, 30_000 + number as u64);
        }
        drop_expired(&mut seats, 30_000);
        assert_eq!(seats.cells()[0].user, user(1));
        release_all(&mut seats, &user(1), membership(1));
        assert!(seats.is_empty());
    }

    proptest! {
        #[test]
        fn no_order_of_requests_exceeds_the_limits(steps in prop::collection::vec((0..12_usize, 0..3_u8, 0..3_u8), 0..200)) {
            let mut seats = Seats::default();
            for (number, source, step) in steps {
                let source = TrackSource::ALL[usize::from(source)];
                match step {
                    0 | 1 => { let _refused = take(&mut seats, PublishLimits::default(), number, source, TrackState::On); }
                    _ => release(&mut seats, &user(number), membership(number), source),
                }
                let audio = seats.publishers.iter().filter(|one| one.audio.is_some()).count();
                let video = seats.publishers.iter().filter(|one| one.camera.is_some() || one.screen.is_some()).count();
                prop_assert!(audio <= 6 && video <= 4);
            }
        }
    }
}
