//! Controls one mix: follows the documents of its rooms, lays out their members, and gives the worker its orders.

use std::borrow::Cow;
use std::collections::HashMap;

use rotunda_bus::{Change, Watch, WatchEvent};
use rotunda_proto::ids::{RoomUser, Source, TrackSource};
use rotunda_proto::mix::{Event, Layout, MixSpec, NotMixable, StopReason};
use rotunda_proto::room::{Roster, info_key, roster_key, seats_key};
use rotunda_receiver::{Undecodable, Wants};
use tokio::sync::{mpsc, oneshot, watch};

use super::Ending;
use super::announcements::Announcements;
use super::other_rooms::OtherRooms;
use super::sessions::Sessions;
use crate::layout::{Canvas, Member, Scene, canvas_of_screen, lay_out};
use crate::members::Members;
use crate::pictures::Pictures;
use crate::video_input::Shape;
use crate::wants::wants_of;
use crate::worker::{Order, Report};

/// A new layout and encoding for a running mix.
pub struct Relayout {
    pub spec: Box<MixSpec>,
    pub done: oneshot::Sender<Result<(), String>>,
}

/// Inputs of a controller.
pub struct Inputs {
    /// Of the documents of the mix's room.
    pub changes: Watch,
    pub reports: mpsc::Receiver<Report>,
    pub commands: mpsc::Receiver<Relayout>,
    pub undecodable: mpsc::Receiver<Undecodable>,
    pub stop: watch::Receiver<Option<Ending>>,
}

/// Outputs of a controller.
pub struct Outputs {
    pub orders: mpsc::Sender<Order>,
    pub sessions: Sessions,
}

/// See the [module](self).
pub struct Controller {
    announcements: Announcements,
    outputs: Outputs,
    spec: MixSpec,
    /// Of the mix's room.
    members: Members,
    other_rooms: OtherRooms,
    pictures: Pictures,
    scene: Scene,
    /// The member who speaks loudest, where the layout shows them as its main video.
    loudest: Option<RoomUser>,
    shapes: HashMap<Source, Shape>,
    /// By the size of the main screen.
    main_canvas: Option<Canvas>,
    /// Published tracks that cannot be mixed.
    not_mixable: Vec<NotMixable>,
    /// Tracks on which engines have failed. A new user would need a new ticket, so these do not grow without end.
    barred: Vec<Source>,
    /// The room's documents are known.
    is_synced: bool,
    /// As they say.
    is_open: bool,
    is_inhabited: bool,
}

impl Controller {
    /// `first_revision`: no layout of the mix had a higher one.
    pub fn new(
        spec: MixSpec,
        pictures: Pictures,
        announcements: Announcements,
        outputs: Outputs,
        other_rooms: OtherRooms,
        first_revision: u64,
    ) -> Self {
        Self {
            announcements,
            outputs,
            spec,
            members: Members::default(),
            other_rooms,
            pictures,
            scene: Scene {
                revision: first_revision,
                ..Scene::default()
            },
            loudest: None,
            shapes: HashMap::new(),
            main_canvas: None,
            not_mixable: Vec::new(),
            barred: Vec::new(),
            is_synced: false,
            is_open: false,
            is_inhabited: false,
        }
    }

    /// Runs until the mix is to end, and answers how.
    pub async fn run(&mut self, mut inputs: Inputs) -> Ending {
        let mut own = self.announcements.node().own();
        self.publish_running().await;
        let layout = self.spec.layout.clone();
        self.other_rooms.follow(&layout.other_rooms(&self.spec.room));
        self.send_pictures(&layout).await;
        loop {
            tokio::select! {
                _ = inputs.stop.changed() => {
                    return inputs.stop.borrow_and_update().clone().unwrap_or(Ending::Told(StopReason::Shutdown));
                }
                event = inputs.changes.next() => {
                    match event {
                        WatchEvent::Change(change) => self.handle_change(&change).await,
                        WatchEvent::Synced => self.is_synced = true,
                    }
                    if self.room_has_ended() {
                        return Ending::Told(StopReason::RoomEmpty);
                    }
                    if self.caller_has_left() {
                        return Ending::Told(StopReason::Asked);
                    }
                }
                () = self.other_rooms.changed() => self.handle_members().await,
                // The documents of before have vanished with the incarnation of before.
                Ok(()) = own.changed() => {
                    self.publish_running().await;
                    if self.announcements.has_program() {
                        self.announcements.publish_program(&self.spec).await;
                    }
                }
                report = inputs.reports.recv() => match report {
                    Some(Report::Failed(error)) => {
                        return Ending::Told(StopReason::Failed { message: error });
                    }
                    Some(report) => self.handle_report(report).await,
                    None => return Ending::Told(StopReason::Failed { message: "the mix engine's host ended".into() }),
                },
                Some(track) = inputs.undecodable.recv() => self.handle_undecodable(track).await,
                Some(relayout) = inputs.commands.recv() => self.handle_relayout(relayout).await,
            }
        }
    }

    /// Ends the sessions, lets go of the worker, which ends, and gives back what the end is told with.
    pub async fn close(self) -> Announcements {
        self.outputs.sessions.close().await;
        self.announcements
    }

    /// Nobody is in the room any more.
    fn room_has_ended(&self) -> bool {
        self.is_synced && !(self.is_open && self.is_inhabited)
    }

    /// A mix that a member has asked for ends with their membership.
    fn caller_has_left(&self) -> bool {
        let caller = self.spec.layout.local_user.as_ref();
        self.is_synced && caller.is_some_and(|caller| !self.members.has(&caller.user))
    }

    async fn handle_change(&mut self, change: &Change) {
        if change.key == info_key(&self.spec.room) {
            self.is_open = change.entry.is_some();
            return;
        } else if change.key == seats_key(&self.spec.room) {
            self.members.handle_seats(change.parse());
        } else if change.key == roster_key(&self.spec.room) {
            let roster: Option<Roster> = change.parse();
            self.is_inhabited = roster.as_ref().is_some_and(|roster| !roster.members.is_empty());
            self.members.handle_roster(roster);
        } else {
            return;
        }
        self.handle_members().await;
    }

    async fn handle_members(&mut self) {
        let members = self.all_members();
        let own = &self.spec.room.room;
        let told = self.not_mixable.len();
        self.not_mixable.retain(|track| {
            let room = track.room_id.as_ref().unwrap_or(own);
            let mut publishers = members
                .iter()
                .filter(|member| member.id.room.room == *room && member.id.user == track.user_id);
            publishers.any(|member| member.publishes(track.source))
        });
        if self.not_mixable.len() != told {
            self.publish_running().await;
        }
        self.renew_scene().await;
    }

    async fn renew_scene(&mut self) {
        let mut scene = self.scene_of(&self.spec);
        if scene != self.scene {
            scene.revision += 1;
            self.adopt(scene.clone());
            // A worker that has ended is seen at its reports.
            let _told_or_ended = self.outputs.orders.send(Order::Scene(scene)).await;
        }
    }

    /// The new encoding and the new layout begin with one and the same frame.
    async fn handle_relayout(&mut self, mut relayout: Relayout) {
        self.size_by_main(&mut relayout.spec);
        // Rooms of the layout before are needed until the new one is there.
        let mut rooms = relayout.spec.layout.other_rooms(&self.spec.room);
        rooms.extend(self.spec.layout.other_rooms(&self.spec.room));
        self.other_rooms.follow(&rooms);
        self.send_pictures(&relayout.spec.layout).await;
        let (done, answer) = oneshot::channel();
        let mut scene = self.scene_of(&relayout.spec);
        scene.revision += u64::from(scene != self.scene);
        let order = Order::Spec {
            spec: relayout.spec.clone(),
            scene: scene.clone(),
            done,
        };
        if self.outputs.orders.send(order).await.is_err() {
            return;
        }
        let Ok(result) = answer.await else { return };
        if result.is_ok() {
            let told = std::mem::replace(&mut self.spec, *relayout.spec);
            self.adopt(scene);
            self.publish_running().await;
            let (before, after) = (&told, &self.spec);
            let same_pushes = before.push_urls == after.push_urls && before.task == after.task;
            if !same_pushes || before.video != after.video || before.audio != after.audio {
                self.announcements.publish_program(&self.spec).await;
            }
        }
        self.other_rooms.follow(&self.spec.layout.other_rooms(&self.spec.room));
        let (own, others) = (&self.spec.room, &self.other_rooms);
        self.outputs.sessions.retain(|room| room == own || others.has(room));
        let _caller_gave_up = relayout.done.send(result);
    }

    async fn handle_undecodable(&mut self, Undecodable { source, codec }: Undecodable) {
        let track = NotMixable {
            user_id: source.user,
            room_id: (source.room != self.spec.room).then_some(source.room.room),
            source: source.track,
            codec,
        };
        // A session that was opened again is told again.
        if self.not_mixable.contains(&track) {
            return;
        }
        self.not_mixable.push(track.clone());
        self.publish_running().await;
        self.announcements.tell_not_mixable(track).await;
    }

    async fn handle_report(&mut self, report: Report) {
        let (room, stream_id) = (self.spec.room.clone(), self.spec.stream_id.clone());
        match report {
            Report::NeedsKey(video) => {
                self.outputs.sessions.request_key(video);
            }
            Report::Shape(video, shape) => {
                self.shapes.insert(video.clone(), shape);
                self.handle_main_shape(&video, shape).await;
                let wants = self.wants_of(&self.scene);
                self.outputs.sessions.handle_wants(wants);
            }
            Report::Failed(_) => {}
            Report::Loudest(user) => {
                self.loudest = Some(user);
                self.renew_scene().await;
            }
            Report::Barred(track) => {
                self.barred.push(track.clone());
                self.renew_scene().await;
                let codec = NotMixable::MALFORMED.to_owned();
                self.handle_undecodable(Undecodable { source: track, codec }).await;
            }
            Report::Health(health) => {
                let event = Event::Health {
                    room,
                    stream_id,
                    health,
                };
                self.announcements.tell(&event).await;
            }
            Report::Layout(layout) => self.announcements.tell_layout(layout),
            Report::Begun => {
                self.announcements.publish_program(&self.spec).await;
                self.announcements.tell_started(&self.spec).await;
            }
        }
    }

    fn scene_of(&self, spec: &MixSpec) -> Scene {
        let canvas = spec.video.map(Canvas::of);
        let members = self.all_members();
        let mut layout = Cow::Borrowed(&spec.layout);
        if let (Some(_), Some(user)) = (spec.layout.style.loudest_dwell, &self.loudest) {
            layout.to_mut().show_as_main(user);
        }
        let mut scene = lay_out(&spec.room, &layout, &members, canvas);
        scene.revision = self.scene.revision;
        for track in &self.barred {
            scene.leave_out(track);
        }
        scene
    }

    /// The publishers of the mix's room, then those of the other rooms.
    fn all_members(&self) -> Vec<Member> {
        let mut members = self.members.in_order(&self.spec.room);
        members.extend(self.other_rooms.members());
        members
    }

    fn adopt(&mut self, scene: Scene) {
        self.shapes
            .retain(|video, _| scene.placements.iter().any(|placement| placement.video == *video));
        self.outputs.sessions.handle_wants(self.wants_of(&scene));
        self.scene = scene;
    }

    /// The worker has a layout's pictures before the layout itself.
    async fn send_pictures(&mut self, layout: &Layout) {
        for order in self.pictures.missing(layout).await {
            // A worker that has ended is seen at its reports.
            let _told_or_ended = self.outputs.orders.send(order).await;
        }
    }

    /// The first size of the main screen becomes that of the canvas, if the layout says so.
    async fn handle_main_shape(&mut self, video: &Source, shape: Shape) {
        let layout = &self.spec.layout;
        let is_main = layout.main.as_ref().is_some_and(|main| main.is_beside(video));
        if !layout.size_by_main || !is_main || video.track != TrackSource::Screen || self.main_canvas.is_some() {
            return;
        }
        self.main_canvas = Some(canvas_of_screen(shape.width, shape.height));
        let (done, _answer_is_logged) = oneshot::channel();
        let spec = Box::new(self.spec.clone());
        self.handle_relayout(Relayout { spec, done }).await;
    }

    fn size_by_main(&self, spec: &mut MixSpec) {
        if let (true, Some(canvas), Some(video)) = (spec.layout.size_by_main, self.main_canvas, &mut spec.video) {
            (video.width, video.height) = (canvas.width as u16, canvas.height as u16);
        }
    }

    fn wants_of(&self, scene: &Scene) -> Wants {
        let mut wants = wants_of(scene, &self.shapes);
        if self.spec.layout.size_by_main && self.main_canvas.is_none() {
            // Its largest layer has the size that is asked for.
            for want in &mut wants.video {
                if want.video.track == TrackSource::Screen {
                    want.max_height = Some(u16::MAX);
                }
            }
        }
        wants
    }

    async fn publish_running(&mut self) {
        self.announcements.publish_running(&self.spec, &self.not_mixable).await;
    }
}
