//! The commands that call the server API.

use clap::{Args, Subcommand};
use rotunda_proto::ids::{RoomId, UserId};

use super::{ConfigFile, parse_room};

/// The server to call, and how to show the answer.
#[derive(Debug, Args)]
pub struct Server {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Address of the server, as in https://media.example.com/rtc; by default the local one of the configuration.
    #[arg(long, env = "ROTUNDA_API_URL", value_name = "URL")]
    pub url: Option<String>,
    /// API key, as ID:SECRET; by default that of the local application. Better in the environment than on the command line.
    #[arg(long, env = "ROTUNDA_API_KEY", hide_env_values = true, value_name = "ID:SECRET")]
    pub key: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the equivalent call with curl, and do nothing.
    #[arg(long)]
    pub curl: bool,
}

#[derive(Debug, Subcommand)]
pub enum Rooms {
    /// List the rooms that exist now.
    List(Server),
    /// End the logins of all members of a room.
    Dismiss(RoomTarget),
}

#[derive(Debug, Args)]
pub struct RoomTarget {
    #[command(flatten)]
    pub server: Server,
    /// The room: a number, or text (write `text:123` for the text room "123").
    #[arg(value_parser = parse_room)]
    pub room: RoomId,
}

#[derive(Debug, Args)]
pub struct MemberTarget {
    #[command(flatten)]
    pub room: RoomTarget,
    /// The member.
    pub user: UserId,
}

#[derive(Debug, Subcommand)]
pub enum Members {
    /// List the members of a room: the earliest 50 who are present, and every publisher.
    List(RoomTarget),
    /// End the login of a member.
    Remove(MemberTarget),
    /// Set what a member may send and receive, until they leave the room.
    Permit(Permit),
}

#[derive(Debug, Args)]
pub struct Permit {
    #[command(flatten)]
    pub member: MemberTarget,
    /// Sources that the member may send: audio, camera, screen. Without any the member is muted.
    #[arg(long, value_delimiter = ',')]
    pub send: Vec<String>,
    /// Sources that the member may receive.
    #[arg(long, value_delimiter = ',', default_value = "audio,camera,screen")]
    pub receive: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RecordingSearch {
    #[command(flatten)]
    pub server: Server,
    /// A part of the name.
    #[arg(long)]
    pub text: Option<String>,
    /// The stream.
    #[arg(long)]
    pub stream_id: Option<String>,
    /// Most files, the newest.
    #[arg(long, default_value_t = 100)]
    pub limit: u64,
}

#[derive(Debug, Args)]
pub struct RecordingTarget {
    #[command(flatten)]
    pub server: Server,
    /// The file, as `rotunda recordings list` shows it.
    pub file_id: String,
}

#[derive(Debug, Args)]
pub struct Usage {
    #[command(flatten)]
    pub server: Server,
    /// The first day, as in 2026-11-25 (UTC).
    #[arg(long, value_name = "DAY")]
    pub from: String,
    /// The last day, at most 31 days in all; by default the first one.
    #[arg(long, value_name = "DAY")]
    pub to: Option<String>,
    /// Print lines with commas, for spreadsheets.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

#[derive(Debug, Subcommand)]
pub enum Callbacks {
    /// List the callbacks of the application, newest first.
    List(CallbackSearch),
    /// Deliver a callback once more that was delivered or given up.
    Replay(CallbackTarget),
}

#[derive(Debug, Args)]
pub struct CallbackSearch {
    #[command(flatten)]
    pub server: Server,
    /// waiting, delivered or failed; by default all.
    #[arg(long)]
    pub state: Option<String>,
}

#[derive(Debug, Args)]
pub struct CallbackTarget {
    #[command(flatten)]
    pub server: Server,
    /// The callback, as `rotunda callbacks list` shows it.
    pub callback_id: String,
}
