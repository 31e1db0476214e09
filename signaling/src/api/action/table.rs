//! The actions that are served.

use rotunda_proto::applications::Scope;

use super::schemas::{self, nothing, request, response};
use super::{Action, Definition, Version};
use crate::api::tencent::pictures::{
    CreatePicture, DeletePicture, DescribePicture, ModifyPicture, PictureCreated, PictureList,
};
use crate::api::tencent::read::RoomKind;
use crate::api::{history, media, own, usage};

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
    "ListNodes" Action::ListNodes, Own, Admin, USUAL, request::<own::ListNodes> => response::<own::NodeList>;
    "DescribeUsage" Action::DescribeUsage, Own, Usage, USUAL, request::<own::DescribeUsage> => response::<own::UsageRows>;
    "ListCallbacks" Action::ListCallbacks, Own, Admin, USUAL, request::<own::ListCallbacks> => response::<own::CallbackList>;
    "ReplayCallback" Action::ReplayCallback, Own, Admin, USUAL, request::<own::ReplayCallback> => nothing;
};
