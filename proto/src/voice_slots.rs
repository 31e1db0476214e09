//! Assigns speakers to audio slots: a pure function, stable from call to call.

use crate::ids::UserId;
use crate::sfu::MEMBER_CAMERA_SLOTS;

/// Assigns `count` audio slots of a member's session. `cameras`: the publisher in each camera slot. `voices`: the speakers; if
/// there are more than slots, the last ones get none.
///
/// A speaker in a slot keeps it. The publisher in camera slot i has audio slot i, because browsers synchronize audio and video
/// only within such a pair.
pub fn seat_voices(
    count: usize,
    before: &[Option<UserId>],
    cameras: &[Option<&UserId>],
    mut voices: Vec<&UserId>,
) -> Vec<Option<UserId>> {
    let mut slots: Vec<Option<UserId>> = vec![None; count];
    let mut seat = |slot: usize, voices: &mut Vec<&UserId>, user: Option<&UserId>| {
        if let Some(at) = user.and_then(|user| voices.iter().position(|voice| *voice == user)) {
            slots[slot] = Some(voices.remove(at).clone());
        }
    };
    let camera = |slot: usize| {
        cameras
            .get(slot)
            .filter(|_| slot < MEMBER_CAMERA_SLOTS)
            .copied()
            .flatten()
    };
    for slot in 0..MEMBER_CAMERA_SLOTS.min(count) {
        seat(slot, &mut voices, camera(slot));
    }
    for slot in (0..count).filter(|slot| camera(*slot).is_none()) {
        seat(slot, &mut voices, before.get(slot).and_then(Option::as_ref));
    }
    // Speakers without a camera slot get the free slots, from the end.
    let mut voices = voices.into_iter();
    for slot in slots.iter_mut().rev().filter(|slot| slot.is_none()) {
        *slot = voices.next().cloned();
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(names: &[&str]) -> Vec<UserId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn told(slots: &[Option<UserId>]) -> Vec<&str> {
        slots
            .iter()
            .map(|slot| slot.as_ref().map_or("", UserId::as_str))
            .collect()
    }

    #[test]
    fn a_speaker_in_a_slot_keeps_it_and_audio_follows_video_into_its_pair() {
        let all = users(&["ann", "bob", "cat"]);
        let voices = || all.iter().collect::<Vec<_>>();
        let first = seat_voices(6, &[], &[], voices());
        assert_eq!(told(&first), ["", "", "", "cat", "bob", "ann"]);
        let second = seat_voices(6, &first, &[None, Some(&all[1])], voices());
        assert_eq!(told(&second), ["", "bob", "", "cat", "", "ann"]);
        let third = seat_voices(6, &second, &[], vec![&all[1], &all[0]]);
        assert_eq!(told(&third), ["", "bob", "", "", "", "ann"]);
    }

    #[test]
    fn seven_voices_leave_the_last_one_out() {
        let all = users(&["a", "b", "c", "d", "e", "f", "g"]);
        let slots = seat_voices(6, &[], &[], all.iter().collect());
        assert_eq!(slots.iter().flatten().count(), 6);
        assert!(!slots.contains(&Some(all[6].clone())));
    }
}
