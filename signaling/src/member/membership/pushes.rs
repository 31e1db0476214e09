//! A member's pushes to other servers: their start and end, and their states, which the client is told.

use rotunda_bus::{SharedBus, Watch, WatchEvent};
use rotunda_proto::ids::{RoomKey, SdkAppId, TaskId, TrackSource};
use rotunda_proto::media_task::{MediaTask, media_task_key};
use rotunda_proto::push_state::{PushError, PushState};
use rotunda_proto::signaling::{CdnStreamState, ErrorBody, ErrorCode, Event};
use tracing::warn;

use super::Membership;
use crate::api::media_tasks::of_member::{self, AskedByMember};
use crate::client_push;
use crate::member::{error_of, failure};
use crate::shared::Shared;

/// At most one push of each source.
#[derive(Debug, Default)]
pub struct Pushes {
    camera: Option<Box<Push>>,
    screen: Option<Box<Push>>,
}

/// A push that the member has asked for in this stay.
#[derive(Debug)]
struct Push {
    source: TrackSource,
    task: TaskId,
    /// Of the task's document.
    watch: Watch,
    state: CdnStreamState,
    error: Option<PushError>,
    is_told: bool,
}

impl Membership {
    /// Pushes the stream of a source to another server. The client is told the states.
    pub async fn start_push(&mut self, shared: &Shared, source: TrackSource, url: &str) -> Result<(), ErrorBody> {
        let sent = self.publishing.sources();
        let is_sent = sent.contains(&source) || (source == TrackSource::Camera && sent.contains(&TrackSource::Audio));
        if !is_sent {
            return Err(ErrorBody {
                message: format!("publish the {source} before you push it"),
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

    /// Ends the push of a source; without one this is done already.
    pub async fn stop_push(&mut self, source: TrackSource) -> Result<(), ErrorBody> {
        let app = self.key().app;
        let Some(push) = self.pushes.of(source) else {
            return Ok(());
        };
        let stopped = of_member::stop(&self.room.documents.bus, app, &push.task).await;
        stopped.map_err(|error| failure(error_of(&error)))?;
        push.note(CdnStreamState::Ended, None);
        Ok(())
    }
}

impl Pushes {
    fn of(&mut self, source: TrackSource) -> &mut Option<Box<Push>> {
        match source {
            TrackSource::Screen => &mut self.screen,
            TrackSource::Camera | TrackSource::Audio => &mut self.camera,
        }
    }

    /// Resolves when the state of a push may have changed. Cancel-safe.
    pub async fn changed(&mut self) {
        let Self { camera, screen } = self;
        tokio::select! {
            () = changed(camera) => {}
            () = changed(screen) => {}
        }
    }

    /// The states that the client does not know yet.
    pub fn poll_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for push in [&mut self.camera, &mut self.screen] {
            events.extend(push.as_mut().and_then(|push| push.poll_event()));
            push.take_if(|push| push.state == CdnStreamState::Ended);
        }
        events
    }

    /// All states, for a client that has come back.
    pub fn current_events(&self) -> impl Iterator<Item = Event> {
        [&self.camera, &self.screen]
            .into_iter()
            .flatten()
            .map(|push| push.event())
    }

    /// The member leaves for good. A push whose end cannot be written ends when it was idle for its time.
    pub async fn end(&mut self, bus: &SharedBus, room: &RoomKey) {
        let app: SdkAppId = room.app;
        for push in [self.camera.take(), self.screen.take()].into_iter().flatten() {
            if let Err(error) = of_member::stop(bus, app, &push.task).await {
                warn!(error = &error as &dyn std::error::Error, task = %push.task, "end a member's push");
            }
        }
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
    fn new(source: TrackSource, task: TaskId, watch: Watch) -> Self {
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
        let task = change.parse::<MediaTask>().filter(MediaTask::is_running);
        match task.and_then(|task| task.of_member) {
            Some(of_member) => self.note(of_member.state.into(), of_member.error),
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
