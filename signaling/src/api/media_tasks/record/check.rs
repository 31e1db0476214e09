//! Makes the work of a recording task of a call, or changes it. Pure.

use rotunda_proto::config::{Application, RecordFormat};
use rotunda_proto::ids::{OwnStreamId, RecordId, RoomKey, SdkAppId, TaskId, UserId};
use rotunda_proto::media_task::{MediaTask, Singles, SinglesOutput, TaskRef, Work};
use rotunda_proto::mix::{AudioEncode, Layout, MixSpec, RecordSpec, Template, VideoEncode};
use rotunda_proto::recording::FileWishes;
use rotunda_proto::selection::{Selection, UserLists, Videos};

use super::WRONG;
use super::layout::set_layout;
use super::request::{
    AudioParams, CreateCloudRecording, ModifyCloudRecording, RecordParams, StorageParams, SubscribeStreamUserIds,
    VideoParams,
};
use crate::api::ApiError;
use crate::api::media_tasks::Checked;
use crate::api::media_tasks::values::{Fetch, RoomType, lists, max_idle, only, patterns, robot, room};
use crate::api::mix::check::{flag, invalid, missing, text_id, within};

/// Width times height, at most.
const MOST_PIXELS: u64 = 1920 * 1080;
/// By contract, where the call has no `MixTranscodeParams`.
const USUAL_VIDEO: VideoEncode = VideoEncode {
    width: 360,
    height: 640,
    bitrate_kbps: 550,
    framerate: 15,
    gop_seconds: 10,
    background_rgb: 0,
};
const USUAL_AUDIO: AudioEncode = AudioEncode {
    sample_rate: 48_000,
    bitrate_kbps: 64,
    channels: 2,
};

/// A task that a call asks for, without its pictures.
#[derive(Debug)]
pub struct Created {
    pub room: RoomKey,
    pub robot: UserId,
    pub max_idle_seconds: u32,
    pub known_for_hours: u64,
    pub work: Work,
    pub pictures: Vec<Fetch>,
}

/// The media that a task records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Both,
    Audio,
    Video,
}

pub fn create(caller: &Application, app: SdkAppId, id: &TaskId, request: CreateCloudRecording) -> Checked<Created> {
    let room_id = request
        .room_id
        .ok_or_else(|| missing("MissingParameter.RoomId", "RoomId"))?;
    let kind = match request.room_id_type.unwrap_or(1) {
        0 => RoomType::Name,
        1 => RoomType::Number,
        other => {
            return Err(wrong(&format!(
                "RoomIdType must be 0 (text) or 1 (number), not {other}"
            )));
        }
    };
    let room = room(app, &room_id, kind, WRONG, "RoomId")?;
    let user = request
        .user_id
        .ok_or_else(|| missing("MissingParameter.UserId", "UserId"))?;
    let sig = request.user_sig.filter(|sig| !sig.is_empty());
    let sig = sig.ok_or_else(|| missing("MissingParameter.UserSig", "UserSig"))?;
    let params = request.record_params;
    let params = params.ok_or_else(|| missing("MissingParameter.RecordParams", "RecordParams"))?;
    let mode = params.record_mode;
    let mode = mode.ok_or_else(|| missing("MissingParameter.RecordMode", "RecordParams.RecordMode"))?;
    within(mode, 1..=2, WRONG, "RecordParams.RecordMode")?;
    let storage = request.storage_params;
    let storage = storage.ok_or_else(|| missing("MissingParameter.StorageParams", "StorageParams"))?;
    let robot = robot(caller, &user, Some(&sig), WRONG, "UserId")?;
    let media = media(&params, mode)?;
    let (prefix, files) = files(&params, storage, id, media)?;
    let hours = request.resource_expired_hour.unwrap_or(72);
    within(hours, 6..=720, WRONG, "ResourceExpiredHour")?;
    let selection = selection(&params, media)?;
    let (work, pictures) = match mode {
        1 => {
            let output = SinglesOutput::Record { prefix, files };
            (Work::Singles(Singles { selection, output }), Vec::new())
        }
        _ => {
            let transcode = request.mix_transcode_params.unwrap_or_default();
            let mut spec = MixSpec {
                room: room.clone(),
                stream_id: OwnStreamId::from(id.clone()).into(),
                audio: audio(transcode.audio_params.as_ref())?,
                video: (media != Media::Audio)
                    .then(|| video(transcode.video_params.as_ref()))
                    .transpose()?,
                layout: Layout {
                    // The contract does not say which layout a call without one has: a grid shows every member.
                    template: Template::Grid,
                    selection,
                    ..Layout::default()
                },
                record: Some(RecordSpec {
                    record_id: prefix,
                    audio_only: false,
                    files,
                }),
                push_urls: Vec::new(),
                task: Some(TaskRef {
                    id: id.clone(),
                    robot: robot.clone(),
                }),
            };
            let pictures = match request.mix_layout_params {
                Some(layout) => set_layout(&mut spec, layout)?,
                None => Vec::new(),
            };
            (Work::Mix { spec: Box::new(spec) }, pictures)
        }
    };
    Ok(Created {
        room,
        robot,
        max_idle_seconds: max_idle(params.max_idle_time, WRONG, "RecordParams.MaxIdleTime")?,
        known_for_hours: hours,
        work,
        pictures,
    })
}

pub fn modify(task: &MediaTask, request: ModifyCloudRecording) -> Checked<(Work, Vec<Fetch>)> {
    let mut work = task.work.clone();
    if let Some(users) = &request.subscribe_stream_user_ids {
        let selection = match &mut work {
            Work::Mix { spec } => &mut spec.layout.selection,
            Work::Singles(singles) => &mut singles.selection,
            Work::MemberMix(mix) => &mut mix.selection,
        };
        let (audio, video) = user_lists(users)?;
        // A task for audio or for video alone stays one.
        if selection.audio != UserLists::nobody() {
            selection.audio = audio;
        }
        if selection.video != UserLists::nobody() {
            selection.video = video;
        }
    }
    let pictures = match (&mut work, request.mix_layout_params) {
        (Work::Mix { spec }, Some(layout)) => set_layout(spec, layout)?,
        (Work::Singles(_) | Work::MemberMix(_), Some(_)) => {
            return Err(wrong(
                "MixLayoutParams are for RecordMode 2; the task records each member by itself",
            ));
        }
        (_, None) => Vec::new(),
    };
    Ok((work, pictures))
}

fn media(params: &RecordParams, mode: u64) -> Checked<Media> {
    let media = match params.stream_type.unwrap_or(0) {
        0 => Media::Both,
        1 => Media::Audio,
        2 => Media::Video,
        other => {
            return Err(wrong(&format!(
                "RecordParams.StreamType must be 0, 1 or 2, not {other}"
            )));
        }
    };
    if media == Media::Video && mode == 2 {
        let message = "RecordParams.StreamType 2 (video alone) is not served here for a mix; write 0 or 1";
        return Err(ApiError::new("UnsupportedOperation", message));
    }
    within(
        params.output_format.unwrap_or(0),
        0..=4,
        WRONG,
        "RecordParams.OutputFormat",
    )?;
    flag(params.av_merge, WRONG, "RecordParams.AvMerge")?;
    only(params.fill_type, 0, "RecordParams.FillType")?;
    only(params.subscribe_ability, 0, "RecordParams.SubscribeAbility")?;
    Ok(media)
}

fn selection(params: &RecordParams, media: Media) -> Checked<Selection> {
    let users = params.subscribe_stream_user_ids.clone().unwrap_or_default();
    let (audio, video) = user_lists(&users)?;
    let videos = match params.media_id.unwrap_or(0) {
        0 => Videos::All,
        1 => Videos::Camera,
        2 => Videos::Screen,
        other => return Err(wrong(&format!("RecordParams.MediaId must be 0, 1 or 2, not {other}"))),
    };
    Ok(match media {
        Media::Both => Selection { audio, video, videos },
        Media::Audio => Selection {
            audio,
            video: UserLists::nobody(),
            videos,
        },
        Media::Video => Selection {
            audio: UserLists::nobody(),
            video,
            videos,
        },
    })
}

fn user_lists(users: &SubscribeStreamUserIds) -> Checked<(UserLists, UserLists)> {
    let read = |list: &[String], name: &str| patterns(list, WRONG, &format!("SubscribeStreamUserIds.{name}"));
    let audio = lists(
        read(&users.subscribe_audio_user_ids, "SubscribeAudioUserIds")?,
        read(&users.un_subscribe_audio_user_ids, "UnSubscribeAudioUserIds")?,
    );
    let video = lists(
        read(&users.subscribe_video_user_ids, "SubscribeVideoUserIds")?,
        read(&users.un_subscribe_video_user_ids, "UnSubscribeVideoUserIds")?,
    );
    Ok((audio, video))
}

/// The prefix of the files' names, and what the files are.
fn files(params: &RecordParams, storage: StorageParams, id: &TaskId, media: Media) -> Checked<(RecordId, FileWishes)> {
    let vod = storage.cloud_vod.and_then(|vod| vod.tencent_vod);
    let name = "StorageParams.CloudVod.TencentVod";
    let vod = vod.ok_or_else(|| missing("MissingParameter.StorageParams", name))?;
    only(vod.expire_time, 0, &format!("{name}.ExpireTime"))?;
    only(vod.class_id, 0, &format!("{name}.ClassId"))?;
    let formats = match vod.media_type.unwrap_or(0) {
        0 => vec![RecordFormat::Mp4],
        1 => vec![RecordFormat::Hls],
        2 => vec![RecordFormat::Aac],
        3 => vec![RecordFormat::Hls, RecordFormat::Mp4],
        4 => vec![RecordFormat::Hls, RecordFormat::Aac],
        other => return Err(wrong(&format!("{name}.MediaType must be 0 to 4, not {other}"))),
    };
    if formats.contains(&RecordFormat::Aac) && media != Media::Audio {
        let message = format!("{name}.MediaType 2 and 4 (aac) need RecordParams.StreamType 1");
        return Err(wrong(&message));
    }
    let prefix = match vod.user_define_record_id.as_deref().filter(|id| !id.is_empty()) {
        Some(own) => text_id(own, WRONG, &format!("{name}.UserDefineRecordId"))?,
        None => text_id(id.as_str(), WRONG, "TaskId")?,
    };
    let minutes = params.max_media_file_duration;
    if let Some(minutes) = minutes {
        within(minutes, 1..=1440, WRONG, "RecordParams.MaxMediaFileDuration")?;
    }
    let max_minutes = minutes.map(|minutes| minutes as u32);
    Ok((prefix, FileWishes { formats, max_minutes }))
}

fn audio(params: Option<&AudioParams>) -> Checked<AudioEncode> {
    let Some(params) = params else { return Ok(USUAL_AUDIO) };
    let name = "MixTranscodeParams.AudioParams";
    let needed = |value: Option<u64>, field: &str| value.ok_or_else(|| wrong(&format!("{name}.{field} is missing")));
    let sample_rate = match needed(params.sample_rate, "SampleRate")? {
        1 => 48_000,
        2 => 44_100,
        3 => 16_000,
        other => {
            let rule = "SampleRate must be 1 (48000 Hz), 2 (44100 Hz) or 3 (16000 Hz)";
            return Err(wrong(&format!("{name}.{rule}, not {other}")));
        }
    };
    let channels = needed(params.channel, "Channel")?;
    within(channels, 1..=2, WRONG, &format!("{name}.Channel"))?;
    let bits = needed(params.bit_rate, "BitRate")?;
    within(bits, 32_000..=128_000, WRONG, &format!("{name}.BitRate"))?;
    Ok(AudioEncode {
        sample_rate,
        bitrate_kbps: (bits / 1000) as u32,
        channels: channels as u8,
    })
}

fn video(params: Option<&VideoParams>) -> Checked<VideoEncode> {
    let Some(params) = params else { return Ok(USUAL_VIDEO) };
    let field = |value: Option<u64>, range, field: &str| -> Checked<u64> {
        let name = format!("MixTranscodeParams.VideoParams.{field}");
        let value = value.ok_or_else(|| wrong(&format!("{name} is missing")))?;
        within(value, range, WRONG, &name)?;
        Ok(value)
    };
    let width = field(params.width, 16..=1920, "Width")?;
    let height = field(params.height, 16..=1920, "Height")?;
    if width * height > MOST_PIXELS {
        let message = format!("MixTranscodeParams.VideoParams: {width}x{height} has more than 1920x1080 pixels");
        return Err(wrong(&message));
    }
    Ok(VideoEncode {
        width: width as u16,
        height: height as u16,
        framerate: field(params.fps, 1..=60, "Fps")? as u8,
        bitrate_kbps: (field(params.bit_rate, 64_000..=8_192_000, "BitRate")? / 1000) as u32,
        gop_seconds: field(params.gop, 1..=10, "Gop")? as u8,
        background_rgb: 0,
    })
}

pub fn wrong(message: &str) -> ApiError {
    invalid(WRONG, message)
}
