//! The table of the API's actions. Every face (Tencent envelope, REST, gRPC) serves what is in it, so none can lack an action or a field.

mod limits;
mod run;
mod schemas;
mod table;

use std::sync::Arc;

use rotunda_proto::applications::Scope;
use rotunda_proto::config::Application;
use schemars::{Schema, SchemaGenerator};

use super::ApiError;
use super::caller::check_scope;
use super::mix::Mixes;
use super::pictures::Pictures;
use super::tencent::read::RoomKind;
use crate::shared::Shared;
use limits::Limits;

pub use table::TABLE;

/// An action of the API.
#[derive(Debug)]
pub struct Definition {
    pub name: &'static str,
    pub action: Action,
    pub version: Version,
    /// The part of the API that a key must open.
    pub scope: Scope,
    /// Calls a second and key; None: the action has a limit of its own.
    pub per_second: Option<u32>,
    pub request: fn(&mut SchemaGenerator) -> Schema,
    pub response: fn(&mut SchemaGenerator) -> Schema,
}

/// The API of the Tencent envelope that an action belongs to, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TRTC, `2019-07-22`.
    Trtc,
    /// VOD, `2018-07-17`.
    Vod,
    /// None: the envelope does not have the action.
    Own,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    StartMix(RoomKind),
    StopMix(RoomKind),
    RemoveUser(RoomKind),
    DismissRoom(RoomKind),
    CreatePicture,
    DescribePicture,
    ModifyPicture,
    DeletePicture,
    DescribeRoomInfo,
    DescribeUserInfo,
    DescribeCallDetailInfo,
    DescribeScaleInfo,
    DescribeRecordStatistic,
    DescribeTrtcMcuTranscodeTime,
    DescribeMixTranscodingUsage,
    DescribeRecordingUsage,
    SearchMedia,
    DescribeMediaInfos,
    DeleteMedia,
    ListRooms,
    ListMembers,
    SetMemberPermissions,
    ListMixes,
    ListStreams,
    ListRunningRecordings,
    ListNodes,
    DescribeUsage,
    ListCallbacks,
    ReplayCallback,
    ListCalls,
    PreviewLayout,
    SetUserBlocked,
    SetUserBlockedByStrRoomId,
    StartStreamIngest,
    UpdateStreamIngest,
    StopStreamIngest,
    DescribeStreamIngest,
    ListRestrictions,
    LiftRestriction,
    ListApplications,
    CreateApplication,
    ModifyApplication,
    RotateApplicationSecret,
    DeleteApplication,
    ListApiKeys,
    CreateApiKey,
    DeleteApiKey,
    StartPublishCdnStream,
    UpdatePublishCdnStream,
    StopPublishCdnStream,
    CreateCloudRecording,
    DescribeCloudRecording,
    ModifyCloudRecording,
    DeleteCloudRecording,
    SetWaitingRoom,
    ListWaitingUsers,
    AnswerWaitingUsers,
    DrainNode,
    ResumeNode,
}

/// A file in an answer, which REST answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnsweredFile {
    /// Has it as Base64.
    pub field: &'static str,
    pub media_type: &'static str,
}

impl Action {
    /// Whether a call has an effect beyond its answer.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Self::DescribePicture
                | Self::DescribeRoomInfo
                | Self::DescribeUserInfo
                | Self::DescribeCallDetailInfo
                | Self::DescribeScaleInfo
                | Self::DescribeRecordStatistic
                | Self::DescribeTrtcMcuTranscodeTime
                | Self::DescribeMixTranscodingUsage
                | Self::DescribeRecordingUsage
                | Self::SearchMedia
                | Self::DescribeMediaInfos
                | Self::DescribeStreamIngest
                | Self::ListRooms
                | Self::ListMembers
                | Self::ListMixes
                | Self::ListStreams
                | Self::ListRunningRecordings
                | Self::ListNodes
                | Self::DescribeUsage
                | Self::ListCalls
                | Self::ListCallbacks
                | Self::PreviewLayout
                | Self::ListRestrictions
                | Self::ListApplications
                | Self::ListApiKeys
                | Self::DescribeCloudRecording
                | Self::ListWaitingUsers
        )
    }

    pub fn file(self) -> Option<AnsweredFile> {
        match self {
            Self::PreviewLayout => Some(AnsweredFile {
                field: "Png",
                media_type: "image/png",
            }),
            _ => None,
        }
    }
}

/// Actions that the contract knows and this server does not have.
const NOT_SERVED: [&str; 5] = [
    "DescribeRelayUsage",
    "DescribeTrtcRoomUsage",
    "DescribeTrtcUsage",
    "DescribeUnusualEvent",
    "DescribeUserEvent",
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

impl Version {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trtc => "2019-07-22",
            Self::Vod => "2018-07-17",
            Self::Own => "",
        }
    }

    /// Errors: `NoSuchVersion`.
    pub fn find(text: &str) -> Result<Self, ApiError> {
        let known = [Self::Trtc, Self::Vod]
            .into_iter()
            .find(|version| version.as_str() == text);
        known.ok_or_else(|| {
            let text = rotunda_proto::ids::shortened(text);
            let message = format!("Version {text} is not served; use 2019-07-22, or 2018-07-17 for recorded files");
            ApiError::new("NoSuchVersion", message)
        })
    }
}

impl Definition {
    /// `version`: None: any. Errors: `UnsupportedOperation`, `ActionOffline` or `InvalidAction`.
    pub fn find(name: &str, version: Option<Version>) -> Result<&'static Self, ApiError> {
        let is_of_version = |definition: &&Self| version.is_none_or(|version| definition.version == version);
        let mut served = TABLE.iter().filter(is_of_version);
        if let Some(definition) = served.clone().find(|definition| definition.name == name) {
            return Ok(definition);
        }
        Err(if NOT_SERVED.contains(&name) {
            ApiError::new("UnsupportedOperation", format!("this server does not have {name}"))
        } else if OFFLINE.contains(&name) {
            ApiError::new("ActionOffline", format!("{name} was removed from the API"))
        } else {
            let name = rotunda_proto::ids::shortened(name);
            let names: Vec<_> = served.by_ref().map(|definition| definition.name).collect();
            let message = format!("there is no action {name}; there are {}", names.join(", "));
            ApiError::new("InvalidAction", message)
        })
    }
}

/// Carries out the actions of every face.
#[derive(Clone)]
pub struct Actions {
    shared: Shared,
    mixes: Arc<Mixes>,
    pictures: Arc<Pictures>,
    limits: Arc<Limits>,
}

impl Actions {
    pub fn new(shared: Shared, mixes: Arc<Mixes>, pictures: Arc<Pictures>) -> Self {
        Self {
            shared,
            mixes,
            pictures,
            limits: Arc::default(),
        }
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Errors: the key does not open this part of the API, or has called the action too often. Call it before the parameters are read.
    pub fn admit(&self, definition: &Definition, caller: &Application) -> Result<(), ApiError> {
        check_scope(caller, definition.scope)?;
        match definition.per_second {
            Some(most) => self.limits.count(&caller.secret_id, definition.name, most),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
