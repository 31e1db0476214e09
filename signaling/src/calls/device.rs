//! One WebSocket at `/calls`: registers a device, passes its requests on and writes its messages.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use futures::{SinkExt, StreamExt};
use metrics::{counter, gauge};
use rotunda_bus::BusError;
use rotunda_proto::call::{Device, DeviceDocument, devices_prefix};
use rotunda_proto::call_signaling::{
    CallErrorBody, CallErrorCode, CallEvent, CallReply, CallRequest, CallRequestEnvelope, CallServerMessage, CallView,
    MAX_CALL_MESSAGE_BYTES, MissedCall, ReplacedBy,
};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{DeviceId, SdkAppId, UserId};
use rotunda_proto::signaling::ErrorCode;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

use super::desk::DeviceKey;
use super::devices::Attached;
use super::exchange::{announce, unregister};
use super::requests::{Caller, failure, store_failure};
use super::{changes, engagement};
use crate::bad_request;
use crate::connection::{Bucket, LINGER, MAX_LOGIN_BYTES, PING, SILENCE, WRITE_WITHIN, is_too_long, send, verify};
use crate::drain;
use crate::shared::Shared;

/// Read buffer of each connection, bytes. Most messages of devices are shorter.
const READ_BUFFER: usize = 1024;

/// `/calls`.
pub fn routes(shared: Shared) -> Router {
    Router::new().route("/calls", get(upgrade)).with_state(shared)
}

async fn upgrade(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    if shared.draining.is_cancelled() {
        return drain::refusal();
    }
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_CALL_MESSAGE_BYTES)
        .max_frame_size(MAX_CALL_MESSAGE_BYTES);
    upgrade.on_upgrade(move |socket| serve(shared, socket))
}

/// Serves a WebSocket until either side ends it.
async fn serve(shared: Shared, socket: WebSocket) {
    gauge!("rotunda_signaling_connections").increment(1.0);
    Connection::new(shared).run(socket).await;
    gauge!("rotunda_signaling_connections").decrement(1.0);
}

pub(super) struct Connection {
    shared: Shared,
    registered: Option<Registered>,
    bucket: Bucket,
}

struct Registered {
    key: DeviceKey,
    attached: Attached,
}

/// What follows from a message of the device.
pub(super) enum Next {
    Reply(CallServerMessage),
    /// And close.
    Last(CallServerMessage),
}

impl Connection {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            registered: None,
            bucket: Bucket::full(Clock.now()),
        }
    }

    async fn run(mut self, socket: WebSocket) {
        let clock = Clock;
        let (mut write, mut read) = socket.split();
        let register_until = clock.now() + Duration::from_secs(self.shared.config.login_seconds);
        let mut heard_at = clock.now();
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut named = false;
        let draining = self.shared.draining.clone();
        loop {
            tokio::select! {
                // The device registers again, at another node.
                () = draining.cancelled() => break,
                message = read.next() => {
                    heard_at = clock.now();
                    let next = match message {
                        Some(Ok(Message::Text(text))) => Box::pin(self.handle_text(text.as_str())).await,
                        Some(Ok(Message::Binary(_))) => Next::Reply(failed(None, failure(CallErrorCode::BadRequest))),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Err(error)) if is_too_long(&error) => {
                            Next::Last(failed(None, failure(CallErrorCode::MessageTooLarge)))
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    };
                    let (reply, is_last) = match next {
                        Next::Reply(reply) => (reply, false),
                        Next::Last(reply) => (reply, true),
                    };
                    let sent = send(&mut write, json(&reply)).await;
                    named = is_last;
                    if is_last || sent.is_err() {
                        break;
                    }
                }
                message = self.next_message() => {
                    // Another WebSocket has registered as this device, or the server shuts down.
                    let Some(message) = message else { break };
                    if send(&mut write, message).await.is_err() {
                        break;
                    }
                }
                _ = ping.tick() => {
                    if clock.now().saturating_duration_since(heard_at) > SILENCE
                        || timeout(WRITE_WITHIN, write.send(Message::Ping(Default::default()))).await.is_err()
                    {
                        debug!("the device is dead");
                        break;
                    }
                }
                () = clock.sleep_until(register_until), if self.registered.is_none() => {
                    let _closing_anyway = send(&mut write, json(&failed(None, failure(CallErrorCode::NotRegistered)))).await;
                    break;
                }
            }
        }
        let frame = CloseFrame {
            code: close_code::NORMAL,
            reason: Default::default(),
        };
        let _closing_anyway = timeout(WRITE_WITHIN, write.send(Message::Close(Some(frame)))).await;
        self.lose();
        if named {
            clock.sleep_until(clock.now() + LINGER).await;
        }
    }

    /// The WebSocket is gone.
    pub(super) fn lose(self) {
        if let Some(Registered { key, attached }) = self.registered {
            self.shared.calls.lost(&key, attached.number);
        }
    }

    /// The next message to the device; None: the connection is to be closed. Never before the device has registered.
    pub(super) async fn next_message(&mut self) -> Option<Utf8Bytes> {
        match &mut self.registered {
            Some(registered) => registered.attached.messages.recv().await,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn handle_text(&mut self, text: &str) -> Next {
        if !self.bucket.take(Clock.now()) {
            counter!("rotunda_signaling_rate_limited_total").increment(1);
            return Next::Last(failed(None, failure(CallErrorCode::RateLimited)));
        }
        if self.registered.is_none() && text.len() > MAX_LOGIN_BYTES {
            return Next::Last(failed(None, failure(CallErrorCode::MessageTooLarge)));
        }
        let CallRequestEnvelope { id, request } = match serde_json::from_str(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                let (id, why) = bad_request::explain(text, &error);
                let general = failure(CallErrorCode::BadRequest);
                let message = format!("{}: {why}", general.message);
                return Next::Reply(failed(id, CallErrorBody { message, ..general }));
            }
        };
        let op = name(&request);
        let is_last = matches!(request, CallRequest::Unregister {});
        let done = self.handle(request).await;
        let result = if done.is_ok() { "ok" } else { "error" };
        counter!("rotunda_call_requests_total", "op" => op, "result" => result).increment(1);
        match done {
            Ok(reply) if is_last => Next::Last(CallServerMessage::Ok { id, ok: true, reply }),
            Ok(reply) => Next::Reply(CallServerMessage::Ok { id, ok: true, reply }),
            Err(error) => Next::Reply(failed(Some(id), error)),
        }
    }

    async fn handle(&mut self, request: CallRequest) -> Result<CallReply, CallErrorBody> {
        match (&self.registered, request) {
            (
                None,
                CallRequest::Register {
                    sdk_app_id,
                    user_id,
                    user_sig,
                    device_id,
                },
            ) => self.register(sdk_app_id, user_id, &user_sig, device_id).await,
            (None, _) => Err(failure(CallErrorCode::NotRegistered)),
            (Some(_), CallRequest::Register { .. }) => Err(failure(CallErrorCode::AlreadyRegistered)),
            (Some(registered), CallRequest::Unregister {}) => {
                let (key, number) = (registered.key.clone(), registered.attached.number);
                self.registered = None;
                if self.shared.calls.parts().devices.detach(&key, number) {
                    hang_up(&self.shared, &key).await;
                    unregister(&self.shared, key)
                        .await
                        .map_err(|error| bus_failure(&error))?;
                }
                Ok(CallReply::Done {})
            }
            (Some(registered), request) => {
                let (app, user, device) = &registered.key;
                let by = Device {
                    user: user.clone(),
                    device: device.clone(),
                    node: self.shared.cluster.incarnation(),
                };
                let caller = Caller {
                    shared: &self.shared,
                    app: *app,
                    by,
                };
                caller.handle(request).await
            }
        }
    }

    async fn register(
        &mut self,
        app: SdkAppId,
        user: UserId,
        ticket: &str,
        device: DeviceId,
    ) -> Result<CallReply, CallErrorBody> {
        verify(&self.shared, app, &user, ticket)
            .await
            .map_err(|code| failure(login_error(code)))?;
        self.check_number(app, &user, &device).await?;
        let key = (app, user, device);
        let farewell = json(&CallServerMessage::Event(CallEvent::Replaced {
            by: ReplacedBy::Device,
        }));
        let attached = {
            let mut guard = self.shared.calls.parts();
            guard.desk.handle_back(key.clone());
            let attached = guard.devices.attach(key.clone(), farewell);
            gauge!("rotunda_call_devices").set(guard.devices.all().len() as f64);
            attached
        };
        self.registered = Some(Registered {
            key: key.clone(),
            attached,
        });
        announce(&self.shared, &key)
            .await
            .map_err(|error| bus_failure(&error))?;
        let (app, user, _) = key;
        let call = engagement::call_of(&self.shared.bus, app, &user).await;
        let call = call.map_err(|error| bus_failure(&error))?;
        if let Some(call) = &call
            && call.party(&user).is_some_and(|party| !party.reached)
        {
            let reached = changes::apply(&self.shared, (app, call.id), |call, _| call.reach(&user));
            if let Err(error) = reached.await {
                debug!(
                    error = &error as &dyn std::error::Error,
                    "the invitee was not marked as reached"
                );
            }
        }
        let now = Clock.unix().as_millis() as u64;
        Ok(CallReply::Registered {
            call: call.map(|call| CallView::of(&call, &user, now)),
            missed: self.missed(app, &user).await,
            return_seconds: self.shared.config.calls.return_seconds,
        })
    }

    async fn check_number(&self, app: SdkAppId, user: &UserId, device: &DeviceId) -> Result<(), CallErrorBody> {
        let prefix = devices_prefix(app, user);
        let devices = self
            .shared
            .bus
            .list(&prefix)
            .await
            .map_err(|error| bus_failure(&error))?;
        let others = devices.iter().filter(|(key, entry)| {
            let is_other = key.strip_prefix(&prefix) != Some(device.as_str());
            is_other && serde_json::from_slice::<DeviceDocument>(&entry.value).is_ok()
        });
        match others.count() >= self.shared.config.calls.max_devices {
            true => Err(failure(CallErrorCode::TooManyDevices)),
            false => Ok(()),
        }
    }

    /// The missed calls, which are forgotten then. While the database is away they wait for the next registration.
    async fn missed(&self, app: SdkAppId, user: &UserId) -> Vec<MissedCall> {
        let most = self.shared.config.calls.missed_calls;
        if most == 0 {
            return Vec::new();
        }
        let taken = async {
            let missed = self.shared.store.missed_calls(app, user, most).await?;
            if let Some(newest) = missed.first() {
                self.shared
                    .store
                    .forget_missed_calls(app, user, newest.started_unix_ms)
                    .await?;
            }
            Ok(missed)
        };
        let missed = taken.await.unwrap_or_else(|error| {
            store_failure(&error);
            Vec::new()
        });
        let view = missed.into_iter().map(|call| MissedCall {
            call_id: call.call,
            inviter: call.inviter,
            media: call.media,
            is_group: call.is_group,
            at_ms: call.started_unix_ms,
        });
        view.collect()
    }
}

/// A device that unregisters hangs up: it is not lost.
async fn hang_up(shared: &Shared, (app, user, device): &DeviceKey) {
    let by = Device {
        user: user.clone(),
        device: device.clone(),
        node: shared.cluster.incarnation(),
    };
    let hung_up = async {
        if let Some(call) = engagement::call_of(&shared.bus, *app, user).await? {
            changes::apply(shared, (*app, call.id), |call, now| call.hang_up(&by, now)).await?;
        }
        Ok(())
    };
    if let Err(changes::Refused::Bus(error)) = hung_up.await {
        warn!(
            error = &error as &dyn std::error::Error,
            "a device that unregisters did not hang up"
        );
    }
}

pub fn bus_failure(error: &BusError) -> CallErrorBody {
    if error.is_passing() {
        return failure(CallErrorCode::TryLater);
    }
    warn!(error = error as &dyn std::error::Error, "a request of a call failed");
    failure(CallErrorCode::Internal)
}

fn login_error(code: ErrorCode) -> CallErrorCode {
    match code {
        ErrorCode::UnknownApplication => CallErrorCode::UnknownApplication,
        ErrorCode::UserSigAppMismatch => CallErrorCode::UserSigAppMismatch,
        ErrorCode::UserSigUserMismatch => CallErrorCode::UserSigUserMismatch,
        ErrorCode::UserSigExpired => CallErrorCode::UserSigExpired,
        _ => CallErrorCode::UserSigInvalid,
    }
}

fn failed(id: Option<u64>, error: CallErrorBody) -> CallServerMessage {
    CallServerMessage::Failed { id, error }
}

/// A message as JSON for the WebSocket.
pub fn json(message: &CallServerMessage) -> Utf8Bytes {
    // Serializing these types cannot fail. A device ignores an empty object.
    serde_json::to_string(message)
        .unwrap_or_else(|_| "{}".to_owned())
        .into()
}

fn name(request: &CallRequest) -> &'static str {
    match request {
        CallRequest::Register { .. } => "register",
        CallRequest::Call { .. } => "call",
        CallRequest::Accept { .. } => "accept",
        CallRequest::Reject { .. } => "reject",
        CallRequest::HangUp { .. } => "hangUp",
        CallRequest::Invite { .. } => "invite",
        CallRequest::Join { .. } => "join",
        CallRequest::FindCalls { .. } => "findCalls",
        CallRequest::SwitchMedia { .. } => "switchMedia",
        CallRequest::SetProfile { .. } => "setProfile",
        CallRequest::GetProfiles { .. } => "getProfiles",
        CallRequest::GetPresence { .. } => "getPresence",
        CallRequest::Unregister {} => "unregister",
    }
}
