//! Mixes: what one is to be, what MCU nodes announce, and the events of all of them on [`EVENTS_SUBJECT`]. How a mix is asked for
//! is in [`mix_task`](crate::mix_task).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{
    MixId, NodeId, RecordId, RoomId, RoomKey, RoomUser, Source, StreamId, StreamKey, TrackSource, UserId,
};
use crate::media_task::TaskRef;
use crate::mix_task::Origin;
use crate::recording::FileWishes;
use crate::selection::Selection;

/// Maximum inputs of a task; a member with only audio counts as one.
pub const MAX_INPUTS: usize = 16;

/// Key under which an MCU node announces itself, with [`MixNode`] as its value.
pub fn node_key(node: &NodeId) -> String {
    format!("nodes.mcu.{node}")
}

/// Prefix of [`node_key`].
pub const NODES_PREFIX: &str = "nodes.mcu.";

/// An MCU node, and how much more it can mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixNode {
    pub node: NodeId,
    /// Mixes that it takes besides those that it has.
    pub tasks_left: u64,
    /// Thousandths of a CPU core that are left for them.
    pub millicores_left: u64,
}

impl MixNode {
    pub fn can_take(&self, millicores: u64) -> bool {
        self.tasks_left > 0 && self.millicores_left >= millicores
    }
}

/// Subject of the [`Event`]s of all tasks.
pub const EVENTS_SUBJECT: &str = "mix.events";

/// Key of a running mix, with [`RunningMix`] as its value; it vanishes with its node.
pub fn running_key(room: &RoomKey, origin: &Origin) -> String {
    format!("{}{}", running_prefix(room), origin.token())
}

/// Prefix of the [`running_key`]s of a room; watched by signaling to notify the members.
pub fn running_prefix(room: &RoomKey) -> String {
    format!("mixes.{}.", room.token())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningMix {
    pub node: NodeId,
    pub spec: MixSpec,
    /// Tracks that are missing in the mix, because the mixer has no decoder for their codec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_mixable: Vec<NotMixable>,
}

/// A track that cannot be mixed: the mixer has no decoder for its codec, or it is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotMixable {
    pub user_id: UserId,
    /// The member's room; None: that of the mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    pub source: TrackSource,
    /// As in SDP: `H265`; or [`MALFORMED`](Self::MALFORMED).
    pub codec: String,
}

impl NotMixable {
    /// In place of the codec: what the track sends fills the memory, or ends the engines of mixes.
    pub const MALFORMED: &str = "malformed media";
}

/// Why a mix was not started, or not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    #[error("the room does not exist or is empty")]
    RoomNotExist,
    #[error("no mixing server has enough capacity left for the mix")]
    NoCapacity,
    #[error("the mixing server could not start the mix: {reason}")]
    Failed { reason: String },
    #[error("the stream id is in use by another mix")]
    StreamIdInUse,
    #[error("the encoder refused its parameters: {reason}")]
    Encoder { reason: String },
}

/// One complete mix request, checked and typed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixSpec {
    pub room: RoomKey,
    pub stream_id: StreamId,
    pub audio: AudioEncode,
    /// None: audio only.
    pub video: Option<VideoEncode>,
    pub layout: Layout,
    pub record: Option<RecordSpec>,
    /// RTMP(S) addresses that the program is pushed to.
    #[serde(default)]
    pub push_urls: Vec<String>,
    /// The task of the server API that the mix is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
}

impl MixSpec {
    /// The stream that the program goes out on.
    pub fn stream(&self) -> StreamKey {
        StreamKey {
            app: self.room.app,
            id: self.stream_id.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioEncode {
    /// Hz: 48000, 44100, 32000, 24000, 16000 or 8000.
    pub sample_rate: u32,
    /// kbit/s, 8 to 500.
    pub bitrate_kbps: u32,
    /// 1 or 2.
    pub channels: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoEncode {
    /// Pixels, as asked; see [`VideoEncode::size`].
    pub width: u16,
    /// Pixels, as asked.
    pub height: u16,
    /// kbit/s, 1 to 10000.
    pub bitrate_kbps: u32,
    /// Frames per second, 1 to 60.
    pub framerate: u8,
    /// Seconds between keyframes, 1 to 5.
    pub gop_seconds: u8,
    /// 0xRRGGBB.
    pub background_rgb: u32,
}

impl VideoEncode {
    /// Width and height of the canvas: I420 has one chroma sample for 2x2 pixels, so odd sides are rounded down. Cells are checked
    /// against the asked sides, and rounded down like them.
    pub fn size(&self) -> (u16, u16) {
        (self.width & !1, self.height & !1)
    }
}

/// The requested layout. The layout engine of the MCU places the members by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    pub template: Template,
    /// The main video of float, screen-share and picture-in-picture.
    #[serde(default)]
    pub main: Option<Source>,
    /// The small video of picture-in-picture.
    #[serde(default)]
    pub small: Option<Cell>,
    /// Screen-share: the main video on the right.
    #[serde(default)]
    pub main_right: bool,
    /// Only the video of these members and of the guests is mixed (float, grid, screen-share); empty: all members'.
    #[serde(default)]
    pub only_users: Vec<RoomUser>,
    /// Members of other rooms of the application who take part as if they were in the mix's room, in this order after its own members.
    /// The main and the small video and the cells may name others.
    #[serde(default)]
    pub guests: Vec<RoomUser>,
    /// Custom: the cells.
    #[serde(default)]
    pub cells: Vec<Cell>,
    /// How a frame fills its cell if the cell does not say.
    #[serde(default)]
    pub render_mode: Option<RenderMode>,
    /// Whether a member with only audio takes a cell; None: the template's default.
    #[serde(default)]
    pub audio_only_takes_cell: Option<bool>,
    /// Fills the canvas behind all cells, in the place of the background colour.
    #[serde(default)]
    pub background: Option<PictureId>,
    #[serde(default)]
    pub watermark: Option<Watermark>,
    /// Custom: the cells' placeholders are shown while there is no video.
    #[serde(default)]
    pub placeholders: bool,
    /// Custom: a cell without a member is never filled by this one, who has asked for the mix.
    #[serde(default)]
    pub local_user: Option<RoomUser>,
    /// The canvas takes the size of the main video when its size is known first.
    #[serde(default)]
    pub size_by_main: bool,
    #[serde(default)]
    pub style: Style,
    /// The members who take part, and with what.
    #[serde(default)]
    pub selection: Selection,
    /// Custom: members without a cell are heard, too.
    #[serde(default)]
    pub hears_all: bool,
}

/// The look of the cells, beyond the contract: by default that of the contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Style {
    /// Each video has its member's name in the lower left corner.
    pub names: bool,
    /// Free pixels around each cell that fills no whole canvas.
    pub margin: u16,
    /// Pixels; 0: square corners.
    pub corner_radius: u16,
    /// 0xRRGGBB of a frame around the cells of members who speak; None: no frame.
    pub speaking_rgb: Option<u32>,
    /// The loudest speaker is the main video, and stays for so many seconds at least; None: the layout says who is.
    pub loudest_dwell: Option<u8>,
    /// Cells move to their new places.
    pub animated: bool,
    /// The video says where each member is on the canvas, in SEI.
    pub sei: bool,
}

impl Layout {
    /// Makes a member's camera the main video, where the template has one that is not a shared screen.
    pub fn show_as_main(&mut self, member: &RoomUser) {
        let takes_camera = match self.template {
            Template::Float | Template::PictureInPicture => true,
            Template::ScreenShare => self.main.as_ref().is_none_or(|main| main.track == TrackSource::Camera),
            Template::Grid | Template::Custom | Template::Presenter => false,
        };
        // The small video stays who it is.
        let small = self.small.as_ref().and_then(|cell| cell.video.as_ref());
        if takes_camera && small.is_none_or(|small| !small.is_of(member)) {
            self.main = Some(member.track(TrackSource::Camera));
        }
    }

    /// The rooms whose members it may show or make heard besides those of the mix's `own` room, each once, in the order of their naming.
    pub fn other_rooms(&self, own: &RoomKey) -> Vec<RoomKey> {
        let small = self.small.as_ref().and_then(|cell| cell.video.as_ref());
        let main = self.main.iter().chain(small).map(|video| &video.room);
        let guests = self.guests.iter().chain(&self.only_users).map(|member| &member.room);
        let cells = self
            .cells
            .iter()
            .filter_map(|cell| cell.video.as_ref().map(|video| &video.room).or(cell.room.as_ref()));
        let mut rooms: Vec<RoomKey> = Vec::new();
        for room in main.chain(guests).chain(cells).filter(|room| *room != own) {
            if !rooms.contains(room) {
                rooms.push(room.clone());
            }
        }
        rooms
    }

    /// Every picture that it shows.
    pub fn pictures(&self) -> impl Iterator<Item = PictureId> {
        let placeholders = self.cells.iter().filter_map(|cell| cell.placeholder);
        let watermark = self.watermark.map(|watermark| watermark.picture);
        self.background.into_iter().chain(watermark).chain(placeholders)
    }
}

/// A picture of the application in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PictureId(i64);

impl PictureId {
    /// Ids of uploaded pictures are 1 and more; a picture that was fetched from a URL has a negative one.
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    pub const fn get(self) -> i64 {
        self.0
    }
}

/// A picture in front of all cells: a rectangle of the canvas, in pixels from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    pub picture: PictureId,
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    #[default]
    Float,
    Grid,
    ScreenShare,
    PictureInPicture,
    Custom,
    /// The main member's screen, or their camera while they share none; all others are heard only.
    Presenter,
}

/// A rectangle of the canvas, in pixels from the top left, and its member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// None: filled in the order in which members entered.
    pub video: Option<Source>,
    /// A cell without a video is filled by members of this room; None: by those of the mix's room.
    #[serde(default)]
    pub room: Option<RoomKey>,
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
    /// Higher is in front.
    pub z: u32,
    #[serde(default)]
    pub render_mode: Option<RenderMode>,
    #[serde(default)]
    pub input: CellInput,
    /// Shown while there is no video, if the layout says so.
    #[serde(default)]
    pub placeholder: Option<PictureId>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellInput {
    #[default]
    AudioVideo,
    VideoOnly,
    AudioOnly,
}

/// How a frame fills its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderMode {
    /// The frame fills the cell, and the rest is cut off.
    Crop,
    /// The whole frame, with the background beside it.
    Scale,
    /// The whole frame on black.
    ScaleOnBlack,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSpec {
    /// Prefix of the files' names.
    pub record_id: RecordId,
    /// An audio file (mp3 by the contract) instead of audio and video.
    pub audio_only: bool,
    #[serde(default)]
    pub files: FileWishes,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Started {
        mix: MixId,
        room: RoomKey,
        stream_id: StreamId,
        #[serde(default)]
        origin: Origin,
        started_unix_ms: u64,
    },
    /// Sent once per second while a task runs.
    Health {
        room: RoomKey,
        stream_id: StreamId,
        health: Health,
    },
    /// A member's track cannot be mixed, because the mixer has no decoder for its codec; sent once for each track
    /// and codec.
    NotMixable {
        mix: MixId,
        room: RoomKey,
        stream_id: StreamId,
        track: NotMixable,
    },
    Stopped {
        mix: MixId,
        room: RoomKey,
        stream_id: StreamId,
        /// None: its program has never begun.
        started_unix_ms: Option<u64>,
        reason: StopReason,
    },
}

/// The health of a task, over the last second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Members that are seen or heard.
    pub inputs: u32,
    /// Videos that are live in the mix.
    pub live_videos: u32,
    /// Encoded frames per second.
    pub fps: f32,
    pub video_kbps: f32,
    pub audio_kbps: f32,
    /// Longest mix tick of the second, milliseconds.
    pub tick_ms_max: f32,
    /// Ticks that were too late, since the start.
    pub late_ticks: u64,
    /// Audio packets that arrived too late for play-out, since the start.
    #[serde(default)]
    pub late_audio: u64,
    /// Input video frames thrown away undecoded because decoding was behind, since the start.
    #[serde(default)]
    pub shed_frames: u64,
    /// The number of the layout that is shown. It only grows.
    #[serde(default)]
    pub layout_revision: u64,
    /// Failures after which an encoder was replaced, since the start.
    #[serde(default)]
    pub encoder_failures: u64,
    /// Length of the program so far, milliseconds.
    pub program_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    Asked,
    /// Another request started a different mix in the room, which replaces this one.
    Replaced {
        /// The record id of this mix, if it was recorded.
        record: Option<RecordId>,
        /// The stream of the new mix.
        by: StreamId,
    },
    RoomEmpty,
    Shutdown,
    Failed {
        message: String,
    },
}

impl StopReason {
    /// As rows and facts have it.
    pub fn in_words(&self) -> String {
        match self {
            Self::Asked => "asked".to_owned(),
            Self::Replaced { by, .. } => format!("replaced: {by}"),
            Self::RoomEmpty => "room_empty".to_owned(),
            Self::Shutdown => "shutdown".to_owned(),
            Self::Failed { message } => format!("failed: {message}"),
        }
    }
}
