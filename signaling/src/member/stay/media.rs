//! A member's media session at the SFU: opened, restarted and told what goes and comes.

use rand::Rng;
use rotunda_bus::BusExt;
use rotunda_proto::ids::SessionId;
use rotunda_proto::sfu::{self, Client, Command, ControlError, SlotMap, Standing};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Lines, MediaState};
use rotunda_proto::statistics::Statistics;
use tracing::warn;

use super::Stay;
use crate::member::session::Session;
use crate::member::{explain, failure};

impl Stay {
    /// `client`: what it can be told.
    pub async fn connect(&mut self, offer: String, lines: Lines, client: Client) -> Result<String, ErrorBody> {
        let state = self.room.latest();
        let Some(info) = &state.info else {
            return Err(failure(ErrorCode::Internal));
        };
        let sfu = sfu::control_subject(&info.sfu);
        let command = match &self.session {
            Some(session) if session.is_connected() => Command::Restart {
                session: session.id,
                offer,
            },
            _ => {
                self.close_session().await;
                let id = SessionId(rand::rng().random());
                // Before it is opened, so that nothing is missed.
                let state = self.room.follow_session(id);
                match Session::new(&self.room.documents.bus, id, sfu.clone(), state).await {
                    Ok(session) => {
                        self.session = Some(session);
                        self.media_lost = false;
                    }
                    Err(error) => {
                        self.room.forget_session(id);
                        return Err(explain(error.into()));
                    }
                }
                self.offers_channels = offer.contains("\nm=application ");
                // Its slots follow what others publish.
                self.bulletins = self.room.front();
                let identity = sfu::Identity::Member {
                    user: self.member.user.clone(),
                    client,
                    standing: self.standing,
                };
                Command::Open {
                    session: id,
                    room: self.room.documents.room.clone(),
                    identity,
                    offer,
                    lines,
                }
            }
        };
        let is_restart = matches!(command, Command::Restart { .. });
        let answer = self.ask_for_answer(&sfu, &command).await;
        // A refused restart leaves the session as it was. A refused opening may have happened all the same (the reply was
        // late), and media that nobody can stop must not be left behind.
        if !is_restart {
            // A new session knows nothing yet.
            self.slots = SlotMap::default();
            if answer.is_err() {
                self.close_session().await;
            }
        }
        if answer.is_ok() {
            self.standing = Standing::Inside;
            let _logged = self.send_ingress().await;
        }
        answer
    }

    /// Answers an ICE restart of the session that there is, connected or not yet.
    pub async fn restart(&mut self, offer: String) -> Result<String, ErrorBody> {
        let Some(Session { id, sfu, .. }) = &self.session else {
            return Err(failure(ErrorCode::NoMediaNode));
        };
        self.ask_for_answer(sfu, &Command::Restart { session: *id, offer })
            .await
    }

    async fn ask_for_answer(&self, sfu: &str, command: &Command) -> Result<String, ErrorBody> {
        match self.room.documents.bus.call(sfu, command).await {
            Ok(sfu::Reply::Opened { answer }) => Ok(answer),
            Ok(sfu::Reply::Refused { error }) => Err(refused(&error)),
            Ok(sfu::Reply::Done | sfu::Reply::Statistics { .. }) => Err(failure(ErrorCode::Internal)),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "open a media session");
                Err(failure(ErrorCode::NoMediaNode))
            }
        }
    }

    /// How this member's media fares.
    pub async fn statistics(&self) -> Result<Statistics, ErrorBody> {
        let Some(session) = &self.session else {
            return Err(failure(ErrorCode::NotConnected));
        };
        let command = Command::Statistics {
            room: self.room.documents.room.clone(),
            user: self.member.user.clone(),
        };
        match self.room.documents.bus.call(&session.sfu, &command).await {
            Ok(sfu::Reply::Statistics { statistics }) => Ok(*statistics),
            Ok(sfu::Reply::Refused { .. }) => Err(failure(ErrorCode::NotConnected)),
            Ok(sfu::Reply::Opened { .. } | sfu::Reply::Done) => Err(failure(ErrorCode::Internal)),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "ask for statistics");
                Err(failure(ErrorCode::NoMediaNode))
            }
        }
    }

    /// Errors: it is not known whether the SFU lets in no more than this.
    pub(super) async fn send_ingress(&self) -> Result<(), ErrorBody> {
        let Some(Session { id, .. }) = &self.session else {
            return Ok(());
        };
        let command = Command::SetIngress {
            session: *id,
            sources: self.ingress.clone(),
        };
        self.command(command).await
    }

    /// Errors: it is not known whether the SFU shows no more than this.
    pub(super) async fn send_slots(&self) -> Result<(), ErrorBody> {
        let Some(Session { id, .. }) = &self.session else {
            return Ok(());
        };
        let command = Command::SetSlots {
            session: *id,
            slots: self.slots.clone(),
        };
        self.command(command).await
    }

    pub(super) async fn close_session(&mut self) {
        if let Some(Session { id, .. }) = &self.session {
            let _logged = self.command(Command::Close { session: *id }).await;
        }
        self.forget_session();
    }

    pub(super) fn forget_session(&mut self) {
        if let Some(Session { id, .. }) = self.session.take() {
            self.room.forget_session(id);
        }
        self.slots = SlotMap::default();
        self.slots_again_at = None;
    }

    /// Errors: the SFU does not answer.
    async fn command(&self, command: Command) -> Result<(), ErrorBody> {
        let Some(session) = &self.session else {
            return Ok(());
        };
        let bus = &self.room.documents.bus;
        match bus.call::<_, sfu::Reply>(&session.sfu, &command).await {
            // Its end was not heard of.
            Ok(sfu::Reply::Refused {
                error: ControlError::NoSuchSession,
            }) => self.room.set_session(session.id, MediaState::Disconnected),
            Ok(sfu::Reply::Refused { error }) => warn!(%error, "the SFU refused a command"),
            Ok(_) => {}
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "command the SFU");
                return Err(failure(ErrorCode::NoMediaNode));
            }
        }
        Ok(())
    }
}

fn refused(error: &ControlError) -> ErrorBody {
    let code = match error {
        ControlError::BadSdp { .. } | ControlError::NoSuchLine { .. } => ErrorCode::BadSdp,
        ControlError::NodeFull => ErrorCode::NodeFull,
        ControlError::NoSuchSession => ErrorCode::NoMediaNode,
        ControlError::BadTicket => ErrorCode::Internal,
    };
    ErrorBody {
        code,
        message: error.to_string(),
        retry_after_ms: None,
    }
}
