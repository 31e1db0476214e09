//! Who may publish: pure changes of the [`Seats`] document.

use rotunda_proto::config::Microphones;
use rotunda_proto::ids::{MembershipId, TrackSource, UserId};
use rotunda_proto::incarnation::Incarnation;
use rotunda_proto::room::{Holder, MAX_VIDEO_PUBLISHERS, Publisher, Seats, TrackState};
use rotunda_proto::signaling::ErrorCode;

/// Gives a member a seat for a source. Taking it again only changes whether it is muted.
pub fn take(
    seats: &mut Seats,
    microphones: Microphones,
    user: &UserId,
    holder: &Holder,
    source: TrackSource,
    state: TrackState,
) -> Result<(), ErrorCode> {
    // What an older login of the same user still has is the newer one's to use.
    let has = |publisher: &&Publisher, kind: fn(&Publisher) -> bool| publisher.user != *user && kind(publisher);
    let audio = seats
        .publishers
        .iter()
        .filter(|other| has(other, |one| one.audio.is_some()))
        .count();
    let sends_video = |one: &Publisher| one.camera.is_some() || one.screen.is_some();
    let video = seats.publishers.iter().filter(|other| has(other, sends_video)).count();
    match source {
        TrackSource::Audio if audio >= microphones.count() => return Err(ErrorCode::TooManyAudioPublishers),
        TrackSource::Camera | TrackSource::Screen if video >= MAX_VIDEO_PUBLISHERS => {
            return Err(ErrorCode::TooManyVideoPublishers);
        }
        _ => {}
    }
    seats
        .publishers
        .retain(|publisher| publisher.user != *user || publisher.holder.membership == holder.membership);
    let at = seats.publishers.iter().position(|publisher| publisher.user == *user);
    let at = at.unwrap_or_else(|| {
        seats.publishers.push(Publisher {
            user: user.clone(),
            holder: holder.clone(),
            audio: None,
            camera: None,
            screen: None,
        });
        seats.publishers.len() - 1
    });
    // The node may have begun anew since.
    seats.publishers[at].holder = holder.clone();
    *seats.publishers[at].track_mut(source) = Some(state);
    Ok(())
}

/// Says whether a published source is muted.
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

/// Gives a seat back; also right when there is none.
pub fn give_back(seats: &mut Seats, membership: MembershipId, source: TrackSource) {
    let mut publishers = seats.publishers.iter_mut();
    if let Some(publisher) = publishers.find(|publisher| publisher.holder.membership == membership) {
        *publisher.track_mut(source) = None;
    }
    seats
        .publishers
        .retain(|publisher| publisher.audio.or(publisher.camera).or(publisher.screen).is_some());
}

/// Gives all of a membership's seats back.
pub fn leave(seats: &mut Seats, membership: MembershipId) {
    seats
        .publishers
        .retain(|publisher| publisher.holder.membership != membership);
}

/// A membership that follows from the user's name, for tests.
#[cfg(test)]
pub fn membership_of(user: &UserId) -> MembershipId {
    MembershipId(
        user.as_str()
            .bytes()
            .fold(7, |id, byte| id.wrapping_mul(31).wrapping_add(u64::from(byte))),
    )
}

/// As [`take`], by one node, for tests.
#[cfg(test)]
pub fn take_alone(
    seats: &mut Seats,
    microphones: Microphones,
    user: &UserId,
    source: TrackSource,
    state: TrackState,
) -> Result<(), ErrorCode> {
    let holder = Holder {
        membership: membership_of(user),
        node: Incarnation::new("node-1".parse().unwrap(), 1),
    };
    take(seats, microphones, user, &holder, source, state)
}

/// Frees what is held by nodes of which `is_dead` says so; false: nothing is.
pub fn free_dead(seats: &mut Seats, is_dead: impl Fn(&Incarnation) -> bool) -> bool {
    let before = seats.publishers.len();
    seats.publishers.retain(|publisher| !is_dead(&publisher.holder.node));
    seats.publishers.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    /// User and membership of that number, by one node.
    fn take(
        seats: &mut Seats,
        microphones: Microphones,
        number: usize,
        source: TrackSource,
        state: TrackState,
    ) -> Result<(), ErrorCode> {
        let holder = holder(number as u64, "node-1");
        super::take(seats, microphones, &user(number), &holder, source, state)
    }

    #[test]
    fn a_late_leave_of_an_older_login_takes_nothing_from_the_newer_one() {
        let mut seats = Seats::default();
        let (audio, on) = (TrackSource::Audio, TrackState::On);
        let (older, newer) = (holder(1, "node-1"), holder(2, "node-2"));
        super::take(&mut seats, Microphones::default(), &user(1), &older, audio, on).unwrap();
        super::take(&mut seats, Microphones::default(), &user(1), &newer, audio, on).unwrap();
        assert_eq!(seats.publishers.len(), 1);
        give_back(&mut seats, older.membership, audio);
        leave(&mut seats, older.membership);
        assert_eq!(seats.publishers[0].holder, newer);
        leave(&mut seats, newer.membership);
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
                Microphones::default(),
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
    fn the_seventh_voice_and_the_fifth_picture_are_refused_by_name() {
        let mut seats = Seats::default();
        for number in 0..6 {
            take(
                &mut seats,
                Microphones::default(),
                number,
                TrackSource::Audio,
                TrackState::On,
            )
            .unwrap();
        }
        for number in 0..4 {
            take(
                &mut seats,
                Microphones::default(),
                number,
                TrackSource::Camera,
                TrackState::On,
            )
            .unwrap();
        }
        let before = seats.clone();
        let refused = take(
            &mut seats,
            Microphones::default(),
            6,
            TrackSource::Audio,
            TrackState::On,
        );
        assert_eq!(refused, Err(ErrorCode::TooManyAudioPublishers));
        let refused = take(
            &mut seats,
            Microphones::default(),
            4,
            TrackSource::Screen,
            TrackState::On,
        );
        assert_eq!(refused, Err(ErrorCode::TooManyVideoPublishers));
        assert_eq!(seats, before, "a refusal changes nothing");
        take(
            &mut seats,
            Microphones::default(),
            0,
            TrackSource::Screen,
            TrackState::On,
        )
        .unwrap();
        give_back(&mut seats, membership(5), TrackSource::Audio);
        take(
            &mut seats,
            Microphones::default(),
            6,
            TrackSource::Audio,
            TrackState::On,
        )
        .unwrap();
    }

    #[test]
    fn where_nine_may_speak_the_tenth_is_refused() {
        let mut seats = Seats::default();
        let nine = Microphones::try_from(9).unwrap();
        for number in 0..9 {
            take(&mut seats, nine, number, TrackSource::Audio, TrackState::On).unwrap();
        }
        let refused = take(&mut seats, nine, 9, TrackSource::Audio, TrackState::On);
        assert_eq!(refused, Err(ErrorCode::TooManyAudioPublishers));
    }

    #[test]
    fn only_a_published_source_can_be_muted() {
        let mut seats = Seats::default();
        let muted = mute(&mut seats, membership(1), TrackSource::Audio, TrackState::Muted);
        assert_eq!(muted, Err(ErrorCode::NotPublished));
        take(
            &mut seats,
            Microphones::default(),
            1,
            TrackSource::Audio,
            TrackState::On,
        )
        .unwrap();
        mute(&mut seats, membership(1), TrackSource::Audio, TrackState::Muted).unwrap();
        assert_eq!(seats.publishers[0].audio, Some(TrackState::Muted));
    }

    proptest! {
        #[test]
        fn no_order_of_requests_exceeds_the_limits(steps in prop::collection::vec((0..12_usize, 0..3_u8, 0..3_u8), 0..200)) {
            let mut seats = Seats::default();
            for (number, source, step) in steps {
                let source = TrackSource::ALL[usize::from(source)];
                match step {
                    0 | 1 => { let _refused = take(&mut seats, Microphones::default(), number, source, TrackState::On); }
                    _ => give_back(&mut seats, membership(number), source),
                }
                let audio = seats.publishers.iter().filter(|one| one.audio.is_some()).count();
                let video = seats.publishers.iter().filter(|one| one.camera.is_some() || one.screen.is_some()).count();
                prop_assert!(audio <= 6 && video <= MAX_VIDEO_PUBLISHERS);
            }
        }
    }
}
