//! How much later than captured everything is played out. One delay for all inputs, so that they stay together.
//!
//! The adaptive one is as long as the latest frames of the last 10 to 20 s have needed, with a margin. It grows at once when a frame needs more,
//! and shrinks so slowly that nobody hears it.

use std::collections::VecDeque;

use crate::timeline::Micros;

/// Where it begins, and what a quiet network needs.
const FIRST: Micros = 150_000;
const LEAST: Micros = 60_000;
/// For the way from the network to the mixer, and for what comes a little later than anything before.
const MARGIN: Micros = 40_000;
/// The latest frame of this long counts.
const WINDOW: Micros = 10_000_000;
/// It shrinks by 1/400: 2.5 ms a second, half of what audio can be stretched by.
const SHRINK: Micros = 400;
/// A packet of audio that was too late although its arrival did not show it: the mixer itself was behind.
const STEP: Micros = 20_000;
/// Packets whose delays are known, more than a second.
const PACKETS: usize = 64;

/// See the [module](self).
#[derive(Debug)]
pub struct PlayOut {
    delay: Micros,
    /// The most that it may become; None: it stays as it is.
    most: Option<Micros>,
    /// The largest need of this window and of the one before.
    needs: [Micros; 2],
    window_began: Micros,
    moved_at: Micros,
}

impl PlayOut {
    pub fn fixed(delay: Micros) -> Self {
        Self {
            delay,
            most: None,
            needs: [0; 2],
            window_began: 0,
            moved_at: 0,
        }
    }

    pub fn adaptive(most: Micros, now: Micros) -> Self {
        Self {
            delay: FIRST.min(most),
            most: Some(most),
            needs: [FIRST.min(most), 0],
            window_began: now,
            moved_at: now,
        }
    }

    pub fn delay(&self) -> Micros {
        self.delay
    }

    /// The most that the delay may become.
    pub fn most(&self) -> Micros {
        self.most.unwrap_or(self.delay)
    }

    /// A frame captured at `captured` on the mix clock has come at `arrival`.
    pub fn handle_frame(&mut self, captured: Micros, arrival: Micros) {
        self.need(arrival - captured + MARGIN);
    }

    /// Audio was too late to be heard.
    pub fn handle_late(&mut self) {
        self.need(self.delay + STEP);
    }

    /// Call with each tick.
    pub fn handle_tick(&mut self, now: Micros) {
        let Some(most) = self.most else { return };
        let passed = (now - self.moved_at).max(0);
        self.moved_at = self.moved_at.max(now);
        if now - self.window_began >= WINDOW {
            self.needs = [0, self.needs[0]];
            self.window_began = now;
        }
        let target = self.needs[0].max(self.needs[1]).clamp(LEAST.min(most), most);
        self.delay = (self.delay - passed / SHRINK).max(target);
    }

    fn need(&mut self, need: Micros) {
        if let Some(most) = self.most {
            let need = need.min(most);
            self.needs[0] = self.needs[0].max(need);
            self.delay = self.delay.max(need);
        }
    }
}

/// The delays of one input's packets, so that a packet which was repaired is played out at its place among the others, although the
/// delay has changed since.
#[derive(Debug, Default)]
pub struct InputDelays {
    /// From which time of capture on, and the delay; oldest first.
    since: VecDeque<(Micros, Micros)>,
}

impl InputDelays {
    /// The delay of a packet. `current`: that of a packet which is newer than all before.
    pub fn of(&mut self, captured: Micros, current: Micros) -> Micros {
        let is_newest = self.since.back().is_none_or(|(newest, _)| *newest < captured);
        if is_newest {
            if self.since.len() >= PACKETS {
                self.since.pop_front();
            }
            self.since.push_back((captured, current));
            return current;
        }
        let before = self.since.iter().rev().find(|(since, _)| *since <= captured);
        before.or(self.since.front()).map_or(current, |(_, delay)| *delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKET: Micros = 20_000;
    const MOST: Micros = 350_000;

    /// Packets with these delays, one each 20 ms; answers the delay after each, and which packets came too late.
    fn run(delays: impl IntoIterator<Item = Micros>) -> Vec<(Micros, bool)> {
        let mut play_out = PlayOut::adaptive(MOST, 0);
        let delays = delays.into_iter().enumerate();
        let step = |(number, delay): (usize, Micros)| {
            let captured = number as Micros * PACKET;
            let due = captured + play_out.delay();
            play_out.handle_frame(captured, captured + delay);
            play_out.handle_tick(captured + PACKET);
            (play_out.delay(), captured + delay > due)
        };
        delays.map(step).collect()
    }

    #[test]
    fn on_a_quiet_network_it_becomes_60_ms() {
        let delays = run((0..3_000).map(|number| number % 5 * 1_000));
        assert_eq!(delays.last(), Some(&(LEAST, false)));
        assert!(delays.iter().all(|(_, is_late)| !is_late));
    }

    #[test]
    fn it_grows_with_the_jitter_at_once_and_shrinks_after_it() {
        let jitter = |number: i64| {
            if (1_000..2_000).contains(&number) {
                number * 7_919 % 200_000
            } else {
                2_000
            }
        };
        let delays = run((0..8_000).map(jitter));
        let late = delays.iter().filter(|(_, is_late)| *is_late).count();
        assert!(late <= 10, "{late}");
        assert!((200_000..=240_000).contains(&delays[1_900].0), "{:?}", delays[1_900]);
        assert_eq!(delays.last(), Some(&(LEAST, false)));
    }

    #[test]
    fn audio_that_the_mixer_missed_makes_it_grow_and_a_fixed_one_stays() {
        let mut play_out = PlayOut::adaptive(MOST, 0);
        play_out.handle_late();
        assert_eq!(play_out.delay(), FIRST + STEP);
        let mut fixed = PlayOut::fixed(MOST);
        fixed.handle_frame(0, 2_000_000);
        fixed.handle_late();
        fixed.handle_tick(1_000_000);
        assert_eq!(fixed.delay(), MOST);
    }

    #[test]
    fn a_repaired_packet_has_the_delay_of_its_neighbours() {
        let mut delays = InputDelays::default();
        for (captured, delay) in [(0, 100), (20, 100), (60, 100), (80, 170)] {
            assert_eq!(delays.of(captured, delay), delay);
        }
        assert_eq!(delays.of(40, 170), 100);
        assert_eq!(delays.of(85, 180), 180);
        assert_eq!(delays.of(-20, 180), 100);
    }

    proptest! {
        #[test]
        fn it_stays_in_its_limits_and_never_shrinks_audibly(delays in prop::collection::vec(0..600_000_i64, 1..2_000)) {
            let delays: Vec<Micros> = run(delays).into_iter().map(|(delay, _)| delay).collect();
            prop_assert!(delays.iter().all(|delay| (LEAST..=MOST).contains(delay)));
            prop_assert!(delays.windows(2).all(|pair| pair[0] - pair[1] <= PACKET / SHRINK));
        }

        #[test]
        fn jitter_that_does_not_grow_makes_no_packet_late_after_its_first_seconds(
            most in 1_000..250_000_i64, seeds in prop::collection::vec(0..10_000_i64, 3_000)
        ) {
            // One in ten has almost all of it.
            let delays = seeds.iter().map(|seed| if seed % 10 == 0 { most - most / 100 * (seed % 7) } else { most * seed / 10_000 });
            let late = run(delays).iter().skip(500).filter(|(_, is_late)| *is_late).count();
            prop_assert_eq!(late, 0);
        }
    }
}
