//! Lays out the members of a room: a pure function of the requested layout and the members present.
//!
//! | template | rule |
//! | --- | --- |
//! | grid | `ceil(sqrt(n))` columns and as many rows as needed; cells in the order of entering, row by row from the top left; the cells tile the canvas and differ by at most 2 px |
//! | float | the main video (else the first) fills the canvas; the others lie on it from the bottom left corner, 4 a row, rows upwards, at most 4; gaps of 1/64 of the shorter side, cells of a quarter less the gaps |
//! | screen-share | cells of 1/8 by 1/8 on one side, top down, one column for up to 8 videos and two for more; the main video takes the rest, and without it the background shows |
//! | picture-in-picture | the main video (else the first) fills the canvas, the small one lies on it; everybody else is heard only |
//! | presenter | the main member's screen, or their camera while they share none, fills the canvas; everybody else is heard only |
//! | custom | the cells as given: those with a user are kept for it, the others are filled in the order of entering; a member without a cell is neither seen nor heard |
//!
//! At most 16 members are mixed: those whom the layout names, then the earliest. A member with a camera and a screen takes two cells.
//!
//! Members of other rooms take part when the layout names them: its guests as if they had entered after all members of the mix's own
//! room, and a cell of another room without a user is filled in the order in which that room's members entered.

pub mod animation;
mod templates;
#[cfg(test)]
mod tests;

use rotunda_media::video_frame::Rect;
use rotunda_proto::ids::{RoomKey, RoomUser, Source, TrackSource};
use rotunda_proto::mix::{Layout, MAX_INPUTS, PictureId, RenderMode, Style, Template, VideoEncode, Watermark};
use rotunda_proto::room::TrackState;
use rotunda_proto::selection::Selection;

/// A member of a room and their published tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: RoomUser,
    pub audio: Option<TrackState>,
    pub camera: Option<TrackState>,
    pub screen: Option<TrackState>,
}

/// The canvas, pixels, both even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    pub width: usize,
    pub height: usize,
}

impl Canvas {
    pub fn of(asked: VideoEncode) -> Self {
        let (width, height) = asked.size();
        Self {
            width: width.into(),
            height: height.into(),
        }
    }
}

/// Content of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Content {
    /// The live video, and a card until there is one.
    Live,
    /// The member's name: it has no video, or has muted it.
    Card,
}

/// One cell of the video.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Placement {
    pub video: Source,
    pub content: Content,
    pub rect: Rect,
    /// Higher is in front.
    pub z: u32,
    pub render_mode: RenderMode,
    /// In the place of the card.
    pub placeholder: Option<PictureId>,
}

/// A cell without a member, which shows a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EmptyCell {
    pub picture: PictureId,
    pub rect: Rect,
    pub render_mode: RenderMode,
}

/// The cells of a canvas and the members that are heard.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scene {
    /// Counts the layouts of a mix, and only grows.
    #[serde(default)]
    pub revision: u64,
    /// In the place of the background colour.
    pub background: Option<PictureId>,
    /// Behind all placements.
    pub empty_cells: Vec<EmptyCell>,
    /// Back to front.
    pub placements: Vec<Placement>,
    /// In front of all placements.
    pub watermark: Option<Watermark>,
    pub style: Style,
    /// Members whose audio is mixed, in the order of entering.
    pub heard: Vec<RoomUser>,
}

/// Lays the members out. `own`: the mix's room; `members`: of each room in the order of entering. Without a canvas (audio alone) nothing
/// is placed.
pub fn lay_out(own: &RoomKey, layout: &Layout, members: &[Member], canvas: Option<Canvas>) -> Scene {
    let selected: Vec<Member> = members
        .iter()
        .map(|member| member.selected(&layout.selection))
        .collect();
    let publishing: Vec<&Member> = selected.iter().filter(|member| member.publishes_any()).collect();
    let custom = layout.template == Template::Custom && !layout.cells.is_empty();
    let mut scene = if custom {
        let mut scene = templates::custom(own, layout, &publishing, canvas);
        if layout.hears_all {
            let unheard = publishing
                .iter()
                .filter(|member| member.audio.is_some() && !scene.heard.contains(&member.id));
            let unheard: Vec<RoomUser> = unheard.map(|member| member.id.clone()).collect();
            scene.heard.extend(unheard);
            scene.heard.truncate(MAX_INPUTS);
        }
        scene
    } else {
        let inputs = inputs(own, layout, publishing);
        let videos = videos(layout, &inputs);
        let heard = inputs
            .iter()
            .filter(|member| member.audio.is_some())
            .map(|member| member.id.clone());
        Scene {
            placements: canvas
                .map(|canvas| templates::place(layout, videos, canvas))
                .unwrap_or_default(),
            heard: heard.collect(),
            ..Scene::default()
        }
    };
    scene
        .placements
        .retain(|placement| placement.rect.width >= 2 && placement.rect.height >= 2);
    scene
        .empty_cells
        .retain(|cell| cell.rect.width >= 2 && cell.rect.height >= 2);
    scene.placements.sort_by_key(|placement| placement.z);
    if let Some(canvas) = canvas {
        scene.background = layout.background;
        scene.watermark = layout.watermark;
        scene.style = layout.style;
        let margin = usize::from(layout.style.margin);
        let whole = (canvas.width & !1, canvas.height & !1);
        let partial = |placement: &&mut Placement| (placement.rect.width, placement.rect.height) != whole;
        for placement in scene.placements.iter_mut().filter(partial) {
            placement.rect = inset(placement.rect, margin);
        }
    }
    scene
}

/// Without its margin, even; a cell keeps at least half of its size.
fn inset(rect: Rect, margin: usize) -> Rect {
    let margin = margin.min(rect.width / 4).min(rect.height / 4) & !1;
    Rect {
        x: rect.x + margin,
        y: rect.y + margin,
        width: rect.width - 2 * margin,
        height: rect.height - 2 * margin,
    }
}

impl Scene {
    /// A track that is not decoded any more: its cell shows the member's card.
    pub fn leave_out(&mut self, track: &Source) {
        if track.track == TrackSource::Audio {
            self.heard.retain(|member| !track.is_of(member));
        }
        for placement in self.placements.iter_mut().filter(|it| it.video == *track) {
            placement.content = Content::Card;
        }
    }

    /// The placements of live videos that are not hidden behind another cell: only these need frames.
    pub fn live(&self) -> impl Iterator<Item = &Placement> {
        self.placements.iter().enumerate().filter_map(|(index, placement)| {
            let in_front = self.placements.iter().skip(index + 1);
            // The corners of a round cell let what is behind it through.
            let is_square = self.style.corner_radius == 0;
            let is_hidden = is_square && in_front.into_iter().any(|front| covers(front.rect, placement.rect));
            (placement.content == Content::Live && !is_hidden).then_some(placement)
        })
    }
}

fn covers(front: Rect, behind: Rect) -> bool {
    front.x <= behind.x
        && front.y <= behind.y
        && front.x + front.width >= behind.x + behind.width
        && front.y + front.height >= behind.y + behind.height
}

/// The canvas for a shared screen: its own size up to 1920 wide, else the size of its aspect ratio.
pub fn canvas_of_screen(width: usize, height: usize) -> Canvas {
    let (width, height) = (width.max(16), height.max(16));
    if width < 1920 && height <= 1440 {
        return Canvas {
            width: width & !1,
            height: height & !1,
        };
    }
    // 16:9, 16:10 and 4:3.
    let heights = [1080, 1200, 1440];
    let ratio_error = |canvas_height: &usize| (width * canvas_height).abs_diff(height * 1920) / height;
    Canvas {
        width: 1920,
        height: heights.into_iter().min_by_key(ratio_error).unwrap_or(1080),
    }
}

/// The members of the own room, then the others whom the layout names; at most [`MAX_INPUTS`]: those whom it names, then the earliest.
fn inputs<'a>(own: &RoomKey, layout: &Layout, publishing: Vec<&'a Member>) -> Vec<&'a Member> {
    let (mut inputs, mut others): (Vec<&Member>, Vec<&Member>) =
        publishing.into_iter().partition(|member| member.id.room == *own);
    others.retain(|member| names(layout, &member.id));
    // Those who are no guests come last.
    others.sort_by_key(|member| {
        layout
            .guests
            .iter()
            .position(|guest| *guest == member.id)
            .unwrap_or(usize::MAX)
    });
    inputs.append(&mut others);
    let named = inputs.iter().filter(|member| names(layout, &member.id)).count();
    let mut unnamed = MAX_INPUTS.saturating_sub(named);
    inputs.retain(|member| {
        if names(layout, &member.id) {
            return true;
        }
        let has_place = unnamed > 0;
        unnamed = unnamed.saturating_sub(1);
        has_place
    });
    inputs.truncate(MAX_INPUTS);
    inputs
}

/// Whether the layout names a member, for a cell, for its video or as a guest.
fn names(layout: &Layout, member: &RoomUser) -> bool {
    let is_theirs = |video: &Source| video.is_of(member);
    let small = layout.small.as_ref().and_then(|cell| cell.video.as_ref());
    let cells = layout.cells.iter().filter_map(|cell| cell.video.as_ref());
    let is_in_template = match layout.template {
        Template::Float | Template::ScreenShare => {
            layout.main.iter().any(is_theirs) || layout.only_users.contains(member)
        }
        Template::Grid => layout.only_users.contains(member),
        Template::PictureInPicture | Template::Presenter => layout.main.iter().chain(small).any(is_theirs),
        Template::Custom => cells.into_iter().any(is_theirs),
    };
    is_in_template || layout.guests.contains(member)
}

/// The videos that ask for a cell, in the order of entering.
fn videos(layout: &Layout, inputs: &[&Member]) -> Vec<(Source, Content)> {
    let audio_only = layout
        .audio_only_takes_cell
        .unwrap_or(layout.template != Template::ScreenShare);
    // The contract has the list for the first three templates alone.
    let has_list = matches!(
        layout.template,
        Template::Float | Template::Grid | Template::ScreenShare
    );
    let is_listed = |member: &RoomUser| layout.only_users.contains(member) || layout.guests.contains(member);
    let wanted = |member: &RoomUser| !has_list || layout.only_users.is_empty() || is_listed(member);
    inputs
        .iter()
        .filter(|member| wanted(&member.id))
        .flat_map(|member| member.videos(audio_only))
        .collect()
}

impl Member {
    /// With those tracks alone that take part.
    fn selected(&self, selection: &Selection) -> Self {
        let takes = |source| selection.takes(&self.id.user, source);
        Self {
            id: self.id.clone(),
            audio: self.audio.filter(|_| takes(TrackSource::Audio)),
            camera: self.camera.filter(|_| takes(TrackSource::Camera)),
            screen: self.screen.filter(|_| takes(TrackSource::Screen)),
        }
    }

    fn publishes_any(&self) -> bool {
        self.audio.is_some() || self.has_video()
    }

    fn has_video(&self) -> bool {
        self.camera.is_some() || self.screen.is_some()
    }

    pub(crate) fn publishes(&self, source: TrackSource) -> bool {
        match source {
            TrackSource::Audio => self.audio.is_some(),
            TrackSource::Camera => self.camera.is_some(),
            TrackSource::Screen => self.screen.is_some(),
        }
    }

    pub(crate) fn content(&self, source: TrackSource) -> Content {
        let state = match source {
            TrackSource::Audio => None,
            TrackSource::Camera => self.camera,
            TrackSource::Screen => self.screen,
        };
        if state == Some(TrackState::On) {
            Content::Live
        } else {
            Content::Card
        }
    }

    /// Camera, then screen; a card where there is only audio, if that counts.
    fn videos(&self, audio_only: bool) -> Vec<(Source, Content)> {
        let has = |source: TrackSource| match source {
            TrackSource::Camera => self.camera.is_some() || (audio_only && !self.has_video()),
            TrackSource::Screen => self.screen.is_some(),
            TrackSource::Audio => false,
        };
        [TrackSource::Camera, TrackSource::Screen]
            .into_iter()
            .filter(|source| has(*source))
            .map(|source| (self.id.track(source), self.content(source)))
            .collect()
    }
}
