use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::api::tencent::fields::Fields;
use crate::api::tencent::read;

#[test]
fn an_action_is_served_or_refused_by_a_code_that_says_why() {
    let code = |name, version| {
        Definition::find(name, version)
            .map(|found| found.action)
            .map_err(|error| error.code)
    };
    let dismiss = Action::DismissRoom(RoomKind::Number);
    assert_eq!(code("DismissRoom", Some(Version::Trtc)), Ok(dismiss));
    assert_eq!(code("DismissRoom", None), Ok(dismiss));
    assert_eq!(code("DismissRoom", Some(Version::Vod)), Err("InvalidAction"));
    assert_eq!(code("SearchMedia", Some(Version::Vod)), Ok(Action::SearchMedia));
    assert_eq!(
        code("ListRooms", Some(Version::Trtc)),
        Err("InvalidAction"),
        "ours is not in the envelope"
    );
    assert_eq!(code("ListRooms", None), Ok(Action::ListRooms));
    assert_eq!(code("DescribeTrtcUsage", None), Err("UnsupportedOperation"));
    assert_eq!(code("DescribeRealtimeScale", None), Err("ActionOffline"));
    assert_eq!(code("dismissRoom", None), Err("InvalidAction"));
    let names: BTreeSet<_> = TABLE.iter().map(|definition| definition.name).collect();
    assert_eq!(names.len(), TABLE.len(), "each name once");
    assert!(NOT_SERVED.iter().chain(&OFFLINE).all(|name| !names.contains(name)));
}

/// The fields of each action in the contract.
const CONTRACT: [(&str, &str); 36] = [
    (
        "StartMCUMixTranscode",
        "SdkAppId RoomId OutputParams EncodeParams LayoutParams PublishCdnParams",
    ),
    (
        "StartMCUMixTranscodeByStrRoomId",
        "SdkAppId StrRoomId OutputParams EncodeParams LayoutParams PublishCdnParams",
    ),
    ("StopMCUMixTranscode", "SdkAppId RoomId"),
    ("StopMCUMixTranscodeByStrRoomId", "SdkAppId StrRoomId"),
    ("RemoveUser", "SdkAppId RoomId UserIds"),
    ("RemoveUserByStrRoomId", "SdkAppId RoomId UserIds"),
    ("DismissRoom", "SdkAppId RoomId"),
    ("SetUserBlocked", "SdkAppId RoomId UserId IsMute"),
    ("SetUserBlockedByStrRoomId", "SdkAppId StrRoomId UserId IsMute"),
    ("DismissRoomByStrRoomId", "SdkAppId RoomId"),
    (
        "CreatePicture",
        "SdkAppId Content Suffix Height Width XPosition YPosition",
    ),
    ("DescribePicture", "SdkAppId PictureId PageSize PageNo"),
    ("ModifyPicture", "PictureId SdkAppId Height Width XPosition YPosition"),
    ("DeletePicture", "PictureId SdkAppId"),
    (
        "DescribeRoomInfo",
        "SdkAppId StartTime EndTime RoomId PageNumber PageSize",
    ),
    (
        "DescribeUserInfo",
        "CommId StartTime EndTime SdkAppId UserIds PageNumber PageSize",
    ),
    (
        "DescribeCallDetailInfo",
        "CommId StartTime EndTime SdkAppId UserIds DataType PageNumber PageSize",
    ),
    ("DescribeScaleInfo", "SdkAppId StartTime EndTime"),
    ("DescribeRecordStatistic", "StartTime EndTime SdkAppId"),
    ("DescribeTrtcMcuTranscodeTime", "StartTime EndTime SdkAppId"),
    ("DescribeMixTranscodingUsage", "StartTime EndTime SdkAppId"),
    ("DescribeRecordingUsage", "StartTime EndTime MixType SdkAppId"),
    (
        "SearchMedia",
        "StreamId Text Sort Offset Limit StreamIds Names NamePrefixes FileIds CreateTime StartTime EndTime SourceTypes SourceType \
         Categories MediaTypes TrtcSdkAppIds TrtcRoomIds Filters SubAppId ExpireTime Descriptions Tags ClassIds StorageRegions \
         StorageClasses Status ReviewResults StreamDomains StreamPaths KnowledgeBases Vid Vids",
    ),
    ("DescribeMediaInfos", "FileIds SubAppId Filters"),
    ("DeleteMedia", "FileId SubAppId DeleteParts"),
    (
        "StartStreamIngest",
        "SdkAppId RoomId RoomIdType UserId UserSig StreamUrl PrivateMapKey VideoEncodeParams AudioEncodeParams SourceUrl SeekSecond \
         AutoPush RepeatNum MaxDuration Volume EnableProgress Tempo IdleTimeout",
    ),
    (
        "UpdateStreamIngest",
        "SdkAppId TaskId StreamUrl Volume IsPause EnableProgress Tempo",
    ),
    ("StopStreamIngest", "SdkAppId TaskId"),
    ("DescribeStreamIngest", "SdkAppId TaskId"),
    (
        "StartPublishCdnStream",
        "SdkAppId RoomId RoomIdType AgentParams WithTranscoding AudioParams VideoParams SingleSubscribeParams PublishCdnParams SeiParams FeedBackRoomParams RecordParams",
    ),
    (
        "UpdatePublishCdnStream",
        "SdkAppId TaskId SequenceNumber WithTranscoding AudioParams VideoParams SingleSubscribeParams PublishCdnParams SeiParams FeedBackRoomParams",
    ),
    ("StopPublishCdnStream", "SdkAppId TaskId RecordKey"),
    (
        "CreateCloudRecording",
        "SdkAppId RoomId UserId UserSig RecordParams StorageParams RoomIdType MixTranscodeParams MixLayoutParams ResourceExpiredHour PrivateMapKey",
    ),
    ("DescribeCloudRecording", "SdkAppId TaskId RecorderKey"),
    (
        "ModifyCloudRecording",
        "SdkAppId TaskId MixLayoutParams SubscribeStreamUserIds",
    ),
    ("DeleteCloudRecording", "SdkAppId TaskId"),
];

/// The fields of the objects in a mix request.
const MIX_OBJECTS: [(&str, &str); 6] = [
    ("OutputParams", "StreamId PureAudioStream RecordId RecordAudioOnly"),
    (
        "EncodeParams",
        "AudioSampleRate AudioBitrate AudioChannels VideoWidth VideoHeight VideoBitrate VideoFramerate VideoGop BackgroundColor \
         BackgroundImageId AudioCodec BackgroundImageUrl",
    ),
    // Style and everything about other rooms are ours.
    (
        "LayoutParams",
        "Template MainVideoUserId MainVideoStreamType SmallVideoLayoutParams MainVideoRightAlign MixVideoUids PresetLayoutConfig \
         PlaceHolderMode PureAudioHoldPlaceMode WaterMarkParams RenderMode Style MainVideoRoomId MainVideoStrRoomId \
         OtherRoomUsers",
    ),
    (
        "SmallVideoLayoutParams",
        "UserId RoomId StrRoomId StreamType ImageWidth ImageHeight LocationX LocationY",
    ),
    (
        "PresetLayoutConfig",
        "UserId RoomId StrRoomId StreamType ImageWidth ImageHeight LocationX LocationY ZOrder RenderMode MixInputType PlaceImageId",
    ),
    ("PublishCdnParams", "BizId PublishCdnUrls"),
];

fn properties(schema: &Value) -> BTreeSet<&str> {
    let properties = schema["properties"].as_object();
    properties
        .map(|fields| fields.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

fn schema_of(definition: &Definition) -> (Value, Value) {
    let mut generator = SchemaGenerator::default();
    let schema = serde_json::to_value((definition.request)(&mut generator)).unwrap();
    (schema, json!(generator.take_definitions(true)))
}

fn summary(definition: &Definition) -> String {
    let (schema, _) = schema_of(definition);
    schema["description"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_action_has_every_field_of_the_contract() {
    let contract = BTreeMap::from(CONTRACT);
    let of_contract = TABLE.iter().filter(|definition| definition.version != Version::Own);
    assert_eq!(contract.len(), of_contract.clone().count());
    for definition in TABLE {
        assert!(summary(definition).ends_with('.'), "{}", definition.name);
    }
    for definition in of_contract {
        let (schema, objects) = schema_of(definition);
        let fields = contract[definition.name].split_whitespace().collect();
        assert_eq!(properties(&schema), fields, "{}", definition.name);
        if let Action::StartMix(_) = definition.action {
            for (name, fields) in MIX_OBJECTS {
                assert_eq!(
                    properties(&objects[name]),
                    fields.split_whitespace().collect(),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn the_manual_has_every_action_with_its_scope_and_faces() {
    let manual = include_str!("../../../../docs/api.md");
    for definition in TABLE {
        let row = format!("| `{}` | {} | ", definition.name, definition.scope);
        let faces = manual.lines().find_map(|line| line.strip_prefix(row.as_str()));
        let faces = faces.and_then(|rest| rest.split(" |").next()).unwrap_or_default();
        let is_in_envelope = definition.version != Version::Own;
        assert_eq!(
            faces.contains('E'),
            is_in_envelope,
            "{} in docs/api.md: {faces:?}",
            definition.name
        );
        assert!(faces.contains("R G"), "{} in docs/api.md: {faces:?}", definition.name);
    }
}

/// A field in the schema that the reader does not know would be refused as unknown.
#[test]
fn the_readers_know_the_fields_of_the_schemas() {
    for definition in TABLE {
        let (schema, objects) = schema_of(definition);
        for field in properties(&schema) {
            let mut values = vec![json!("1")];
            if let Some(object) = objects.get(field) {
                values = properties(object).iter().map(|inner| json!({ *inner: "1" })).collect();
            }
            for value in values {
                let request = json!({ field: value });
                let refused = match definition.action {
                    Action::StartMix(room) => read::start(&request, room).err(),
                    Action::StopMix(room) => read::stop(&request, room).err(),
                    Action::RemoveUser(room) => read::remove(&request, room).err(),
                    Action::DismissRoom(room) => read::dismiss(&request, room).err(),
                    // These are read by what their schema is made of.
                    _ => None,
                };
                let code = refused.map(|error| error.code);
                assert_ne!(code, Some("UnknownParameter"), "{} {request}", definition.name);
            }
        }
    }
    assert!(Fields::of(&json!({ "Nothing": 1 })).finish().is_err());
}

/// The fields of the objects in the requests of tasks.
const TASK_OBJECTS: [(&str, &str); 28] = [
    ("AgentParams", "UserId UserSig MaxIdleTime"),
    ("McuAudioParams", "AudioEncode SubscribeAudioList UnSubscribeAudioList"),
    ("AudioEncode", "SampleRate Channel BitRate Codec"),
    ("McuUserInfoParams", "UserInfo SoundLevel"),
    ("MixUserInfo", "UserId RoomId RoomIdType"),
    (
        "McuVideoParams",
        "VideoEncode LayoutParams BackGroundColor BackgroundImageUrl WaterMarkList BackgroundRenderMode",
    ),
    ("VideoEncode", "Width Height Fps BitRate Gop"),
    (
        "McuLayoutParams",
        "MixLayoutMode PureAudioHoldPlaceMode MixLayoutList MaxVideoUser RenderMode EnableStreamSEI",
    ),
    (
        "McuLayout",
        "UserMediaStream ImageWidth ImageHeight LocationX LocationY ZOrder RenderMode BackGroundColor BackgroundImageUrl CustomCrop BackgroundRenderMode TransparentUrl BackgroundCustomRender BackGroundColorMode EnableStreamSEI",
    ),
    ("UserMediaStream", "UserInfo StreamType"),
    ("MaxVideoUser", "UserMediaStream"),
    ("McuWaterMarkParams", "WaterMarkType WaterMarkImage WaterMarkText"),
    (
        "McuWaterMarkImage",
        "WaterMarkUrl WaterMarkWidth WaterMarkHeight LocationX LocationY ZOrder DynamicPosType",
    ),
    ("SingleSubscribeParams", "UserMediaStream"),
    ("McuPublishCdnParam", "PublishCdnUrl IsTencentCdn"),
    (
        "McuRecordParams",
        "UniRecord RecordKey RecordWaitTime RecordFormat MaxMediaFileDuration StreamType UserDefineRecordPrefix McuStorageParams",
    ),
    (
        "RecordParams",
        "RecordMode MaxIdleTime StreamType SubscribeStreamUserIds OutputFormat AvMerge MaxMediaFileDuration MediaId FillType SubscribeAbility",
    ),
    (
        "SubscribeStreamUserIds",
        "SubscribeAudioUserIds UnSubscribeAudioUserIds SubscribeVideoUserIds UnSubscribeVideoUserIds",
    ),
    ("StorageParams", "CloudStorage CloudVod"),
    ("CloudVod", "TencentVod"),
    (
        "TencentVod",
        "Procedure ExpireTime StorageRegion ClassId SubAppId SessionContext SourceContext MediaType UserDefineRecordId",
    ),
    ("MixTranscodeParams", "VideoParams AudioParams"),
    ("VideoParams", "Width Height Fps BitRate Gop"),
    ("AudioParams", "SampleRate Channel BitRate"),
    (
        "MixLayoutParams",
        "MixLayoutMode MixLayoutList BackGroundColor MaxResolutionUserId MediaId BackgroundImageUrl PlaceHolderMode BackgroundImageRenderMode DefaultSubBackgroundImage WaterMarkList RenderMode MaxResolutionUserAlign PureAudioDisableLayout",
    ),
    (
        "MixLayout",
        "Top Left Width Height UserId Alpha RenderMode MediaId ImageLayer SubBackgroundImage",
    ),
    (
        "WaterMark",
        "WaterMarkType WaterMarkImage WaterMarkChar WaterMarkTimestamp",
    ),
    ("WaterMarkImage", "WaterMarkUrl Top Left Width Height"),
];

#[test]
fn the_objects_of_tasks_have_the_fields_of_the_contract() {
    let mut defined = serde_json::Map::new();
    for name in ["StartPublishCdnStream", "CreateCloudRecording"] {
        let (_, objects) = schema_of(Definition::find(name, None).unwrap());
        defined.extend(objects.as_object().unwrap().clone());
    }
    for (object, fields) in TASK_OBJECTS {
        let found = properties(defined.get(object).unwrap_or(&Value::Null));
        assert_eq!(found, fields.split_whitespace().collect(), "{object}");
    }
}
