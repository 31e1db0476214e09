//! Makes the work of a task of a call, or changes it. Pure.

use rotunda_proto::config::Application;
use rotunda_proto::ids::{OwnStreamId, RoomKey, SdkAppId, StreamId, TaskId, UserId};
use rotunda_proto::media_task::{MediaTask, Singles, SinglesOutput, TaskRef, Work};
use rotunda_proto::mix::{AudioEncode, Layout, MixSpec};
use rotunda_proto::push_address::PushAddress;
use rotunda_proto::selection::{Selection, UserPattern, Videos};

use super::layout::{self, user_in};
use super::request::{
    self, McuAudioParams, McuPublishCdnParam, McuUserInfoParams, StartPublishCdnStream, UpdatePublishCdnStream,
    UserMediaStream,
};
use super::{MISSING, WRONG, is_mix, wrong};
use crate::api::media_tasks::Checked;
use crate::api::media_tasks::values::{Fetch, RoomType, lists, max_idle, only, robot, room};
use crate::api::mix::check::{missing, within};

/// By contract.
const MOST_URLS: usize = 10;
const SAMPLE_RATES: [u64; 6] = [48_000, 44_100, 32_000, 24_000, 16_000, 8_000];
/// The audio of single streams.
const SINGLE_AUDIO: [u64; 2] = [48_000, 2];

/// A task that a call asks for, without its pictures.
#[derive(Debug)]
pub struct Started {
    pub room: RoomKey,
    pub robot: UserId,
    pub max_idle_seconds: u32,
    pub work: Work,
    pub pictures: Vec<Fetch>,
}

/// `own_names`: names of this server, where streams are on the air.
pub fn start(
    caller: &Application,
    app: SdkAppId,
    id: &TaskId,
    request: StartPublishCdnStream,
    own_names: &[String],
) -> Checked<Started> {
    let room_id = request.room_id.ok_or_else(|| missing(MISSING, "RoomId"))?;
    let room = room(app, &room_id, room_type(request.room_id_type)?, WRONG, "RoomId")?;
    let agent = request.agent_params.ok_or_else(|| missing(MISSING, "AgentParams"))?;
    let user = agent.user_id.ok_or_else(|| missing(MISSING, "AgentParams.UserId"))?;
    let user_sig = agent.user_sig.as_deref().filter(|sig| !sig.is_empty());
    let robot = robot(caller, &user, user_sig, WRONG, "AgentParams.UserId")?;
    let max_idle_seconds = max_idle(agent.max_idle_time, WRONG, "AgentParams.MaxIdleTime")?;
    if let Some(record) = &request.record_params
        && record.uni_record.unwrap_or(0) > 1
    {
        only(record.uni_record, 1, "RecordParams.UniRecord")?;
    }
    if request.publish_cdn_params.is_empty() {
        return Err(missing(MISSING, "PublishCdnParams"));
    }
    let targets = targets(&request.publish_cdn_params, own_names)?;
    let stream_id = targets.own.unwrap_or_else(|| own_stream(id));
    let push_urls = targets.pushes;
    let (work, pictures) = match is_mix(request.with_transcoding)? {
        true => {
            let audio = request.audio_params.ok_or_else(|| missing(MISSING, "AudioParams"))?;
            let encode = audio.audio_encode.as_ref();
            let encode = encode.ok_or_else(|| missing(MISSING, "AudioParams.AudioEncode"))?;
            let mut spec = MixSpec {
                audio: audio_encode(encode)?,
                room: room.clone(),
                stream_id,
                video: None,
                layout: Layout::default(),
                record: None,
                push_urls,
                task: Some(TaskRef {
                    id: id.clone(),
                    robot: robot.clone(),
                }),
            };
            spec.layout.selection = listen(&room, &audio)?;
            let mut pictures = Vec::new();
            if let Some(video) = request.video_params {
                pictures = layout::set_video(&mut spec, video)?;
            }
            (Work::Mix { spec: Box::new(spec) }, pictures)
        }
        false => {
            single_audio(request.audio_params.as_ref())?;
            let single = request.single_subscribe_params;
            let single = single.ok_or_else(|| missing(MISSING, "SingleSubscribeParams"))?;
            let output = SinglesOutput::Publish { stream_id, push_urls };
            let selection = single_selection(&room, single.user_media_stream)?;
            (Work::Singles(Singles { selection, output }), Vec::new())
        }
    };
    Ok(Started {
        room,
        robot,
        max_idle_seconds,
        work,
        pictures,
    })
}

pub fn update(task: &MediaTask, request: UpdatePublishCdnStream, own_names: &[String]) -> Checked<(Work, Vec<Fetch>)> {
    let targets = match request.publish_cdn_params.as_slice() {
        [] => None,
        urls => Some(targets(urls, own_names)?),
    };
    let mixes = is_mix(request.with_transcoding)?;
    match (task.work.clone(), mixes) {
        (Work::Mix { mut spec }, true) => {
            if let Some(targets) = targets {
                same_stream(&spec.stream_id, targets.own.as_ref(), &task.id)?;
                spec.push_urls = targets.pushes;
            }
            if let Some(audio) = request.audio_params {
                if let Some(encode) = &audio.audio_encode
                    && audio_encode(encode)? != spec.audio
                {
                    return Err(wrong(
                        "AudioParams.AudioEncode cannot change; only the lists of users can",
                    ));
                }
                spec.layout.selection = listen(&task.room, &audio)?;
            }
            let mut pictures = Vec::new();
            if let Some(video) = request.video_params {
                if spec.video.is_none() {
                    return Err(wrong(
                        "VideoParams: a task of audio alone cannot get video; start another one",
                    ));
                }
                pictures = layout::set_video(&mut spec, video)?;
            }
            Ok((Work::Mix { spec }, pictures))
        }
        (
            Work::Singles(Singles {
                mut selection,
                mut output,
            }),
            false,
        ) => {
            if let (Some(targets), SinglesOutput::Publish { stream_id, push_urls }) = (targets, &mut output) {
                same_stream(stream_id, targets.own.as_ref(), &task.id)?;
                *push_urls = targets.pushes;
            }
            single_audio(request.audio_params.as_ref())?;
            if let Some(single) = request.single_subscribe_params {
                selection = single_selection(&task.room, single.user_media_stream)?;
            }
            Ok((Work::Singles(Singles { selection, output }), Vec::new()))
        }
        (Work::MemberMix(_), _) => Err(wrong(
            "TaskId is of a member's push of their own mix, which only the member can change; StopPublishCdnStream ends it",
        )),
        _ => Err(wrong("WithTranscoding must be as it was at the start")),
    }
}

fn own_stream(id: &TaskId) -> StreamId {
    OwnStreamId::from(id.clone()).into()
}

fn same_stream(runs: &StreamId, asked: Option<&StreamId>, task: &TaskId) -> Checked<()> {
    let asked = asked.cloned().unwrap_or_else(|| own_stream(task));
    match asked == *runs {
        true => Ok(()),
        false => Err(wrong(&format!(
            "PublishCdnParams: the stream {runs} of this server cannot become {asked}; start another task"
        ))),
    }
}

pub fn room_type(number: Option<u64>) -> Checked<RoomType> {
    match number.ok_or_else(|| missing(MISSING, "RoomIdType"))? {
        0 => Ok(RoomType::Number),
        1 => Ok(RoomType::Name),
        other => Err(wrong(&format!(
            "RoomIdType must be 0 (number) or 1 (text), not {other}"
        ))),
    }
}

#[derive(Debug, Default)]
struct Targets {
    /// The stream on this server.
    own: Option<StreamId>,
    pushes: Vec<String>,
}

/// The addresses are secret: an error does not repeat them.
fn targets(urls: &[McuPublishCdnParam], own_names: &[String]) -> Checked<Targets> {
    if urls.len() > MOST_URLS {
        let message = format!(
            "PublishCdnParams must have at most {MOST_URLS} addresses, not {}",
            urls.len()
        );
        return Err(wrong(&message));
    }
    let mut targets = Targets::default();
    for (index, target) in urls.iter().enumerate() {
        let name = format!("PublishCdnParams.{index}");
        let url = target.publish_cdn_url.as_deref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| missing(MISSING, &format!("{name}.PublishCdnUrl")))?;
        within(
            target.is_tencent_cdn.unwrap_or(1),
            0..=1,
            WRONG,
            &format!("{name}.IsTencentCdn"),
        )?;
        let address: PushAddress = url
            .parse()
            .map_err(|error| wrong(&format!("{name}.PublishCdnUrl {error}")))?;
        let host = address.host().to_string();
        let is_own = own_names
            .iter()
            .any(|own| own.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(&host)));
        match is_own {
            false if targets.pushes.iter().any(|known| known == url) => {
                return Err(wrong(&format!("{name}.PublishCdnUrl is in the list twice")));
            }
            false => targets.pushes.push(url.to_owned()),
            true if targets.own.is_some() => {
                let message = format!("{name}.PublishCdnUrl: a task has one stream on this server");
                return Err(wrong(&message));
            }
            true => {
                let id = address.stream().split('?').next().unwrap_or_default();
                let id = crate::api::mix::check::text_id::<OwnStreamId>(
                    id,
                    WRONG,
                    &format!("{name}.PublishCdnUrl: the stream"),
                )?;
                targets.own = Some(id.into());
            }
        }
    }
    Ok(targets)
}

fn audio_encode(encode: &request::AudioEncode) -> Checked<AudioEncode> {
    let needed = |value: Option<u64>, name: &str| {
        value.ok_or_else(|| missing(MISSING, &format!("AudioParams.AudioEncode.{name}")))
    };
    let rate = needed(encode.sample_rate, "SampleRate")?;
    let channels = needed(encode.channel, "Channel")?;
    let bitrate = needed(encode.bit_rate, "BitRate")?;
    let name = "AudioParams.AudioEncode";
    if !SAMPLE_RATES.contains(&rate) {
        let rule = "SampleRate must be 48000, 44100, 32000, 24000, 16000 or 8000";
        return Err(wrong(&format!("{name}.{rule}, not {rate}")));
    }
    within(channels, 1..=2, WRONG, &format!("{name}.Channel"))?;
    within(bitrate, 8..=500, WRONG, &format!("{name}.BitRate"))?;
    let codec = encode.codec.unwrap_or(0);
    within(codec, 0..=2, WRONG, &format!("{name}.Codec"))?;
    if codec == 2 && channels != 2 {
        return Err(wrong(&format!("{name}.Codec 2 (HE-AACv2) needs Channel 2")));
    }
    Ok(AudioEncode {
        sample_rate: rate as u32,
        bitrate_kbps: bitrate as u32,
        channels: channels as u8,
    })
}

/// Who is heard in a mix.
fn listen(room: &RoomKey, audio: &McuAudioParams) -> Checked<Selection> {
    let read = |users: &[McuUserInfoParams], name: &str| -> Checked<Vec<UserPattern>> {
        let read = |(index, user): (usize, &McuUserInfoParams)| {
            let name = format!("AudioParams.{name}.{index}");
            only(user.sound_level, 100, &format!("{name}.SoundLevel"))?;
            let user = user_in(room, user.user_info.as_ref(), &name)?;
            match user.room == *room {
                true => Ok(UserPattern::User(user.user)),
                false => Err(wrong(&format!(
                    "{name}: members of other rooms take part by LayoutParams alone"
                ))),
            }
        };
        users.iter().enumerate().map(read).collect()
    };
    Ok(Selection {
        audio: lists(
            read(&audio.subscribe_audio_list, "SubscribeAudioList")?,
            read(&audio.un_subscribe_audio_list, "UnSubscribeAudioList")?,
        ),
        ..Selection::default()
    })
}

/// A single stream's audio is encoded in one way.
fn single_audio(audio: Option<&McuAudioParams>) -> Checked<()> {
    let Some(audio) = audio else { return Ok(()) };
    if let Some(encode) = &audio.audio_encode {
        let checked = audio_encode(encode)?;
        let [rate, channels] = SINGLE_AUDIO;
        only(
            Some(checked.sample_rate.into()),
            rate,
            "AudioParams.AudioEncode.SampleRate of a single stream",
        )?;
        only(
            Some(checked.channels.into()),
            channels,
            "AudioParams.AudioEncode.Channel of a single stream",
        )?;
    }
    let has_lists = !audio.subscribe_audio_list.is_empty() || !audio.un_subscribe_audio_list.is_empty();
    match has_lists {
        true => Err(wrong("AudioParams: the lists of users are for WithTranscoding 1")),
        false => Ok(()),
    }
}

fn single_selection(room: &RoomKey, stream: Option<UserMediaStream>) -> Checked<Selection> {
    let name = "SingleSubscribeParams.UserMediaStream";
    let stream = stream.ok_or_else(|| missing(MISSING, name))?;
    let user = user_in(room, stream.user_info.as_ref(), name)?;
    if user.room != *room {
        let message = format!("{name}.UserInfo.RoomId must be the room of the task");
        return Err(wrong(&message));
    }
    let videos = match stream.stream_type.unwrap_or(0) {
        0 => Videos::Camera,
        1 => Videos::Screen,
        other => {
            let message = format!("{name}.StreamType must be 0 (camera) or 1 (screen), not {other}");
            return Err(wrong(&message));
        }
    };
    Ok(Selection::of_user(&user.user, videos))
}
