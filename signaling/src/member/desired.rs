//! A setting of the SFU session: its desired value, and whether the SFU has confirmed it.

use std::time::{Duration, Instant};

/// A command without an answer is sent again after this time.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// If the answer to a command is lost, the command may have taken effect or not. The value is then unconfirmed, and is sent again
/// every second, until the SFU answers.
///
/// A new session begins with the default value, which needs no confirmation. Call [`set`](Self::set) with the desired value;
/// while [`to_send`](Self::to_send) answers a value, send it and hand the outcome to [`handle_answer`](Self::handle_answer).
#[derive(Debug, Default)]
pub struct Desired<T> {
    value: T,
    confirmation: Confirmation,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Confirmation {
    #[default]
    Confirmed,
    /// The value has changed, or the SFU has not answered.
    Missing { due_at: Instant },
}

/// Whether the SFU has answered a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Confirmed,
    Lost,
}

impl<T: PartialEq> Desired<T> {
    /// Confirmed => Missing when the value differs; otherwise the state stays.
    pub fn set(&mut self, now: Instant, value: T) {
        if value != self.value {
            self.value = value;
            self.confirmation = Confirmation::Missing { due_at: now };
        }
    }

    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value, unless the SFU has confirmed it.
    pub fn to_send(&self) -> Option<&T> {
        (!self.is_confirmed()).then_some(&self.value)
    }

    pub fn is_confirmed(&self) -> bool {
        self.confirmation == Confirmation::Confirmed
    }

    /// When the value is sent (again); None: it is confirmed.
    pub fn due_at(&self) -> Option<Instant> {
        match self.confirmation {
            Confirmation::Confirmed => None,
            Confirmation::Missing { due_at } => Some(due_at),
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_some_and(|due_at| due_at <= now)
    }

    /// Missing => Missing and due now; Confirmed stays.
    pub fn hurry(&mut self, now: Instant) {
        if !self.is_confirmed() {
            self.confirmation = Confirmation::Missing { due_at: now };
        }
    }

    /// The SFU may not have the value any more: => Missing and due at a time, unless it is due earlier.
    pub fn doubt(&mut self, due_at: Instant) {
        if self.is_confirmed() {
            self.confirmation = Confirmation::Missing { due_at };
        }
    }

    /// Missing => Confirmed, or Missing and due a second later.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        self.confirmation = match answer {
            Answer::Confirmed => Confirmation::Confirmed,
            Answer::Lost => Confirmation::Missing {
                due_at: now + TELL_AGAIN,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::clock::Clock;

    use super::*;

    #[test]
    fn an_unconfirmed_value_is_sent_every_second_until_the_answer_comes() {
        let start = Clock.now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut setting = Desired::<u8>::default();
        assert!(setting.is_confirmed(), "a new session has the default");
        setting.set(start, 7);
        assert!(setting.is_due(start));
        setting.handle_answer(at(0), Answer::Lost);
        assert!(!setting.is_due(at(999)) && setting.is_due(at(1000)));
        setting.set(at(500), 7);
        assert!(!setting.is_due(at(999)), "the same value is no reason to hurry");
        assert_eq!(setting.to_send(), Some(&7), "but may be sent at any time");
        setting.handle_answer(at(1000), Answer::Confirmed);
        assert_eq!((setting.to_send(), setting.due_at()), (None, None));
    }

    #[test]
    fn a_value_that_is_reset_before_its_confirmation_is_sent_too() {
        let start = Clock.now();
        let mut setting = Desired::<u8>::default();
        setting.set(start, 7);
        setting.handle_answer(start, Answer::Lost);
        setting.set(start, 0);
        assert_eq!(setting.to_send(), Some(&0), "the SFU may have got the 7");
    }
}
