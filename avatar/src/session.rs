//! Speech of one avatar: the queue of utterances, the current one, and interruption. Sans-IO.
//!
//! Text goes in, orders to synthesise come out; PCM comes in by the utterance's id, pieces of 20 ms go out, one every 20 ms.

use std::collections::VecDeque;
use std::sync::Arc;

use thiserror::Error;

use crate::audio::PIECE;
use crate::viseme::Viseme;

/// Utterances that wait, at most.
pub const MAX_WAITING: usize = 256;
/// Utterances that are synthesised at one time: the one that is spoken and the next, so that there is no pause between them.
const AHEAD: usize = 2;
/// Samples that must be there before an utterance begins while more of it is to come: 80 ms.
const BEGIN_AT: usize = 4 * PIECE;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UtteranceId(u64);

/// Why it is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QueueFull {
    #[error("{MAX_WAITING} sentences wait to be spoken already; interrupt them or try again later")]
    Sentences,
    #[error("too much audio waits to be played already (avatar.max_audio_seconds); interrupt it or try again later")]
    Audio,
}

/// A wish to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Synthesise {
        id: UtteranceId,
        text: Arc<str>,
    },
    /// Nobody needs the rest.
    Abandon(UtteranceId),
}

/// A fact for those who follow the avatar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Started { text: Arc<str> },
    Ended { text: Arc<str>, end: End },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Said,
    Interrupted,
    Failed(String),
}

/// 20 ms of 16 kHz mono.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub samples: [i16; PIECE],
    pub is_speech: bool,
    /// None: nobody knows, the sound must tell.
    pub viseme: Option<Viseme>,
}

impl Piece {
    pub const SILENCE: Self = Self {
        samples: [0; PIECE],
        is_speech: false,
        viseme: None,
    };
}

struct Utterance {
    id: UtteranceId,
    /// Empty: uploaded audio.
    text: Arc<str>,
    synthesis: Synthesis,
    pcm: VecDeque<i16>,
    /// The forms of the mouth, each with the sample of the utterance before which it ends.
    visemes: VecDeque<(usize, Viseme)>,
    /// Samples that came in all.
    received: usize,
    has_started: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synthesis {
    Waiting,
    Coming,
    Whole,
}

/// See the [module](self).
pub struct Session {
    utterances: VecDeque<Utterance>,
    next_id: u64,
    /// Samples of one utterance, at most.
    max_samples: usize,
    orders: VecDeque<Order>,
    events: VecDeque<Event>,
}

impl Session {
    /// `max_samples`: of one utterance; what is longer is cut off.
    pub fn new(max_samples: usize) -> Self {
        Self {
            utterances: VecDeque::new(),
            next_id: 0,
            max_samples,
            orders: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Queues a sentence.
    pub fn say(&mut self, text: &str) -> Result<(), QueueFull> {
        self.push(text, Synthesis::Waiting, VecDeque::new())
    }

    /// Queues audio as it is.
    pub fn play(&mut self, pcm: Vec<i16>) -> Result<(), QueueFull> {
        let waiting: usize = self.utterances.iter().map(|utterance| utterance.pcm.len()).sum();
        if waiting > 0 && waiting + pcm.len() > self.max_samples {
            return Err(QueueFull::Audio);
        }
        self.push("", Synthesis::Whole, pcm.into())
    }

    /// Drops everything that is spoken or waits.
    pub fn interrupt(&mut self) {
        for utterance in std::mem::take(&mut self.utterances) {
            self.end(utterance, End::Interrupted);
        }
    }

    /// PCM of an utterance. True: more may come; the rest is not wanted otherwise.
    pub fn handle_pcm(&mut self, id: UtteranceId, pcm: &[i16], viseme: Option<Viseme>) -> bool {
        let max = self.max_samples;
        let Some(utterance) = self.coming(id) else { return false };
        let taken = pcm.len().min(max - utterance.received);
        utterance.received += taken;
        utterance.pcm.extend(&pcm[..taken]);
        utterance
            .visemes
            .extend(viseme.map(|viseme| (utterance.received, viseme)));
        if taken < pcm.len() {
            utterance.synthesis = Synthesis::Whole;
            self.orders.push_back(Order::Abandon(id));
            return false;
        }
        true
    }

    /// The utterance's synthesis has ended, with an error or without one.
    pub fn handle_synthesis_end(&mut self, id: UtteranceId, error: Option<String>) {
        if let Some(utterance) = self.coming(id) {
            utterance.synthesis = Synthesis::Whole;
            if let Some(error) = error {
                // The audio from before the error is still spoken.
                if utterance.pcm.is_empty()
                    && let Some(at) = self.utterances.iter().position(|utterance| utterance.id == id)
                    && let Some(failed) = self.utterances.remove(at)
                {
                    self.end(failed, End::Failed(error));
                }
            }
        }
    }

    /// The next 20 ms; call it once every 20 ms.
    pub fn next_piece(&mut self) -> Piece {
        loop {
            let Some(front) = self.utterances.front_mut() else {
                return Piece::SILENCE;
            };
            let is_whole = front.synthesis == Synthesis::Whole;
            if !front.has_started {
                if !is_whole && front.pcm.len() < BEGIN_AT {
                    return Piece::SILENCE;
                }
                front.has_started = true;
                self.events.push_back(Event::Started {
                    text: front.text.clone(),
                });
            }
            if front.pcm.is_empty() && is_whole {
                if let Some(said) = self.utterances.pop_front() {
                    self.end(said, End::Said);
                }
                continue;
            }
            let mut piece = Piece {
                is_speech: true,
                ..Piece::SILENCE
            };
            // In the middle of an utterance the synthesis may be late: silence then, and the rest when it is there.
            if front.pcm.len() >= PIECE || is_whole {
                let length = front.pcm.len().min(PIECE);
                let middle = front.received - front.pcm.len() + length / 2;
                while front.visemes.front().is_some_and(|(end, _)| *end <= middle) {
                    front.visemes.pop_front();
                }
                piece.viseme = front.visemes.front().map(|(_, viseme)| *viseme);
                for (to, from) in piece.samples.iter_mut().zip(front.pcm.drain(..length)) {
                    *to = from;
                }
            }
            return piece;
        }
    }

    /// Speech is being output.
    pub fn is_speaking(&self) -> bool {
        self.utterances.front().is_some_and(|front| front.has_started)
    }

    /// Nothing is spoken and nothing waits.
    #[cfg(test)]
    fn is_idle(&self) -> bool {
        self.utterances.is_empty()
    }

    pub fn poll_order(&mut self) -> Option<Order> {
        if let Some(order) = self.orders.pop_front() {
            return Some(order);
        }
        let next = self
            .utterances
            .iter_mut()
            .take(AHEAD)
            .find(|utterance| utterance.synthesis == Synthesis::Waiting)?;
        next.synthesis = Synthesis::Coming;
        Some(Order::Synthesise {
            id: next.id,
            text: next.text.clone(),
        })
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn push(&mut self, text: &str, synthesis: Synthesis, pcm: VecDeque<i16>) -> Result<(), QueueFull> {
        if self.utterances.len() >= MAX_WAITING {
            return Err(QueueFull::Sentences);
        }
        let id = UtteranceId(self.next_id);
        self.next_id += 1;
        self.utterances.push_back(Utterance {
            id,
            text: text.into(),
            synthesis,
            received: pcm.len(),
            visemes: VecDeque::new(),
            pcm,
            has_started: false,
        });
        Ok(())
    }

    fn coming(&mut self, id: UtteranceId) -> Option<&mut Utterance> {
        self.utterances
            .iter_mut()
            .find(|utterance| utterance.id == id && utterance.synthesis == Synthesis::Coming)
    }

    fn end(&mut self, utterance: Utterance, end: End) {
        if utterance.synthesis == Synthesis::Coming {
            self.orders.push_back(Order::Abandon(utterance.id));
        }
        let failed = matches!(end, End::Failed(_));
        if utterance.has_started || failed {
            self.events.push_back(Event::Ended {
                text: utterance.text,
                end,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(10 * 16_000)
    }

    fn ordered(session: &mut Session) -> Vec<(UtteranceId, String)> {
        std::iter::from_fn(|| session.poll_order())
            .filter_map(|order| match order {
                Order::Synthesise { id, text } => Some((id, text.to_string())),
                Order::Abandon(_) => None,
            })
            .collect()
    }

    fn events(session: &mut Session) -> Vec<Event> {
        std::iter::from_fn(|| session.poll_event()).collect()
    }

    #[test]
    fn sentences_are_spoken_one_after_the_other_with_their_start_and_end() {
        let mut session = session();
        session.say("one").unwrap();
        session.say("two").unwrap();
        for (id, _) in ordered(&mut session) {
            assert!(session.handle_pcm(id, &[7; PIECE + 1], None));
            session.handle_synthesis_end(id, None);
        }
        let speech: Vec<bool> = (0..5).map(|_| session.next_piece().is_speech).collect();
        assert_eq!(speech, [true, true, true, true, false]);
        let told: Vec<String> = events(&mut session)
            .into_iter()
            .map(|event| match event {
                Event::Started { text } => format!("start {text}"),
                Event::Ended { text, end } => format!("end {text} {end:?}"),
            })
            .collect();
        assert_eq!(told, ["start one", "end one Said", "start two", "end two Said"]);
        assert!(session.is_idle());
    }

    #[test]
    fn the_sentence_that_is_spoken_and_the_next_one_are_synthesised() {
        let mut session = session();
        for text in ["one", "two", "three"] {
            session.say(text).unwrap();
        }
        let first = ordered(&mut session);
        assert_eq!(
            first.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["one", "two"]
        );
        session.handle_synthesis_end(first[0].0, None);
        session.next_piece();
        assert_eq!(ordered(&mut session)[0].1, "three");
    }

    #[test]
    fn an_interruption_drops_everything_at_once() {
        let mut session = session();
        session.say("one").unwrap();
        session.say("two").unwrap();
        let ids = ordered(&mut session);
        session.handle_pcm(ids[0].0, &[7; 16_000], None);
        assert!(session.next_piece().is_speech && session.is_speaking());
        session.interrupt();
        assert!(!session.is_speaking());
        assert_eq!(session.next_piece(), Piece::SILENCE);
        assert!(
            !session.handle_pcm(ids[0].0, &[7; 320], None),
            "late audio is not wanted"
        );
        assert_eq!(session.next_piece(), Piece::SILENCE);
        let abandoned: Vec<Order> = std::iter::from_fn(|| session.poll_order()).collect();
        assert_eq!(abandoned, [Order::Abandon(ids[0].0), Order::Abandon(ids[1].0)]);
        let ended = events(&mut session);
        assert_eq!(ended.len(), 2, "the sentence that did not begin has no end: {ended:?}");
    }

    #[test]
    fn a_late_synthesis_makes_a_pause_and_ends_nothing() {
        let mut session = session();
        session.say("one").unwrap();
        let id = ordered(&mut session)[0].0;
        assert!(!session.next_piece().is_speech, "nothing is there yet");
        session.handle_pcm(id, &[7; BEGIN_AT], None);
        for _ in 0..4 {
            assert_eq!(session.next_piece().samples[0], 7);
        }
        let pause = session.next_piece();
        assert!(pause.is_speech && pause.samples == [0; PIECE] && session.is_speaking());
        session.handle_pcm(id, &[8; PIECE], None);
        assert_eq!(session.next_piece().samples[0], 8);
    }

    #[test]
    fn a_failed_synthesis_is_told_and_the_next_sentence_is_spoken() {
        let mut session = session();
        session.say("one").unwrap();
        session.say("two").unwrap();
        let ids = ordered(&mut session);
        session.handle_synthesis_end(ids[0].0, Some("no voice".to_owned()));
        session.handle_pcm(ids[1].0, &[7; BEGIN_AT], None);
        assert!(session.next_piece().is_speech);
        let failed = Event::Ended {
            text: "one".into(),
            end: End::Failed("no voice".to_owned()),
        };
        assert_eq!(events(&mut session)[0], failed);
    }

    #[test]
    fn a_piece_has_the_form_of_the_mouth_in_its_middle() {
        let mut session = session();
        session.say("ma").unwrap();
        let id = ordered(&mut session)[0].0;
        session.handle_pcm(id, &[7; PIECE + 100], Some(Viseme::Closed));
        session.handle_pcm(id, &[7; 3 * PIECE - 100], Some(Viseme::Open));
        session.handle_synthesis_end(id, None);
        let visemes: Vec<_> = (0..5).map(|_| session.next_piece().viseme).collect();
        let (closed, open) = (Some(Viseme::Closed), Some(Viseme::Open));
        assert_eq!(visemes, [closed, open, open, open, None]);
    }

    #[test]
    fn queue_and_length_have_bounds() {
        let mut session = Session::new(100);
        for _ in 0..MAX_WAITING {
            session.say("x").unwrap();
        }
        assert_eq!(session.say("x"), Err(QueueFull::Sentences));
        let id = ordered(&mut session)[0].0;
        assert!(!session.handle_pcm(id, &[1; 101], None));
        assert_eq!(session.utterances[0].pcm.len(), 100);
    }

    #[test]
    fn uploads_wait_up_to_the_longest_audio_in_all() {
        let mut session = Session::new(1000);
        session.play(vec![1; 600]).unwrap();
        session.play(vec![1; 400]).unwrap();
        assert_eq!(session.play(vec![1; 1]), Err(QueueFull::Audio));
        session.next_piece();
        assert_eq!(session.play(vec![1; PIECE]), Ok(()), "what is played makes room");
    }
}
