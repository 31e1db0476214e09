//! One avatar: a thread with the clock of 20 ms. It owns the session, the face, the encoders and everything that goes out.

mod orders;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use rotunda_proto::clock::Clock;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use orders::Handle;
use orders::{Command, Reply};

use crate::config::Config;
use crate::face::{Clips, Show, StateError};
use crate::notify::{Notification, Notifier};
use crate::output::{OutputError, Outputs};
use crate::pace::Pace;
use crate::reply::chain;
use crate::session::{Event, Order, QueueFull, Session, UtteranceId};
use crate::speech::Speech;
use crate::stage::Stage;
use crate::words::{Conversation, QuestionsFull, Words};

/// 20 ms.
const TICK: Duration = Duration::from_millis(20);
/// Later than this the avatar paints no frames until it has caught up.
const LATE: Duration = Duration::from_millis(100);
/// Later than this it goes on from now.
const LOST: Duration = Duration::from_secs(1);

/// Parts that all avatars share.
#[derive(Clone)]
pub struct Shared {
    pub config: Arc<Config>,
    pub clips: Arc<Clips>,
    pub speech: Arc<dyn Speech>,
    pub words: Arc<dyn Words>,
    pub notifier: Notifier,
    pub runtime: runtime::Handle,
    /// The avatars' threads.
    pub threads: TaskTracker,
}

/// Why an avatar did not do it.
#[derive(Debug, Error)]
pub enum AvatarError {
    #[error(transparent)]
    Queue(#[from] QueueFull),
    #[error(transparent)]
    Questions(#[from] QuestionsFull),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{0}")]
    Words(String),
    #[error("it was interrupted before the answer began")]
    Interrupted,
    #[error("the session has ended")]
    Ended,
    #[error("start the avatar's thread")]
    Thread(#[source] std::io::Error),
}

/// An avatar that runs; it ends with this.
pub struct Avatar(Handle);

impl Avatar {
    pub fn start(id: u32, shared: Shared) -> Result<Self, AvatarError> {
        let (commands, received) = channel();
        let is_speaking = Arc::new(AtomicBool::new(false));
        let alive = shared.threads.token();
        let handle = Handle::new(commands.clone(), is_speaking.clone());
        std::thread::Builder::new()
            .name(format!("avatar-{id}"))
            .spawn(move || {
                Actor::new(id, shared, commands, is_speaking).run(&received);
                drop(alive);
            })
            .map_err(AvatarError::Thread)?;
        Ok(Self(handle))
    }

    pub fn handle(&self) -> Handle {
        self.0.clone()
    }
}

impl Drop for Avatar {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The thread's state.
struct Actor {
    id: u32,
    shared: Shared,
    /// For the tasks that it starts.
    commands: Sender<Command>,
    is_speaking: Arc<AtomicBool>,
    session: Session,
    conversation: Conversation<Reply>,
    stage: Stage,
    outputs: Outputs,
    synthesis: HashMap<UtteranceId, JoinHandle<()>>,
    answering: Option<JoinHandle<()>>,
    pace: Pace,
}

impl Actor {
    fn new(id: u32, shared: Shared, commands: Sender<Command>, is_speaking: Arc<AtomicBool>) -> Self {
        let config = &shared.config;
        Self {
            id,
            commands,
            is_speaking,
            session: Session::new(config.max_samples()),
            conversation: Conversation::new(config.chat.system.clone()),
            stage: Stage::new(Show::of(config, shared.clips.clone(), &shared.runtime), config),
            outputs: Outputs::new(config, id),
            synthesis: HashMap::new(),
            answering: None,
            pace: Pace::new(Clock.now()),
            shared,
        }
    }

    fn run(mut self, commands: &Receiver<Command>) {
        let clock = Clock;
        gauge!("rotunda_avatar_sessions").increment(1.0);
        info!(session = self.id, "avatar started");
        let mut due = clock.now();
        loop {
            let now = clock.now();
            if now < due {
                match commands.recv_timeout(due - now) {
                    Ok(Command::End) | Err(RecvTimeoutError::Disconnected) => break,
                    Ok(command) => self.handle(command),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                continue;
            }
            let late = now - due;
            if late > LOST {
                // Even, so that frames stay at even numbers.
                let skipped = (late.as_millis() / TICK.as_millis()) as u32 & !1;
                counter!("rotunda_avatar_skipped_pieces_total").increment(skipped.into());
                warn!(
                    session = self.id,
                    skipped, "this machine is too slow for its avatars; 20 ms pieces were left out"
                );
                self.stage.skip(skipped);
                due += TICK * skipped;
                continue;
            }
            self.tick(due, late);
            due += TICK;
        }
        if let Some(finished) = self.outputs.end_record() {
            // The file is told of in the log.
            let _told = finished.blocking_recv();
        }
        for task in self.synthesis.into_values().chain(self.answering) {
            task.abort();
        }
        gauge!("rotunda_avatar_sessions").decrement(1.0);
        info!(session = self.id, "avatar ended");
    }

    /// The 20 ms that are to be seen and heard from `due` on.
    fn tick(&mut self, due: Instant, late: Duration) {
        let piece = self.session.next_piece();
        let block = self.stage.handle_piece(piece);
        self.is_speaking.store(
            self.session.is_speaking() || self.stage.is_speaking(),
            Ordering::Relaxed,
        );
        if let Err(error) = self.outputs.audio(&block, due) {
            debug!(session = self.id, %error, "20 ms of audio were not encoded");
        }
        if block.has_frame() {
            if late > LATE {
                counter!("rotunda_avatar_skipped_frames_total").increment(1);
            } else {
                let began = Clock.now();
                let frame = self.stage.paint();
                let painted = Clock.now();
                if let Err(error) = self.outputs.video(frame, &block, due) {
                    warn!(
                        session = self.id,
                        error = &error as &dyn std::error::Error,
                        "a frame was not encoded"
                    );
                }
                self.pace.handle_frame(self.id, began, painted);
            }
        }
        self.drive();
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Say {
                sentences,
                interrupt,
                reply,
            } => {
                if interrupt {
                    self.interrupt();
                }
                let said = sentences.iter().try_for_each(|sentence| self.session.say(sentence));
                answer(reply, said.map_err(AvatarError::from));
            }
            Command::Ask {
                question,
                interrupt,
                reply,
            } => {
                if interrupt {
                    self.interrupt();
                }
                self.ask(question, reply);
            }
            Command::Play { pcm, reply } => answer(reply, self.session.play(pcm).map_err(AvatarError::from)),
            Command::Interrupt { reply } => {
                self.interrupt();
                answer(reply, Ok(()));
            }
            Command::SetState {
                audiotype,
                reinit,
                reply,
            } => {
                answer(
                    reply,
                    self.stage.set_state(audiotype, reinit).map_err(AvatarError::from),
                );
            }
            Command::StartRecord { reply } => {
                let piece = self.stage.next_number();
                answer(reply, self.outputs.start_record(piece).map_err(AvatarError::from));
            }
            Command::EndRecord { reply } => answer(reply, Ok(self.outputs.end_record())),
            Command::AddOutput { codec, sink } => self.outputs.add(codec, sink),
            Command::AddProgram { sink } => {
                let piece = self.stage.next_number();
                if let Err(error) = self.outputs.add_program(sink, piece) {
                    warn!(
                        session = self.id,
                        error = &error as &dyn std::error::Error,
                        "the avatar is not pushed"
                    );
                }
            }
            Command::ForceKeyframe => self.outputs.force_key(),
            Command::Pcm { id, pcm, viseme } => {
                self.session.handle_pcm(id, &pcm, viseme);
            }
            Command::SynthesisEnd { id, error } => {
                self.synthesis.remove(&id);
                self.session.handle_synthesis_end(id, error);
            }
            Command::AnswerText { number, text } => {
                for sentence in self.conversation.handle_text(number, &text) {
                    self.say_answer(&sentence);
                }
            }
            Command::AnswerEnd { number } => {
                if let Some(sentence) = self.conversation.handle_end(number) {
                    self.say_answer(&sentence);
                }
            }
            Command::End => {}
        }
        self.drive();
    }

    fn ask(&mut self, question: String, reply: Reply) {
        // A question that waits for another's answer is accepted by that alone.
        let is_answering = self.answering.as_ref().is_some_and(|task| !task.is_finished());
        let (with, queued) = match is_answering {
            true => (oneshot::channel().0, Some(reply)),
            false => (reply, None),
        };
        let asked = self.conversation.ask(question, with).map_err(AvatarError::from);
        if let Some(reply) = queued {
            answer(reply, asked);
        }
    }

    fn say_answer(&mut self, sentence: &str) {
        if let Err(error) = self.session.say(sentence) {
            warn!(session = self.id, %error, "a sentence of the answer is left out");
        }
    }

    fn interrupt(&mut self) {
        self.session.interrupt();
        self.stage.interrupt();
        self.conversation.interrupt();
        if let Some(answering) = self.answering.take() {
            answering.abort();
        }
        self.is_speaking.store(false, Ordering::Relaxed);
    }

    /// Does what the cores want.
    fn drive(&mut self) {
        while let Some(order) = self.session.poll_order() {
            match order {
                Order::Synthesise { id, text } => {
                    let task = self.synthesise(id, text);
                    self.synthesis.insert(id, task);
                }
                Order::Abandon(id) => {
                    if let Some(task) = self.synthesis.remove(&id) {
                        task.abort();
                    }
                }
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.tell(&event);
        }
        if self.answering.as_ref().is_some_and(JoinHandle::is_finished) {
            self.answering = None;
        }
        if let Some(asked) = self.conversation.poll_asked() {
            self.answering = Some(self.answer(asked.number, asked.messages, asked.with));
        }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Started { text } => {
                counter!("rotunda_avatar_sentences_total").increment(1);
                debug!(session = self.id, %text, "speaking");
            }
            Event::Ended {
                end: crate::session::End::Failed(error),
                ..
            } => {
                counter!("rotunda_avatar_speech_failures_total").increment(1);
                warn!(session = self.id, %error, "a sentence was not spoken");
            }
            Event::Ended { .. } => {}
        }
        self.shared.notifier.tell(Notification::new(self.id, event));
    }

    fn synthesise(&self, id: UtteranceId, text: Arc<str>) -> JoinHandle<()> {
        let (speech, commands) = (self.shared.speech.clone(), self.commands.clone());
        self.shared.runtime.spawn(async move {
            let mut sink = |pcm: &[i16], viseme| {
                let pcm = pcm.to_vec();
                commands.send(Command::Pcm { id, pcm, viseme }).is_ok()
            };
            let error = speech.speak(&text, &mut sink).await.err();
            let error = error.map(|error| chain(&error));
            let _ended = commands.send(Command::SynthesisEnd { id, error });
        })
    }

    fn answer(&self, number: u64, messages: Vec<crate::words::Message>, reply: Reply) -> JoinHandle<()> {
        let (words, commands, id) = (self.shared.words.clone(), self.commands.clone(), self.id);
        self.shared.runtime.spawn(async move {
            let mut reply = Some(reply);
            let mut accepted = || {
                if let Some(reply) = reply.take() {
                    answer(reply, Ok(()));
                }
            };
            let mut text = |text: &str| {
                let text = text.to_owned();
                let _ended = commands.send(Command::AnswerText { number, text });
            };
            let result = words.answer(&messages, &mut accepted, &mut text).await;
            if let Err(error) = result {
                counter!("rotunda_avatar_chat_failures_total").increment(1);
                warn!(
                    session = id,
                    error = &error as &dyn std::error::Error,
                    "a question was not answered"
                );
                if let Some(reply) = reply.take() {
                    answer(reply, Err(AvatarError::Words(chain(&error))));
                }
            }
            let _ended = commands.send(Command::AnswerEnd { number });
        })
    }
}

fn answer<T>(reply: Reply<T>, result: Result<T, AvatarError>) {
    // A client that went away does not need it.
    let _gone = reply.send(result);
}
