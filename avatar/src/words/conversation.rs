//! Questions, answers, and the next question. Sans-IO: one answer at a time, so that answers never mix.

use std::collections::VecDeque;

use serde::Serialize;
use thiserror::Error;

use crate::sentences::Sentences;

/// Questions that wait for their turn, at most.
const MOST_QUESTIONS: usize = 16;
/// Messages of the past that the model is told.
const MOST_MESSAGES: usize = 20;

/// One message, as the endpoint reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{MOST_QUESTIONS} questions wait for their answer already; interrupt them or try again later")]
pub struct QuestionsFull;

/// A question whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked<T> {
    pub number: u64,
    pub messages: Vec<Message>,
    /// Data of the request that asked.
    pub with: T,
}

/// See the [module](self). `T` travels with each question.
pub struct Conversation<T> {
    system: Message,
    past: VecDeque<Message>,
    waiting: VecDeque<(String, T)>,
    number: u64,
    answering: Option<Answering>,
}

struct Answering {
    number: u64,
    question: String,
    answer: String,
    sentences: Sentences,
}

impl<T> Conversation<T> {
    pub fn new(system: String) -> Self {
        Self {
            system: Message {
                role: Role::System,
                content: system,
            },
            past: VecDeque::new(),
            waiting: VecDeque::new(),
            number: 0,
            answering: None,
        }
    }

    pub fn ask(&mut self, question: String, with: T) -> Result<(), QuestionsFull> {
        if self.waiting.len() >= MOST_QUESTIONS {
            return Err(QuestionsFull);
        }
        self.waiting.push_back((question, with));
        Ok(())
    }

    /// The next question, when no other is being answered.
    pub fn poll_asked(&mut self) -> Option<Asked<T>> {
        if self.answering.is_some() {
            return None;
        }
        let (question, with) = self.waiting.pop_front()?;
        self.number += 1;
        let mut messages = Vec::with_capacity(self.past.len() + 2);
        if !self.system.content.is_empty() {
            messages.push(self.system.clone());
        }
        messages.extend(self.past.iter().cloned());
        messages.push(Message {
            role: Role::User,
            content: question.clone(),
        });
        self.answering = Some(Answering {
            number: self.number,
            question,
            answer: String::new(),
            sentences: Sentences::default(),
        });
        Some(Asked {
            number: self.number,
            messages,
            with,
        })
    }

    /// Text of an answer; what it completes is to be said. An answer that was interrupted gives nothing.
    pub fn handle_text(&mut self, number: u64, text: &str) -> Vec<String> {
        let Some(answering) = self.current(number) else {
            return Vec::new();
        };
        answering.answer.push_str(text);
        answering.sentences.handle_text(text);
        std::iter::from_fn(|| answering.sentences.poll_sentence()).collect()
    }

    /// The answer is over; answers with its last sentence.
    pub fn handle_end(&mut self, number: u64) -> Option<String> {
        let last = self.current(number)?.sentences.finish();
        self.keep();
        last
    }

    /// Forgets what waits, and the rest of the answer.
    pub fn interrupt(&mut self) {
        self.waiting.clear();
        self.keep();
    }

    fn current(&mut self, number: u64) -> Option<&mut Answering> {
        self.answering.as_mut().filter(|answering| answering.number == number)
    }

    fn keep(&mut self) {
        let Some(answered) = self.answering.take() else { return };
        if answered.answer.is_empty() {
            return;
        }
        for (role, content) in [(Role::User, answered.question), (Role::Assistant, answered.answer)] {
            self.past.push_back(Message { role, content });
        }
        while self.past.len() > MOST_MESSAGES {
            self.past.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(asked: &Asked<()>) -> Vec<&str> {
        asked.messages.iter().map(|message| message.content.as_str()).collect()
    }

    #[test]
    fn answers_come_one_after_the_other_sentence_by_sentence() {
        let mut talk = Conversation::new("Be brief.".to_owned());
        talk.ask("one?".to_owned(), ()).unwrap();
        talk.ask("two?".to_owned(), ()).unwrap();
        let first = talk.poll_asked().unwrap();
        assert_eq!(contents(&first), ["Be brief.", "one?"]);
        assert_eq!(talk.poll_asked(), None);
        assert_eq!(talk.handle_text(first.number, "It is. It"), ["It is."]);
        assert_eq!(talk.handle_end(first.number).as_deref(), Some("It"));
        let second = talk.poll_asked().unwrap();
        assert_eq!(contents(&second), ["Be brief.", "one?", "It is. It", "two?"]);
    }

    #[test]
    fn an_interrupted_answer_says_nothing_more_and_what_was_said_is_remembered() {
        let mut talk = Conversation::new(String::new());
        talk.ask("one?".to_owned(), ()).unwrap();
        let first = talk.poll_asked().unwrap();
        talk.handle_text(first.number, "Well");
        talk.ask("two?".to_owned(), ()).unwrap();
        talk.interrupt();
        assert_eq!(talk.handle_text(first.number, "; so. And"), [] as [&str; 0]);
        assert_eq!(talk.handle_end(first.number), None);
        talk.ask("three?".to_owned(), ()).unwrap();
        assert_eq!(contents(&talk.poll_asked().unwrap()), ["one?", "Well", "three?"]);
    }

    #[test]
    fn questions_and_memory_have_bounds() {
        let mut talk = Conversation::new(String::new());
        for _ in 0..40 {
            talk.ask("x?".to_owned(), ()).unwrap();
            let asked = talk.poll_asked().unwrap();
            assert!(asked.messages.len() <= MOST_MESSAGES + 1);
            talk.handle_text(asked.number, "x");
            talk.handle_end(asked.number);
        }
        for _ in 0..MOST_QUESTIONS {
            talk.ask("x?".to_owned(), ()).unwrap();
        }
        assert_eq!(talk.ask("x?".to_owned(), ()), Err(QuestionsFull));
    }
}
