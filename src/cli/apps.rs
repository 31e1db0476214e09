//! The commands that administer applications and their API keys.

use clap::{Args, Subcommand, ValueEnum};
use rotunda_proto::applications::Scope;
use rotunda_proto::config::{Publishers, RecordFormat, WhenFull};
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::stream_profile::StreamProfile;

use super::ConfigFile;

#[derive(Debug, Subcommand)]
pub enum Apps {
    /// List the applications of the configuration file and of the database, without their secrets.
    List(Stored),
    /// Make an application. Its secrets are shown once, here.
    Create(AppCreate),
    /// Change the settings of an application of the database; every node follows within 2 seconds.
    #[command(after_help = "Settings that are not named stay as they are. `rotunda apps list --json` shows them.")]
    Set(AppSet),
    /// Put a new secret beside the present one: both are valid until `--finish`.
    #[command(
        after_help = "Exchange a secret without a break: `rotunda apps rotate ID`, give the new secret to every backend, and then \
                      `rotunda apps rotate ID --finish`. Callbacks and playback addresses have one secret at a time: the newest."
    )]
    Rotate(AppRotate),
    /// Delete an application with its secrets and API keys. Members who are inside stay until they leave.
    Delete(AppTarget),
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// List the API keys of the database, without their secrets.
    List(Stored),
    /// Make an API key for an application. Its secret is shown once, here.
    Create(KeyCreate),
    /// Delete an API key.
    Delete(KeyDelete),
}

#[derive(Debug, Args)]
pub struct Stored {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Do it through the API of this server, as in https://media.example.com/rtc, and not in the database of the configuration.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// API key for --server, as ID:SECRET, with the scope admin. Better in the environment than on the command line.
    #[arg(long, env = "ROTUNDA_API_KEY", hide_env_values = true, value_name = "ID:SECRET")]
    pub key: Option<String>,
    /// With --server: print the equivalent call with curl, and do nothing.
    #[arg(long, requires = "server")]
    pub curl: bool,
}

#[derive(Debug, Args)]
pub struct AppTarget {
    #[command(flatten)]
    pub stored: Stored,
    /// The application's number (SdkAppId).
    #[arg(value_parser = parse_app)]
    pub id: SdkAppId,
}

#[derive(Debug, Args)]
pub struct AppCreate {
    #[command(flatten)]
    pub target: AppTarget,
    #[command(flatten)]
    pub settings: AppSettings,
    /// Protect playback addresses with a key that is made (`txSecret`, `txTime`).
    #[arg(long)]
    pub play_key: bool,
}

#[derive(Debug, Args)]
pub struct AppSet {
    #[command(flatten)]
    pub target: AppTarget,
    #[command(flatten)]
    pub settings: AppSettings,
}

#[derive(Debug, Default, Args)]
pub struct AppSettings {
    /// A name for people.
    #[arg(long)]
    pub name: Option<String>,
    /// Address that receives callbacks, which are signed with a key that is made; empty: none.
    #[arg(long, value_name = "URL")]
    pub callback_url: Option<String>,
    /// Address that receives the events of rooms and media, signed with the same key; empty: none.
    #[arg(long, value_name = "URL")]
    pub event_callback_url: Option<String>,
    /// Address that receives a request for each invitee of a call who has no device, signed with the same key; empty: none.
    #[arg(long, value_name = "URL")]
    pub call_push_url: Option<String>,
    /// Address that checks tokens which are no UserSigs at login, signed with the same key; empty: none.
    #[arg(long, value_name = "URL")]
    pub token_hook_url: Option<String>,
    /// Issuer of the OpenID provider whose ID tokens are good in place of UserSigs; empty: none.
    #[arg(long, value_name = "URL")]
    pub oidc_issuer: Option<String>,
    /// The client that the ID tokens are for (aud).
    #[arg(long, value_name = "ID")]
    pub oidc_client_id: Option<String>,
    /// The claim that is the user id; empty: sub. Default sub.
    #[arg(long, value_name = "CLAIM")]
    pub oidc_user_claim: Option<String>,
    /// Members of a room who may publish audio at one time, 6 to 20. Default 6.
    #[arg(long, value_name = "N")]
    pub max_microphones: Option<u8>,
    /// Members of a room who may publish video at one time, 4 to 16; each viewer sees at most 4 cameras. Default 4.
    #[arg(long, value_name = "N")]
    pub max_cameras: Option<u8>,
    /// Members need a room ticket (privateMapKey) for each room. Default false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub room_tickets: Option<bool>,
    /// Members may push their own media to other servers. Default false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub members_may_push: Option<bool>,
    /// The publishers whose own media is recorded: none, named or all. Default named.
    #[arg(long, value_name = "WHO", value_parser = parse_publishers)]
    pub record_publishers: Option<Publishers>,
    /// The publishers whose own media is a live stream: none, named or all. Default named.
    #[arg(long, value_name = "WHO", value_parser = parse_publishers)]
    pub relay_publishers: Option<Publishers>,
    /// Seconds for which a publisher may be away before the recording of their own media ends, 0 to 1800. Default 0.
    #[arg(long, value_name = "SECONDS")]
    pub record_resume_seconds: Option<u32>,
    /// Days after which recorded files are deleted, 1 to 1500; 0: never. Default 0.
    #[arg(long, value_name = "DAYS")]
    pub record_retention_days: Option<u32>,
    /// MB that recorded files may take together; 0: no limit. Default 0.
    #[arg(long, value_name = "MB")]
    pub record_quota_mb: Option<u64>,
    /// What a full quota does: refuse new recordings, or remove_oldest files. Default refuse.
    #[arg(long, value_name = "WHAT", value_parser = parse_when_full)]
    pub record_quota_full: Option<WhenFull>,
    /// Formats of recorded files, as in mp4,hls; of mp4, hls, flv, aac. `default`: those of the recorder.
    #[arg(long, value_name = "FORMATS", value_parser = parse_formats)]
    pub record_formats: Option<Formats>,
    /// Minutes after which a new file begins, 1 to 120; 0: the recorder's. Default 0.
    #[arg(long, value_name = "MINUTES")]
    pub record_file_minutes: Option<u32>,
    /// Time zone of the times in file names: an IANA name or an offset, as in +05:30; empty: the recorder's.
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub record_time_zone: Option<String>,
    /// Mixes that may run at one time; 0: no limit. Default 0.
    #[arg(long, value_name = "N")]
    pub max_mixes: Option<u32>,
    /// Video of clients, as in platform=web,role=anchor,codec=h264,height=720,framerate=30,bitrate=1500,layers=2 (bitrate: kbit/s). What is
    /// left out is the client's default. A client follows the first rule for its platform and role: give the option again for more
    /// rules. They take the place of all rules of before.
    #[arg(long, value_name = "RULE", conflicts_with = "no_stream_profiles")]
    pub stream_profile: Vec<StreamProfile>,
    /// No rules for the video of clients: they decide. This is the default.
    #[arg(long)]
    pub no_stream_profiles: bool,
    /// Do not serve the application: nobody logs in, and its keys open nothing. Members who are inside stay.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub disabled: Option<bool>,
}

/// Some of the formats of recorded files; empty: those of the recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formats(pub Vec<RecordFormat>);

#[derive(Debug, Args)]
pub struct AppRotate {
    #[command(flatten)]
    pub target: AppTarget,
    /// The secret to exchange.
    #[arg(long, value_enum, default_value_t = SecretPurpose::UserSig)]
    pub purpose: SecretPurpose,
    /// End the exchange: the earlier secret is valid no longer.
    #[arg(long)]
    pub finish: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SecretPurpose {
    /// Signs UserSigs and room tickets.
    UserSig,
    /// Signs callbacks.
    Callback,
    /// Signs playback addresses.
    Play,
}

#[derive(Debug, Args)]
pub struct KeyCreate {
    #[command(flatten)]
    pub stored: Stored,
    /// The application's number (SdkAppId).
    #[arg(long, value_parser = parse_app, required_unless_present = "operator")]
    pub app: Option<SdkAppId>,
    /// The key is the operator's: it administers all applications, and acts as each (header `x-sdk-app-id`).
    #[arg(long, conflicts_with = "app")]
    pub operator: bool,
    /// The parts of the API that it opens: mix, rooms, moderate, recordings, live, usage, admin.
    #[arg(long, value_delimiter = ',', required = true)]
    pub scopes: Vec<Scope>,
    /// A name for people.
    #[arg(long, default_value = "")]
    pub name: String,
    /// Days until it expires; by default it does not.
    #[arg(long)]
    pub days: Option<u32>,
}

#[derive(Debug, Args)]
pub struct KeyDelete {
    #[command(flatten)]
    pub stored: Stored,
    /// The key's id.
    pub id: String,
}

fn parse_app(text: &str) -> Result<SdkAppId, String> {
    let number = text.parse::<u32>().ok().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| "write the application's number, 1 to 4294967295".to_owned())
}

fn parse_publishers(text: &str) -> Result<Publishers, String> {
    match text {
        "none" => Ok(Publishers::None),
        "named" => Ok(Publishers::Named),
        "all" => Ok(Publishers::All),
        _ => Err("write none, named (those who give a name for it on entering) or all".to_owned()),
    }
}

fn parse_when_full(text: &str) -> Result<WhenFull, String> {
    match text {
        "refuse" => Ok(WhenFull::Refuse),
        "remove_oldest" => Ok(WhenFull::RemoveOldest),
        _ => Err("write refuse or remove_oldest".to_owned()),
    }
}

fn parse_formats(text: &str) -> Result<Formats, String> {
    let format = |text: &str| match text {
        "mp4" => Ok(RecordFormat::Mp4),
        "hls" => Ok(RecordFormat::Hls),
        "flv" => Ok(RecordFormat::Flv),
        "aac" => Ok(RecordFormat::Aac),
        other => Err(format!(
            "{other:?} is no format; write some of mp4, hls, flv and aac, as in mp4,hls"
        )),
    };
    match text {
        "default" => Ok(Formats(Vec::new())),
        text => text.split(',').map(format).collect::<Result<_, _>>().map(Formats),
    }
}
