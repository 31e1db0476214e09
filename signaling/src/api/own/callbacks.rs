//! `ListCallbacks` and `ReplayCallback`: the deliveries of an application's callbacks.

use rotunda_proto::clock::Clock;
use rotunda_proto::config::Application;
use rotunda_proto::ids::{RoomKey, shortened};
use rotunda_store::{CallbackInfo, CallbackState, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Checked, page_size};
use crate::api::ApiError;
use crate::api::request::{request, required};
use crate::callbacks::{EVENTS_OF, PUSHES_OF, TASKS_OF, task_events};
use crate::shared::Shared;

request! {
    /// Lists the callbacks of the application, newest first.
    ListCallbacks {
        /// `waiting`, `delivered` or `failed` (given up); absent: all.
        state: Option<String> = "State" ? "InvalidParameter",
        /// Callbacks to leave out, default 0.
        offset: Option<u64> = "Offset" ? "InvalidParameter",
        /// 1 to 500, default 50.
        page_size: Option<u64> = "PageSize" ? "InvalidParameter.PageSize",
    }
}

request! {
    /// Delivers a callback once more that was delivered or given up.
    ReplayCallback {
        /// As `ListCallbacks` answers it.
        callback_id: Option<String> = "CallbackId" ! "InvalidParameter",
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CallbackList {
    pub callbacks: Vec<Callback>,
    /// Callbacks of all pages.
    pub total: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Callback {
    pub callback_id: String,
    /// Digits are a numeric room; `text:` is before a text room of digits.
    pub room: String,
    /// The receiver, without its query.
    pub receiver: String,
    /// What is sent; each attempt adds its time and signature. The key of a push address is `***` here.
    pub body: String,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    pub attempts: u64,
    /// Unix seconds.
    pub create_time: u64,
    /// Unix seconds; absent: it is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<u64>,
    /// Of the last attempt that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

pub async fn list(shared: &Shared, caller: &Application, request: ListCallbacks) -> Checked<CallbackList> {
    let size = page_size(request.page_size)?;
    let state = request.state.as_deref().map(state).transpose()?;
    let offset = i64::try_from(request.offset.unwrap_or(0)).unwrap_or(i64::MAX);
    let found = shared.store.callbacks_of(caller.sdk_app_id, state, offset, size as i64);
    let (rows, total) = found.await.map_err(store)?;
    Ok(CallbackList {
        callbacks: rows.into_iter().map(callback).collect(),
        total: total.unsigned_abs(),
    })
}

pub async fn replay(shared: &Shared, caller: &Application, request: ReplayCallback) -> Checked<()> {
    let id = required(request.callback_id, "MissingParameter", "CallbackId")?;
    let replayed = shared.store.replay_callback_of(caller.sdk_app_id, &id, Clock.unix());
    match replayed.await {
        Ok(true) => {
            shared.outbox.notify();
            Ok(())
        }
        Ok(false) => {
            let message = format!("there is no callback {} that was delivered or given up", shortened(&id));
            Err(ApiError::new("ResourceNotFound", message))
        }
        Err(error) => Err(store(error)),
    }
}

fn state(text: &str) -> Checked<CallbackState> {
    match text {
        "waiting" => Ok(CallbackState::Waiting),
        "delivered" => Ok(CallbackState::Delivered),
        "failed" => Ok(CallbackState::Failed),
        other => {
            let message = format!("State must be waiting, delivered or failed, not {}", shortened(other));
            Err(ApiError::new("InvalidParameter", message))
        }
    }
}

fn callback(row: CallbackInfo) -> Callback {
    let seconds = |unix_ms: i64| unix_ms.unsigned_abs() / 1000;
    let token = row.room.strip_prefix(EVENTS_OF).unwrap_or(&row.room);
    // After a user or a task.
    let of_one = token.strip_prefix(PUSHES_OF).or_else(|| token.strip_prefix(TASKS_OF));
    let token = of_one
        .and_then(|rest| rest.split_once('/'))
        .map_or(token, |(_, room)| room);
    let room = RoomKey::from_token(token).map(|room| room.room.to_string());
    Callback {
        callback_id: row.id,
        room: room.unwrap_or(row.room),
        body: task_events::without_key(&row.body).unwrap_or(row.body),
        receiver: row.url.split('?').next().unwrap_or_default().to_owned(),
        next_attempt_time: (row.state == "waiting").then(|| seconds(row.next_attempt_unix_ms)),
        state: row.state,
        attempts: row.attempts.unsigned_abs(),
        create_time: seconds(row.created_unix_ms),
        last_error: row.last_error.filter(|error| !error.is_empty()),
    }
}

fn store(error: StoreError) -> ApiError {
    tracing::error!(error = &error as &dyn std::error::Error, "read the callbacks");
    ApiError::new("InternalError.DBError", "the database does not answer; try again")
}
