//! From an action and its parameters to its answer.

use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Action, Actions, Definition};
use crate::api::media_tasks::{publish, record};
use crate::api::mix::preview::preview_layout;
use crate::api::request::{Request, whole};
use crate::api::tencent::fields::Fields;
use crate::api::tencent::{pictures, read};
use crate::api::{ApiError, applications, history, ingest, media, moderation, own, rooms, usage};

impl Actions {
    /// `parameters`: a JSON object. The answer is one, too, without the id of the request.
    pub async fn run(
        &self,
        definition: &Definition,
        caller: &Application,
        parameters: &Value,
    ) -> Result<Value, ApiError> {
        let Self {
            shared,
            mixes,
            pictures: store,
            ..
        } = self;
        let now = Clock.unix();
        let (now_ms, now) = (now.as_millis() as u64, now.as_secs());
        match definition.action {
            Action::StartMix(room) => mixes.start(caller, read::start(parameters, room)?).await?,
            Action::StopMix(room) => mixes.stop(caller, read::stop(parameters, room)?).await?,
            Action::RemoveUser(room) => rooms::remove_users(shared, caller, read::remove(parameters, room)?).await?,
            Action::DismissRoom(room) => rooms::dismiss(shared, caller, read::dismiss(parameters, room)?).await?,
            Action::CreatePicture => return answer(pictures::create(store, caller, parse(parameters)?).await?),
            Action::DescribePicture => return answer(pictures::describe(store, caller, parse(parameters)?).await?),
            Action::ModifyPicture => pictures::modify(store, caller, parse(parameters)?).await?,
            Action::DeletePicture => pictures::delete(store, caller, parse(parameters)?).await?,
            Action::DescribeRoomInfo => {
                return answer(history::describe_rooms(shared, caller, parse(parameters)?, now).await?);
            }
            Action::DescribeUserInfo => {
                return answer(history::describe_users(shared, caller, parse(parameters)?, now).await?);
            }
            Action::DescribeCallDetailInfo => {
                return answer(history::describe_call(shared, caller, parse(parameters)?, now).await?);
            }
            Action::DescribeScaleInfo => {
                return answer(history::describe_scale(shared, caller, parse(parameters)?, now).await?);
            }
            Action::DescribeRecordStatistic => {
                return answer(usage::describe_record_statistic(shared, caller, parse(parameters)?, now_ms).await?);
            }
            Action::DescribeTrtcMcuTranscodeTime => {
                return answer(usage::describe_transcode_time(shared, caller, parse(parameters)?, now_ms).await?);
            }
            Action::DescribeMixTranscodingUsage => {
                return answer(usage::describe_mix_usage(shared, caller, parse(parameters)?, now_ms).await?);
            }
            Action::DescribeRecordingUsage => {
                return answer(usage::describe_recording_usage(shared, caller, parse(parameters)?, now_ms).await?);
            }
            Action::SearchMedia => return answer(media::search(shared, caller, parse(parameters)?).await?),
            Action::DescribeMediaInfos => return answer(media::describe(shared, caller, parse(parameters)?).await?),
            Action::DeleteMedia => media::delete(shared, caller, parse(parameters)?).await?,
            Action::ListRooms => return answer(own::list_rooms(shared, caller, parse(parameters)?).await?),
            Action::ListMembers => return answer(own::list_members(shared, caller, parse(parameters)?).await?),
            Action::ListMixes => return answer(own::list_mixes(shared, caller, parse(parameters)?).await?),
            Action::ListStreams => return answer(own::list_streams(shared, caller, parse(parameters)?).await?),
            Action::ListRunningRecordings => {
                return answer(own::list_running_recordings(shared, caller, parse(parameters)?).await?);
            }
            Action::DescribeUsage => return answer(own::describe_usage(shared, caller, parse(parameters)?).await?),
            Action::ListCallbacks => return answer(own::list_callbacks(shared, caller, parse(parameters)?).await?),
            Action::ListNodes => return answer(own::list_nodes(shared, parse(parameters)?).await?),
            Action::SetMemberPermissions => own::set_member_permissions(shared, caller, parse(parameters)?).await?,
            Action::ListCalls => return answer(own::list_calls(shared, caller, parse(parameters)?).await?),
            Action::SetUserBlocked => moderation::block(shared, caller, parse(parameters)?).await?,
            Action::SetUserBlockedByStrRoomId => moderation::block_by_name(shared, caller, parse(parameters)?).await?,
            Action::StartStreamIngest => return answer(ingest::start(shared, caller, parse(parameters)?).await?),
            Action::UpdateStreamIngest => return answer(ingest::update(shared, caller, parse(parameters)?).await?),
            Action::StopStreamIngest => ingest::stop(shared, caller, parse(parameters)?).await?,
            Action::DescribeStreamIngest => return answer(ingest::describe(shared, caller, parse(parameters)?).await?),
            Action::ListRestrictions => {
                return answer(own::list_restrictions(shared, caller, parse(parameters)?).await?);
            }
            Action::LiftRestriction => own::lift_restriction(shared, caller, parse(parameters)?).await?,
            Action::PreviewLayout => return answer(preview_layout(shared, caller, parameters).await?),
            Action::ListApplications => return answer(applications::list(shared, caller, parse(parameters)?).await?),
            Action::CreateApplication => {
                return answer(applications::create(shared, caller, parse(parameters)?).await?);
            }
            Action::ModifyApplication => {
                return answer(applications::modify(shared, caller, parse(parameters)?).await?);
            }
            Action::RotateApplicationSecret => {
                return answer(applications::rotate(shared, caller, parse(parameters)?).await?);
            }
            Action::DeleteApplication => applications::delete(shared, caller, parse(parameters)?).await?,
            Action::ListApiKeys => return answer(applications::list_keys(shared, caller, parse(parameters)?).await?),
            Action::CreateApiKey => return answer(applications::create_key(shared, caller, parse(parameters)?).await?),
            Action::DeleteApiKey => applications::delete_key(shared, caller, parse(parameters)?).await?,
            Action::StartPublishCdnStream => {
                let with = (mixes.as_ref(), store.as_ref());
                return answer(publish::start(shared, with, caller, parse(parameters)?).await?);
            }
            Action::UpdatePublishCdnStream => {
                let with = (mixes.as_ref(), store.as_ref());
                return answer(publish::update(shared, with, caller, parse(parameters)?).await?);
            }
            Action::StopPublishCdnStream => return answer(publish::stop(shared, caller, parse(parameters)?).await?),
            Action::CreateCloudRecording => {
                return answer(record::create(shared, store, caller, parse(parameters)?).await?);
            }
            Action::DescribeCloudRecording => {
                return answer(record::describe(shared, caller, parse(parameters)?).await?);
            }
            Action::ModifyCloudRecording => {
                return answer(record::modify(shared, store, caller, parse(parameters)?).await?);
            }
            Action::DeleteCloudRecording => return answer(record::delete(shared, caller, parse(parameters)?).await?),
            Action::SetWaitingRoom => own::set_waiting_room(shared, caller, parse(parameters)?).await?,
            Action::ListWaitingUsers => {
                return answer(own::list_waiting_users(shared, caller, parse(parameters)?).await?);
            }
            Action::AnswerWaitingUsers => {
                return answer(own::answer_waiting_users(shared, caller, parse(parameters)?).await?);
            }
            Action::DrainNode => own::drain_node(shared, caller, parse(parameters)?).await?,
            Action::ResumeNode => own::resume_node(shared, caller, parse(parameters)?).await?,
            Action::ReplayCallback => own::replay_callback(shared, caller, parse(parameters)?).await?,
        }
        Ok(json!({}))
    }
}

fn parse<T: Request>(parameters: &Value) -> Result<T, ApiError> {
    whole(Fields::of(parameters))
}

fn answer(answer: impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(answer).map_err(|error| ApiError::internal(&error))
}
