//! The commands for a member's session at its SFU node, and what an answer or its absence means.

use std::time::Duration;

use metrics::counter;
use rotunda_bus::{BusError, BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::SessionId;
use rotunda_proto::sfu::{self, Command, ControlError, Moved};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, MediaState};
use tracing::warn;

use super::Media;
use crate::member::desired::Answer;
use crate::member::failure;
use crate::room::SessionMedia;

/// An unconfirmed close is repeated after this time, at most so many times.
const CLOSE_AGAIN: Duration = Duration::from_secs(1);
const CLOSE_TRIES: u32 = 600;

impl Media {
    pub(super) async fn ask_for_answer(&self, sfu: &str, command: &Command) -> Result<String, ErrorBody> {
        answer_of(self.room.documents.bus.call(sfu, command).await)
    }

    /// The SFU has not said that the session has ended.
    pub(super) fn mark_lost(&self, session: SessionId) {
        let media = SessionMedia {
            state: MediaState::Disconnected,
            messages: self.room.latest().messages.count(),
        };
        self.room.set_session(session, media);
    }

    pub(super) async fn close_at(&self, session: SessionId, sfu: &str, moved: Option<Moved>) {
        let command = Command::Close { session, moved };
        if self.command(session, sfu, &command).await == Answer::Lost {
            // No caller waits for it, and no session without an owner may remain.
            let (bus, sfu) = (self.room.documents.bus.clone(), sfu.to_owned());
            tokio::spawn(close_until_confirmed(bus, sfu, command));
        }
    }

    /// Sends a command for a session to its SFU.
    pub(super) async fn command(&self, session: SessionId, sfu: &str, command: &Command) -> Answer {
        let bus = &self.room.documents.bus;
        match bus.call::<_, sfu::Reply>(sfu, command).await {
            // The event of its end was lost.
            Ok(sfu::Reply::Refused {
                error: ControlError::NoSuchSession,
            }) => self.mark_lost(session),
            Ok(sfu::Reply::Refused { error }) => {
                warn!(%error, "the SFU refused a command");
                return lost();
            }
            Ok(_) => {}
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "send a command to the SFU");
                return lost();
            }
        }
        Answer::Confirmed
    }
}

/// The reply says that the session has ended, or nobody replies. Without the bus nobody knows.
pub(super) fn is_gone(reply: &Result<sfu::Reply, BusError>) -> bool {
    let ended = sfu::Reply::Refused {
        error: ControlError::NoSuchSession,
    };
    match reply {
        Ok(reply) => *reply == ended,
        Err(error) => matches!(
            error,
            BusError::NoResponder(_) | BusError::Unanswered(_) | BusError::Timeout(_)
        ),
    }
}

pub(super) fn answer_of(reply: Result<sfu::Reply, BusError>) -> Result<String, ErrorBody> {
    match reply {
        Ok(sfu::Reply::Opened { answer }) => Ok(answer),
        Ok(sfu::Reply::Refused { error }) => Err(refused(&error)),
        Ok(_) => Err(failure(ErrorCode::Internal)),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "open a media session");
            Err(failure(ErrorCode::NoMediaNode))
        }
    }
}

pub(super) fn lost() -> Answer {
    counter!("rotunda_signaling_sfu_commands_unconfirmed_total").increment(1);
    Answer::Lost
}

/// Ends a session whose member has left.
pub(super) async fn close_until_confirmed(bus: SharedBus, sfu: String, close: Command) {
    for _ in 0..CLOSE_TRIES {
        Clock.sleep_until(Clock.now() + CLOSE_AGAIN).await;
        if bus.call::<_, sfu::Reply>(&sfu, &close).await.is_ok() {
            return;
        }
    }
    warn!(%sfu, "a media session was not closed: the SFU does not answer");
}

/// The command may have taken effect or not.
pub(super) fn unconfirmed() -> ErrorBody {
    ErrorBody {
        code: ErrorCode::NoMediaNode,
        message: "the media server has not confirmed the change yet; the server repeats it every second until it does"
            .to_owned(),
        retry_after_ms: None,
    }
}

pub(super) fn refused(error: &ControlError) -> ErrorBody {
    let code = match error {
        ControlError::BadSdp { .. } | ControlError::NoSuchLine { .. } => ErrorCode::BadSdp,
        ControlError::NodeFull => ErrorCode::NodeFull,
        ControlError::NoSuchSession => ErrorCode::NoMediaNode,
        ControlError::BadTicket | ControlError::BadLink | ControlError::NoOtherNode | ControlError::Ends => {
            ErrorCode::Internal
        }
    };
    ErrorBody {
        code,
        message: error.to_string(),
        retry_after_ms: None,
    }
}
