//! Which receive slot shows whom: a pure function of a member's wishes and the room, stable from call to call.

use std::collections::BTreeSet;

use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::room::Seats;
use rotunda_proto::sfu::{MEMBER_AUDIO_SLOTS, MEMBER_CAMERA_SLOTS, SlotMap, VideoWant};
use rotunda_proto::signaling::ErrorCode;

/// What one member wants to see and not to hear.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// In the order of asking.
    pub pictures: Vec<VideoWant>,
    pub muted: BTreeSet<UserId>,
}

impl Wishes {
    /// Adds a picture, or changes its size. At most 4 cameras, 3 for who sends a camera, and one screen.
    pub fn request(&mut self, seats: &Seats, me: &UserId, want: VideoWant) -> Result<(), ErrorCode> {
        let published = |user: &UserId, source| {
            seats
                .publishers
                .iter()
                .any(|publisher| publisher.user == *user && publisher.track(source).is_some())
        };
        if !want.source.is_video() || want.user == *me || !published(&want.user, want.source) {
            return Err(ErrorCode::NotPublished);
        }
        self.drop_ended(seats);
        let same = |other: &&mut VideoWant| other.user == want.user && other.source == want.source;
        if let Some(known) = self.pictures.iter_mut().find(same) {
            known.max_height = want.max_height;
            return Ok(());
        }
        let most = match want.source {
            TrackSource::Screen => 1,
            _ if published(me, TrackSource::Camera) => MEMBER_CAMERA_SLOTS - 1,
            _ => MEMBER_CAMERA_SLOTS,
        };
        if self.pictures.iter().filter(|other| other.source == want.source).count() >= most {
            return Err(ErrorCode::TooManyVideoRequests);
        }
        self.pictures.push(want);
        Ok(())
    }

    pub fn cancel(&mut self, user: &UserId, source: TrackSource) {
        self.pictures.retain(|want| want.user != *user || want.source != source);
    }

    /// Forgets pictures that are not published any more.
    pub fn drop_ended(&mut self, seats: &Seats) {
        self.pictures.retain(|want| {
            let publisher = seats.publishers.iter().find(|publisher| publisher.user == want.user);
            publisher.is_some_and(|publisher| publisher.track(want.source).is_some())
        });
    }
}

/// Assigns slots. Whoever has one keeps it; a person shown in camera slot i is heard in audio slot i, because browsers
/// play sound and picture in sync only within such a pair. The screen has the slot after the cameras.
pub fn assign(before: &SlotMap, seats: &Seats, wishes: &Wishes, me: &UserId) -> SlotMap {
    let mut video: Vec<Option<VideoWant>> = vec![None; MEMBER_CAMERA_SLOTS + 1];
    let (screens, cameras): (Vec<_>, Vec<_>) = wishes
        .pictures
        .iter()
        .partition(|want| want.source == TrackSource::Screen);
    video[MEMBER_CAMERA_SLOTS] = screens.into_iter().next().cloned();
    let mut homeless = Vec::new();
    for want in cameras {
        let had = before.video.iter().take(MEMBER_CAMERA_SLOTS).position(|slot| {
            slot.as_ref()
                .is_some_and(|shown| shown.user == want.user && shown.source == want.source)
        });
        match had {
            Some(slot) => video[slot] = Some(want.clone()),
            None => homeless.push(want.clone()),
        }
    }
    for want in homeless {
        if let Some(free) = video[..MEMBER_CAMERA_SLOTS].iter().position(Option::is_none) {
            video[free] = Some(want);
        }
    }

    let mut audio: Vec<Option<UserId>> = vec![None; MEMBER_AUDIO_SLOTS];
    let mut voices: Vec<&UserId> = seats
        .publishers
        .iter()
        .filter(|publisher| publisher.audio.is_some() && publisher.user != *me)
        .map(|publisher| &publisher.user)
        .filter(|user| !wishes.muted.contains(*user))
        .collect();
    let mut seat = |slot: usize, voices: &mut Vec<&UserId>, user: Option<&UserId>| {
        if let Some(at) = user.and_then(|user| voices.iter().position(|voice| *voice == user)) {
            audio[slot] = Some(voices.remove(at).clone());
        }
    };
    for (slot, want) in video.iter().take(MEMBER_CAMERA_SLOTS).enumerate() {
        seat(slot, &mut voices, want.as_ref().map(|want| &want.user));
    }
    let free = |slot: usize| {
        video
            .get(slot)
            .filter(|_| slot < MEMBER_CAMERA_SLOTS)
            .is_none_or(Option::is_none)
    };
    for slot in (0..MEMBER_AUDIO_SLOTS).filter(|slot| free(*slot)) {
        seat(slot, &mut voices, before.audio.get(slot).and_then(Option::as_ref));
    }
    // Those who are only heard go where no picture is wanted first, from the end.
    for slot in (0..MEMBER_AUDIO_SLOTS).rev() {
        if audio[slot].is_none()
            && let Some(voice) = voices.first().copied()
        {
            voices.remove(0);
            audio[slot] = Some(voice.clone());
        }
    }
    SlotMap { audio, video }
}

/// The slots of a viewer of one publisher: its picture and its voice, each while it is published.
pub fn show_only(seats: &Seats, want: &VideoWant) -> SlotMap {
    let publisher = seats.publishers.iter().find(|publisher| publisher.user == want.user);
    let publishes = |source| publisher.is_some_and(|publisher| publisher.track(source).is_some());
    SlotMap {
        audio: vec![publishes(TrackSource::Audio).then(|| want.user.clone())],
        video: vec![publishes(want.source).then(|| want.clone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats;
    use proptest::prelude::*;
    use rotunda_proto::room::TrackState;

    fn user(number: usize) -> UserId {
        format!("user{number}").parse().unwrap()
    }

    fn room(voices: usize, cameras: usize) -> Seats {
        let mut room = Seats::default();
        for number in 0..voices {
            seats::take(&mut room, &user(number), TrackSource::Audio, TrackState::On).unwrap();
        }
        for number in 0..cameras {
            seats::take(&mut room, &user(number), TrackSource::Camera, TrackState::On).unwrap();
        }
        room
    }

    fn camera(number: usize) -> VideoWant {
        VideoWant {
            user: user(number),
            source: TrackSource::Camera,
            max_height: None,
        }
    }

    #[test]
    fn a_person_is_heard_in_the_slot_of_the_same_number_as_the_picture() {
        let (seats, me) = (room(6, 4), user(99));
        let mut wishes = Wishes::default();
        for number in [2, 0, 3] {
            wishes.request(&seats, &me, camera(number)).unwrap();
        }
        let slots = assign(&SlotMap::default(), &seats, &wishes, &me);
        for (video, audio) in slots.video.iter().zip(&slots.audio).take(MEMBER_CAMERA_SLOTS) {
            if let Some(want) = video {
                assert_eq!(audio.as_ref(), Some(&want.user));
            }
        }
        assert_eq!(slots.audio.iter().flatten().count(), 6, "everybody is heard");
    }

    #[test]
    fn who_sends_a_camera_watches_three_and_the_limit_has_a_name() {
        let seats = room(4, 4);
        let mut wishes = Wishes::default();
        for number in 1..4 {
            wishes.request(&seats, &user(0), camera(number)).unwrap();
        }
        let mut audience = Wishes::default();
        for number in 0..4 {
            audience.request(&seats, &user(9), camera(number)).unwrap();
        }
        assert_eq!(
            wishes.request(&seats, &user(0), camera(0)),
            Err(ErrorCode::NotPublished),
            "oneself"
        );
        assert_eq!(
            wishes.request(&seats, &user(0), camera(7)),
            Err(ErrorCode::NotPublished)
        );
    }

    #[test]
    fn nobody_hears_himself_or_whom_he_muted() {
        let (seats, me) = (room(3, 0), user(0));
        let wishes = Wishes {
            muted: [user(1)].into(),
            ..Wishes::default()
        };
        let slots = assign(&SlotMap::default(), &seats, &wishes, &me);
        assert_eq!(slots.audio.iter().flatten().collect::<Vec<_>>(), [&user(2)]);
    }

    #[test]
    fn a_viewer_of_one_sees_and_hears_that_one_alone_and_only_what_is_published() {
        let mut seats = Seats::default();
        for (name, source) in [
            ("ann", TrackSource::Screen),
            ("bob", TrackSource::Audio),
            ("bob", TrackSource::Camera),
        ] {
            seats::take(&mut seats, &name.parse().unwrap(), source, TrackState::On).unwrap();
        }
        let want = |user: &str, source| VideoWant {
            user: user.parse().unwrap(),
            source,
            max_height: None,
        };
        let (screen, camera) = (want("ann", TrackSource::Screen), want("ann", TrackSource::Camera));
        let slots = show_only(&seats, &screen);
        assert_eq!((slots.audio, slots.video), (vec![None], vec![Some(screen)]));
        assert_eq!(show_only(&seats, &camera).video, [None]);
        let bob = want("bob", TrackSource::Camera);
        let slots = show_only(&seats, &bob);
        assert_eq!(
            (slots.audio, slots.video),
            (vec![Some(bob.user.clone())], vec![Some(bob)])
        );
    }

    proptest! {
        #[test]
        fn pictures_keep_their_slot_whatever_else_comes_and_goes(
            steps in prop::collection::vec((1..4_usize, any::<bool>()), 1..40)
        ) {
            let (seats, me) = (room(6, 4), user(0));
            let mut wishes = Wishes::default();
            let mut slots = SlotMap::default();
            for (number, wanted) in steps {
                if wanted {
                    let _limit = wishes.request(&seats, &me, camera(number));
                } else {
                    wishes.cancel(&user(number), TrackSource::Camera);
                }
                let after = assign(&slots, &seats, &wishes, &me);
                for (before, now) in slots.video.iter().zip(&after.video) {
                    if let Some(shown) = before && wishes.pictures.contains(shown) {
                        prop_assert_eq!(Some(shown), now.as_ref());
                    }
                }
                prop_assert_eq!(after.video.iter().flatten().count(), wishes.pictures.len());
                prop_assert_eq!(after.audio.iter().flatten().count(), 5);
                slots = after;
            }
        }
    }
}
