//! Orders to an avatar, by which all others reach its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use rotunda_client::source::Encoded;
use rotunda_media::codec::VideoCodec;
use tokio::sync::{mpsc, oneshot};

use super::AvatarError;
use crate::session::UtteranceId;
use crate::viseme::Viseme;

pub(super) type Reply<T = ()> = oneshot::Sender<Result<T, AvatarError>>;

/// An order to an avatar.
pub(super) enum Command {
    Say {
        sentences: Vec<String>,
        interrupt: bool,
        reply: Reply,
    },
    Ask {
        question: String,
        interrupt: bool,
        reply: Reply,
    },
    Play {
        pcm: Vec<i16>,
        reply: Reply,
    },
    Interrupt {
        reply: Reply,
    },
    SetState {
        audiotype: u32,
        reinit: bool,
        reply: Reply,
    },
    StartRecord {
        reply: Reply,
    },
    EndRecord {
        reply: Reply<Option<oneshot::Receiver<Result<(), String>>>>,
    },
    AddOutput {
        codec: VideoCodec,
        sink: mpsc::Sender<Encoded>,
    },
    AddProgram {
        sink: rotunda_media::program::ProgramWriter,
    },
    ForceKeyframe,
    Pcm {
        id: UtteranceId,
        pcm: Vec<i16>,
        viseme: Option<Viseme>,
    },
    SynthesisEnd {
        id: UtteranceId,
        error: Option<String>,
    },
    AnswerText {
        number: u64,
        text: String,
    },
    AnswerEnd {
        number: u64,
    },
    End,
}

/// A way to order an avatar around.
#[derive(Clone)]
pub struct Handle {
    commands: Sender<Command>,
    is_speaking: Arc<AtomicBool>,
}

impl Handle {
    /// `is_speaking`: as the avatar's thread says.
    pub(super) const fn new(commands: Sender<Command>, is_speaking: Arc<AtomicBool>) -> Self {
        Self { commands, is_speaking }
    }

    /// The avatar ends, if it has not yet.
    pub(super) fn end(&self) {
        let _ended = self.commands.send(Command::End);
    }

    /// Speaks sentences. `interrupt`: everything else is dropped first.
    pub async fn say(&self, sentences: Vec<String>, interrupt: bool) -> Result<(), AvatarError> {
        self.ask_for(|reply| Command::Say {
            sentences,
            interrupt,
            reply,
        })
        .await
    }

    /// Answers a question; ready when the answer begins.
    pub async fn chat(&self, question: String, interrupt: bool) -> Result<(), AvatarError> {
        let asked = self
            .ask_for(|reply| Command::Ask {
                question,
                interrupt,
                reply,
            })
            .await;
        match asked {
            Err(AvatarError::Ended) => Err(AvatarError::Interrupted),
            asked => asked,
        }
    }

    /// Plays audio of 16 kHz.
    pub async fn play(&self, pcm: Vec<i16>) -> Result<(), AvatarError> {
        self.ask_for(|reply| Command::Play { pcm, reply }).await
    }

    pub async fn interrupt(&self) -> Result<(), AvatarError> {
        self.ask_for(|reply| Command::Interrupt { reply }).await
    }

    pub async fn set_state(&self, audiotype: u32, reinit: bool) -> Result<(), AvatarError> {
        self.ask_for(|reply| Command::SetState {
            audiotype,
            reinit,
            reply,
        })
        .await
    }

    /// A recording that runs already goes on.
    pub async fn start_record(&self) -> Result<(), AvatarError> {
        self.ask_for(|reply| Command::StartRecord { reply }).await
    }

    /// Ready when the file is there; without a recording at once.
    pub async fn end_record(&self) -> Result<(), AvatarError> {
        match self.ask_for(|reply| Command::EndRecord { reply }).await? {
            None => Ok(()),
            Some(finished) => match finished.await {
                Ok(result) => result.map_err(AvatarError::Words),
                Err(_) => Err(AvatarError::Ended),
            },
        }
    }

    /// Gives what is seen and heard to `sink`, until that is closed.
    pub fn add_output(&self, codec: VideoCodec, sink: mpsc::Sender<Encoded>) {
        let _ended = self.commands.send(Command::AddOutput { codec, sink });
    }

    pub fn add_program(&self, sink: rotunda_media::program::ProgramWriter) {
        let _ended = self.commands.send(Command::AddProgram { sink });
    }

    pub fn force_keyframe(&self) {
        let _ended = self.commands.send(Command::ForceKeyframe);
    }

    pub fn is_speaking(&self) -> bool {
        self.is_speaking.load(Ordering::Relaxed)
    }

    async fn ask_for<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, AvatarError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply));
        sent.map_err(|_| AvatarError::Ended)?;
        answer.await.unwrap_or(Err(AvatarError::Ended))
    }
}
