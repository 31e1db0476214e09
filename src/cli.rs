//! The command line: its commands and options, and the text of `--help`.

mod api;
mod apps;
mod console;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rotunda_proto::ids::{OwnStreamId, RecordId, RoomId, UserId};

pub use api::{Callbacks, Members, RecordingSearch, RecordingTarget, Rooms, Server as ApiServer, Usage};
pub use apps::{
    AppCreate, AppRotate, AppSet, AppSettings, AppTarget, Apps, KeyCreate, KeyDelete, Keys, SecretPurpose, Stored,
};
pub use console::{Console, ConsolePassword};

/// Self-hosted real-time audio and video: rooms, forwarding, mixing, recording and live streams in one binary.
#[derive(Debug, Parser)]
#[command(name = "rotunda", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until Ctrl-C or SIGTERM.
    #[command(
        after_help = "Behind NAT, sfu.advertise says how clients reach the media ports: addresses, interface:NAME, \
                            env:VARIABLE, file:PATH or stun:HOST:PORT, for example ROTUNDA__SFU__ADVERTISE='[\"env:HOST_IP\"]'."
    )]
    Serve(Serve),
    /// Run the server with three participants and a mix, show its progress, and check the recording at the end.
    Demo(Demo),
    /// Print a UserSig, the ticket with which a user logs in.
    UserSig(UserSig),
    /// Join a room with synthetic participants: a clip, or generated audio and video.
    Join(Join),
    /// Fill a room with publishers, viewers and audience; measure delivery, delay and the server's cost.
    Load(Box<Load>),
    /// Start or stop the mix of a room through the public API.
    #[command(subcommand)]
    Mix(Mix),
    /// List, make and change the applications in the database. Running servers follow within 2 seconds.
    #[command(subcommand)]
    Apps(Box<Apps>),
    /// List, make and delete API keys in the database. Running servers follow within 2 seconds.
    #[command(subcommand)]
    Keys(Keys),
    /// The operator console at /console.
    #[command(subcommand)]
    Console(Console),
    /// List and dismiss rooms, through the server API.
    #[command(subcommand)]
    Rooms(Rooms),
    /// List and remove members of rooms and set their permissions, through the server API.
    #[command(subcommand)]
    Members(Members),
    /// List the mixes that run or begin, through the server API.
    Mixes(ApiServer),
    /// List the live streams and their pushes, through the server API.
    Live(ApiServer),
    /// List the media nodes of the cluster and their load, through the server API.
    Nodes(ApiServer),
    /// Show what is counted, by day, through the server API.
    Usage(Usage),
    /// List and replay callbacks, through the server API.
    #[command(subcommand)]
    Callbacks(Callbacks),
    /// List and delete recorded files; maintain the recordings of this machine.
    Recordings(Recordings),
    /// Print the configuration in effect (defaults < file < environment), secrets hidden.
    Config(ConfigFile),
    /// Run the engine of one mix; the server starts these itself, each with a socket as its standard input.
    #[command(hide = true)]
    MixEngine(MixEngine),
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// Configuration file; see deploy/config.sample.toml. Every key can also be set as ROTUNDA__SECTION__KEY.
    #[arg(long, env = "ROTUNDA_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The services to run in this process; `avatar` runs only where it is named.
    #[arg(long, value_delimiter = ',', default_values_t = Role::ROOMS)]
    pub roles: Vec<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Rooms over WebSocket, the public API, callbacks.
    Signaling,
    /// WebRTC forwarding.
    Sfu,
    /// Mixing.
    Mcu,
    /// Recordings.
    Recorder,
    /// HTTP-FLV, HLS and RTMP.
    Live,
    /// Talking avatars over HTTP and WebRTC. Anybody who reaches its port can use them.
    Avatar,
}

impl Role {
    /// The roles that rooms need: all except the avatar.
    pub const ROOMS: [Self; 5] = [Self::Signaling, Self::Sfu, Self::Mcu, Self::Recorder, Self::Live];
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signaling => "signaling",
            Self::Sfu => "sfu",
            Self::Mcu => "mcu",
            Self::Recorder => "recorder",
            Self::Live => "live",
            Self::Avatar => "avatar",
        })
    }
}

#[derive(Debug, Args)]
pub struct MixEngine {
    /// The log filter, as in server.log.
    #[arg(long, default_value = "info")]
    pub log: String,
    /// Log in JSON, as in server.log_json.
    #[arg(long)]
    pub log_json: bool,
    /// The memory that this process may take, MiB.
    #[arg(long)]
    pub memory_mb: u64,
}

#[derive(Debug, Args)]
pub struct Demo {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Stop after this many seconds; by default on Ctrl-C.
    #[arg(long, env = "DEMO_SECONDS")]
    pub seconds: Option<u64>,
    /// Clips (MP4 with H.264 and AAC) for the participants, in turn. Without a clip, audio and video are generated.
    #[arg(long, value_name = "FILE")]
    pub clip: Vec<PathBuf>,
    /// The room.
    #[arg(long, default_value = "1001", value_parser = parse_room)]
    pub room: RoomId,
}

#[derive(Debug, Args)]
pub struct Recordings {
    #[command(subcommand)]
    pub command: RecordingsCommand,
}

#[derive(Debug, Subcommand)]
pub enum RecordingsCommand {
    /// List recorded files, newest first, through the server API.
    List(RecordingSearch),
    /// Delete a recorded file, through the server API.
    Delete(RecordingTarget),
    /// Enter the recordings of the disk that the database does not know, for example after the database was lost.
    Rebuild(ConfigFile),
}

#[derive(Debug, Args)]
pub struct UserSig {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The user who will log in: at most 32 letters, digits, `_` and `-`.
    pub user: UserId,
    /// Seconds until the ticket expires.
    #[arg(long, default_value_t = 86_400)]
    pub life: u64,
}

#[derive(Debug, Args)]
pub struct Join {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The room: a number, or text (write `text:123` for the text room "123").
    #[arg(value_parser = parse_room)]
    pub room: RoomId,
    /// The participant's id, also drawn into the video.
    #[arg(long, default_value = "guest")]
    pub user: UserId,
    /// The server's WebSocket address; by default the local one of the configuration.
    #[arg(long)]
    pub url: Option<String>,
    /// A ticket; by default it is made with the application's key from the configuration.
    #[arg(long)]
    pub user_sig: Option<String>,
    /// A clip (MP4 with H.264 and AAC) to send in a loop; without it audio and video are generated.
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,
    /// Send the clip's frames as they are in the file, at `--fps`: without a mark, and with the keyframes that it has.
    #[arg(long, requires = "clip", conflicts_with_all = ["codec", "mark", "size"])]
    pub as_coded: bool,
    /// So many participants, USER-1 to USER-N.
    #[arg(long, value_name = "N", conflicts_with = "user_sig", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub members: Option<u16>,
    /// The video codec.
    #[arg(long, value_enum, default_value_t = Codec::H264)]
    pub codec: Codec,
    /// Number in the video's frame mark (0 to 255); it also sets the pitch of the beep, 400 + 50 * mark Hz.
    #[arg(long, default_value_t = 1)]
    pub mark: u8,
    /// Frames per second.
    #[arg(long, default_value_t = 30)]
    pub fps: u8,
    /// Width and height of the video: even numbers from 64 to 1920.
    #[arg(long, value_name = "WxH", default_value = "640x360", value_parser = parse_camera_size)]
    pub size: Size,
    /// The audio besides the beep at each full second.
    #[arg(long, alias = "sound", value_enum, default_value_t = AudioName::Speech)]
    pub audio: AudioName,
    /// Leave after this many seconds; by default on Ctrl-C.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Record this participant's own media under this name (`userDefineRecordId`).
    #[arg(long)]
    pub record_id: Option<RecordId>,
    /// Relay this participant's own media as this live stream (`streamId`).
    #[arg(long)]
    pub stream_id: Option<OwnStreamId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    H264,
    Vp8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AudioName {
    /// The clip's speech, or a generated voice.
    Speech,
    /// Only the beep.
    Beeps,
    /// No microphone.
    None,
}

#[derive(Debug, Args)]
pub struct Load {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The server's WebSocket address; by default the local one of the configuration.
    #[arg(long, conflicts_with_all = ["whip", "janus"])]
    pub url: Option<String>,
    /// WHIP address by which publishers join, of any server. `{room}` and `{user}` (the publisher) are replaced, as in
    /// `http://127.0.0.1:8080/whip/{room}`.
    #[arg(long, value_name = "URL", requires = "whep", conflicts_with = "janus")]
    pub whip: Option<String>,
    /// WHEP address by which viewers join, as in `http://127.0.0.1:8080/whep/{room}/{user}`; each watches one publisher of its room.
    #[arg(long, value_name = "URL", requires = "whip")]
    pub whep: Option<String>,
    /// The bearer token of all members; by default each member uses the UserSig of its user.
    #[arg(long, requires = "whip")]
    pub token: Option<String>,
    /// Janus's WebSocket address, as in `ws://127.0.0.1:8188`: members join its video room, which must exist.
    #[arg(long, value_name = "URL")]
    pub janus: Option<String>,
    /// The room: a number, or text (write `text:123` for the text room "123").
    #[arg(long, default_value = "load", value_parser = parse_room)]
    pub room: RoomId,
    /// Fill this many rooms, ROOM-1 to ROOM-K; the numbers of publishers and viewers are then per room.
    #[arg(long, value_name = "K")]
    pub rooms: Option<u32>,
    /// Members who send audio and video; a room takes at most 4.
    #[arg(long, default_value_t = 1)]
    pub publishers: u32,
    /// Members who watch all publishers of their room.
    #[arg(long, default_value_t = 10)]
    pub viewers: u32,
    /// Members without media, who enter as audience after the others and stay.
    #[arg(long, default_value_t = 0)]
    pub audience: u32,
    /// Local addresses for the connections of audience members, in turn: one address has ports for about 28,000 connections.
    /// By default the address of the route; on loopback one of 127.0.x.1 for every 10,000 members.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub sources: Vec<std::net::IpAddr>,
    /// Joins per second.
    #[arg(long, default_value_t = 20.0)]
    pub join_rate: f64,
    /// Seconds between the last join and the measurement.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub warm_up: f64,
    /// Measured seconds, after the warm-up.
    #[arg(long, default_value_t = 30.0)]
    pub seconds: f64,
    /// Video packets per second of each publisher.
    #[arg(long, value_name = "PACKETS", default_value_t = 200)]
    pub video_packets: u32,
    /// Payload of a video packet, bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1100)]
    pub video_bytes: usize,
    /// Packets of one video frame, which leave together.
    #[arg(long, value_name = "PACKETS", default_value_t = 6)]
    pub frame_packets: u32,
    /// Seconds between keyframes; viewers can request more.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub gop: f64,
    /// Audio packets per second of each publisher; 0: no microphone.
    #[arg(long, value_name = "PACKETS", default_value_t = 50)]
    pub audio_packets: u32,
    /// Payload of an audio packet, bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 80)]
    pub audio_bytes: usize,
    /// How often per second each publisher mutes or unmutes its camera in the measured time, at most 40. At the end all are muted,
    /// and the report counts audience members who do not know that within 15 s.
    #[arg(long, value_name = "TIMES", default_value_t = 0.0, conflicts_with_all = ["whip", "janus"])]
    pub mutes: f64,
    /// Publishers of a room take turns speaking, this many seconds each: in its turn a publisher publishes its microphone, speaks, pauses
    /// and unpublishes it. By default all speak all the time.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, conflicts_with_all = ["whip", "janus"])]
    pub talk_turns: f64,
    /// Share of the media packets that viewers drop on arrival, 0 to 1; they send NACKs for them.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub loss: f64,
    /// Rate of each viewer's link, with changes at seconds after the viewer began to join, as in `2000,20:500,40:2000`; its queue
    /// is 300 ms long. By default there is no limit.
    #[arg(long, value_name = "KBIT[,SECONDS:KBIT]…")]
    pub bandwidth: Option<rotunda_client::load::Bandwidth>,
    /// Chooses which packets are dropped; the same seed drops the same ones.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The server's process on this machine: the report then has its CPU time per forwarded packet.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Threads that run the members; use more when the tool warns that it is saturated.
    #[arg(long, default_value_t = 1)]
    pub threads: u32,
    /// Prefix of the members' ids; two loads at the same time need different ones.
    #[arg(long, default_value = "load")]
    pub user_prefix: String,
    /// Write the parameters and the result to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Mix {
    /// Start the mix, or give the running one a new layout.
    Start(MixStart),
    /// Stop the mix and finish its recording.
    Stop(MixTarget),
}

#[derive(Debug, Args)]
pub struct MixTarget {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The room: a number, or text (write `text:123` for the text room "123").
    #[arg(value_parser = parse_room)]
    pub room: RoomId,
    /// The server's gRPC address; by default the local one of the configuration.
    #[arg(long)]
    pub url: Option<String>,
}

#[derive(Debug, Args)]
pub struct MixStart {
    #[command(flatten)]
    pub target: MixTarget,
    /// Id of the live stream; `mix-ROOM` by default.
    #[arg(long)]
    pub stream_id: Option<OwnStreamId>,
    /// Record the mix, with this prefix of the file names.
    #[arg(long)]
    pub record_id: Option<RecordId>,
    /// The layout of the members.
    #[arg(long, value_enum, default_value_t = TemplateName::Grid)]
    pub template: TemplateName,
    /// Frame size in pixels.
    #[arg(long, default_value = "1280x720", value_parser = parse_size)]
    pub size: Size,
    /// Frames per second.
    #[arg(long, default_value_t = 15)]
    pub fps: u64,
    /// Video bitrate, kbit/s.
    #[arg(long, default_value_t = 1500)]
    pub video_kbps: u64,
    /// Audio bitrate, kbit/s.
    #[arg(long, default_value_t = 96)]
    pub audio_kbps: u64,
    /// Also push the program to this RTMP address.
    #[arg(long, value_name = "URL")]
    pub push: Option<String>,
    /// A member of another room who takes part in the mix, as ROOM/USER; may be given several times.
    #[arg(long = "also", value_name = "ROOM/USER", value_parser = parse_room_user)]
    pub also: Vec<(RoomId, UserId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TemplateName {
    Float,
    Grid,
    ScreenShare,
    PictureInPicture,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

fn parse_size(text: &str) -> Result<Size, String> {
    let sides = text
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let (width, height) = sides.ok_or("write WIDTHxHEIGHT, as in 1280x720")?;
    Ok(Size { width, height })
}

fn parse_camera_size(text: &str) -> Result<Size, String> {
    let size = parse_size(text)?;
    for side in [size.width, size.height] {
        if !(64..=1920).contains(&side) || side % 2 != 0 {
            return Err(format!("{side} is not an even number from 64 to 1920"));
        }
    }
    Ok(size)
}

fn parse_room(text: &str) -> Result<RoomId, String> {
    text.parse().map_err(|error| format!("the room {error}"))
}

/// A room's name has no slash.
fn parse_room_user(text: &str) -> Result<(RoomId, UserId), String> {
    let (room, user) = text.split_once('/').ok_or("write ROOM/USER, as in 2002/ann")?;
    let user = user.parse().map_err(|error| format!("the user {error}"))?;
    Ok((parse_room(room)?, user))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn digits_are_a_numeric_room_unless_said_otherwise() {
        assert!(matches!(parse_room("123"), Ok(RoomId::Number(_))));
        assert!(matches!(parse_room("text:123"), Ok(RoomId::Name(_))));
        assert!(matches!(parse_room("class-1"), Ok(RoomId::Name(_))));
        assert!(parse_room("0").is_err());
    }
}
