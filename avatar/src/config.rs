//! The settings of avatars.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use rotunda_proto::config::{ConfigMistake, Secret};
use rotunda_proto::ids::{RoomId, SdkAppId, UserId};
use rotunda_proto::push_address::PushAddress;
use serde::{Deserialize, Serialize};
use url::Url;

/// Section `[avatar]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address that the HTTP API of avatars listens on. Anybody who reaches it can start sessions. Default "0.0.0.0".
    pub bind: IpAddr,
    /// Port of the HTTP API of avatars. Default 8010.
    pub port: u16,
    /// WebRTC sessions at one time, one avatar each: 1 to 1000. One takes a quarter of a core at 512 x 512. Default 1.
    pub max_session: usize,
    /// Addresses told to WebRTC clients, where they reach the server by others than its own. Default none: those of the interfaces.
    pub advertise: Vec<IpAddr>,
    /// First and last UDP port of WebRTC sessions, each takes one; 0: any. Default 0.
    pub media_port_min: u16,
    pub media_port_max: u16,
    /// Width of the video in pixels: even, 64 to 1920. Default 512.
    pub width: u16,
    /// Height of the video in pixels: even, 64 to 1920. Default 512.
    pub height: u16,
    /// Bitrate of the video, kbit/s: 50 to 20000. Default 800.
    pub video_kbps: u32,
    /// Folder of `record.mp4`, which `/record` writes. Default "./data".
    pub record_directory: PathBuf,
    /// Longest audio of one sentence or upload, seconds: 1 to 3600. Default 600.
    pub max_audio_seconds: u32,
    /// Address that is told by POST when a sentence begins and ends; empty: none. Default "".
    pub webhook_url: Secret,
    /// Where session 0, which is always there, is pushed to: "rtmp://host/app/stream" or, by WHIP, "http://host/whip/room"; empty:
    /// nowhere. Default "".
    pub push_url: Secret,
    /// Bearer token of a push by WHIP. Default "".
    pub push_token: Secret,
    pub speech: Speech,
    pub chat: Chat,
    pub face: Face,
    pub room: Room,
    pub hearing: Hearing,
}

/// Section `[avatar.speech]`: the voice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speech {
    /// "espeak-ng" (a program of that name), "openai" (any endpoint like OpenAI's `/v1/audio/speech`) or "http" (`docs/avatar.md`).
    /// Default "espeak-ng".
    pub engine: SpeechEngine,
    /// Address of the endpoint, whole: "http://127.0.0.1:8880/v1/audio/speech". Default "".
    pub url: String,
    /// API key of the endpoint, sent as bearer token. Default "".
    pub key: Secret,
    /// Model, for "openai". Default "tts-1".
    pub model: String,
    /// Voice: of espeak-ng as in `espeak-ng --voices` ("en", "cmn", "de"), of an endpoint by its own names. Empty: the engine's
    /// own. Default "".
    pub voice: String,
    /// Samples a second of raw PCM that "openai" answers: 8000 to 48000. Default 24000.
    pub sample_rate: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpeechEngine {
    #[default]
    #[serde(rename = "espeak-ng")]
    Espeak,
    #[serde(rename = "openai")]
    OpenAi,
    #[serde(rename = "http")]
    Http,
}

/// Section `[avatar.chat]`: the language model that `chat` asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chat {
    /// Address of an endpoint like OpenAI's, whole: "http://127.0.0.1:11434/v1/chat/completions". Empty: `chat` is refused. Default "".
    pub url: String,
    /// API key of the endpoint, sent as bearer token. Default "".
    pub key: Secret,
    /// Model. Default "".
    pub model: String,
    /// Instructions that each conversation begins with. Default "Answer briefly, in spoken language.".
    pub system: String,
}

/// Section `[avatar.face]`: what is seen. Without a setting a face is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Face {
    /// MP4 with H.264 that is shown while nothing is said; empty: the drawn face. Default "".
    pub idle_clip: PathBuf,
    /// Program that renders the face (`docs/avatar.md`), and its arguments. Default none.
    pub renderer_command: Vec<String>,
    /// Unix socket of a renderer that runs already, instead of a program. Default "".
    pub renderer_socket: PathBuf,
    /// Milliseconds that a renderer may take for a frame; the audio waits for so long: 40 to 2000. Default 200.
    pub renderer_delay_ms: u32,
    /// MP4 files by their `audiotype`, which is over 1, as in { 2 = "wave.mp4" }. Default none.
    pub clips: BTreeMap<String, PathBuf>,
}

/// Section `[avatar.room]`: the room that session 0 enters as a participant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Room {
    /// The room: a number or a name, "text:123" for a name of digits; empty: none. Default "".
    pub room: String,
    /// The participant's id. Default "avatar".
    pub user: UserId,
    /// WebSocket of the server; empty: this one. Default "".
    pub url: String,
    /// SDKAppID of the participant; 0: that of the first application of this server. Default 0.
    pub sdk_app_id: u32,
    /// UserSig of the participant; empty: made with the application's key. Default "".
    pub user_sig: Secret,
}

/// Section `[avatar.hearing]`: the speech recognition by which session 0 answers what is said in its room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hearing {
    /// Address of an endpoint like OpenAI's, whole: "http://127.0.0.1:8000/v1/audio/transcriptions". Empty: the avatar does not
    /// listen. Default "".
    pub url: String,
    /// API key of the endpoint, sent as bearer token. Default "".
    pub key: Secret,
    /// Model. Default "whisper-1".
    pub model: String,
    /// Language of the speech as ISO 639-1 code; empty: the engine finds out. Default "".
    pub language: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            port: 8010,
            max_session: 1,
            advertise: Vec::new(),
            media_port_min: 0,
            media_port_max: 0,
            width: 512,
            height: 512,
            video_kbps: 800,
            record_directory: "./data".into(),
            max_audio_seconds: 600,
            webhook_url: Secret::default(),
            push_url: Secret::default(),
            push_token: Secret::default(),
            speech: Speech::default(),
            chat: Chat::default(),
            face: Face::default(),
            room: Room::default(),
            hearing: Hearing::default(),
        }
    }
}

impl Default for Speech {
    fn default() -> Self {
        Self {
            engine: SpeechEngine::default(),
            url: String::new(),
            key: Secret::default(),
            model: "tts-1".to_owned(),
            voice: String::new(),
            sample_rate: 24_000,
        }
    }
}

impl Default for Face {
    fn default() -> Self {
        Self {
            idle_clip: PathBuf::new(),
            renderer_command: Vec::new(),
            renderer_socket: PathBuf::new(),
            renderer_delay_ms: 200,
            clips: BTreeMap::new(),
        }
    }
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            url: String::new(),
            key: Secret::default(),
            model: String::new(),
            system: "Answer briefly, in spoken language.".to_owned(),
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self {
            room: String::new(),
            #[expect(clippy::expect_used, reason = "a literal that obeys the rule of ids")]
            user: "avatar".parse().expect("a valid user id"),
            url: String::new(),
            sdk_app_id: 0,
            user_sig: Secret::default(),
        }
    }
}

impl Default for Hearing {
    fn default() -> Self {
        Self {
            url: String::new(),
            key: Secret::default(),
            model: "whisper-1".to_owned(),
            language: String::new(),
        }
    }
}

/// Where session 0 is pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    Rtmp(PushAddress),
    Whip(Url),
}

impl Config {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        let mut check = |right: bool, key: &str, message: &str| {
            if !right {
                mistakes.push(ConfigMistake::new(format!("avatar.{key}"), message));
            }
        };
        let is_side = |side: u16| (64..=1920).contains(&side) && side.is_multiple_of(2);
        check((1..=1000).contains(&self.max_session), "max_session", "write 1 to 1000");
        check(is_side(self.width), "width", "write an even number from 64 to 1920");
        check(is_side(self.height), "height", "write an even number from 64 to 1920");
        check(
            (50..=20_000).contains(&self.video_kbps),
            "video_kbps",
            "write 50 to 20000",
        );
        check(
            (1..=3600).contains(&self.max_audio_seconds),
            "max_audio_seconds",
            "write 1 to 3600",
        );
        let ports = (self.media_port_min, self.media_port_max);
        check(
            ports == (0, 0) || (ports.0 > 0 && ports.0 <= ports.1),
            "media_port_max",
            "write two ports, the first no higher than the last, or 0 for both",
        );
        check(
            self.push_url.reveal().is_empty() || self.push().is_some(),
            "push_url",
            "write \"rtmp://host/app/stream\", or the address of a WHIP endpoint with http or https",
        );
        let is_http = |url: &str| {
            url.parse::<Url>()
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        let endpoint = "write the whole address of the endpoint, with http or https";
        for (key, url) in [
            ("webhook_url", self.webhook_url.reveal()),
            ("speech.url", self.speech.url.as_str()),
            ("chat.url", self.chat.url.as_str()),
            ("hearing.url", self.hearing.url.as_str()),
        ] {
            check(url.is_empty() || is_http(url), key, endpoint);
        }
        check(
            self.speech.engine == SpeechEngine::Espeak || !self.speech.url.is_empty(),
            "speech.url",
            endpoint,
        );
        check(
            (8000..=48_000).contains(&self.speech.sample_rate),
            "speech.sample_rate",
            "write 8000 to 48000",
        );
        let has_renderer = self.face.has_renderer();
        check(
            !has_renderer || (40..=2000).contains(&self.face.renderer_delay_ms),
            "face.renderer_delay_ms",
            "write 40 to 2000",
        );
        check(
            self.face.renderer_command.is_empty() || self.face.renderer_socket.as_os_str().is_empty(),
            "face.renderer_socket",
            "write renderer_command or renderer_socket, not both",
        );
        for audiotype in self.face.clips.keys() {
            check(
                audiotype.parse::<u32>().is_ok_and(|number| number > 1),
                "face.clips",
                "write a number over 1 before each clip",
            );
        }
        check(
            self.room.room.is_empty() || self.room_id().is_some(),
            "room.room",
            "write a number or a name of a room, \"text:123\" for a name of digits",
        );
        check(
            self.hearing.url.is_empty() || !self.room.room.is_empty(),
            "hearing.url",
            "needs avatar.room.room: the avatar listens in its room",
        );
        mistakes
    }

    pub fn push(&self) -> Option<Push> {
        if let Ok(address) = self.push_url.reveal().parse() {
            return Some(Push::Rtmp(address));
        }
        let url: Url = self.push_url.reveal().parse().ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Push::Whip(url))
    }

    pub fn room_id(&self) -> Option<RoomId> {
        self.room.room.parse().ok()
    }

    /// Whether there is an avatar without a client: session 0.
    pub fn has_standing(&self) -> bool {
        !self.push_url.reveal().is_empty() || !self.room.room.is_empty()
    }

    /// The most samples of one sentence or upload.
    pub fn max_samples(&self) -> usize {
        self.max_audio_seconds as usize * crate::audio::RATE as usize
    }
}

impl Face {
    pub fn has_renderer(&self) -> bool {
        !self.renderer_command.is_empty() || !self.renderer_socket.as_os_str().is_empty()
    }
}

impl Room {
    /// None: the first application's.
    pub fn app(&self) -> Option<SdkAppId> {
        SdkAppId::try_from(self.sdk_app_id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), []);
    }

    #[test]
    fn every_wrong_value_is_named() {
        let mut config = Config {
            max_session: 0,
            width: 513,
            media_port_min: 5,
            push_url: Secret::new("ftp://x/y"),
            webhook_url: Secret::new("nothing"),
            ..Config::default()
        };
        config.speech.engine = SpeechEngine::OpenAi;
        config.face.clips.insert("1".to_owned(), "x.mp4".into());
        config.hearing.url = "http://h/x".to_owned();
        let keys: Vec<_> = config.validate().into_iter().map(|mistake| mistake.key).collect();
        assert_eq!(
            keys,
            [
                "avatar.max_session",
                "avatar.width",
                "avatar.media_port_max",
                "avatar.push_url",
                "avatar.webhook_url",
                "avatar.speech.url",
                "avatar.face.clips",
                "avatar.hearing.url"
            ]
        );
    }

    #[test]
    fn a_push_goes_by_rtmp_or_whip() {
        let with = |url: &str| Config {
            push_url: Secret::new(url),
            ..Config::default()
        };
        assert!(matches!(with("rtmp://h/live/k").push(), Some(Push::Rtmp(_))));
        assert!(matches!(with("https://h/whip/1").push(), Some(Push::Whip(_))));
        assert_eq!(with("rtmp://h/live").push(), None);
    }
}
