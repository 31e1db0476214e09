use proptest::prelude::*;
use rotunda_proto::clock::Clock;

use super::*;

const TALK: i8 = -25;
const LOUD: i8 = -12;
const QUIET: i8 = -70;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn user(number: usize) -> UserId {
    format!("user{number}").parse().unwrap()
}

/// Microphones that send a packet every 20 ms.
struct Room {
    start: Instant,
    now: Instant,
    loudest: Loudest,
    /// By user; None: sends nothing.
    levels: Vec<Option<i8>>,
    /// When and who was heard anew, and from when on.
    entered: Vec<(Duration, Entered)>,
}

impl Room {
    /// All silent, the first six of them heard.
    fn of(microphones: usize) -> Self {
        let start = Clock.now();
        let mut room = Self {
            start,
            now: start,
            loudest: Loudest::default(),
            levels: vec![Some(QUIET); microphones],
            entered: Vec::new(),
        };
        room.run(3000);
        room.entered.clear();
        room
    }

    fn says(&mut self, number: usize, level: i8) -> &mut Self {
        self.levels[number] = Some(level);
        self
    }

    fn run(&mut self, milliseconds: u64) -> &mut Self {
        let end = self.now + ms(milliseconds);
        while self.now < end {
            for (number, level) in self.levels.iter().enumerate() {
                let entered = level.and_then(|level| self.loudest.handle_level(self.now, &user(number), level));
                self.entered.extend(entered.map(|one| (self.now - self.start, one)));
            }
            assert!(self.loudest.heard().count() <= MEMBER_AUDIO_SLOTS);
            self.now += ms(20);
        }
        self
    }

    fn hears(&self, number: usize) -> bool {
        self.loudest.heard().any(|heard| *heard == user(number))
    }

    fn heard(&self) -> Vec<usize> {
        (0..self.levels.len()).filter(|number| self.hears(*number)).collect()
    }
}

#[test]
fn up_to_six_are_heard_always_talking_or_not() {
    assert_eq!(Room::of(4).heard(), [0, 1, 2, 3]);
    assert_eq!(Room::of(9).heard(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_new_speaker_is_heard_from_before_the_first_loud_packet() {
    let mut room = Room::of(9);
    let began = room.now;
    room.says(8, TALK).run(200);
    let [(at, entered)] = &room.entered[..] else {
        panic!("{:?}", room.entered);
    };
    assert_eq!(entered.user, user(8));
    assert_eq!(room.start + *at, began + ms(20), "with the second loud packet");
    assert_eq!(entered.since, began - LEAD);
}

#[test]
fn a_click_is_not_talk() {
    let mut room = Room::of(9);
    for _ in 0..20 {
        room.says(8, LOUD).run(20).says(8, QUIET).run(180);
    }
    assert_eq!(room.entered, []);
}

#[test]
fn silence_and_noise_below_the_threshold_do_not_flap() {
    let mut room = Room::of(9);
    for step in 0..500_usize {
        room.says(step % 9, -52 - (step * 7 % 20) as i8).run(20);
    }
    assert_eq!(room.entered, []);
}

#[test]
fn equal_voices_do_not_flap() {
    let mut room = Room::of(9);
    (0..9).for_each(|number| {
        room.says(number, TALK);
    });
    room.run(1000).entered.clear();
    // Nine who talk at once for a minute, within a few decibels of each other.
    for step in 0..300_usize {
        for number in 0..9 {
            room.says(number, TALK + ((step * 5 + number * 3) % 5) as i8);
        }
        room.run(200);
    }
    assert_eq!(room.entered, []);
}

#[test]
fn the_seventh_speaker_waits_until_one_is_silent_and_the_newest_words_are_sent_first() {
    let mut room = Room::of(7);
    (0..7).for_each(|number| {
        room.says(number, TALK);
    });
    room.run(5000);
    assert_eq!(room.heard(), [0, 1, 2, 3, 4, 5]);
    let silent_from = room.now;
    room.says(2, QUIET).run(1000);
    assert_eq!(room.heard(), [0, 1, 3, 4, 5, 6]);
    let (at, entered) = room.entered.last().unwrap();
    let at = room.start + *at;
    assert!(
        (ms(660)..=ms(720)).contains(&(at - silent_from)),
        "{:?}",
        at - silent_from
    );
    assert_eq!(entered.since, at - PRE_ROLL, "not from seconds ago");
}

#[test]
fn a_speaker_keeps_the_place_between_words() {
    let mut room = Room::of(7);
    (0..7).for_each(|number| {
        room.says(number, TALK);
    });
    room.run(2000).entered.clear();
    for _ in 0..20 {
        room.says(0, QUIET).run(500).says(0, TALK).run(300);
    }
    assert_eq!(room.entered, []);
}

#[test]
fn a_speaker_who_is_clearly_louder_for_a_while_takes_the_place_of_the_quietest() {
    let mut room = Room::of(7);
    (0..6).for_each(|number| {
        room.says(number, TALK - number as i8);
    });
    room.run(3000).entered.clear();
    let began = room.now;
    room.says(6, LOUD).run(3000);
    assert_eq!(room.heard(), [0, 1, 2, 3, 4, 6]);
    let after = room.start + room.entered[0].0 - began;
    assert!((ms(400)..ms(600)).contains(&after), "{after:?}");
    // The one who lost it does not take it back.
    assert_eq!(room.entered.len(), 1);
}

#[test]
fn a_new_speaker_keeps_the_place_for_a_second_and_a_half() {
    let mut room = Room::of(8);
    (0..6).for_each(|number| {
        room.says(number, LOUD);
    });
    room.run(3000).says(5, QUIET).run(1000);
    room.says(6, TALK).run(100).entered.clear();
    assert!(room.hears(6));
    let placed = room.now;
    room.says(7, LOUD).run(3000);
    assert!(room.hears(7) && !room.hears(6));
    let after = room.start + room.entered[0].0 - placed;
    assert!((ms(1300)..=ms(1600)).contains(&after), "{after:?}");
}

#[test]
fn leaving_frees_a_place_for_a_speaker() {
    let mut room = Room::of(7);
    (0..7).for_each(|number| {
        room.says(number, TALK);
    });
    room.run(1000);
    assert!(room.loudest.remove(&user(3)) && !room.loudest.remove(&user(3)));
    room.levels[3] = None;
    room.run(20);
    assert_eq!(room.heard(), [0, 1, 2, 4, 5, 6]);
}

#[test]
fn a_member_who_sends_nothing_gives_way_like_a_silent_one_and_is_forgotten() {
    let mut room = Room::of(7);
    room.levels[1] = None;
    for number in [0, 2, 3, 4, 5] {
        room.says(number, TALK);
    }
    room.run(1000).says(6, TALK).run(100);
    assert_eq!(room.heard(), [0, 2, 3, 4, 5, 6]);
    room.run(5000).levels.push(Some(QUIET));
    room.run(20);
    assert!(!room.loudest.voices.contains_key(&user(1)));
}

proptest! {
    /// However people talk: never more than six, who is heard has sent, and at most two changes a second for each who waits.
    #[test]
    fn six_are_heard_without_flapping_whoever_talks(
        talk in prop::collection::vec(prop::collection::vec(-90_i8..0, 12), 10..40)
    ) {
        let mut room = Room::of(12);
        for levels in &talk {
            room.levels = levels.iter().map(|level| Some(*level)).collect();
            room.run(500);
        }
        prop_assert_eq!(room.heard().len(), 6);
        let seconds = talk.len() as f64 / 2.0;
        let rate = room.entered.len() as f64 / seconds;
        prop_assert!(rate <= 12.0, "{} changes a second", rate);
        // Nobody is heard, dropped and heard again within the pause that makes one silent.
        for (index, (at, one)) in room.entered.iter().enumerate() {
            let again = room.entered[index + 1..].iter().find(|(_, other)| other.user == one.user);
            if let Some((again, _)) = again {
                prop_assert!(*again - *at >= PAUSE, "{:?} again after {:?}", one.user, *again - *at);
            }
        }
    }
}
