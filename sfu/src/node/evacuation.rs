//! The sessions of a node that drains: which of them is asked to move next, and where they went. Pure.
//!
//! Viewers are asked first, then services (they can only follow members to the room's new nodes), and publishers at the end. A session that
//! is still here is asked again. Those that do not move are ended a while before the deadline, so that they have come back elsewhere by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};
use rotunda_proto::ids::{NodeId, SessionId};
use rotunda_proto::sfu::Moved;
use tracing::{debug, info, warn};

/// A node with few sessions asks one after this time, and is done sooner.
const SLOWEST: Duration = Duration::from_millis(50);
/// A session that has not moved is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Sessions that are ended get this time to arrive elsewhere, but at most a quarter of the whole time.
const ARRIVAL: Duration = Duration::from_secs(5);
/// In this time signaling says where a session went that has ended by itself.
const WORD: Duration = Duration::from_secs(2);

/// The order of moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It sends nothing.
    Viewer,
    Service,
    Publisher,
}

#[derive(Debug)]
pub struct Evacuation {
    /// Not asked yet.
    waiting: BTreeSet<(Rank, SessionId)>,
    /// Asked and still here, with the time of the next request.
    asked: HashMap<SessionId, Instant>,
    /// Not here any more, and not known to be elsewhere.
    away: HashMap<SessionId, Away>,
    next_at: Instant,
    pause: Duration,
    end_at: Instant,
    deadline: Instant,
    moved: BTreeMap<NodeId, Vec<Moved>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    /// It has ended by itself. Signaling says soon if it has moved.
    Left { until: Instant },
    /// This node has ended it.
    Ended,
}

/// What is to be done with a session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Ask(SessionId),
    End(SessionId),
}

impl Evacuation {
    /// `within`: the time for everything.
    pub fn new(now: Instant, within: Duration, sessions: impl Iterator<Item = (SessionId, Rank)>) -> Self {
        let waiting: BTreeSet<_> = sessions.map(|(session, rank)| (rank, session)).collect();
        let moving = within - ARRIVAL.min(within / 4);
        // The last one who is asked needs some time, too.
        let asking = moving.mul_f64(0.8);
        Self {
            pause: SLOWEST.min(asking / (waiting.len().max(1) as u32)),
            waiting,
            asked: HashMap::new(),
            away: HashMap::new(),
            next_at: now,
            end_at: now + moving,
            deadline: now + within,
            moved: BTreeMap::new(),
        }
    }

    /// Everybody is elsewhere, or the time is over.
    pub fn is_over(&self, now: Instant) -> bool {
        let is_waited_for = |away: &Away| match away {
            Away::Left { until } => *until > now,
            Away::Ended => true,
        };
        let is_done = self.waiting.is_empty() && self.asked.is_empty() && !self.away.values().any(is_waited_for);
        now >= self.deadline || is_done
    }

    /// When [`poll`](Self::poll) has something, or the time is over.
    pub fn due(&self) -> Instant {
        let next = (!self.waiting.is_empty()).then_some(self.next_at);
        let again = self.asked.values().min().copied();
        let has_sessions = !self.waiting.is_empty() || !self.asked.is_empty();
        let end = has_sessions.then_some(self.end_at);
        let waits = has_sessions || self.away.values().any(|away| *away == Away::Ended);
        let word = self.away.values().filter_map(|away| match away {
            Away::Left { until } if !waits => Some(*until),
            Away::Left { .. } | Away::Ended => None,
        });
        let due = next.into_iter().chain(again).chain(end).chain(word.max());
        due.fold(self.deadline, Instant::min)
    }

    /// What is due now; call it until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Step> {
        if now >= self.end_at {
            let waiting = self.waiting.pop_first().map(|(_, session)| session);
            let session = waiting.or_else(|| self.asked.keys().next().copied())?;
            self.asked.remove(&session);
            self.away.insert(session, Away::Ended);
            return Some(Step::End(session));
        }
        if now >= self.next_at
            && let Some((_, session)) = self.waiting.pop_first()
        {
            self.next_at += self.pause;
            self.asked.insert(session, now + ASK_AGAIN);
            return Some(Step::Ask(session));
        }
        let (session, again) = self.asked.iter_mut().find(|(_, again)| **again <= now)?;
        *again = now + ASK_AGAIN;
        Some(Step::Ask(*session))
    }

    /// A session has begun to send, or sends no more.
    pub fn handle_rank(&mut self, session: SessionId, rank: Rank) {
        let before = [Rank::Viewer, Rank::Publisher].map(|rank| self.waiting.remove(&(rank, session)));
        if before.contains(&true) {
            self.waiting.insert((rank, session));
        }
    }

    /// A session has ended, or is known to be elsewhere. `moved`: where it went.
    pub fn handle_closed(&mut self, now: Instant, session: SessionId, moved: Option<Moved>) {
        let was_waiting = Rank::ALL
            .map(|rank| self.waiting.remove(&(rank, session)))
            .contains(&true);
        let was_here = self.asked.remove(&session).is_some() || was_waiting;
        match moved {
            Some(moved) if was_here || self.away.remove(&session).is_some() => {
                debug!(%session, node = %moved.node, took_ms = moved.took_ms, pause_ms = moved.pause_ms, "evacuation: moved");
                counter!("rotunda_sfu_moved_sessions_total").increment(1);
                histogram!("rotunda_sfu_move_pause_seconds").record(moved.pause_ms as f64 / 1000.0);
                self.moved.entry(moved.node.clone()).or_default().push(moved);
            }
            None if was_here => {
                self.away.insert(session, Away::Left { until: now + WORD });
            }
            Some(_) | None => {}
        }
    }

    /// Writes the report into the log.
    pub fn write(&self) {
        for (node, moved) in &self.moved {
            let [pause, longest_pause] = middle_and_most(moved.iter().map(|moved| moved.pause_ms));
            let [took, longest] = middle_and_most(moved.iter().map(|moved| moved.took_ms));
            let paused = moved.iter().filter(|moved| moved.pause_ms > 0).count();
            info!(
                %node,
                sessions = moved.len(),
                paused,
                median_pause_ms = pause,
                longest_pause_ms = longest_pause,
                median_took_ms = took,
                longest_took_ms = longest,
                "evacuation: sessions moved"
            );
        }
        let ended = self.away.values().filter(|away| **away == Away::Ended).count();
        let left = self.away.len() - ended;
        if left > 0 {
            info!(sessions = left, "evacuation: sessions that ended meanwhile");
        }
        match self.waiting.len() + self.asked.len() + ended {
            0 => info!("evacuation: no session is left"),
            sessions => warn!(sessions, "evacuation: sessions that are not known to be elsewhere"),
        }
    }
}

impl Rank {
    const ALL: [Self; 3] = [Self::Viewer, Self::Service, Self::Publisher];
}

/// The median and the largest of these; 0 of none.
fn middle_and_most(values: impl Iterator<Item = u64>) -> [u64; 2] {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let middle = values.get(values.len().saturating_sub(1) / 2).copied();
    [middle, values.last().copied()].map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    const VIEWER: SessionId = SessionId(7);
    const SERVICE: SessionId = SessionId(3);
    const PUBLISHER: SessionId = SessionId(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn three(now: Instant) -> Evacuation {
        let sessions = [
            (PUBLISHER, Rank::Publisher),
            (VIEWER, Rank::Viewer),
            (SERVICE, Rank::Service),
        ];
        Evacuation::new(now, MINUTE, sessions.into_iter())
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn moved(node: &str, pause_ms: u64) -> Option<Moved> {
        Some(Moved {
            node: node.parse().unwrap(),
            took_ms: 400,
            pause_ms,
        })
    }

    /// Runs until the time, and answers what was done, with the milliseconds since the beginning.
    fn run(evacuation: &mut Evacuation, began: Instant, until: Duration) -> Vec<(u64, Step)> {
        let mut steps = Vec::new();
        while evacuation.due() <= began + until {
            let now = evacuation.due();
            if evacuation.is_over(now) {
                break;
            }
            let before = steps.len();
            while let Some(step) = evacuation.poll(now) {
                steps.push((now.duration_since(began).as_millis() as u64, step));
            }
            assert!(steps.len() > before, "nothing was due at {now:?}");
        }
        steps
    }

    #[test]
    fn viewers_move_first_and_publishers_last_one_after_the_other() {
        let began = Clock.now();
        let mut evacuation = three(began);
        let steps = run(&mut evacuation, began, Duration::from_secs(1));
        let expected = [
            (0, Step::Ask(VIEWER)),
            (50, Step::Ask(SERVICE)),
            (100, Step::Ask(PUBLISHER)),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_viewer_who_begins_to_publish_moves_as_a_publisher() {
        let began = Clock.now();
        let mut evacuation = three(began);
        evacuation.handle_rank(VIEWER, Rank::Publisher);
        evacuation.handle_rank(PUBLISHER, Rank::Viewer);
        evacuation.handle_rank(SessionId(99), Rank::Viewer);
        let asked: Vec<Step> = run(&mut evacuation, began, Duration::from_secs(1))
            .into_iter()
            .map(|(_, step)| step)
            .collect();
        assert_eq!(asked, [PUBLISHER, SERVICE, VIEWER].map(Step::Ask));
    }

    #[test]
    fn many_sessions_are_asked_evenly_within_the_time() {
        let began = Clock.now();
        let sessions = (0..10_000).map(|id| (SessionId(id), Rank::Viewer));
        let mut evacuation = Evacuation::new(began, MINUTE, sessions);
        let mut seconds = [0; 60];
        while evacuation.due() < began + Duration::from_secs(45) {
            let now = evacuation.due();
            while let Some(step) = evacuation.poll(now) {
                let Step::Ask(session) = step else {
                    panic!("{step:?} at {now:?}")
                };
                seconds[now.duration_since(began).as_secs() as usize] += 1;
                evacuation.handle_closed(now, session, moved("sfu-2", 0));
            }
        }
        assert_eq!(seconds.iter().sum::<usize>(), 10_000);
        assert!(seconds.iter().all(|count| *count <= 240), "{seconds:?}");
        assert!(evacuation.is_over(began + Duration::from_secs(45)), "it is done early");
    }

    #[test]
    fn a_session_that_stays_is_asked_again_and_ended_before_the_deadline() {
        let began = Clock.now();
        let mut evacuation = three(began);
        run(&mut evacuation, began, Duration::from_millis(200));
        let soon = began + Duration::from_millis(200);
        evacuation.handle_closed(soon, VIEWER, moved("sfu-2", 0));
        evacuation.handle_closed(soon, SERVICE, None);
        let steps = run(&mut evacuation, began, MINUTE);
        let (last, before) = steps.split_last().unwrap();
        assert_eq!(*last, (55_000, Step::End(PUBLISHER)));
        assert_eq!(before.len(), 10, "every five seconds");
        assert!(before.iter().all(|(_, step)| *step == Step::Ask(PUBLISHER)));
        let late = began + Duration::from_secs(56);
        assert!(!evacuation.is_over(late), "it may come back elsewhere");
        evacuation.handle_closed(late, PUBLISHER, None);
        assert!(!evacuation.is_over(late), "its end is not its arrival");
        evacuation.handle_closed(late, PUBLISHER, moved("sfu-3", 700));
        assert!(evacuation.is_over(late));
        assert_eq!(evacuation.moved.len(), 2);
        assert_eq!(evacuation.away.len(), 1, "the service has left");
    }

    #[test]
    fn a_session_that_its_client_ends_after_the_move_is_in_the_report() {
        let began = Clock.now();
        let mut evacuation = Evacuation::new(began, MINUTE, [(VIEWER, Rank::Viewer)].into_iter());
        assert_eq!(evacuation.poll(began), Some(Step::Ask(VIEWER)));
        evacuation.handle_closed(began, VIEWER, None);
        assert!(!evacuation.is_over(began), "signaling may say where it went");
        assert_eq!(evacuation.due(), began + WORD);
        assert!(evacuation.is_over(began + WORD), "it may have left for good");
        evacuation.handle_closed(began + ms(900), VIEWER, moved("sfu-2", 0));
        assert!(evacuation.is_over(began + ms(900)));
        assert_eq!(evacuation.moved.len(), 1);
    }

    #[test]
    fn without_an_arrival_it_is_over_at_the_deadline() {
        let began = Clock.now();
        let mut evacuation = three(began);
        run(&mut evacuation, began, MINUTE);
        assert_eq!(evacuation.away.len(), 3);
        assert_eq!(evacuation.due(), began + MINUTE);
        assert!(!evacuation.is_over(began + MINUTE - ms(1)));
        assert!(evacuation.is_over(began + MINUTE));
    }

    #[test]
    fn the_report_has_the_middle_and_the_longest() {
        assert_eq!(middle_and_most([900, 0, 20].into_iter()), [20, 900]);
        assert_eq!(middle_and_most([].into_iter()), [0, 0]);
    }
}
