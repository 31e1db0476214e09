//! `ListCalls`: an application's calls, running and ended.

use rotunda_proto::call::{Call as Document, CallMedia, CallRecord, PartyState};
use rotunda_proto::config::Application;
use rotunda_proto::ids::{SdkAppId, TextId, UserId, shortened};
use rotunda_store::{CallQuery, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, page_size};
use crate::api::ApiError;
use crate::api::request::request;
use crate::callbacks::call_events::{number, outcome};
use crate::shared::Shared;

request! {
    /// Lists the calls of the application, newest first. Ended calls are kept for `signaling.journal_days`.
    ListCalls {
        /// `running` or `ended`, the default.
        state: Option<String> = "State" ? "InvalidParameter",
        /// A user who has called or was called; absent: all.
        user_id: Option<String> = "UserId" ? "InvalidParameterValue.UserId",
        /// Ended calls that ended at this time or later, unix seconds.
        start_time: Option<u64> = "StartTime" ? "InvalidParameter",
        /// Ended calls that ended at this time or earlier, unix seconds.
        end_time: Option<u64> = "EndTime" ? "InvalidParameter",
        /// Calls to leave out, default 0.
        offset: Option<u64> = "Offset" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CallList {
    pub calls: Vec<Call>,
    /// Calls of all pages.
    pub total: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Call {
    pub call_id: String,
    /// The room of its media.
    pub room: String,
    pub inviter: String,
    /// 1: audio, 2: video.
    pub call_type: u64,
    pub is_group: bool,
    /// Unix milliseconds.
    pub start_time_ms: u64,
    /// Unix milliseconds; absent: nobody has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_time_ms: Option<u64>,
    /// Unix milliseconds; absent: it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time_ms: Option<u64>,
    /// `hangUp`, `rejected`, `noAnswer`, `offline`, `busy`, `cancelled` or `lost`; absent: it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From the first answer to the end, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub parties: Vec<Party>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Party {
    pub user_id: String,
    /// `ringing`, `joined`, `answered` (and gone), `rejected`, `busy`, `noAnswer` or `cancelled`.
    pub state: String,
    /// The time in the call before the present stay, milliseconds.
    pub joined_ms: u64,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListCalls) -> Checked<CallList> {
    let size = page_size(request.page_size)?;
    let user = request.user_id.as_deref().map(user_id).transpose()?;
    let app = caller.sdk_app_id;
    let offset = request.offset.unwrap_or(0);
    match request.state.as_deref().unwrap_or("ended") {
        "ended" => {
            let ms = |seconds: u64| i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
            let query = CallQuery {
                user,
                from_unix_ms: request.start_time.map(ms),
                // The whole second.
                to_unix_ms: request.end_time.map(|seconds| ms(seconds).saturating_add(999)),
            };
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            let found = shared.store.ended_calls(app, &query, offset, size as i64).await;
            let (records, total) = found.map_err(|error| store(&error))?;
            Ok(CallList {
                calls: records.into_iter().map(|record| ended(app, record)).collect(),
                total: total.unsigned_abs(),
            })
        }
        "running" => Ok(running(
            shared,
            app,
            user.as_ref(),
            usize::try_from(offset).unwrap_or(usize::MAX),
            size,
        )),
        other => {
            let message = format!("State must be running or ended, not {}", shortened(other));
            Err(ApiError::new("InvalidParameter", message))
        }
    }
}

/// As this node knows them.
fn running(shared: &Shared, app: SdkAppId, user: Option<&UserId>, offset: usize, size: usize) -> CallList {
    let mut found = shared.calls.running(app);
    found.retain(|call| user.is_none_or(|user| call.party(user).is_some()));
    found.sort_by_key(|call| (std::cmp::Reverse(call.started_unix_ms), call.id));
    let total = found.len() as u64;
    let page = found.into_iter().skip(offset).take(size);
    CallList {
        calls: page.map(|call| still_running(&call)).collect(),
        total,
    }
}

fn still_running(call: &Document) -> Call {
    let parties = call.parties.iter().map(|party| Party {
        user_id: party.user.to_string(),
        state: match &party.state {
            PartyState::Ringing { .. } => "ringing",
            PartyState::Joined { .. } => "joined",
            PartyState::Gone { why, .. } => outcome(*why, party.joined_ms),
        }
        .to_owned(),
        joined_ms: party.joined_ms,
    });
    Call {
        call_id: call.id.to_string(),
        room: call.id.room().to_string(),
        inviter: call.inviter.to_string(),
        call_type: media(call.media),
        is_group: call.is_group,
        start_time_ms: call.started_unix_ms,
        answer_time_ms: call.answered_unix_ms,
        end_time_ms: None,
        reason: None,
        duration_ms: None,
        parties: parties.collect(),
    }
}

fn ended(app: SdkAppId, record: CallRecord) -> Call {
    let parties = record.parties.iter().map(|party| Party {
        user_id: party.user.to_string(),
        state: outcome(party.outcome, party.joined_ms).to_owned(),
        joined_ms: party.joined_ms,
    });
    let room = rotunda_proto::call::call_room(app, record.call).room;
    Call {
        call_id: record.call.to_string(),
        room: room.to_string(),
        inviter: record.inviter.to_string(),
        call_type: media(record.media),
        is_group: record.is_group,
        start_time_ms: record.started_unix_ms,
        answer_time_ms: record.answered_unix_ms,
        end_time_ms: Some(record.ended_unix_ms),
        reason: Some(record.reason.as_str().to_owned()),
        duration_ms: Some(record.duration_ms()),
        parties: parties.collect(),
    }
}

fn media(media: CallMedia) -> u64 {
    number(media).into()
}

fn user_id(text: &str) -> Checked<UserId> {
    text.parse().map_err(|error| {
        let message = format!("UserId {} {error}; write {}", shortened(text), UserId::RULE);
        ApiError::new("InvalidParameterValue.UserId", message)
    })
}

fn store(error: &StoreError) -> ApiError {
    tracing::error!(error = error as &dyn std::error::Error, "read the calls");
    ApiError::new("InternalError.DBError", "the database does not answer; try again")
}
