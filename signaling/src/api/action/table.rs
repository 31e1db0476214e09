//! The actions that are served.

use rotunda_proto::applications::Scope;

use super::schemas::{self, nothing, request, response};
use super::{Action, Definition, Version};
use crate::api::media_tasks::{publish, record};
use crate::api::mix::preview::PreviewDrawn;
use crate::api::moderation::{SetUserBlocked, SetUserBlockedByStrRoomId};
use crate::api::tencent::pictures::{
    CreatePicture, DeletePicture, DescribePicture, ModifyPicture, PictureCreated, PictureList,
};
use crate::api::tencent::read::RoomKind;
use crate::api::{applications, history, ingest, media, own, usage};

/// The usual limit, and that of the newer usage queries: calls a second.
const USUAL: Option<u32> = Some(20);
const FEW: Option<u32> = Some(5);

/// A row of the table: name, action, version, scope, limit, request, answer.
macro_rules! table {
    ($($name:literal $action:expr, $version:ident, $scope:ident, $per_second:expr, $request:expr => $response:expr;)*) => {
        &[$(Definition {
            name: $name,
            action: $action,
            version: Version::$version,
            scope: Scope::$scope,
            per_second: $per_second,
            request: $request,
            response: $response,
        }),*]
    };
}

pub static TABLE: &[Definition] = table! {
    // StartMCUMixTranscode has its limit in the configuration.
    "StartMCUMixTranscode" Action::StartMix(RoomKind::Number), Trtc, Mix, None, schemas::start_by_number => nothing;
    "StartMCUMixTranscodeByStrRoomId" Action::StartMix(RoomKind::Name), Trtc, Mix, None, schemas::start_by_name => nothing;
    "StopMCUMixTranscode" Action::StopMix(RoomKind::Number), Trtc, Mix, USUAL, schemas::stop_by_number => nothing;
    "StopMCUMixTranscodeByStrRoomId" Action::StopMix(RoomKind::Name), Trtc, Mix, USUAL, schemas::stop_by_name => nothing;
    "RemoveUser" Action::RemoveUser(RoomKind::Number), Trtc, Moderate, USUAL, schemas::remove_by_number => nothing;
    "RemoveUserByStrRoomId" Action::RemoveUser(RoomKind::Name), Trtc, Moderate, USUAL, schemas::remove_by_name => nothing;
    "DismissRoom" Action::DismissRoom(RoomKind::Number), Trtc, Moderate, USUAL, schemas::dismiss_by_number => nothing;
    "DismissRoomByStrRoomId" Action::DismissRoom(RoomKind::Name), Trtc, Moderate, USUAL, schemas::dismiss_by_name => nothing;
    "CreatePicture" Action::CreatePicture, Trtc, Mix, USUAL, request::<CreatePicture> => response::<PictureCreated>;
    "DescribePicture" Action::DescribePicture, Trtc, Mix, USUAL, request::<DescribePicture> => response::<PictureList>;
    "ModifyPicture" Action::ModifyPicture, Trtc, Mix, USUAL, request::<ModifyPicture> => nothing;
    "DeletePicture" Action::DeletePicture, Trtc, Mix, USUAL, request::<DeletePicture> => nothing;
    "DescribeRoomInfo" Action::DescribeRoomInfo, Trtc, Rooms, USUAL,
        request::<history::DescribeRoomInfo> => response::<history::RoomList>;
    "DescribeUserInfo" Action::DescribeUserInfo, Trtc, Rooms, USUAL,
        request::<history::DescribeUserInfo> => response::<history::UserList>;
    "DescribeCallDetailInfo" Action::DescribeCallDetailInfo, Trtc, Rooms, USUAL,
        request::<history::DescribeCallDetailInfo> => response::<history::CallDetail>;
    "DescribeScaleInfo" Action::DescribeScaleInfo, Trtc, Rooms, USUAL,
        request::<history::DescribeScaleInfo> => response::<history::ScaleList>;
    "DescribeRecordStatistic" Action::DescribeRecordStatistic, Trtc, Usage, USUAL,
        request::<usage::DescribeRecordStatistic> => response::<usage::RecordStatistic>;
    "DescribeTrtcMcuTranscodeTime" Action::DescribeTrtcMcuTranscodeTime, Trtc, Usage, USUAL,
        request::<usage::DescribeTrtcMcuTranscodeTime> => response::<usage::TranscodeTime>;
    "DescribeMixTranscodingUsage" Action::DescribeMixTranscodingUsage, Trtc, Usage, FEW,
        request::<usage::DescribeMixTranscodingUsage> => response::<usage::UsageTable>;
    "DescribeRecordingUsage" Action::DescribeRecordingUsage, Trtc, Usage, FEW,
        request::<usage::DescribeRecordingUsage> => response::<usage::UsageTable>;
    "SearchMedia" Action::SearchMedia, Vod, Recordings, USUAL, request::<media::SearchMedia> => response::<media::FoundMedia>;
    "DescribeMediaInfos" Action::DescribeMediaInfos, Vod, Recordings, USUAL,
        request::<media::DescribeMediaInfos> => response::<media::MediaInfos>;
    "DeleteMedia" Action::DeleteMedia, Vod, Recordings, USUAL, request::<media::DeleteMedia> => nothing;
    "ListRooms" Action::ListRooms, Own, Rooms, USUAL, request::<own::ListRooms> => response::<own::RoomPage>;
    "ListMembers" Action::ListMembers, Own, Rooms, USUAL, request::<own::ListMembers> => response::<own::MemberList>;
    "SetMemberPermissions" Action::SetMemberPermissions, Own, Moderate, USUAL, request::<own::SetMemberPermissions> => nothing;
    "ListMixes" Action::ListMixes, Own, Mix, USUAL, request::<own::ListMixes> => response::<own::MixList>;
    "ListStreams" Action::ListStreams, Own, Live, USUAL, request::<own::ListStreams> => response::<own::StreamList>;
    "ListRunningRecordings" Action::ListRunningRecordings, Own, Recordings, USUAL,
        request::<own::ListRunningRecordings> => response::<own::RunningRecordingList>;
    "ListNodes" Action::ListNodes, Own, Admin, USUAL, request::<own::ListNodes> => response::<own::NodeList>;
    "DescribeUsage" Action::DescribeUsage, Own, Usage, USUAL, request::<own::DescribeUsage> => response::<own::UsageRows>;
    "ListCallbacks" Action::ListCallbacks, Own, Admin, USUAL, request::<own::ListCallbacks> => response::<own::CallbackList>;
    "ListCalls" Action::ListCalls, Own, Rooms, USUAL, request::<own::ListCalls> => response::<own::CallList>;
    "ReplayCallback" Action::ReplayCallback, Own, Admin, USUAL, request::<own::ReplayCallback> => nothing;
    "SetUserBlocked" Action::SetUserBlocked, Trtc, Moderate, USUAL, request::<SetUserBlocked> => nothing;
    "SetUserBlockedByStrRoomId" Action::SetUserBlockedByStrRoomId, Trtc, Moderate, USUAL,
        request::<SetUserBlockedByStrRoomId> => nothing;
    "StartStreamIngest" Action::StartStreamIngest, Trtc, Live, USUAL,
        request::<ingest::StartStreamIngest> => response::<ingest::IngestStarted>;
    "UpdateStreamIngest" Action::UpdateStreamIngest, Trtc, Live, USUAL,
        request::<ingest::UpdateStreamIngest> => response::<ingest::IngestState>;
    "StopStreamIngest" Action::StopStreamIngest, Trtc, Live, USUAL, request::<ingest::StopStreamIngest> => nothing;
    "DescribeStreamIngest" Action::DescribeStreamIngest, Trtc, Live, USUAL,
        request::<ingest::DescribeStreamIngest> => response::<ingest::IngestState>;
    "ListRestrictions" Action::ListRestrictions, Own, Moderate, USUAL,
        request::<own::ListRestrictions> => response::<own::RestrictionList>;
    "LiftRestriction" Action::LiftRestriction, Own, Moderate, USUAL, request::<own::LiftRestriction> => nothing;
    "PreviewLayout" Action::PreviewLayout, Own, Mix, FEW, schemas::preview => response::<PreviewDrawn>;
    "ListApplications" Action::ListApplications, Own, Admin, USUAL,
        request::<applications::ListApplications> => response::<applications::ApplicationPage>;
    "CreateApplication" Action::CreateApplication, Own, Admin, FEW,
        request::<applications::CreateApplication> => response::<applications::ApplicationMade>;
    "ModifyApplication" Action::ModifyApplication, Own, Admin, FEW,
        request::<applications::ModifyApplication> => response::<applications::ApplicationChanged>;
    "RotateApplicationSecret" Action::RotateApplicationSecret, Own, Admin, FEW,
        request::<applications::RotateApplicationSecret> => response::<applications::SecretRotated>;
    "DeleteApplication" Action::DeleteApplication, Own, Admin, FEW, request::<applications::DeleteApplication> => nothing;
    "ListApiKeys" Action::ListApiKeys, Own, Admin, USUAL,
        request::<applications::ListApiKeys> => response::<applications::ApiKeyList>;
    "CreateApiKey" Action::CreateApiKey, Own, Admin, FEW,
        request::<applications::CreateApiKey> => response::<applications::ApiKeyMade>;
    "DeleteApiKey" Action::DeleteApiKey, Own, Admin, FEW, request::<applications::DeleteApiKey> => nothing;
    "StartPublishCdnStream" Action::StartPublishCdnStream, Trtc, Mix, USUAL,
        request::<publish::StartPublishCdnStream> => response::<publish::PublishTask>;
    "UpdatePublishCdnStream" Action::UpdatePublishCdnStream, Trtc, Mix, USUAL,
        request::<publish::UpdatePublishCdnStream> => response::<publish::PublishTask>;
    "StopPublishCdnStream" Action::StopPublishCdnStream, Trtc, Mix, USUAL,
        request::<publish::StopPublishCdnStream> => response::<publish::PublishTask>;
    "CreateCloudRecording" Action::CreateCloudRecording, Trtc, Recordings, USUAL,
        request::<record::CreateCloudRecording> => response::<record::RecordingTask>;
    "DescribeCloudRecording" Action::DescribeCloudRecording, Trtc, Recordings, USUAL,
        request::<record::DescribeCloudRecording> => response::<record::RecordingTaskState>;
    "ModifyCloudRecording" Action::ModifyCloudRecording, Trtc, Recordings, USUAL,
        request::<record::ModifyCloudRecording> => response::<record::RecordingTask>;
    "DeleteCloudRecording" Action::DeleteCloudRecording, Trtc, Recordings, USUAL,
        request::<record::DeleteCloudRecording> => response::<record::RecordingTask>;
    "SetWaitingRoom" Action::SetWaitingRoom, Own, Moderate, USUAL, request::<own::SetWaitingRoom> => nothing;
    "ListWaitingUsers" Action::ListWaitingUsers, Own, Moderate, USUAL,
        request::<own::ListWaitingUsers> => response::<own::WaitingUserList>;
    "AnswerWaitingUsers" Action::AnswerWaitingUsers, Own, Moderate, USUAL,
        request::<own::AnswerWaitingUsers> => response::<own::WaitingUsersAnswered>;
    "DrainNode" Action::DrainNode, Own, Admin, FEW, request::<own::DrainNode> => nothing;
    "ResumeNode" Action::ResumeNode, Own, Admin, FEW, request::<own::ResumeNode> => nothing;
};
