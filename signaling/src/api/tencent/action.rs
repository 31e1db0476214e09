//! The actions of version `2019-07-22`: which are served, and how the others are refused.

use super::read::RoomKind;
use crate::api::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    StartMix(RoomKind),
    StopMix(RoomKind),
    RemoveUser(RoomKind),
    DismissRoom(RoomKind),
}

const SERVED: [(&str, Action); 8] = [
    ("StartMCUMixTranscode", Action::StartMix(RoomKind::Number)),
    ("StartMCUMixTranscodeByStrRoomId", Action::StartMix(RoomKind::Name)),
    ("StopMCUMixTranscode", Action::StopMix(RoomKind::Number)),
    ("StopMCUMixTranscodeByStrRoomId", Action::StopMix(RoomKind::Name)),
    ("RemoveUser", Action::RemoveUser(RoomKind::Number)),
    ("RemoveUserByStrRoomId", Action::RemoveUser(RoomKind::Name)),
    ("DismissRoom", Action::DismissRoom(RoomKind::Number)),
    ("DismissRoomByStrRoomId", Action::DismissRoom(RoomKind::Name)),
];

/// Actions that the contract knows and this server does not have.
const NOT_SERVED: [&str; 28] = [
    "CreateCloudRecording",
    "CreatePicture",
    "DeleteCloudRecording",
    "DeletePicture",
    "DescribeCallDetailInfo",
    "DescribeCloudRecording",
    "DescribeMixTranscodingUsage",
    "DescribePicture",
    "DescribeRecordStatistic",
    "DescribeRecordingUsage",
    "DescribeRelayUsage",
    "DescribeRoomInfo",
    "DescribeScaleInfo",
    "DescribeStreamIngest",
    "DescribeTrtcMcuTranscodeTime",
    "DescribeTrtcRoomUsage",
    "DescribeTrtcUsage",
    "DescribeUnusualEvent",
    "DescribeUserEvent",
    "DescribeUserInfo",
    "ModifyCloudRecording",
    "ModifyPicture",
    "StartPublishCdnStream",
    "StartStreamIngest",
    "StopPublishCdnStream",
    "StopStreamIngest",
    "UpdatePublishCdnStream",
    "UpdateStreamIngest",
];

/// Names that the contract has removed.
const OFFLINE: [&str; 11] = [
    "CreateTroubleInfo",
    "DescribeAbnormalEvent",
    "DescribeCallDetail",
    "DescribeDetailEvent",
    "DescribeHistoryScale",
    "DescribeRealtimeNetwork",
    "DescribeRealtimeQuality",
    "DescribeRealtimeScale",
    "DescribeRoomInformation",
    "DescribeTrtcInteractiveTime",
    "DescribeUserInformation",
];

impl Action {
    /// Errors: `UnsupportedOperation`, `ActionOffline` or `InvalidAction`.
    pub fn find(name: &str) -> Result<Self, ApiError> {
        if let Some((_, action)) = SERVED.iter().find(|(served, _)| *served == name) {
            return Ok(*action);
        }
        Err(if NOT_SERVED.contains(&name) {
            ApiError::new("UnsupportedOperation", format!("this server does not have {name}"))
        } else if OFFLINE.contains(&name) {
            ApiError::new("ActionOffline", format!("{name} was removed from the API"))
        } else {
            let served = SERVED.map(|(served, _)| served).join(", ");
            ApiError::new(
                "InvalidAction",
                format!("there is no action {name}; there are {served}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_served_or_refused_by_a_code_that_says_why() {
        let code = |name| Action::find(name).map_err(|error| error.code);
        assert_eq!(code("DismissRoom"), Ok(Action::DismissRoom(RoomKind::Number)));
        assert_eq!(code("DescribeTrtcUsage"), Err("UnsupportedOperation"));
        assert_eq!(code("DescribeRealtimeScale"), Err("ActionOffline"));
        assert_eq!(code("dismissRoom"), Err("InvalidAction"));
        for (served, _) in SERVED {
            assert!(!NOT_SERVED.contains(&served) && !OFFLINE.contains(&served), "{served}");
        }
    }
}
