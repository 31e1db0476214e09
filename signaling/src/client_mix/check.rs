//! Makes a [`MixSpec`] of a member's configuration. Errors name the field, the value and what is allowed.

use std::ops::RangeInclusive;

use rotunda_proto::ids::{RoomKey, RoomUser, Source, TrackSource, UserId, default_stream_id, shortened};
use rotunda_proto::mix::{
    AudioEncode, Cell, CellInput, Layout, MAX_INPUTS, MixSpec, PictureId, RenderMode, Template, VideoEncode,
};
use rotunda_proto::transcoding::{MixUser, StreamType, TranscodingConfig, TranscodingMode};

type Checked<T> = Result<T, String>;

const SAMPLE_RATES: [u32; 7] = [12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
/// The largest canvas: a shared screen of 4:3.
const MAX_WIDTH: u32 = 1920;
const MAX_HEIGHT: u32 = 1440;
/// Canvas of the screen sharing mode until the screen's size is known.
const FIRST_CANVAS: (u32, u32) = (1280, 720);
/// Bits a pixel that look well in a call.
const BITS_PER_PIXEL: f64 = 0.1;

/// `caller`: the member who asks.
pub fn spec(room: &RoomKey, caller: &UserId, config: &TranscodingConfig) -> Checked<MixSpec> {
    let stream_id = match &config.stream_id {
        Some(id) => id.clone().into(),
        None => default_stream_id(room, caller, "main"),
    };
    if config.mix_users.len() > MAX_INPUTS {
        return Err(format!(
            "mixUsers must have at most {MAX_INPUTS} users, not {}",
            config.mix_users.len()
        ));
    }
    let video = match config.mode {
        TranscodingMode::PureAudio => None,
        _ => Some(video(config)?),
    };
    let canvas = video.map_or((0, 0), |video| (u32::from(video.width), u32::from(video.height)));
    let mut layout = layout(room, caller, config, canvas)?;
    layout.local_user = Some(RoomUser {
        room: room.clone(),
        user: caller.clone(),
    });
    layout.background = background(config)?;
    Ok(MixSpec {
        room: room.clone(),
        stream_id,
        audio: audio(config)?,
        video,
        layout,
        record: None,
        push_urls: Vec::new(),
        task: None,
    })
}

fn audio(config: &TranscodingConfig) -> Checked<AudioEncode> {
    if !SAMPLE_RATES.contains(&config.audio_sample_rate) {
        return Err(format!(
            "audioSampleRate must be 12000, 16000, 22050, 24000, 32000, 44100 or 48000, not {}",
            config.audio_sample_rate
        ));
    }
    within(config.audio_bitrate, 32..=192, "audioBitrate")?;
    within(config.audio_channels, 1..=2, "audioChannels")?;
    Ok(AudioEncode {
        sample_rate: config.audio_sample_rate,
        bitrate_kbps: config.audio_bitrate,
        channels: config.audio_channels as u8,
    })
}

fn video(config: &TranscodingConfig) -> Checked<VideoEncode> {
    let is_automatic = is_automatic(config);
    let (width, height) = match is_automatic {
        true => FIRST_CANVAS,
        false => (config.video_width, config.video_height),
    };
    within(width, 16..=MAX_WIDTH, "videoWidth")?;
    within(height, 16..=MAX_HEIGHT, "videoHeight")?;
    within(config.video_framerate, 1..=30, "videoFramerate")?;
    within(config.video_gop, 1..=8, "videoGOP")?;
    within(config.video_bitrate, 0..=10_000, "videoBitrate")?;
    within(config.background_color, 0..=0xff_ff_ff, "backgroundColor")?;
    let bitrate = match (config.video_bitrate, is_automatic) {
        (0, true) => bitrate(MAX_WIDTH, 1080, config.video_framerate),
        (0, false) => bitrate(width, height, config.video_framerate),
        (given, _) => given,
    };
    Ok(VideoEncode {
        width: width as u16,
        height: height as u16,
        bitrate_kbps: bitrate,
        framerate: config.video_framerate as u8,
        gop_seconds: config.video_gop as u8,
        background_rgb: config.background_color,
    })
}

fn bitrate(width: u32, height: u32, framerate: u32) -> u32 {
    let bits = f64::from(width) * f64::from(height) * f64::from(framerate) * BITS_PER_PIXEL;
    ((bits / 1000.0) as u32).clamp(100, 10_000)
}

fn is_automatic(config: &TranscodingConfig) -> bool {
    config.mode == TranscodingMode::ScreenSharing && config.video_width == 0 && config.video_height == 0
}

fn layout(room: &RoomKey, caller: &UserId, config: &TranscodingConfig, canvas: (u32, u32)) -> Checked<Layout> {
    match config.mode {
        TranscodingMode::PureAudio => Ok(Layout {
            template: Template::Grid,
            ..Layout::default()
        }),
        TranscodingMode::ScreenSharing => Ok(Layout {
            template: Template::Presenter,
            main: Some(Source {
                room: room.clone(),
                user: caller.clone(),
                track: TrackSource::Camera,
            }),
            size_by_main: is_automatic(config),
            ..Layout::default()
        }),
        TranscodingMode::Manual | TranscodingMode::PresetLayout => {
            if config.mix_users.is_empty() {
                return Err("mixUsers is empty; this mode mixes the users of the list alone".to_owned());
            }
            let users = config.mix_users.iter().enumerate();
            let cells = users.map(|(index, user)| cell(room, caller, config.mode, user, canvas, index));
            let cells: Vec<Cell> = cells.collect::<Checked<_>>()?;
            for (index, cell) in cells.iter().enumerate() {
                let is_same = |other: &Cell| cell.video.is_some() && other.video == cell.video;
                if config.mode == TranscodingMode::PresetLayout && cells.iter().take(index).any(is_same) {
                    let name = shortened(&config.mix_users[index].user_id);
                    return Err(format!("mixUsers.{index}.userId {name} is in the list twice"));
                }
            }
            Ok(Layout {
                template: Template::Custom,
                cells,
                ..Layout::default()
            })
        }
    }
}

fn cell(
    room: &RoomKey,
    caller: &UserId,
    mode: TranscodingMode,
    user: &MixUser,
    (width, height): (u32, u32),
    index: usize,
) -> Checked<Cell> {
    let name = |field: &str| format!("mixUsers.{index}.{field}");
    let of_room = RoomKey {
        app: room.app,
        room: user.room_id.clone().unwrap_or_else(|| room.room.clone()),
    };
    let is_of_other_room = of_room != *room;
    let source = match user.stream_type {
        StreamType::Big | StreamType::Small => TrackSource::Camera,
        StreamType::Sub => TrackSource::Screen,
    };
    let (video, is_video_only) = match mode {
        TranscodingMode::PresetLayout => match Placeholder::parse(&user.user_id) {
            Some(Placeholder::LocalMain | Placeholder::LocalSub) if is_of_other_room => {
                return Err(format!(
                    "{} names another room; the caller is in their own one",
                    name("roomId")
                ));
            }
            Some(Placeholder::LocalMain) => (Some((caller.clone(), TrackSource::Camera)), false),
            Some(Placeholder::LocalSub) => (Some((caller.clone(), TrackSource::Screen)), true),
            Some(Placeholder::Remote) => (None, false),
            None => {
                return Err(format!(
                    "{} must be $PLACE_HOLDER_LOCAL_MAIN$, $PLACE_HOLDER_LOCAL_SUB$ or $PLACE_HOLDER_REMOTE$, not {}",
                    name("userId"),
                    shortened(&user.user_id)
                ));
            }
        },
        _ => {
            let id = user.user_id.parse::<UserId>();
            let id = id.map_err(|error| format!("{}: {error}", name("userId")))?;
            (Some((id, source)), false)
        }
    };
    let area = [user.x, user.y, user.width, user.height].map(u64::from);
    let [x, y, w, h] = area;
    if !user.pure_audio && (x + w > u64::from(width) || y + h > u64::from(height)) {
        return Err(format!(
            "mixUsers.{index}: {w}x{h} at {x},{y} is not within the canvas of {width}x{height}"
        ));
    }
    within(user.z_order, 0..=15, &name("zOrder"))?;
    let render_mode = match user.render_mode {
        0 => RenderMode::Crop,
        1 => RenderMode::Scale,
        2 => RenderMode::ScaleOnBlack,
        other => return Err(format!("{} must be 0, 1 or 2, not {other}", name("renderMode"))),
    };
    let [x, y, width, height] = area.map(|side| u16::try_from(side).unwrap_or(u16::MAX));
    Ok(Cell {
        room: (video.is_none() && is_of_other_room).then(|| of_room.clone()),
        video: video.map(|(user, track)| Source {
            room: of_room,
            user,
            track,
        }),
        x,
        y,
        width,
        height,
        z: user.z_order,
        render_mode: Some(render_mode),
        input: match (user.pure_audio, is_video_only) {
            (true, _) => CellInput::AudioOnly,
            (false, true) => CellInput::VideoOnly,
            (false, false) => CellInput::AudioVideo,
        },
        placeholder: None,
    })
}

enum Placeholder {
    LocalMain,
    LocalSub,
    Remote,
}

impl Placeholder {
    /// Samples of the contract spell them with other underscores and in the plural.
    fn parse(text: &str) -> Option<Self> {
        let letters = text.chars().filter(|letter| !matches!(letter, '$' | '_' | ' '));
        let letters: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
        match letters.strip_suffix('S').unwrap_or(&letters) {
            "PLACEHOLDERLOCALMAIN" => Some(Self::LocalMain),
            "PLACEHOLDERLOCALSUB" => Some(Self::LocalSub),
            "PLACEHOLDERREMOTE" => Some(Self::Remote),
            _ => None,
        }
    }
}

fn background(config: &TranscodingConfig) -> Checked<Option<PictureId>> {
    let Some(id) = config.background_image.as_deref().filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    match id.parse::<i64>() {
        Ok(id) if id > 0 => Ok(Some(PictureId::new(id))),
        _ => Err(format!(
            "backgroundImage must be the id of an uploaded picture, not {}",
            shortened(id)
        )),
    }
}

fn within(value: u32, range: RangeInclusive<u32>, name: &str) -> Checked<()> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "{name} must be {} to {}, not {value}",
            range.start(),
            range.end()
        )),
    }
}

#[cfg(test)]
mod tests;
