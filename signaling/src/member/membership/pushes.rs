//! A member's pushes to other servers: their start and end, and their states, which the client is told.

use rotunda_bus::{SharedBus, Watch, WatchEvent};
use rotunda_proto::ids::{RoomKey, SdkAppId, TaskId, TrackSource};
use rotunda_proto::media_task::{MediaTask, TaskEnd, media_task_key};
use rotunda_proto::push_state::{PushError, PushErrorKind, PushSource, PushState};
use rotunda_proto::signaling::{CdnStreamState, ErrorBody, ErrorCode, Event};
use tracing::warn;

use super::Membership;
use crate::api::media_tasks::of_member::{self, AskedByMember};
use crate::api::mix::client;
use crate::client_push;
use crate::member::{error_of, failure};
use crate::shared::Shared;

/// At most one push of each source.
#[derive(Debug, Default)]
pub struct Pushes {
    camera: Option<Box<Push>>,
    screen: Option<Box<Push>>,
    mix: Option<Box<Push>>,
}

/// A push that the member has asked for in this stay.
#[derive(Debug)]
struct Push {
    source: PushSource,
    task: TaskId,
    /// Of the task's document.
    watch: Watch,
    state: CdnStreamState,
    error: Option<PushError>,
    is_told: bool,
}

impl Membership {
    /// Pushes the stream of a source to another server. The client is told the states.
    pub async fn start_push(&mut self, shared: &Shared, source: PushSource, url: &str) -> Result<(), ErrorBody> {
        if !self.has_media_of(source).await? {
            return Err(ErrorBody {
                message: match source {
                    PushSource::Camera | PushSource::Screen => format!("publish the {source} before you push it"),
                    PushSource::Mix => "start a mix by setMixTranscodingConfig before you push it".to_owned(),
                },
                ..failure(ErrorCode::NotPublished)
            });
        }
        let asked = AskedByMember {
            room: self.key(),
            user: &self.member.user,
            membership: self.member.holder.membership,
            source,
            url,
        };
        let task = client_push::start(shared, asked).await?;
        let watch = shared.bus.watch(&media_task_key(self.key().app, &task)).await;
        let watch = watch.map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, %task, "follow a member's push");
            failure(error_of(&error))
        })?;
        *self.pushes.of(source) = Some(Box::new(Push::new(source, task, watch)));
        Ok(())
    }

    async fn has_media_of(&self, source: PushSource) -> Result<bool, ErrorBody> {
        let documents = &self.room.documents;
        match source {
            PushSource::Mix => {
                let stream = client::stream(&documents.bus, &documents.room, &self.member.user).await;
                Ok(stream.map_err(|error| failure(error_of(&error)))?.is_some())
            }
            PushSource::Camera | PushSource::Screen => {
                Ok(self.publishing.sources().iter().any(|sent| feeds(*sent, source)))
            }
        }
    }

    /// The task that pushes the member's mix; None: the mix is not pushed.
    pub fn push_of_mix(&self) -> Option<&TaskId> {
        self.pushes.mix.as_ref().map(|push| &push.task)
    }

    /// Ends the pushes of what the member may not send any more. The client is told why.
    pub async fn end_pushes_not_permitted(&mut self) {
        let Self {
            pushes, rights, room, ..
        } = self;
        let (bus, app) = (&room.documents.bus, room.documents.room.app);
        for push in [&mut pushes.camera, &mut pushes.screen, &mut pushes.mix]
            .into_iter()
            .flatten()
        {
            let mut feeding = TrackSource::ALL.into_iter().filter(|sent| feeds(*sent, push.source));
            if feeding.any(|sent| rights.may_send(sent)) {
                continue;
            }
            // It is idle from now on, and ends after its idle time, if this fails.
            match of_member::stop(bus, app, &push.task, TaskEnd::NotPermitted).await {
                Ok(()) => push.note(CdnStreamState::Ended, Some(right_lost(push.source))),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, task = %push.task, "end a push that is not permitted");
                }
            }
        }
    }

    /// Ends the push of a source; without one this is done already.
    pub async fn stop_push(&mut self, source: PushSource) -> Result<(), ErrorBody> {
        let app = self.key().app;
        let Some(push) = self.pushes.of(source) else {
            return Ok(());
        };
        let stopped = of_member::stop(&self.room.documents.bus, app, &push.task, TaskEnd::Stopped).await;
        stopped.map_err(|error| failure(error_of(&error)))?;
        push.note(CdnStreamState::Ended, None);
        Ok(())
    }
}

impl Pushes {
    fn of(&mut self, source: PushSource) -> &mut Option<Box<Push>> {
        match source {
            PushSource::Camera => &mut self.camera,
            PushSource::Screen => &mut self.screen,
            PushSource::Mix => &mut self.mix,
        }
    }

    /// Resolves when the state of a push may have changed. Cancel-safe.
    pub async fn changed(&mut self) {
        let Self { camera, screen, mix } = self;
        tokio::select! {
            () = changed(camera) => {}
            () = changed(screen) => {}
            () = changed(mix) => {}
        }
    }

    /// The states that the client does not know yet.
    pub fn poll_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for push in [&mut self.camera, &mut self.screen, &mut self.mix] {
            events.extend(push.as_mut().and_then(|push| push.poll_event()));
            push.take_if(|push| push.state == CdnStreamState::Ended);
        }
        events
    }

    /// All states, for a client that has come back.
    pub fn current_events(&self) -> impl Iterator<Item = Event> {
        [&self.camera, &self.screen, &self.mix]
            .into_iter()
            .flatten()
            .map(|push| push.event())
    }

    /// The member leaves for good. A push whose end cannot be written ends when it was idle for its time.
    pub async fn end(&mut self, bus: &SharedBus, room: &RoomKey) {
        let app: SdkAppId = room.app;
        let all = [self.camera.take(), self.screen.take(), self.mix.take()];
        for push in all.into_iter().flatten() {
            if let Err(error) = of_member::stop(bus, app, &push.task, TaskEnd::Stopped).await {
                warn!(error = &error as &dyn std::error::Error, task = %push.task, "end a member's push");
            }
        }
    }
}

/// Whether a source that the member sends is part of what is pushed.
fn feeds(sent: TrackSource, pushed: PushSource) -> bool {
    match pushed {
        PushSource::Camera => matches!(sent, TrackSource::Camera | TrackSource::Audio),
        PushSource::Screen => sent == TrackSource::Screen,
        PushSource::Mix => true,
    }
}

fn right_lost(source: PushSource) -> PushError {
    let what = match source {
        PushSource::Camera => "the camera or the microphone",
        PushSource::Screen => "the screen",
        PushSource::Mix => "anything",
    };
    not_permitted(format!(
        "the member may not send {what} any more; publish and push again when the event permissions permits it"
    ))
}

fn application_withdrew() -> PushError {
    let message = "the application does not let its members push to other servers any more; the operator permits it by MembersMayPush \
                   (members_may_push), or the application's server pushes by StartPublishCdnStream";
    not_permitted(message.to_owned())
}

fn not_permitted(message: String) -> PushError {
    PushError {
        kind: PushErrorKind::NotPermitted,
        message,
    }
}

async fn changed(push: &mut Option<Box<Push>>) {
    match push {
        Some(push) => {
            let event = push.watch.next().await;
            push.handle(event);
        }
        None => std::future::pending().await,
    }
}

impl Push {
    fn new(source: PushSource, task: TaskId, watch: Watch) -> Self {
        Self {
            source,
            task,
            watch,
            state: PushState::Connecting.into(),
            error: None,
            is_told: false,
        }
    }

    fn handle(&mut self, event: WatchEvent) {
        let WatchEvent::Change(change) = event else { return };
        let task = change.parse::<MediaTask>();
        let end = task.as_ref().and_then(|task| task.end);
        match task.filter(MediaTask::is_running).and_then(|task| task.of_member) {
            Some(of_member) => self.note(of_member.state.into(), of_member.error),
            // This node has told the end.
            None if self.state == CdnStreamState::Ended => {}
            None if end == Some(TaskEnd::NotPermitted) => {
                self.note(CdnStreamState::Ended, Some(application_withdrew()));
            }
            None => self.note(CdnStreamState::Ended, None),
        }
    }

    fn note(&mut self, state: CdnStreamState, error: Option<PushError>) {
        self.is_told &= self.state == state && self.error == error;
        self.state = state;
        self.error = error;
    }

    fn poll_event(&mut self) -> Option<Event> {
        while let Some(event) = self.watch.try_next() {
            self.handle(event);
        }
        (!std::mem::replace(&mut self.is_told, true)).then(|| self.event())
    }

    fn event(&self) -> Event {
        Event::CdnStreamState {
            source: self.source,
            state: self.state,
            error: self.error.clone(),
        }
    }
}
