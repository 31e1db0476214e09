//! An answer for which a thread of the program waits.
//!
//! Not a channel of the standard library: that keeps the thread's handle, which stays behind in threads that Rust did not start.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Answers; dropping it answers with none.
pub struct Answer<T>(Arc<Shared<T>>);

/// Waits for the answer.
pub struct Wait<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    value: Option<T>,
    is_over: bool,
}

pub fn reply<T>() -> (Answer<T>, Wait<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            value: None,
            is_over: false,
        }),
        changed: Condvar::new(),
    });
    (Answer(shared.clone()), Wait(shared))
}

impl<T> Answer<T> {
    pub fn give(self, value: T) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).value = Some(value);
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.0.changed.notify_one();
    }
}

impl<T> Wait<T> {
    /// None: nobody can answer any more.
    pub fn wait(self) -> Option<T> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_over {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.value.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waiting_thread_gets_the_answer_or_none() {
        let (answer, wait) = reply();
        let waiting = std::thread::spawn(|| wait.wait());
        answer.give(5);
        assert_eq!(waiting.join().unwrap(), Some(5));
        let (answer, wait) = reply::<u32>();
        drop(answer);
        assert_eq!(wait.wait(), None);
    }
}
