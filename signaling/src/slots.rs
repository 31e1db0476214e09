//! Assigns publishers to a member's receive slots: a pure function of the member's wishes and the room, stable from call to call.

use rotunda_proto::config::Microphones;
use rotunda_proto::ids::{TrackSource, UserId};
use rotunda_proto::room::Seats;
use rotunda_proto::room_ticket::Rights;
use rotunda_proto::sfu::{Loudest, MEMBER_AUDIO_SLOTS, MEMBER_CAMERA_SLOTS, SlotMap, VideoWant};
use rotunda_proto::signaling::ErrorCode;
use rotunda_proto::voice_slots::seat_voices;

use crate::muted::Muted;

/// The videos that one member wants to watch, and the members that they have muted.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// In the order of asking.
    pub videos: Vec<VideoWant>,
    pub muted: Muted,
}

impl Wishes {
    /// Adds a video, or changes its size. At most 4 cameras, 3 for a member who sends one, and one screen.
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
        let same = |other: &&mut VideoWant| other.user == want.user && other.source == want.source;
        if let Some(known) = self.videos.iter_mut().find(same) {
            known.max_height = want.max_height;
            return Ok(());
        }
        let most = match want.source {
            TrackSource::Screen => 1,
            _ if published(me, TrackSource::Camera) => MEMBER_CAMERA_SLOTS - 1,
            _ => MEMBER_CAMERA_SLOTS,
        };
        if self.videos.iter().filter(|other| other.source == want.source).count() >= most {
            return Err(ErrorCode::TooManyVideoRequests);
        }
        self.videos.push(want);
        Ok(())
    }

    pub fn cancel(&mut self, user: &UserId, source: TrackSource) {
        self.videos.retain(|want| want.user != *user || want.source != source);
    }

    /// Removes videos that are not published any more. `seats`: as the client knows them.
    pub fn drop_ended(&mut self, seats: &Seats) {
        self.videos.retain(|want| {
            let publisher = seats.publishers.iter().find(|publisher| publisher.user == want.user);
            publisher.is_some_and(|publisher| publisher.track(want.source).is_some())
        });
    }
}

/// Assigns slots. A publisher in a slot keeps it; the screen has the slot after the cameras. The SFU chooses the publishers in
/// the audio slots if more may speak than there are slots.
pub fn assign(microphones: Microphones, before: &SlotMap, seats: &Seats, wishes: &Wishes, me: &UserId) -> SlotMap {
    let mut video: Vec<Option<VideoWant>> = vec![None; MEMBER_CAMERA_SLOTS + 1];
    let (screens, cameras): (Vec<_>, Vec<_>) = wishes
        .videos
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

    if microphones.exceed_slots() {
        let except = wishes.muted.all();
        return SlotMap {
            audio: Vec::new(),
            loudest: Some(Loudest { except }),
            video,
        };
    }
    let voices = seats
        .publishers
        .iter()
        .filter(|publisher| publisher.audio.is_some() && publisher.user != *me)
        .map(|publisher| &publisher.user)
        .filter(|user| !wishes.muted.contains(user))
        .collect();
    let cameras = video.iter().take(MEMBER_CAMERA_SLOTS);
    let cameras: Vec<Option<&UserId>> = cameras.map(|want| want.as_ref().map(|want| &want.user)).collect();
    SlotMap {
        audio: seat_voices(MEMBER_AUDIO_SLOTS, &before.audio, &cameras, voices),
        loudest: None,
        video,
    }
}

/// The slots of a viewer of one publisher: their video and audio, each while it is published.
pub fn show_only(seats: &Seats, want: &VideoWant) -> SlotMap {
    let publisher = seats.publishers.iter().find(|publisher| publisher.user == want.user);
    let publishes = |source| publisher.is_some_and(|publisher| publisher.track(source).is_some());
    SlotMap {
        audio: vec![publishes(TrackSource::Audio).then(|| want.user.clone())],
        loudest: None,
        video: vec![publishes(want.source).then(|| want.clone())],
    }
}

/// Removes sources that the member may not receive.
pub fn permit(mut slots: SlotMap, rights: Rights) -> SlotMap {
    if !rights.may_receive(TrackSource::Audio) {
        slots.audio.clear();
        slots.loudest = None;
    }
    for slot in &mut slots.video {
        slot.take_if(|want| !rights.may_receive(want.source));
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seats;
    use proptest::prelude::*;
    use rotunda_proto::room::{Roster, TrackState};

    fn user(number: usize) -> UserId {
        format!("user{number}").parse().unwrap()
    }

    fn room(voices: usize, cameras: usize) -> Seats {
        let mut room = Seats::default();
        for number in 0..voices {
            seats::take_alone(
                &mut room,
                Default::default(),
                &user(number),
                TrackSource::Audio,
                TrackState::On,
            )
            .unwrap();
        }
        for number in 0..cameras {
            seats::take_alone(
                &mut room,
                Default::default(),
                &user(number),
                TrackSource::Camera,
                TrackState::On,
            )
            .unwrap();
        }
        room
    }

    fn muted(seats: &Seats, number: usize) -> Muted {
        let mut muted = Muted::default();
        muted.mute(seats, &Roster::default(), user(number)).unwrap();
        muted
    }

    fn camera(number: usize) -> VideoWant {
        VideoWant {
            user: user(number),
            source: TrackSource::Camera,
            max_height: None,
        }
    }

    #[test]
    fn a_publisher_s_audio_slot_has_the_same_number_as_their_video_slot() {
        let (seats, me) = (room(6, 4), user(99));
        let mut wishes = Wishes::default();
        for number in [2, 0, 3] {
            wishes.request(&seats, &me, camera(number)).unwrap();
        }
        let slots = assign(Microphones::default(), &SlotMap::default(), &seats, &wishes, &me);
        for (video, audio) in slots.video.iter().zip(&slots.audio).take(MEMBER_CAMERA_SLOTS) {
            if let Some(want) = video {
                assert_eq!(audio.as_ref(), Some(&want.user));
            }
        }
        assert_eq!(slots.audio.iter().flatten().count(), 6, "everybody is heard");
    }

    #[test]
    fn a_member_who_sends_a_camera_watches_three_and_the_limit_has_a_name() {
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
    fn members_hear_neither_themselves_nor_members_that_they_muted() {
        let (seats, me) = (room(3, 0), user(0));
        let wishes = Wishes {
            muted: muted(&seats, 1),
            ..Wishes::default()
        };
        let slots = assign(Microphones::default(), &SlotMap::default(), &seats, &wishes, &me);
        assert_eq!(slots.audio.iter().flatten().collect::<Vec<_>>(), [&user(2)]);
    }

    #[test]
    fn with_more_microphones_the_sfu_chooses_but_never_a_muted_member() {
        let (seats, me) = (room(6, 0), user(0));
        let wishes = Wishes {
            muted: muted(&seats, 1),
            ..Wishes::default()
        };
        let nine = Microphones::try_from(9).unwrap();
        let slots = assign(nine, &SlotMap::default(), &seats, &wishes, &me);
        assert_eq!(slots.loudest.unwrap().except, [user(1)].into());
        assert_eq!(slots.audio, []);
    }

    #[test]
    fn a_viewer_of_one_publisher_gets_only_the_published_sources_of_that_publisher() {
        let mut seats = Seats::default();
        for (name, source) in [
            ("ann", TrackSource::Screen),
            ("bob", TrackSource::Audio),
            ("bob", TrackSource::Camera),
        ] {
            seats::take_alone(
                &mut seats,
                Default::default(),
                &name.parse().unwrap(),
                source,
                TrackState::On,
            )
            .unwrap();
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
        fn videos_keep_their_slot_whatever_else_comes_and_goes(
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
                let after = assign(Microphones::default(), &slots, &seats, &wishes, &me);
                for (before, now) in slots.video.iter().zip(&after.video) {
                    if let Some(shown) = before && wishes.videos.contains(shown) {
                        prop_assert_eq!(Some(shown), now.as_ref());
                    }
                }
                prop_assert_eq!(after.video.iter().flatten().count(), wishes.videos.len());
                prop_assert_eq!(after.audio.iter().flatten().count(), 5);
                slots = after;
            }
        }
    }
}
