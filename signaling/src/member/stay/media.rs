//! A member's media session at the SFU: opened, restarted and told what goes and comes.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::counter;
use rand::Rng;
use rotunda_proto::bus::{BusExt, SharedBus};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SessionId, TrackSource};
use rotunda_proto::sfu::{self, Client, Command, ControlError, Standing};
use rotunda_proto::signaling::{ErrorBody, ErrorCode, Lines, MediaState};
use rotunda_proto::statistics::Statistics;
use tracing::warn;

use super::{Stay, codec_not_supported};
use crate::member::desired::Answer;
use crate::member::session::Session;
use crate::member::{explain, failure};
use crate::refused_lines::{RefusedLine, refused_lines};
use crate::room::SessionNews;

/// A session that was not closed is closed again after this time, and so many times.
const CLOSE_AGAIN: Duration = Duration::from_secs(1);
const CLOSE_TRIES: u32 = 600;

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
        let mut answer = self.ask_for_answer(&sfu, &command).await;
        if let (Command::Open { offer, lines, .. }, Ok(sdp)) = (&command, &answer) {
            self.refused = refused_sources(lines, refused_lines(offer, sdp));
            let mut published = self.published.iter().filter_map(|source| self.refused.get(source));
            if let Some(line) = published.next() {
                answer = Err(codec_not_supported(line));
            }
        }
        // A refused restart leaves the session as it was. A refused opening may have happened all the same (the reply was
        // late), and media that nobody can stop must not be left behind.
        if !is_restart && answer.is_err() {
            self.close_session().await;
        }
        if answer.is_ok() {
            self.standing = Standing::Inside;
            let _logged_and_tried_again = self.settle_publishing().await;
        }
        answer
    }

    /// Why nothing can be sent of a source: its line of the offer has no codec that the server takes.
    pub fn refused(&self, source: TrackSource) -> Option<&RefusedLine> {
        self.refused.get(&source)
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

    /// What the SFU should let in from now on.
    pub(super) fn set_ingress(&mut self) {
        if let Some(session) = &mut self.session {
            session.ingress.set(Clock.now(), self.published.clone());
        }
    }

    /// Errors: it is not known whether the SFU lets in this and nothing else. It is told again.
    pub(super) async fn send_ingress(&mut self) -> Result<(), ErrorBody> {
        self.set_ingress();
        let Some(session) = &self.session else { return Ok(()) };
        let Some(sources) = session.ingress.to_send() else {
            return Ok(());
        };
        let command = Command::SetIngress {
            session: session.id,
            sources: sources.clone(),
        };
        let answer = self.command(&command).await;
        if let Some(session) = &mut self.session {
            session.ingress.handle_answer(Clock.now(), answer);
        }
        match answer {
            Answer::Confirmed => Ok(()),
            Answer::Lost => Err(unconfirmed()),
        }
    }

    /// What is not confirmed is told again.
    pub(super) async fn send_slots(&mut self) {
        let Some(session) = &self.session else { return };
        let Some(slots) = session.slots.to_send() else { return };
        let command = Command::SetSlots {
            session: session.id,
            slots: slots.clone(),
        };
        let answer = self.command(&command).await;
        if let Some(session) = &mut self.session {
            session.slots.handle_answer(Clock.now(), answer);
        }
    }

    pub(super) async fn close_session(&mut self) {
        if let Some(Session { id, sfu, .. }) = &self.session {
            let command = Command::Close { session: *id };
            if self.command(&command).await == Answer::Lost {
                // Nobody waits for it any more, and media that nobody can stop must not be left behind.
                let (bus, sfu) = (self.room.documents.bus.clone(), sfu.clone());
                tokio::spawn(close_until_confirmed(bus, sfu, command));
            }
        }
        self.forget_session();
    }

    pub(super) fn forget_session(&mut self) {
        if let Some(Session { id, .. }) = self.session.take() {
            self.room.forget_session(id);
        }
        if !self.seats.is_subset(&self.published) {
            // They waited for the session to let nothing more in, which it does not any more.
            self.give_back_at = Some(Clock.now());
        }
    }

    async fn command(&self, command: &Command) -> Answer {
        let Some(session) = &self.session else {
            return Answer::Confirmed;
        };
        let bus = &self.room.documents.bus;
        match bus.call::<_, sfu::Reply>(&session.sfu, command).await {
            // Its end was not heard of.
            Ok(sfu::Reply::Refused {
                error: ControlError::NoSuchSession,
            }) => {
                let news = SessionNews {
                    state: MediaState::Disconnected,
                    said: self.room.latest().said.count(),
                };
                self.room.set_session(session.id, news);
            }
            Ok(sfu::Reply::Refused { error }) => {
                warn!(%error, "the SFU refused a command");
                return lost();
            }
            Ok(_) => {}
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "command the SFU");
                return lost();
            }
        }
        Answer::Confirmed
    }
}

/// The sources that cannot be sent, as the answer refuses their lines.
fn refused_sources(lines: &Lines, refused: Vec<RefusedLine>) -> BTreeMap<TrackSource, RefusedLine> {
    let source_of = |line: &RefusedLine| {
        let sends = [
            (TrackSource::Audio, &lines.microphone),
            (TrackSource::Camera, &lines.camera),
            (TrackSource::Screen, &lines.screen),
        ];
        let found = sends.into_iter().find(|(_, mid)| mid.as_ref() == Some(&line.mid));
        found.map(|(source, _)| source)
    };
    let with_source = refused.into_iter().filter_map(|line| Some((source_of(&line)?, line)));
    with_source.collect()
}

fn lost() -> Answer {
    counter!("rotunda_signaling_sfu_commands_unconfirmed_total").increment(1);
    Answer::Lost
}

/// Ends a session whose member has gone.
async fn close_until_confirmed(bus: SharedBus, sfu: String, close: Command) {
    for _ in 0..CLOSE_TRIES {
        Clock.sleep_until(Clock.now() + CLOSE_AGAIN).await;
        if bus.call::<_, sfu::Reply>(&sfu, &close).await.is_ok() {
            return;
        }
    }
    warn!(%sfu, "a media session was not closed: the SFU does not answer");
}

/// The SFU may have done it or not.
fn unconfirmed() -> ErrorBody {
    ErrorBody {
        code: ErrorCode::NoMediaNode,
        message: "the media server has not confirmed the change yet; it is asked again every second until it does"
            .to_owned(),
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
    }
}
