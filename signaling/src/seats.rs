//! Seats of publishers: pure changes of the [`Seats`] document.

use rotunda_proto::config::Microphones;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::room::{KeptCell, MAX_VIDEO_PUBLISHERS, Publisher, Seats, TrackState};
use rotunda_proto::signaling::ErrorCode;

/// Cells that are kept for publishers who are away; of more the oldest is given up.
const MAX_KEPT: usize = 24;

/// Gives a member a seat for a source. Taking it again only changes whether it is muted.
pub fn take(
    seats: &mut Seats,
    microphones: Microphones,
    user: &UserId,
    source: TrackSource,
    state: TrackState,
) -> Result<(), ErrorCode> {
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
    let at = seats.publishers.iter().position(|publisher| publisher.user == *user);
    let at = at.unwrap_or_else(|| {
        let last = seats.publishers.len();
        let at = seats.kept_for(user).map_or(last, |cell| cell.index.min(last));
        seats.publishers.insert(at, Publisher::of(user.clone()));
        at
    });
    *seats.publishers[at].track_mut(source) = Some(state);
    forget_kept(seats, user, source);
    Ok(())
}

/// Says whether a published source is muted.
pub fn mute(seats: &mut Seats, user: &UserId, source: TrackSource, state: TrackState) -> Result<(), ErrorCode> {
    let publisher = seats.publishers.iter_mut().find(|publisher| publisher.user == *user);
    match publisher.map(|publisher| publisher.track_mut(source)) {
        Some(track @ Some(_)) => {
            *track = Some(state);
            Ok(())
        }
        _ => Err(ErrorCode::NotPublished),
    }
}

/// Releases a seat; also right when there is none.
pub fn release(seats: &mut Seats, user: &UserId, source: TrackSource) {
    for publisher in seats.publishers.iter_mut().filter(|publisher| publisher.user == *user) {
        *publisher.track_mut(source) = None;
    }
    seats
        .publishers
        .retain(|publisher| publisher.audio.or(publisher.camera).or(publisher.screen).is_some());
    forget_kept(seats, user, source);
}

/// Releases all seats of a member.
pub fn release_all(seats: &mut Seats, user: &UserId) {
    seats.publishers.retain(|publisher| publisher.user != *user);
    seats.kept.retain(|cell| cell.user != *user);
}

/// Releases all seats of a member, and keeps their cells in mixes until a time: they were cut off and may come back.
pub fn cut_off(seats: &mut Seats, user: &UserId, entered_unix_ms: u64, until_unix_ms: u64) {
    let before = seats
        .kept_for(user)
        .map(|cell| cell.sources.clone())
        .unwrap_or_default();
    let Some(index) = seats.publishers.iter().position(|publisher| publisher.user == *user) else {
        // What is kept of an earlier time stays until that is over.
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
        sources,
        entered_unix_ms,
        index,
        until_unix_ms,
    });
}

/// Forgets the cells whose time is over.
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

    fn user(number: usize) -> UserId {
        format!("user{number}").parse().unwrap()
    }

    #[test]
    fn the_seventh_microphone_and_the_fifth_camera_are_refused_by_name() {
        let mut seats = Seats::default();
        for number in 0..6 {
            take(
                &mut seats,
                Microphones::default(),
                &user(number),
                TrackSource::Audio,
                TrackState::On,
            )
            .unwrap();
        }
        for number in 0..4 {
            take(
                &mut seats,
                Microphones::default(),
                &user(number),
                TrackSource::Camera,
                TrackState::On,
            )
            .unwrap();
        }
        let before = seats.clone();
        let refused = take(
            &mut seats,
            Microphones::default(),
            &user(6),
            TrackSource::Audio,
            TrackState::On,
        );
        assert_eq!(refused, Err(ErrorCode::TooManyAudioPublishers));
        let refused = take(
            &mut seats,
            Microphones::default(),
            &user(4),
            TrackSource::Screen,
            TrackState::On,
        );
        assert_eq!(refused, Err(ErrorCode::TooManyVideoPublishers));
        assert_eq!(seats, before, "a refusal changes nothing");
        take(
            &mut seats,
            Microphones::default(),
            &user(0),
            TrackSource::Screen,
            TrackState::On,
        )
        .unwrap();
        release(&mut seats, &user(5), TrackSource::Audio);
        take(
            &mut seats,
            Microphones::default(),
            &user(6),
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
            take(&mut seats, nine, &user(number), TrackSource::Audio, TrackState::On).unwrap();
        }
        let refused = take(&mut seats, nine, &user(9), TrackSource::Audio, TrackState::On);
        assert_eq!(refused, Err(ErrorCode::TooManyAudioPublishers));
    }

    #[test]
    fn only_a_published_source_can_be_muted() {
        let mut seats = Seats::default();
        let muted = mute(&mut seats, &user(1), TrackSource::Audio, TrackState::Muted);
        assert_eq!(muted, Err(ErrorCode::NotPublished));
        take(
            &mut seats,
            Microphones::default(),
            &user(1),
            TrackSource::Audio,
            TrackState::On,
        )
        .unwrap();
        mute(&mut seats, &user(1), TrackSource::Audio, TrackState::Muted).unwrap();
        assert_eq!(seats.publishers[0].audio, Some(TrackState::Muted));
    }

    #[test]
    fn a_publisher_who_was_cut_off_keeps_the_cell_until_everything_is_published_again() {
        let (mics, on) = (Microphones::default(), TrackState::On);
        let mut seats = Seats::default();
        for number in 0..3 {
            take(&mut seats, mics, &user(number), TrackSource::Camera, on).unwrap();
        }
        take(&mut seats, mics, &user(1), TrackSource::Audio, on).unwrap();
        cut_off(&mut seats, &user(1), 1, 30_000);
        let publishes = |seats: &Seats| seats.publishers.iter().any(|one| one.user == user(1));
        assert!(!publishes(&seats), "the seats are free for others");
        let order = |seats: &Seats| seats.cells().into_iter().map(|one| one.user).collect::<Vec<_>>();
        assert_eq!(order(&seats), [user(0), user(1), user(2)]);
        assert_eq!(seats.cells()[1].camera, Some(TrackState::Muted), "a card");

        take(&mut seats, mics, &user(1), TrackSource::Audio, on).unwrap();
        assert_eq!(order(&seats), [user(0), user(1), user(2)]);
        assert_eq!(seats.cells()[1].camera, Some(TrackState::Muted), "still to come");
        take(&mut seats, mics, &user(1), TrackSource::Camera, on).unwrap();
        assert_eq!((seats.cells(), seats.kept.len()), (seats.publishers.clone(), 0));
        assert_eq!(order(&seats), [user(0), user(1), user(2)]);
    }

    #[test]
    fn a_cell_is_given_up_when_its_time_is_over_or_its_user_leaves_in_order() {
        let mut seats = Seats::default();
        for number in 0..2 {
            let (mics, on) = (Microphones::default(), TrackState::On);
            take(&mut seats, mics, &user(number), TrackSource::Camera, on).unwrap();
            cut_off(&mut seats, &user(number), 1, 30_000 + number as u64);
        }
        drop_expired(&mut seats, 30_000);
        assert_eq!(seats.cells()[0].user, user(1));
        release_all(&mut seats, &user(1));
        assert!(seats.is_empty());
    }

    proptest! {
        #[test]
        fn no_order_of_requests_exceeds_the_limits(steps in prop::collection::vec((0..12_usize, 0..3_u8, 0..3_u8), 0..200)) {
            let mut seats = Seats::default();
            for (number, source, step) in steps {
                let source = TrackSource::ALL[usize::from(source)];
                match step {
                    0 | 1 => { let _refused = take(&mut seats, Microphones::default(), &user(number), source, TrackState::On); }
                    _ => release(&mut seats, &user(number), source),
                }
                let audio = seats.publishers.iter().filter(|one| one.audio.is_some()).count();
                let video = seats.publishers.iter().filter(|one| one.camera.is_some() || one.screen.is_some()).count();
                prop_assert!(audio <= 6 && video <= MAX_VIDEO_PUBLISHERS);
            }
        }
    }
}
